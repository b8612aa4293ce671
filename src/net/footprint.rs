//! What a block will cost, before any tensor exists.

use super::FeatureShape;

/// What a layer or block costs for each image, in float32 values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Shape of the output.
    pub output: FeatureShape,
    /// Values that a training pass keeps until the block's backward: its output is one of them, its input is not.
    pub kept: usize,
    /// Values of gradients that are there at once, at most, while the block goes backward, above what it still keeps.
    pub working: usize,
    /// Values of the largest tensor.
    pub largest: usize,
    /// Multiply-adds of its forward. Its backward has twice as many.
    pub macs: usize,
    /// Weights that an optimizer steps; of the layer, not for each image.
    pub parameters: usize,
}

impl Footprint {
    /// The cost of no layer at all: the input passes as it is.
    pub const fn nothing(x: FeatureShape) -> Self {
        Self { output: x, kept: 0, working: 0, largest: x.len(), macs: 0, parameters: 0 }
    }

    /// The cost of a convolution from `x` to `output` with so many weights. Only its output is kept, as the next layer's input.
    pub fn conv(x: FeatureShape, output: FeatureShape, weights: usize) -> Self {
        let macs = weights * output.pixels();
        let largest = output.len().max(x.len());
        Self { output, kept: output.len(), working: output.len() + x.len(), largest, macs, parameters: weights }
    }

    /// The cost of a convolution that reads `x`, with BatchNorm and ReLU behind it. Kept is what the convolution wrote (BatchNorm's
    /// input) and what came out. Backward, the output's gradient becomes BatchNorm's in place; what the convolution wrote is
    /// gone before the input's gradient stands beside it.
    pub fn normalized(self, x: FeatureShape) -> Self {
        let (output, parameters) = (self.output, self.parameters + 2 * self.output.channels);
        Self { kept: 2 * output.len(), working: output.len().max(x.len()), parameters, ..self }
    }

    /// The cost of a same-size 3×3 or 1×1 unit, as heads are made of.
    pub fn unit(x: FeatureShape, channels: usize, kernel: usize, stride: usize) -> Self {
        let (height, width) = (x.height.div_ceil(stride), x.width.div_ceil(stride));
        let weights = x.channels * channels * kernel * kernel;
        Self::conv(x, FeatureShape { channels, height, width }, weights).normalized(x)
    }

    /// This one and then another. Backward, the other comes first: while it does, all of this one is still kept.
    pub fn then(self, next: Self) -> Self {
        let while_first = self.working.saturating_sub(next.kept);
        Self {
            output: next.output,
            kept: self.kept + next.kept,
            working: next.working.max(while_first),
            largest: self.largest.max(next.largest),
            macs: self.macs + next.macs,
            parameters: self.parameters + next.parameters,
        }
    }

    /// This one and another that reads the same input, `x` of which the gradients add up.
    pub fn beside(self, other: Self, x: FeatureShape) -> Self {
        Self {
            output: x,
            kept: self.kept + other.kept,
            working: self.working.max(other.working) + x.len(),
            largest: self.largest.max(other.largest),
            macs: self.macs + other.macs,
            parameters: self.parameters + other.parameters,
        }
    }

    /// Counts a tensor of `values` among those that may be the largest.
    pub fn with_tensor(self, values: usize) -> Self {
        Self { largest: self.largest.max(values), ..self }
    }

    /// With more values kept.
    pub const fn keeping(self, more: usize) -> Self {
        Self { kept: self.kept + more, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_goes_backward_first() {
        let x = FeatureShape { channels: 1, height: 1, width: 10 };
        let first = Footprint { output: x, kept: 20, working: 50, largest: 9, macs: 7, parameters: 2 };
        let second = Footprint { output: x, kept: 30, working: 10, largest: 12, macs: 1, parameters: 3 };
        let both = first.then(second);
        assert_eq!((both.kept, both.working, both.largest, both.macs, both.parameters), (50, 20, 12, 8, 5));
        assert_eq!(second.then(first).working, 50);
        assert_eq!(Footprint::nothing(x).then(first), first.with_tensor(10));
    }
}
