//! Tensor operations on the hot path of training, each with its own backward.
//!
//! burn runs any network, but keeps more for the backward pass than it must and, on the CPU, leaves speed on the
//! table: the backward of a convolution never becomes one matrix product, BatchNorm and ReLU are a dozen single-threaded
//! passes, and an upsampled cross-entropy materialises several full-size copies of the logits. The operations here are
//! declared once ([`SegOps`]), implemented on any backend out of burn's own tensor operations (`portable`), implemented by
//! hand on the CPU (`flex`), and differentiated once for all backends (`autodiff`).
//!
//! | operation | kept for backward |
//! |---|---|
//! | [`conv2d`] | input, weight |
//! | [`batch_norm_act`] | input, statistics; the output's sign where a residual was added (the output itself, shared) |
//! | [`sync_batch_norm_act`] | input, statistics |
//! | [`resize_bilinear`] | nothing |
//! | [`global_average`] | nothing |
//! | [`resized_conv2d`] | input before it is resized, weight |
//! | [`upsample_cross_entropy`] | the gradient at the logits' own size |
//! | [`bce_with_logits`] | the gradient |
//! | [`with_gradient`] | the gradient |
//! | [`sgd_step`] | not differentiable |

mod argmax;
mod autodiff;
mod backend;
#[cfg(feature = "cube")]
mod cube;
mod flex;
mod portable;
mod ranks;
mod sync_norm;
mod transfer;

pub use argmax::upsample_argmax;
pub use backend::{Act, ConvGeometry, SegOps};
use backend::{MOMENTUM, unbiasing};
#[cfg(all(test, feature = "cube"))]
pub use cube::plainly;
pub(crate) use flex::resize::Resize;
pub use ranks::{Abandoned, Pending, Rank};
pub use transfer::{is_gpu, is_remote, moved, settle};

use burn::backend::{DType, Dispatch};
use burn::tensor::{Int, Tensor};

/// Two-dimensional convolution without bias. A weight in another number format than the input is taken in the input's; its gradient is in
/// its own.
///
/// # Shapes
/// `input [batch, channels_in, height, width]`, `weight [channels_out, channels_in, kernel, kernel]`.
pub fn conv2d(input: Tensor<4>, weight: Tensor<4>, geometry: ConvGeometry) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::conv2d_nobias(input.into_dispatch(), weight.into_dispatch(), geometry))
}

/// What [`batch_norm_act`] returns. Nothing but the output is differentiable.
pub struct Normalized {
    /// The activated output, the shape of the input.
    pub output: Tensor<4>,
    /// Mean of each channel, `[channels]`.
    pub mean: Tensor<1>,
    /// Biased variance of each channel, `[channels]`.
    pub variance: Tensor<1>,
    /// Running mean and unbiased variance, moved towards those by a tenth, where they were given. `[channels]` each.
    pub running: Option<(Tensor<1>, Tensor<1>)>,
}

/// BatchNorm with the batch's own statistics, an optional residual added to it, and an optional ReLU, as one operation:
/// `act(γ·(x − mean)/√(variance + eps) + β + residual)`.
///
/// # Shapes
/// `input` and `residual [batch, channels, height, width]`; `gamma`, `beta`, and both `running` statistics `[channels]`.
pub fn batch_norm_act(
    input: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    residual: Option<Tensor<4>>,
    running: Option<(Tensor<1>, Tensor<1>)>,
    eps: f64,
    act: Act,
) -> Normalized {
    let (input, gamma, beta) = (input.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch());
    let asked = running.is_some();
    // Any two vectors stand in for statistics that are not asked for.
    let (running_mean, running_var) = match running {
        Some((mean, variance)) => (mean.into_dispatch(), variance.into_dispatch()),
        None => (gamma.clone(), beta.clone()),
    };
    let (output, mean, variance, running_mean, running_var) = match residual {
        None => Dispatch::batch_norm_act(input, gamma, beta, running_mean, running_var, eps, act),
        Some(residual) => Dispatch::batch_norm_add_act(
            input,
            gamma,
            beta,
            residual.into_dispatch(),
            running_mean,
            running_var,
            eps,
            act,
        ),
    };
    Normalized {
        output: Tensor::from_dispatch(output),
        mean: Tensor::from_dispatch(mean),
        variance: Tensor::from_dispatch(variance),
        running: asked.then(|| (Tensor::from_dispatch(running_mean), Tensor::from_dispatch(running_var))),
    }
}

/// The same with the statistics of the batches of all replicas, which are of the same size; each replica calls it at the same
/// place. A residual is added, and the ReLU behind it made, by burn's own operations, which keep more.
///
/// # Shapes
/// As of [`batch_norm_act`].
pub fn sync_batch_norm_act(
    input: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    residual: Option<Tensor<4>>,
    running: Option<(Tensor<1>, Tensor<1>)>,
    eps: f64,
    act: Act,
    rank: &Rank,
) -> Normalized {
    let [batch, _, height, width] = input.dims();
    let unbiasing = unbiasing(batch * height * width * rank.number());
    let (input, gamma, beta) = (input.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch());
    let inner = if residual.is_some() { Act::Identity } else { act };
    let (output, mean, variance) = Dispatch::sync_batch_norm_act(input, gamma, beta, eps, inner, rank.clone());
    let output = Tensor::from_dispatch(output);
    let output = match (residual, act) {
        (None, _) => output,
        (Some(residual), Act::Identity) => output + residual,
        (Some(residual), Act::Relu) => burn::tensor::activation::relu(output + residual),
    };
    let (mean, variance) = (Tensor::<1>::from_dispatch(mean), Tensor::<1>::from_dispatch(variance));
    let towards = |running: Tensor<1>, value: Tensor<1>| running * (1.0 - MOMENTUM) + value.detach() * MOMENTUM;
    let running = running.map(|running| {
        let (running_mean, running_var) = (running.0.detach(), running.1.detach());
        (towards(running_mean, mean.clone()), towards(running_var, variance.clone() * unbiasing))
    });
    Normalized { output, mean, variance, running }
}

