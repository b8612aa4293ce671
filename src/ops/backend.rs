//! The operations as an extension of burn's `Backend`: what each backend must answer.

use super::ranks::Rank;
use super::{portable, sync_norm};
use burn::backend::backend_extension;
#[cfg(feature = "cube")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::{FloatTensor, IntTensor};
#[cfg(feature = "cube")]
use burn::tensor::Shape;

/// Stride, zero padding and dilation of a square convolution; the same in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Step between output pixels, in input pixels.
    pub stride: usize,
    /// Zeros added on every side.
    pub padding: usize,
    /// Distance between kernel taps.
    pub dilation: usize,
}

impl ConvGeometry {
    /// Output length of an input of length `input` under a kernel of `kernel` taps.
    pub const fn output_len(&self, input: usize, kernel: usize) -> usize {
        (input + 2 * self.padding - self.dilation * (kernel - 1) - 1) / self.stride + 1
    }
}

/// The activation behind a BatchNorm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// None.
    Identity,
    /// `max(x, 0)`.
    Relu,
}

/// Share of the batch's statistics in an update of BatchNorm's running ones: PyTorch's.
pub(super) const MOMENTUM: f64 = 0.1;

/// What makes a biased variance of `count` values an unbiased one; a single value has none, and stays.
pub(super) fn unbiasing(count: usize) -> f64 {
    if count > 1 { count as f64 / (count - 1) as f64 } else { 1.0 }
}

/// Hot operations of segmentation training. Methods named `*_grad*` are the backward kernels of the one above them and
/// are not differentiable themselves. Every method has a portable body; the CPU and CubeCL
/// devices replace those on the hot path.
#[backend_extension(
    Flex,
    Autodiff,
    Remote: cfg(feature = "remote"),
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "cube")
)]
pub trait SegOps: burn::backend::Backend {
    /// See [`super::conv2d`].
    #[fusion(meta = |x, weight, geometry| convolved(x, weight, *geometry))]
    fn conv2d_nobias(x: FloatTensor<Self>, weight: FloatTensor<Self>, geometry: ConvGeometry) -> FloatTensor<Self> {
        portable::conv2d::<Self>(x, weight, geometry)
    }

