//! The hot operations as CubeCL kernels, for every GPU that CubeCL compiles for.
//!
//! Convolutions on these devices leave their output as rows of channels (NHWC in memory, under the NCHW shape), so the
//! kernels here read and write such rows and need no copies into another layout. Values are computed in float32 whatever
//! number format they are stored in. `super::portable` is the reference.

mod conv;
mod loss;
mod narrow;
mod norm;
mod norm_kernels;
mod resize;
mod rows;

use super::backend::{Act, ConvGeometry, SegOps};
use super::portable;
use burn::backend::TensorMetadata;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn_cubecl::CubeBackend;

impl SegOps for CubeBackend {
    fn conv2d_grad_input(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self> {
        let (input, shape) = (x.shape(), weight.shape());
        let wide = shape[2] > 1;
        if wide && narrow::is_narrow(&shape) {
            return narrow::grad_input(grad, weight, input, geometry);
        }
        if wide && geometry.stride == 1 && conv::is_accelerated(&x) {
            let inputs = (grad.clone(), weight.clone(), input, geometry);
            if let Some(gradient) = conv::grad_input(&inputs) {
                return gradient;
            }
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
        let wide = shape[2] > 1;
        if wide && narrow::is_narrow(&shape) {
            return narrow::grad_weight(x, grad, shape, geometry);
        }
        if conv::is_accelerated(&x) {
            if !conv::is_whole(&grad) {
                return conv::grad_weight_by_forward(x, grad, shape, geometry);
            }
            let inputs = (x.clone(), grad.clone(), shape, geometry);
            if wide && let Some(gradient) = conv::grad_weight(&inputs) {
                return gradient;
            }
        }
        portable::conv2d_grad_weight::<Self>(x, weight, grad, geometry)
    }

    fn batch_norm_act(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        eps: f64,
        act: Act,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        norm::forward(x, gamma, beta, None, eps, act)
    }

    fn batch_norm_add_act(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        eps: f64,
        act: Act,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        norm::forward(x, gamma, beta, Some(residual), eps, act)
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