/// `act(scale·x + shift + residual)` with one scale and shift a channel: BatchNorm at evaluation.
///
/// Built of burn's own differentiable operations where a gradient is wanted; see [`crate::net::BatchNorm`].
///
/// # Shapes
/// `input` and `residual [batch, channels, height, width]`, `scale` and `shift [channels]`.
pub fn channel_affine_act(
    input: Tensor<4>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    residual: Option<Tensor<4>>,
    act: Act,
) -> Tensor<4> {
    let (input, scale, shift) = (input.into_dispatch(), scale.into_dispatch(), shift.into_dispatch());
    Tensor::from_dispatch(match residual {
        None => Dispatch::channel_affine_act(input, scale, shift, act),
        Some(residual) => Dispatch::channel_affine_add_act(input, scale, shift, residual.into_dispatch(), act),
    })
}

/// Bilinear resizing to `[height, width]`, as PyTorch's `interpolate` with either `align_corners`.
///
/// # Shapes
/// `[batch, channels, h, w]` to `[batch, channels, height, width]`.
pub fn resize_bilinear(input: Tensor<4>, size: [usize; 2], align_corners: bool) -> Tensor<4> {
    let [_, _, height, width] = input.dims();
    if [height, width] == size {
        return input;
    }
    Tensor::from_dispatch(Dispatch::resize_bilinear(input.into_dispatch(), size, align_corners))
}

/// Mean over all pixels: `[batch, channels, h, w]` to `[batch, channels, 1, 1]`.
pub fn global_average(input: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::global_average(input.into_dispatch()))
}

/// [`conv2d`] of [`resize_bilinear`], for a convolution of stride 1 that keeps the size. What is resized is not kept, and on
/// the CPU never exists whole: a band of rows at a time is made, used and made again for the backward pass.
///
/// # Shapes
/// `input [batch, channels_in, h, w]` and a size `[height, width]` to `[batch, channels_out, height, width]`.
pub fn resized_conv2d(
    input: Tensor<4>,
    weight: Tensor<4>,
    size: [usize; 2],
    align_corners: bool,
    geometry: ConvGeometry,
) -> Tensor<4> {
    let [_, _, height, width] = input.dims();
    if [height, width] == size {
        return conv2d(input, weight, geometry);
    }
    let (input, weight) = (input.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(Dispatch::resized_conv2d(input, weight, size, align_corners, geometry))
}

/// Mean cross-entropy per labelled pixel of logits that are bilinearly resized to the label's size. In float32, whatever
/// the logits are in.
///
/// The full-size logits never exist in memory on the CPU: they are made, used and folded back a few rows at a time.
/// Pixels whose label is not a class neither count nor train; with no labelled pixel the loss is 0.
///
/// # Shapes
/// `logits [batch, classes, h, w]`, `label [batch, height, width]`; returns `[1]`.
pub fn upsample_cross_entropy(logits: Tensor<4>, label: Tensor<3, Int>, align_corners: bool) -> Tensor<1> {
    let logits = logits.cast(DType::F32);
    let (loss, _) = Dispatch::upsample_cross_entropy(logits.into_dispatch(), label.into_dispatch(), align_corners);
    Tensor::from_dispatch(loss)
}

/// Mean binary cross-entropy between `sigmoid(logits)` and `target` in `[0, 1]`: the paper's reconstruction loss R. In float32,
/// whatever the logits are in.
///
/// # Shapes
/// Both `[batch, 3, height, width]`; returns `[1]`. `target` gets no gradient.
pub fn bce_with_logits(logits: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
    let logits = logits.cast(DType::F32);
    let (loss, _) = Dispatch::bce_with_logits(logits.into_dispatch(), target.into_dispatch());
    Tensor::from_dispatch(loss)
}

/// A step of SGD with momentum, as PyTorch defines it: weight and velocity after it. On a GPU both stay in the memory that they have
/// where nothing else holds them. For tensors without a tape.
///
/// # Shapes
/// All the same, of at most four axes.
pub fn sgd_step<const D: usize>(
    weight: Tensor<D>,
    velocity: Tensor<D>,
    grad: Tensor<D>,
    lr: f64,
    momentum: f64,
    weight_decay: f64,
    nesterov: bool,
) -> (Tensor<D>, Tensor<D>) {
    let (weight, velocity, grad) = (weight.into_dispatch(), velocity.into_dispatch(), grad.into_dispatch());
    let (weight, velocity) = Dispatch::sgd_step(weight, velocity, grad, lr, momentum, weight_decay, nesterov);
    (Tensor::from_dispatch(weight), Tensor::from_dispatch(velocity))
}

/// The root of a backward pass that begins with a gradient instead of a loss: `backward` on it hands `gradient` to
/// `output`. Its value, `[1]`, is 0.
///
/// # Shapes
/// Both `[batch, channels, height, width]`.
pub fn with_gradient(output: Tensor<4>, gradient: Tensor<4>) -> Tensor<1> {
    Tensor::from_dispatch(Dispatch::with_gradient(output.into_dispatch(), gradient.into_dispatch()))
}

#[cfg(test)]
mod tests;
