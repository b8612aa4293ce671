//! Every operation out of burn's own tensor operations: the implementation for GPUs, and the yardstick for the CPU's.

use super::backend::{Act, ConvGeometry, MOMENTUM, SegOps, unbiasing};
use burn::backend::ops::ConvOptions;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, DType, TensorMetadata, get_or_init_device_settings};
use burn::tensor::{Shape, TensorData};

fn dims<const D: usize>(shape: Shape) -> [usize; D] {
    shape.dims::<D>()
}

pub(super) fn options(geometry: ConvGeometry) -> ConvOptions<2> {
    let ConvGeometry { stride, padding, dilation } = geometry;
    ConvOptions::new([stride; 2], [padding; 2], [dilation; 2], 1)
}

pub(super) fn conv2d<B: Backend>(x: FloatTensor<B>, weight: FloatTensor<B>, geometry: ConvGeometry) -> FloatTensor<B> {
    let weight = as_float::<B>(weight, x.dtype());
    B::conv2d(x, weight, None, options(geometry))
}

pub(super) fn conv2d_grad_input<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
    geometry: ConvGeometry,
) -> FloatTensor<B> {
    let weight = as_float::<B>(weight, grad.dtype());
    B::conv2d_x_backward(x, weight, grad, options(geometry))
}

pub(super) fn conv2d_grad_weight<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
    geometry: ConvGeometry,
) -> FloatTensor<B> {
    let (own, dtype) = (weight.dtype(), grad.dtype());
    let gradient = B::conv2d_weight_backward(x, as_float::<B>(weight, dtype), grad, options(geometry));
    as_float::<B>(gradient, own)
}

/// `[channels]` as `[1, channels, 1, 1]`.
fn per_channel<B: Backend>(v: FloatTensor<B>) -> FloatTensor<B> {
    let [channels] = dims(v.shape());
    B::float_reshape(v, Shape::new([1, channels, 1, 1]))
}

fn add_act<B: Backend>(x: FloatTensor<B>, residual: Option<FloatTensor<B>>, act: Act) -> FloatTensor<B> {
    let x = match residual {
        Some(residual) => B::float_add(x, residual),
        None => x,
    };
    match act {
        Act::Identity => x,
        Act::Relu => B::relu(x),
    }
}

pub(super) fn batch_norm_act<B: Backend>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    residual: Option<FloatTensor<B>>,
    running: [FloatTensor<B>; 2],
    eps: f64,
    act: Act,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let dtype = x.dtype();
    let [batch, _, height, width] = dims(x.shape());
    let residual = residual.map(|residual| as_float::<B>(residual, gamma.dtype()));
    let normalized = B::batch_norm_train(as_float::<B>(x, gamma.dtype()), gamma, beta, eps);
    let output = as_float::<B>(add_act::<B>(normalized.output, residual, act), dtype);
    let (mean, variance) = (normalized.mean, normalized.variance);
    let [running_mean, running_var] = moved::<B>(running, [mean.clone(), variance.clone()], batch * height * width);
    (output, mean, variance, running_mean, running_var)
}

/// In this number format. Statistics and weights are float32, whatever activations are in.
pub(super) fn as_float<B: Backend>(x: FloatTensor<B>, dtype: DType) -> FloatTensor<B> {
    if x.dtype() == dtype { x } else { B::float_cast(x, dtype.into()) }
}

pub(super) fn batch_norm_act_grad<B: Backend>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    mean: FloatTensor<B>,
    variance: FloatTensor<B>,
    grad: FloatTensor<B>,
    eps: f64,
    act: Act,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let dtype = x.dtype();
    let (x, grad) = (as_float::<B>(x, gamma.dtype()), as_float::<B>(grad, gamma.dtype()));
    let grad = match act {
        Act::Identity => grad,
        Act::Relu => {
            let output = B::batch_norm(x.clone(), gamma.clone(), beta, mean.clone(), variance.clone(), eps);
            relu_grad::<B>(output, grad)
        }
    };
    let grads = B::batch_norm_train_backward(x, gamma, mean, variance, eps, grad);
    (as_float::<B>(grads.x_grad, dtype), grads.gamma_grad, grads.beta_grad)
}

/// Running mean and variance, moved towards those of a batch of `count` values a channel.
pub(super) fn moved<B: Backend>(
    [running_mean, running_var]: [FloatTensor<B>; 2],
    [mean, variance]: [FloatTensor<B>; 2],
    count: usize,
) -> [FloatTensor<B>; 2] {
    let towards = |running, value| {
        let (stays, comes) = ((1.0 - MOMENTUM).into(), MOMENTUM.into());
        B::float_add(B::float_mul_scalar(running, stays), B::float_mul_scalar(value, comes))
    };
    [towards(running_mean, mean), towards(running_var, B::float_mul_scalar(variance, unbiasing(count).into()))]
}

