//! Bilinear resizing, a row at a time; parallel over planes.

use super::{f32s, tensor};
use crate::ops::portable::taps;
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// Rows and columns of one resize.
pub(crate) struct Resize {
    /// For each output row: the two input rows that it mixes, and the second one's share.
    pub(crate) rows: Vec<(usize, usize, f32)>,
    /// The same of columns.
    pub(crate) columns: Vec<(usize, usize, f32)>,
}

impl Resize {
    pub(crate) fn new(input: [usize; 2], output: [usize; 2], align_corners: bool) -> Self {
        Self { rows: taps(output[0], input[0], align_corners), columns: taps(output[1], input[1], align_corners) }
    }

    /// Output row `y` of one plane; `blended` is scratch as long as an input row.
    pub(crate) fn row(&self, plane: &[f32], y: usize, blended: &mut [f32], target: &mut [f32]) {
        let width = blended.len();
        let (lower, upper, weight) = self.rows[y];
        let (top, bottom) = (&plane[lower * width..][..width], &plane[upper * width..][..width]);
        for ((b, &t), &u) in blended.iter_mut().zip(top).zip(bottom) {
            *b = t + (u - t) * weight;
        }
        for (target, &(left, right, weight)) in target.iter_mut().zip(&self.columns) {
            *target = blended[left] + (blended[right] - blended[left]) * weight;
        }
    }

    /// Adds the gradient of output row `y` to a plane's gradient, whose first row is input row `first_row`.
    pub(in crate::ops) fn row_grad(
        &self,
        grad: &[f32],
        y: usize,
        blended: &mut [f32],
        plane: &mut [f32],
        first_row: usize,
    ) {
        let width = blended.len();
        blended.fill(0.0);
        for (&g, &(left, right, weight)) in grad.iter().zip(&self.columns) {
            blended[left] += g * (1.0 - weight);
            blended[right] += g * weight;
        }
        let (lower, upper, weight) = self.rows[y];
        for (row, weight) in [(lower, 1.0 - weight), (upper, weight)] {
            let target = &mut plane[(row - first_row) * width..][..width];
            for (t, &b) in target.iter_mut().zip(blended.iter()) {
                *t += b * weight;
            }
        }
    }
}

pub(in crate::ops) fn forward(x: &FlexTensor, size: [usize; 2], align_corners: bool) -> FlexTensor {
    let x = x.to_contiguous();
    let [batch, channels, h, w] = x.layout().shape().dims::<4>();
    let [height, width] = size;
    let resize = Resize::new([h, w], size, align_corners);
    let mut output = vec![0f32; batch * channels * height * width];
    output.par_chunks_mut(height * width).zip(f32s(&x).par_chunks(h * w)).for_each(|(target, plane)| {
        let mut blended = vec![0f32; w];
        for (y, target) in target.chunks_mut(width).enumerate() {
            resize.row(plane, y, &mut blended, target);
        }
    });
    tensor(output, [batch, channels, height, width])
}

pub(in crate::ops) fn backward(grad: &FlexTensor, size: [usize; 2], align_corners: bool) -> FlexTensor {
    let grad = grad.to_contiguous();
    let [batch, channels, height, width] = grad.layout().shape().dims::<4>();
    let [h, w] = size;
    let resize = Resize::new(size, [height, width], align_corners);
    let mut output = vec![0f32; batch * channels * h * w];
    output.par_chunks_mut(h * w).zip(f32s(&grad).par_chunks(height * width)).for_each(|(plane, grad)| {
        let mut blended = vec![0f32; w];
        for (y, grad) in grad.chunks(width).enumerate() {
            resize.row_grad(grad, y, &mut blended, plane, 0);
        }
    });
    tensor(output, [batch, channels, h, w])
}
