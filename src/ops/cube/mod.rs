//! The hot operations as CubeCL kernels, for every GPU that CubeCL compiles for.
//!
//! Convolutions on these devices leave their output as rows of channels (NHWC in memory, under the NCHW shape), so the
//! kernels here read and write such rows and need no copies into another layout. Values are computed in float32 whatever
//! number format they are stored in. `super::portable` is the reference.

mod checked;
mod conv;
mod direct;
mod implicit;
mod loss;
mod norm;
mod norm_kernels;
mod pointwise;
mod resize;
mod rows;
mod sgd;
mod sums;
mod tile;
mod tile_pixels;
mod tile_windows;
mod tiles;

use super::backend::{Act, ConvGeometry, SegOps};
use super::portable;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{DType, TensorMetadata};
use burn::tensor::Shape;
use burn_cubecl::CubeBackend;
use checked::Computed;

/// Whether convolutions are computed one value a unit, in float32 without rounding: a test may have them so.
#[cfg(test)]
static IS_PLAIN: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// What `compute` returns where no device rounds the operands of convolutions. One caller at a time.
#[cfg(test)]
pub fn plainly<R>(compute: impl FnOnce() -> R) -> R {
    struct Plain;
    impl Drop for Plain {
        fn drop(&mut self) {
            IS_PLAIN.store(false, std::sync::atomic::Ordering::Relaxed);
        }
    }
    IS_PLAIN.store(true, std::sync::atomic::Ordering::Relaxed);
    let _plain = Plain;
    compute()
}

#[cfg(test)]
fn is_plain() -> bool {
    IS_PLAIN.load(std::sync::atomic::Ordering::Relaxed)
}

#[cfg(not(test))]
const fn is_plain() -> bool {
    false
}

impl SegOps for CubeBackend {
    fn conv2d_nobias(x: FloatTensor<Self>, weight: FloatTensor<Self>, geometry: ConvGeometry) -> FloatTensor<Self> {
        let ([batch, _, h, w], [outputs, _, kernel, _]) = (x.shape().dims::<4>(), weight.shape().dims::<4>());
        let [height, width] = [h, w].map(|length| geometry.output_len(length, kernel));
        let output = Shape::new([batch, outputs, height, width]);
        if is_plain() {
            return direct::output(x, weight, output, geometry);
        }
        if !tiles::fits(Computed::Output, &x, &weight.shape()) {
            return portable::conv2d::<Self>(x, weight, geometry);
        }
        conv::output(x, weight, output, geometry)
    }

    fn conv2d_grad_input(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self> {
        let (input, shape) = (x.shape(), weight.shape());
        if is_plain() {
            return direct::grad_input(grad, weight, input, geometry);
        }
        if tiles::fits(Computed::InputGradient, &grad, &shape) {
            return conv::grad_input(grad, weight, input, geometry);
        }
        let weight = portable::as_float::<Self>(weight, grad.dtype);
        if pointwise::is_pointwise(&shape, geometry) {
            return conv::grad_input(grad, weight, input, geometry);
        }
        // No implicit product takes a stride.
        if geometry.stride > 1 || direct::is_narrow(&shape) {
            return direct::grad_input(grad, weight, input, geometry);
        }
        if checked::is_accelerated(&x) {
            return conv::grad_input(grad, weight, input, geometry);
        }
        portable::conv2d_grad_input::<Self>(x, weight, grad, geometry)
    }

    fn conv2d_grad_weight(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self> {
        let (shape, own) = (weight.shape(), weight.dtype);
        let is_product = tiles::fits(Computed::WeightGradient, &x, &shape) || pointwise::is_pointwise(&shape, geometry);
        let gradient = if is_plain() || direct::is_short(&grad) || direct::is_narrow(&shape) && !is_product {
            direct::grad_weight(x, grad, shape, geometry)
        } else if is_product || checked::is_accelerated(&x) {
            conv::grad_weight(x, grad, shape, geometry)
        } else {
            return portable::conv2d_grad_weight::<Self>(x, weight, grad, geometry);
        };
        portable::as_float::<Self>(gradient, own)
    }

    fn batch_norm_act(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        running_mean: FloatTensor<Self>,
        running_var: FloatTensor<Self>,
        eps: f64,
        act: Act,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        norm::forward(x, gamma, beta, None, [running_mean, running_var], eps, act)
    }

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
        norm::forward(x, gamma, beta, Some(residual), [running_mean, running_var], eps, act)
    }

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
        norm::backward(x, norm::Statistics { gamma, beta, mean, variance }, grad, eps, act)
    }

    fn sgd_step(
        weight: FloatTensor<Self>,
        velocity: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        lr: f64,
        momentum: f64,
        weight_decay: f64,
        nesterov: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let numbers = [lr, momentum, weight_decay];
        if [&weight, &velocity, &grad].iter().any(|tensor| tensor.dtype != DType::F32) {
            return portable::sgd_step::<Self>(weight, velocity, grad, numbers, nesterov);
        }
        sgd::step(weight, velocity, grad, numbers, nesterov)
    }

    fn resize_bilinear(x: FloatTensor<Self>, size: [usize; 2], align_corners: bool) -> FloatTensor<Self> {
        resize::forward(x, size, align_corners)
    }

    fn resize_bilinear_grad(grad: FloatTensor<Self>, size: [usize; 2], align_corners: bool) -> FloatTensor<Self> {
        resize::backward(grad, size, align_corners)
    }

    /// Rows of channels, which what it is added to is as well.
    fn global_average_grad(grad: FloatTensor<Self>, size: [usize; 2]) -> FloatTensor<Self> {
        let share = Self::float_div_scalar(grad, ((size[0] * size[1]) as f64).into());
        resize::forward(share, size, false)
    }

    fn upsample_cross_entropy(
        logits: FloatTensor<Self>,
        label: IntTensor<Self>,
        align_corners: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        loss::upsample_cross_entropy(logits, label, align_corners)
    }

    fn bce_with_logits(logits: FloatTensor<Self>, target: FloatTensor<Self>) -> (FloatTensor<Self>, FloatTensor<Self>) {
        loss::bce_with_logits(logits, target)
    }
}