pub(super) fn sgd_step<B: Backend>(
    weight: FloatTensor<B>,
    velocity: FloatTensor<B>,
    grad: FloatTensor<B>,
    [lr, momentum, weight_decay]: [f64; 3],
    nesterov: bool,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let grad = B::float_add(B::float_mul_scalar(weight.clone(), weight_decay.into()), grad);
    let velocity = B::float_add(grad.clone(), B::float_mul_scalar(velocity, momentum.into()));
    let step = match nesterov {
        true => B::float_add(B::float_mul_scalar(velocity.clone(), momentum.into()), grad),
        false => velocity.clone(),
    };
    (B::float_sub(weight, B::float_mul_scalar(step, lr.into())), velocity)
}

pub(super) fn relu_grad<B: Backend>(output: FloatTensor<B>, grad: FloatTensor<B>) -> FloatTensor<B> {
    B::relu_backward(output, grad)
}

pub(super) fn channel_affine_act<B: Backend>(
    x: FloatTensor<B>,
    scale: FloatTensor<B>,
    shift: FloatTensor<B>,
    residual: Option<FloatTensor<B>>,
    act: Act,
) -> FloatTensor<B> {
    let y = B::float_add(B::float_mul(x, per_channel::<B>(scale)), per_channel::<B>(shift));
    add_act::<B>(y, residual, act)
}

/// Where output coordinate `i` of a resize reads: `(lower index, upper index, weight of the upper)`.
///
/// Source: PyTorch `area_pixel_compute_source_index`; negative source coordinates count as 0.
pub(super) fn taps(output: usize, input: usize, align_corners: bool) -> Vec<(usize, usize, f32)> {
    let scale = match align_corners {
        true if output > 1 => (input - 1) as f32 / (output - 1) as f32,
        true => 0.0,
        false => input as f32 / output as f32,
    };
    (0..output)
        .map(|i| {
            let source = if align_corners { scale * i as f32 } else { (scale * (i as f32 + 0.5) - 0.5).max(0.0) };
            let lower = (source as usize).min(input - 1);
            (lower, (lower + 1).min(input - 1), source - lower as f32)
        })
        .collect()
}

/// The matrix `[1, 1, output, input]` that resizes one axis.
fn resize_matrix<B: Backend>(
    output: usize,
    input: usize,
    align_corners: bool,
    like: &FloatTensor<B>,
) -> FloatTensor<B> {
    let mut matrix = vec![0f32; output * input];
    for (row, (lower, upper, weight)) in taps(output, input, align_corners).into_iter().enumerate() {
        matrix[row * input + lower] += 1.0 - weight;
        matrix[row * input + upper] += weight;
    }
    let data = TensorData::new(matrix, [1, 1, output, input]).convert_dtype(like.dtype());
    B::float_from_data(data, &like.device())
}

/// `A·x·Bᵀ` on the last two axes: bilinear resizing is separable, and a matrix product has a backward on every device.
pub(super) fn resize_bilinear<B: Backend>(x: FloatTensor<B>, size: [usize; 2], align_corners: bool) -> FloatTensor<B> {
    let [_, _, h, w] = dims(x.shape());
    let rows = resize_matrix::<B>(size[0], h, align_corners, &x);
    let columns = B::float_transpose(resize_matrix::<B>(size[1], w, align_corners, &x));
    B::float_matmul(rows, B::float_matmul(x, columns))
}

pub(super) fn resize_bilinear_grad<B: Backend>(
    grad: FloatTensor<B>,
    size: [usize; 2],
    align_corners: bool,
) -> FloatTensor<B> {
    let [_, _, h, w] = dims(grad.shape());
    let rows = B::float_transpose(resize_matrix::<B>(h, size[0], align_corners, &grad));
    let columns = resize_matrix::<B>(w, size[1], align_corners, &grad);
    B::float_matmul(B::float_matmul(rows, grad), columns)
}

pub(super) fn global_average<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mean_dim(B::float_mean_dim(x, 3), 2)
}

pub(super) fn global_average_grad<B: Backend>(grad: FloatTensor<B>, [h, w]: [usize; 2]) -> FloatTensor<B> {
    let [batch, channels, _, _] = dims(grad.shape());
    let share = B::float_mul_scalar(B::float_mul_scalar(grad, (1.0 / h as f64).into()), (1.0 / w as f64).into());
    B::float_expand(share, Shape::new([batch, channels, h, w]))
}

