//! BatchNorm, residual addition and ReLU in one pass over memory each way; parallel over channels.

use super::{Shared, f32s, tensor};
use crate::ops::Act;
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// Partial sums kept side by side, so that the compiler can use vector registers.
const LANES: usize = 16;

/// Sum of `f(a, b)` over two slices of equal length, in an order that depends on their length alone.
#[inline(always)]
fn sum2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f64 {
    let mut total = 0f64;
    // Short runs in f32 lanes, gathered in f64: the error stays that of a few hundred additions.
    for (a, b) in a.chunks(4096).zip(b.chunks(4096)) {
        let mut lanes = [0f32; LANES];
        let (a_lanes, b_lanes) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
        for (&a, &b) in a_lanes.remainder().iter().zip(b_lanes.remainder()) {
            total += f64::from(f(a, b));
        }
        for (a, b) in a_lanes.zip(b_lanes) {
            for lane in 0..LANES {
                lanes[lane] += f(a[lane], b[lane]);
            }
        }
        total += lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>();
    }
    total
}

/// The planes of one channel: `(offset of its first value)` for every image of the batch.
fn planes(batch: usize, channels: usize, channel: usize, pixels: usize) -> impl Iterator<Item = usize> {
    (0..batch).map(move |b| (b * channels + channel) * pixels)
}

pub(super) fn forward(
    x: &FlexTensor,
    gamma: &FlexTensor,
    beta: &FlexTensor,
    residual: Option<&FlexTensor>,
    eps: f64,
    act: Act,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    let (x, gamma, beta) = (x.to_contiguous(), gamma.to_contiguous(), beta.to_contiguous());
    let [batch, channels, height, width] = x.layout().shape().dims::<4>();
    let (values, pixels) = (f32s(&x), height * width);
    let count = (batch * pixels) as f64;
    let (mean, variance): (Vec<f32>, Vec<f32>) = (0..channels)
        .into_par_iter()
        .map(|channel| {
            let plane = |offset: usize| &values[offset..offset + pixels];
            let sum: f64 = planes(batch, channels, channel, pixels).map(|o| sum2(plane(o), plane(o), |a, _| a)).sum();
            let mean = (sum / count) as f32;
            let squares: f64 = planes(batch, channels, channel, pixels)
                .map(|o| sum2(plane(o), plane(o), |a, _| (a - mean) * (a - mean)))
                .sum();
            (mean, (squares / count) as f32)
        })
        .unzip();
    let (scale, shift) = scale_shift(f32s(&gamma), f32s(&beta), &mean, &variance, eps);
    let output = affine_act(&x, &scale, &shift, residual, act);
    (output, tensor(mean, [channels]), tensor(variance, [channels]))
}

/// BatchNorm as `scale·x + shift`.
fn scale_shift(gamma: &[f32], beta: &[f32], mean: &[f32], variance: &[f32], eps: f64) -> (Vec<f32>, Vec<f32>) {
    let scale: Vec<f32> = gamma.iter().zip(variance).map(|(&g, &v)| g * inverse_std(v, eps)).collect();
    let shift = beta.iter().zip(mean).zip(&scale).map(|((&b, &m), &s)| b - m * s).collect();
    (scale, shift)
}

fn inverse_std(variance: f32, eps: f64) -> f32 {
    (1.0 / (f64::from(variance) + eps).sqrt()) as f32
}

pub(super) fn affine_act(
    x: &FlexTensor,
    scale: &[f32],
    shift: &[f32],
    residual: Option<&FlexTensor>,
    act: Act,
) -> FlexTensor {
    let x = x.to_contiguous();
    let residual = residual.map(FlexTensor::to_contiguous);
    let [batch, channels, height, width] = x.layout().shape().dims::<4>();
    let (values, pixels) = (f32s(&x), height * width);
    let mut output = vec![0f32; values.len()];
    let floor = match act {
        Act::Identity => f32::NEG_INFINITY,
        Act::Relu => 0.0,
    };
    output.par_chunks_mut(pixels).enumerate().for_each(|(plane, output)| {
        let (scale, shift) = (scale[plane % channels], shift[plane % channels]);
        let input = &values[plane * pixels..][..pixels];
        match &residual {
            None => {
                for (o, &x) in output.iter_mut().zip(input) {
                    *o = at_least(scale * x + shift, floor);
                }
            }
            Some(residual) => {
                let residual = &f32s(residual)[plane * pixels..][..pixels];
                for ((o, &x), &r) in output.iter_mut().zip(input).zip(residual) {
                    *o = at_least(scale * x + shift + r, floor);
                }
            }
        }
    });
    tensor(output, [batch, channels, height, width])
}

