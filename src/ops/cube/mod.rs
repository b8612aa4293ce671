//! The hot operations as CubeCL kernels, for every GPU that CubeCL compiles for.
//!
//! Convolutions on these devices leave their output as rows of channels (NHWC in memory, under the NCHW shape), so the
//! kernels here read and write such rows and need no copies into another layout. Values are computed in float32 whatever
//! number format they are stored in. `super::portable` is the reference.

mod checked;
mod conv;
mod direct;
mod loss;
mod norm;
mod norm_kernels;
mod pointwise;
mod resize;
mod rows;
mod sgd;
mod sums;

use super::backend::{Act, ConvGeometry, SegOps};
use super::portable;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{DType, TensorMetadata};
use burn_cubecl::CubeBackend;

impl SegOps for CubeBackend {
    fn conv2d_grad_input(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self> {
        let (input, shape) = (x.shape(), weight.shape());
        if pointwise::is_pointwise(&shape, geometry) {
            return pointwise::grad_input(grad, weight, input, geometry);
        }
        // cubek's products take a stride of 1 alone.
        if direct::is_narrow(&shape) || geometry.stride > 1 {
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
        let shape = weight.shape();
        if pointwise::is_pointwise(&shape, geometry) {
            return pointwise::grad_weight(x, grad, shape, geometry);
        }
        if direct::is_narrow(&shape) {
            return direct::grad_weight(x, grad, shape, geometry);
        }
        if checked::is_accelerated(&x) {
            return conv::grad_weight(x, grad, shape, geometry);
        }
        portable::conv2d_grad_weight::<Self>(x, weight, grad, geometry)
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