    /// Gradient of the convolution's input.
    #[fusion(meta = |x, _, _, _| x.clone())]
    fn conv2d_grad_input(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self> {
        portable::conv2d_grad_input::<Self>(x, weight, grad, geometry)
    }

    /// Gradient of the convolution's weight, in the weight's number format.
    #[fusion(meta = |_, weight, _, _| weight.clone())]
    fn conv2d_grad_weight(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self> {
        portable::conv2d_grad_weight::<Self>(x, weight, grad, geometry)
    }

    /// See [`super::batch_norm_act`]; returns output, mean, biased variance, and the running statistics moved.
    #[fusion(meta = |x, gamma, _, _, _, _, _| {
        let each = || gamma.clone();
        (x.clone(), each(), each(), each(), each())
    })]
    fn batch_norm_act(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        running_mean: FloatTensor<Self>,
        running_var: FloatTensor<Self>,
        eps: f64,
        act: Act,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        portable::batch_norm_act::<Self>(x, gamma, beta, None, [running_mean, running_var], eps, act)
    }

    /// See [`super::batch_norm_act`], with a residual.
    #[fusion(meta = |x, gamma, _, _, _, _, _, _| {
        let each = || gamma.clone();
        (x.clone(), each(), each(), each(), each())
    })]
    fn batch_norm_add_act(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        running_mean: FloatTensor<Self>,
        running_var: FloatTensor<Self>,
        eps: f64,
        act: Act,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        portable::batch_norm_act::<Self>(x, gamma, beta, Some(residual), [running_mean, running_var], eps, act)
    }

    /// See [`super::sync_batch_norm_act`]; returns output, mean, biased variance.
    #[fusion(default)]
    fn sync_batch_norm_act(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        eps: f64,
        act: Act,
        rank: Rank,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        sync_norm::forward::<Self>(x, gamma, beta, eps, act, &rank)
    }

    /// Gradients of input, gamma and beta of [`Self::batch_norm_act`].
    #[fusion(meta = |x, gamma, _, _, _, _, _, _| (x.clone(), gamma.clone(), gamma.clone()))]
    fn batch_norm_act_grad(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        eps: f64,
        act: Act,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        portable::batch_norm_act_grad::<Self>(x, gamma, beta, mean, variance, grad, eps, act)
    }

    /// Gradient behind the activation, given its output: `grad` where `output > 0`, else 0. It is the residual's gradient,
    /// and what [`Self::batch_norm_act_grad`] goes on from with [`Act::Identity`].
    #[fusion(default)]
    fn relu_grad(output: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self> {
        portable::relu_grad::<Self>(output, grad)
    }

    /// See [`super::channel_affine_act`].
    #[fusion(default)]
    fn channel_affine_act(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        act: Act,
    ) -> FloatTensor<Self> {
        portable::channel_affine_act::<Self>(x, scale, shift, None, act)
    }

    /// See [`super::channel_affine_act`], with a residual.
    #[fusion(default)]
    fn channel_affine_add_act(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        act: Act,
    ) -> FloatTensor<Self> {
        portable::channel_affine_act::<Self>(x, scale, shift, Some(residual), act)
    }

    /// See [`super::resize_bilinear`].
    #[fusion(meta = |x, size, _| resized(x, *size))]
    fn resize_bilinear(x: FloatTensor<Self>, size: [usize; 2], align_corners: bool) -> FloatTensor<Self> {
        portable::resize_bilinear::<Self>(x, size, align_corners)
    }

    /// Gradient of the resized input; `size` is the input's.
    #[fusion(meta = |grad, size, _| resized(grad, *size))]
    fn resize_bilinear_grad(grad: FloatTensor<Self>, size: [usize; 2], align_corners: bool) -> FloatTensor<Self> {
        portable::resize_bilinear_grad::<Self>(grad, size, align_corners)
    }

    /// See [`super::global_average`].
    #[fusion(meta = |x| resized(x, [1, 1]))]
    fn global_average(x: FloatTensor<Self>) -> FloatTensor<Self> {
        portable::global_average::<Self>(x)
    }

    /// Gradient of the averaged input; `size` is the input's.
    #[fusion(meta = |grad, size| resized(grad, *size))]
    fn global_average_grad(grad: FloatTensor<Self>, size: [usize; 2]) -> FloatTensor<Self> {
        portable::global_average_grad::<Self>(grad, size)
    }

    /// See [`super::resized_conv2d`].
    #[fusion(default)]
    fn resized_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        size: [usize; 2],
        align_corners: bool,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self> {
        portable::resized_conv2d::<Self>(x, weight, size, align_corners, geometry)
    }

    /// Gradients of input and weight of [`Self::resized_conv2d`].
    #[fusion(default)]
    fn resized_conv2d_grad(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        size: [usize; 2],
        align_corners: bool,
        geometry: ConvGeometry,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        portable::resized_conv2d_grad::<Self>(x, weight, grad, size, align_corners, geometry)
    }

    /// See [`super::upsample_cross_entropy`]; returns loss `[1]` and its gradient at the logits.
    #[fusion(meta = |logits, _, _| (scalar(logits), logits.clone()))]
    fn upsample_cross_entropy(
        logits: FloatTensor<Self>,
        label: IntTensor<Self>,
        align_corners: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        portable::upsample_cross_entropy::<Self>(logits, label, align_corners)
    }

    /// See [`super::bce_with_logits`]; returns loss `[1]` and its gradient at the logits.
    #[fusion(meta = |logits, _| (scalar(logits), logits.clone()))]
    fn bce_with_logits(logits: FloatTensor<Self>, target: FloatTensor<Self>) -> (FloatTensor<Self>, FloatTensor<Self>) {
        portable::bce_with_logits::<Self>(logits, target)
    }

    /// See [`super::sgd_step`].
    #[fusion(meta = |weight, velocity, _, _, _, _, _| (weight.clone(), velocity.clone()))]
    fn sgd_step(
        weight: FloatTensor<Self>,
        velocity: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        lr: f64,
        momentum: f64,
        weight_decay: f64,
        nesterov: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        portable::sgd_step::<Self>(weight, velocity, grad, [lr, momentum, weight_decay], nesterov)
    }

    /// See [`super::with_gradient`].
    #[fusion(default)]
    fn with_gradient(output: FloatTensor<Self>, _gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        portable::with_gradient::<Self>(output)
    }
}

/// A client composes every operation of burn's own, one message for many of them; the worker runs those.
#[cfg(feature = "remote")]
impl SegOps for burn::backend::Remote {}

/// Shape of a convolution's output.
#[cfg(feature = "cube")]
fn convolved(x: &TensorSpec, weight: &TensorSpec, geometry: ConvGeometry) -> TensorSpec {
    let ([batch, _, h, w], [outputs, _, kernel, _]) = (x.shape.dims::<4>(), weight.shape.dims::<4>());
    let [height, width] = [h, w].map(|length| geometry.output_len(length, kernel));
    TensorSpec::new(Shape::new([batch, outputs, height, width]), x.dtype)
}

/// Shape of a resized feature map.
#[cfg(feature = "cube")]
fn resized(x: &TensorSpec, [height, width]: [usize; 2]) -> TensorSpec {
    let [batch, channels, _, _] = x.shape.dims::<4>();
    TensorSpec::new(Shape::new([batch, channels, height, width]), x.dtype)
}

/// Shape of a loss.
#[cfg(feature = "cube")]
fn scalar(like: &TensorSpec) -> TensorSpec {
    TensorSpec::new(Shape::new([1]), like.dtype)
}
