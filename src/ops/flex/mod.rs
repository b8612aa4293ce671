//! The operations by hand for the CPU: float32, contiguous, parallel over tasks whose number and bounds depend on shapes
//! alone, so that results do not depend on the number of threads.

mod conv;
mod loss;
mod norm;
pub(super) mod resize;
mod resized_conv;

use super::backend::{Act, ConvGeometry, SegOps};
use super::portable;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{DType, Flex, TensorMetadata};
use burn::tensor::{Bytes, Shape};
use burn_flex::{FlexTensor, Layout};

/// A BatchNorm's output, mean and variance, and its running statistics moved towards those.
fn moved(
    (output, mean, variance): (FlexTensor, FlexTensor, FlexTensor),
    running: [FlexTensor; 2],
) -> (FlexTensor, FlexTensor, FlexTensor, FlexTensor, FlexTensor) {
    let [batch, _, height, width] = output.shape().dims::<4>();
    let count = batch * height * width;
    let [running_mean, running_var] = portable::moved::<Flex>(running, [mean.clone(), variance.clone()], count);
    (output, mean, variance, running_mean, running_var)
}

impl SegOps for Flex {
    fn conv2d_nobias(x: FloatTensor<Self>, weight: FloatTensor<Self>, geometry: ConvGeometry) -> FloatTensor<Self> {
        if !all_f32(&[&x, &weight]) {
            return portable::conv2d::<Self>(x, weight, geometry);
        }
        conv::forward(&x, &weight, geometry)
    }

    fn conv2d_grad_input(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self> {
        if !all_f32(&[&x, &weight, &grad]) {
            return portable::conv2d_grad_input::<Self>(x, weight, grad, geometry);
        }
        let size = x.shape().dims::<4>();
        drop(x);
        conv::grad_input(size, &weight, &grad, geometry)
    }

    fn conv2d_grad_weight(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self> {
        if !all_f32(&[&x, &weight, &grad]) {
            return portable::conv2d_grad_weight::<Self>(x, weight, grad, geometry);
        }
        conv::grad_weight(&x, weight.shape().dims::<4>(), &grad, geometry)
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
        let running = [running_mean, running_var];
        if !all_f32(&[&x, &gamma, &beta]) {
            return portable::batch_norm_act::<Self>(x, gamma, beta, None, running, eps, act);
        }
        moved(norm::forward(&x, &gamma, &beta, None, eps, act), running)
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
        let running = [running_mean, running_var];
        if !all_f32(&[&x, &gamma, &beta, &residual]) {
            return portable::batch_norm_act::<Self>(x, gamma, beta, Some(residual), running, eps, act);
        }
        moved(norm::forward(&x, &gamma, &beta, Some(&residual), eps, act), running)
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
        if !all_f32(&[&x, &gamma, &beta, &mean, &variance, &grad]) {
            return portable::batch_norm_act_grad::<Self>(x, gamma, beta, mean, variance, grad, eps, act);
        }
        norm::backward(&x, &gamma, &beta, &mean, &variance, grad, eps, act)
    }

    fn relu_grad(output: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self> {
        if !all_f32(&[&output, &grad]) {
            return portable::relu_grad::<Self>(output, grad);
        }
        norm::relu_grad(&output, grad)
    }

    fn channel_affine_act(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        act: Act,
    ) -> FloatTensor<Self> {
        if !all_f32(&[&x, &scale, &shift]) {
            return portable::channel_affine_act::<Self>(x, scale, shift, None, act);
        }
        norm::affine_act(&x, f32s(&scale.to_contiguous()), f32s(&shift.to_contiguous()), None, act)
    }

    fn channel_affine_add_act(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        act: Act,
    ) -> FloatTensor<Self> {
        if !all_f32(&[&x, &scale, &shift, &residual]) {
            return portable::channel_affine_act::<Self>(x, scale, shift, Some(residual), act);
        }
        norm::affine_act(&x, f32s(&scale.to_contiguous()), f32s(&shift.to_contiguous()), Some(&residual), act)
    }

    fn resize_bilinear(x: FloatTensor<Self>, size: [usize; 2], align_corners: bool) -> FloatTensor<Self> {
        if !all_f32(&[&x]) {
            return portable::resize_bilinear::<Self>(x, size, align_corners);
        }
        resize::forward(&x, size, align_corners)
    }

    fn resize_bilinear_grad(grad: FloatTensor<Self>, size: [usize; 2], align_corners: bool) -> FloatTensor<Self> {
        if !all_f32(&[&grad]) {
            return portable::resize_bilinear_grad::<Self>(grad, size, align_corners);
        }
        resize::backward(&grad, size, align_corners)
    }

    fn resized_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        size: [usize; 2],
        align_corners: bool,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self> {
        if !all_f32(&[&x, &weight]) {
            return portable::resized_conv2d::<Self>(x, weight, size, align_corners, geometry);
        }
        resized_conv::forward(&x, &weight, size, align_corners, geometry)
    }

    fn resized_conv2d_grad(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        size: [usize; 2],
        align_corners: bool,
        geometry: ConvGeometry,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        if !all_f32(&[&x, &weight, &grad]) {
            return portable::resized_conv2d_grad::<Self>(x, weight, grad, size, align_corners, geometry);
        }
        resized_conv::backward(&x, &weight, &grad, size, align_corners, geometry)
    }

    fn upsample_cross_entropy(
        logits: FloatTensor<Self>,
        label: IntTensor<Self>,
        align_corners: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        if !all_f32(&[&logits]) || label.dtype() != DType::I32 {
            return portable::upsample_cross_entropy::<Self>(logits, label, align_corners);
        }
        loss::upsample_cross_entropy(&logits, &label, align_corners)
    }

    fn bce_with_logits(logits: FloatTensor<Self>, target: FloatTensor<Self>) -> (FloatTensor<Self>, FloatTensor<Self>) {
        if !all_f32(&[&logits, &target]) {
            return portable::bce_with_logits::<Self>(logits, target);
        }
        loss::bce_with_logits(&logits, &target)
    }
}

fn all_f32(tensors: &[&FlexTensor]) -> bool {
    tensors.iter().all(|tensor| tensor.dtype() == DType::F32)
}

/// The values of a contiguous float32 tensor.
fn f32s(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice::<f32>().expect("callers pass contiguous float32 tensors")
}

fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape.into()), DType::F32)
}

/// A buffer that parallel tasks write disjoint parts of.
#[derive(Clone, Copy)]
struct Shared(*mut f32);

// SAFETY: every use hands each task its own part of the buffer.
unsafe impl Send for Shared {}
unsafe impl Sync for Shared {}

impl Shared {
    fn new(buffer: &mut [f32]) -> Self {
        Self(buffer.as_mut_ptr())
    }

    /// Pointer to element `offset`.
    fn at(self, offset: usize) -> *mut f32 {
        self.0.wrapping_add(offset)
    }

    /// Elements `offset..offset + len`.
    ///
    /// # Safety
    /// They lie in the buffer, no other task touches them at the same time, and the buffer outlives `'a`.
    unsafe fn slice<'a>(self, offset: usize, len: usize) -> &'a mut [f32] {
        unsafe { std::slice::from_raw_parts_mut(self.0.add(offset), len) }
    }
}