/// Both parts as this backend does them.
pub(super) fn resized_conv2d<B: SegOps>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    size: [usize; 2],
    align_corners: bool,
    geometry: ConvGeometry,
) -> FloatTensor<B> {
    B::conv2d_nobias(B::resize_bilinear(x, size, align_corners), weight, geometry)
}

pub(super) fn resized_conv2d_grad<B: SegOps>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
    size: [usize; 2],
    align_corners: bool,
    geometry: ConvGeometry,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let [_, _, h, w] = dims(x.shape());
    let resized = B::resize_bilinear(x, size, align_corners);
    let grad_weight = B::conv2d_grad_weight(resized.clone(), weight.clone(), grad.clone(), geometry);
    let grad_resized = B::conv2d_grad_input(resized, weight, grad, geometry);
    (B::resize_bilinear_grad(grad_resized, [h, w], align_corners), grad_weight)
}

pub(super) fn upsample_cross_entropy<B: Backend>(
    logits: FloatTensor<B>,
    label: IntTensor<B>,
    align_corners: bool,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let [batch, classes, h, w] = dims(logits.shape());
    let [_, height, width] = dims(label.shape());
    let device = logits.device();
    let float = logits.dtype().into();
    let settings = get_or_init_device_settings::<B>(&device);

    let full = resize_bilinear::<B>(logits, [height, width], align_corners); // [B, C, H, W]
    let highest = B::float_max_dim(full.clone(), 1);
    let shifted = B::float_sub(full, highest);
    let exp = B::float_exp(shifted.clone());
    let sum = B::float_sum_dim(exp.clone(), 1); // [B, 1, H, W]

    let full_shape = Shape::new([batch, classes, height, width]);
    let ids =
        B::int_reshape(B::int_arange(0..classes as i64, &device, label.dtype().into()), Shape::new([1, classes, 1, 1]));
    let label = B::int_reshape(label, Shape::new([batch, 1, height, width]));
    let one_hot = B::bool_into_float(
        B::int_equal(B::int_expand(label, full_shape.clone()), B::int_expand(ids, full_shape), settings.bool_dtype),
        float,
    );
    let labelled = B::float_sum_dim(one_hot.clone(), 1); // 1 where the label is a class, else 0
    let count = B::float_clamp_min(sum_all::<B>(labelled.clone()), 1.0f32.into()); // [1]

    let log_sum = B::float_log(sum.clone());
    let picked = B::float_sum_dim(B::float_mul(shifted, one_hot.clone()), 1);
    let loss = sum_all::<B>(B::float_mul(B::float_sub(log_sum, picked), labelled.clone()));
    let loss = B::float_div(loss, count.clone());

    let softmax = B::float_div(exp, sum);
    let grad = B::float_sub(B::float_mul(softmax, labelled), one_hot);
    let grad = B::float_div(grad, B::float_reshape(count, Shape::new([1, 1, 1, 1])));
    (loss, resize_bilinear_grad::<B>(grad, [h, w], align_corners))
}

/// `max(z, 0) − z·t + ln(1 + e^−|z|)`, the form of binary cross-entropy that cannot overflow.
pub(super) fn bce_with_logits<B: Backend>(
    logits: FloatTensor<B>,
    target: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let count = logits.shape().num_elements() as f64;
    let tail = B::float_log1p(B::float_exp(B::float_neg(B::float_abs(logits.clone()))));
    let loss = B::float_add(B::float_sub(B::relu(logits.clone()), B::float_mul(logits.clone(), target.clone())), tail);
    let loss = B::float_mul_scalar(sum_all::<B>(loss), (1.0 / count).into());
    let grad = B::float_mul_scalar(B::float_sub(B::sigmoid(logits), target), (1.0 / count).into());
    (loss, grad)
}

/// Sum of everything, `[1]`: row by row, then over the rows. Without the one-shot sum of CubeCL, whose atomic additions come
/// in another order each time, and whose kernel crashes Mesa's software Vulkan 22.3.
fn sum_all<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let shape = x.shape();
    let width = shape[shape.num_dims() - 1];
    let rows = shape.num_elements() / width;
    let by_row = B::float_sum_dim(B::float_reshape(x, Shape::new([rows, width])), 1);
    B::float_reshape(B::float_sum_dim(B::float_reshape(by_row, Shape::new([1, rows])), 1), Shape::new([1]))
}

pub(super) fn with_gradient<B: Backend>(output: FloatTensor<B>) -> FloatTensor<B> {
    B::float_zeros(Shape::new([1]), &output.device(), DType::F32.into())
}
