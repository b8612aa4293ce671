//! Convolution of an enlarged input that never exists whole: a band of rows at a time is enlarged, used and forgotten.

use super::resize::Resize;
use super::{conv, f32s, tensor};
use crate::ops::ConvGeometry;
use burn_flex::FlexTensor;
use rayon::prelude::*;
use std::ops::Range;

/// Most values of a band of enlarged rows: 8 MiB.
const BAND_VALUES: usize = 2 << 20;

/// Rows of the output, and the enlarged rows that they are made of.
struct Band {
    output: Range<usize>,
    input: Range<usize>,
}

/// A convolution of stride 1 that keeps the size.
struct Problem {
    /// `[batch, channels, h, w]` before it is enlarged.
    x: [usize; 4],
    /// Height and width after.
    size: [usize; 2],
    channels_out: usize,
    geometry: ConvGeometry,
    resize: Resize,
}

impl Problem {
    fn new(x: [usize; 4], weight: [usize; 4], size: [usize; 2], align_corners: bool, geometry: ConvGeometry) -> Self {
        let resize = Resize::new([x[2], x[3]], size, align_corners);
        Self { x, size, channels_out: weight[0], geometry, resize }
    }

    fn bands(&self) -> impl Iterator<Item = Band> {
        let ([height, width], halo) = (self.size, self.geometry.padding);
        let rows = (BAND_VALUES / (self.x[1] * width)).saturating_sub(2 * halo).clamp(1, height);
        (0..height).step_by(rows).map(move |start| {
            let end = (start + rows).min(height);
            Band { output: start..end, input: start.saturating_sub(halo)..(end + halo).min(height) }
        })
    }

    /// Images that are worked on together: of small ones as many as make a band, of large ones one.
    fn pictures(&self) -> usize {
        (BAND_VALUES / (self.x[1] * self.size[0] * self.size[1])).clamp(1, self.x[0])
    }

    /// `[pictures, channels, rows, width]`: the enlarged rows of images `[channels, h, w]` each.
    fn enlarged(&self, pictures: &[f32], rows: &Range<usize>) -> FlexTensor {
        let ([_, channels, h, w], width) = (self.x, self.size[1]);
        let planes = pictures.len() / (h * w);
        let mut values = vec![0f32; planes * rows.len() * width];
        values.par_chunks_mut(rows.len() * width).zip(pictures.par_chunks(h * w)).for_each(|(target, plane)| {
            let mut blended = vec![0f32; w];
            for (y, target) in rows.clone().zip(target.chunks_mut(width)) {
                self.resize.row(plane, y, &mut blended, target);
            }
        });
        tensor(values, [planes / channels, channels, rows.len(), width])
    }

    /// `[pictures, channels_out, input rows, width]`: images' gradients in the band's own rows, 0 in the others.
    fn gradient(&self, pictures: &[f32], band: &Band) -> FlexTensor {
        let [height, width] = self.size;
        let (rows, skipped) = (band.input.len(), band.output.start - band.input.start);
        let planes = pictures.len() / (height * width);
        let mut values = vec![0f32; planes * rows * width];
        for (target, plane) in values.chunks_mut(rows * width).zip(pictures.chunks(height * width)) {
            let own = &plane[band.output.start * width..band.output.end * width];
            target[skipped * width..][..own.len()].copy_from_slice(own);
        }
        tensor(values, [planes / self.channels_out, self.channels_out, rows, width])
    }
}

pub(in crate::ops) fn forward(
    x: &FlexTensor,
    weight: &FlexTensor,
    size: [usize; 2],
    align_corners: bool,
    geometry: ConvGeometry,
) -> FlexTensor {
    let x = x.to_contiguous();
    let (dims, weights) = (x.layout().shape().dims::<4>(), weight.layout().shape().dims::<4>());
    let problem = Problem::new(dims, weights, size, align_corners, geometry);
    let [batch, channels, h, w] = dims;
    let ([height, width], channels_out) = (size, problem.channels_out);
    let mut output = vec![0f32; batch * channels_out * height * width];
    let together = problem.pictures();
    let outputs = output.chunks_mut(together * channels_out * height * width);
    for (pictures, output) in f32s(&x).chunks(together * channels * h * w).zip(outputs) {
        for band in problem.bands() {
            let rows = conv::forward(&problem.enlarged(pictures, &band.input), weight, geometry);
            let (of_channel, skipped) = (band.input.len() * width, band.output.start - band.input.start);
            for (plane, rows) in output.chunks_mut(height * width).zip(f32s(&rows).chunks(of_channel)) {
                let target = &mut plane[band.output.start * width..band.output.end * width];
                target.copy_from_slice(&rows[skipped * width..][..target.len()]);
            }
        }
    }
    tensor(output, [batch, channels_out, height, width])
}

/// Gradients of input and weight. Bands come one after another: what they add to does not depend on the threads.
pub(in crate::ops) fn backward(
    x: &FlexTensor,
    weight: &FlexTensor,
    grad: &FlexTensor,
    size: [usize; 2],
    align_corners: bool,
    geometry: ConvGeometry,
) -> (FlexTensor, FlexTensor) {
    let (x, grad) = (x.to_contiguous(), grad.to_contiguous());
    let (dims, weights) = (x.layout().shape().dims::<4>(), weight.layout().shape().dims::<4>());
    let problem = Problem::new(dims, weights, size, align_corners, geometry);
    let ([_, channels, h, w], width) = (dims, size[1]);
    let mut grad_x = vec![0f32; dims.iter().product()];
    let mut grad_weight = vec![0f32; weights.iter().product()];
    let together = problem.pictures();
    let (of_x, of_grad) = (together * channels * h * w, together * problem.channels_out * size[0] * width);
    let groups = f32s(&x).chunks(of_x).zip(f32s(&grad).chunks(of_grad));
    for ((pictures, grad), grad_x) in groups.zip(grad_x.chunks_mut(of_x)) {
        for band in problem.bands() {
            let grad = problem.gradient(grad, &band);
            let enlarged = problem.enlarged(pictures, &band.input);
            let of_band = conv::grad_weight(&enlarged, weights, &grad, geometry);
            drop(enlarged);
            grad_weight.iter_mut().zip(f32s(&of_band)).for_each(|(sum, value)| *sum += value);
            let count = pictures.len() / (channels * h * w);
            let rows = conv::grad_input([count, channels, band.input.len(), width], weight, &grad, geometry);
            let planes = f32s(&rows).par_chunks(band.input.len() * width);
            grad_x.par_chunks_mut(h * w).zip(planes).for_each(|(plane, rows)| {
                let mut blended = vec![0f32; w];
                for (y, row) in band.input.clone().zip(rows.chunks(width)) {
                    problem.resize.row_grad(row, y, &mut blended, plane, 0);
                }
            });
        }
    }
    (tensor(grad_x, dims), tensor(grad_weight, weights))
}