/// `max(value, floor)` that lets NaN through, so that a diverged run is seen.
#[inline(always)]
fn at_least(value: f32, floor: f32) -> f32 {
    if value < floor { floor } else { value }
}

pub(super) fn backward(
    x: &FlexTensor,
    gamma: &FlexTensor,
    beta: &FlexTensor,
    mean: &FlexTensor,
    variance: &FlexTensor,
    grad: FlexTensor,
    eps: f64,
    act: Act,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    let x = x.to_contiguous();
    let [batch, channels, height, width] = x.layout().shape().dims::<4>();
    let (values, pixels) = (f32s(&x), height * width);
    let count = (batch * pixels) as f64;
    let (gamma, beta) = (gamma.to_contiguous(), beta.to_contiguous());
    let (mean, variance) = (mean.to_contiguous(), variance.to_contiguous());
    let (gamma, mean, variance) = (f32s(&gamma), f32s(&mean), f32s(&variance));
    let (scale, shift) = scale_shift(gamma, f32s(&beta), mean, variance, eps);
    let mut grad = into_values(grad);
    let shared = Shared::new(&mut grad);
    let (gamma_grad, beta_grad): (Vec<f32>, Vec<f32>) = (0..channels)
        .into_par_iter()
        .map(|channel| {
            let (scale, shift, mean) = (scale[channel], shift[channel], mean[channel]);
            let inverse_std = inverse_std(variance[channel], eps);
            let (mut sum, mut sum_centred) = (0f64, 0f64);
            for offset in planes(batch, channels, channel, pixels) {
                // SAFETY: a task owns its channel's planes.
                let grad = unsafe { shared.slice(offset, pixels) };
                let x = &values[offset..offset + pixels];
                if act == Act::Relu {
                    for (g, &x) in grad.iter_mut().zip(x) {
                        // The forward's own expression, so that the sign is the forward's.
                        *g = if scale * x + shift > 0.0 { *g } else { 0.0 };
                    }
                }
                sum += sum2(grad, x, |g, _| g);
                sum_centred += sum2(grad, x, |g, x| g * (x - mean));
            }
            let beta_grad = sum as f32;
            let gamma_grad = (sum_centred * f64::from(inverse_std)) as f32;
            // dx = scale·(g − mean(g) − x̂·mean(g·x̂)), x̂ = (x − mean)·inverse_std
            let slope = -(f64::from(scale * inverse_std * gamma_grad) / count) as f32;
            let offset_grad = -(f64::from(scale * beta_grad) / count) as f32;
            for offset in planes(batch, channels, channel, pixels) {
                // SAFETY: as above.
                let grad = unsafe { shared.slice(offset, pixels) };
                for (g, &x) in grad.iter_mut().zip(&values[offset..offset + pixels]) {
                    *g = scale * *g + slope * (x - mean) + offset_grad;
                }
            }
            (gamma_grad, beta_grad)
        })
        .unzip();
    (tensor(grad, [batch, channels, height, width]), tensor(gamma_grad, [channels]), tensor(beta_grad, [channels]))
}

pub(super) fn relu_grad(output: &FlexTensor, grad: FlexTensor) -> FlexTensor {
    let output = output.to_contiguous();
    let shape = output.layout().shape().clone();
    let mut grad = into_values(grad);
    grad.par_chunks_mut(1 << 14).zip(f32s(&output).par_chunks(1 << 14)).for_each(|(grad, output)| {
        for (g, &o) in grad.iter_mut().zip(output) {
            *g = if o > 0.0 { *g } else { 0.0 };
        }
    });
    tensor(grad, shape)
}

/// The values of a gradient, to be worked on in place; copied if another tensor still reads them.
fn into_values(tensor: FlexTensor) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().expect("callers pass float32 gradients")
}
