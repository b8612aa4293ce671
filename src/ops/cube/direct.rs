//! Convolutions and their gradients one value a unit, without any matrix product: those that no product takes (without tensor cores the
//! last layers of the decoder that draws the image, a network's first, inputs of strided ones), and what [`super::checked`] holds
//! others against. What burn has for them writes each tap of each pixel into memory, 450 MB for the decoder's last layer at 512×1024.

use super::rows::{Rows, floats};
use super::sums::{LANES, LEVELS, merging, of_column, own_column};
use crate::ops::ConvGeometry;
use burn::backend::cubecl::dtype_to_storage_type;
use burn::backend::ops::FloatTensorOps;
use burn::backend::{DType, TensorMetadata};
use burn::tensor::Shape;
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::{self, calculate_cube_count_elemwise, prelude::*};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;

/// Most channels of the narrower side.
const MOST_CHANNELS: usize = 32;
/// Units of a cube.
const UNITS: usize = 256;
/// Cubes of the sums of a weight's gradient, about.
const CUBES: usize = 1536;

/// Whether a convolution of this weight `[channels_out, channels_in, kernel, kernel]` is for these kernels.
pub(super) fn is_narrow(weight: &Shape) -> bool {
    weight[0].min(weight[1]) <= MOST_CHANNELS
}

/// Whether a weight's gradient is the sum of so few pixels that it may be nearly 0, where tensor cores round: behind a BatchNorm over two
/// values, as of pooled images.
pub(super) fn is_short(grad: &CubeTensor) -> bool {
    let [batch, _, height, width] = grad.shape().dims::<4>();
    batch * height * width < 32
}

/// Output of this shape.
pub(super) fn output(x: CubeTensor, weight: CubeTensor, output: Shape, geometry: ConvGeometry) -> CubeTensor {
    let ([batch, outputs, height, width], [_, _, kernel, _]) = (output.dims::<4>(), weight.shape().dims::<4>());
    let (x, weight) = (Rows::of(x), into_contiguous(weight));
    let [_, channels, h, w] = x.dims();
    let result = Rows::empty(&x.tensor, [batch, outputs, height, width]);
    let client = x.tensor.client.clone();
    let units = result.number() * outputs;
    let dim = CubeDim::new(&client, units);
    let stored = [x.tensor.dtype, weight.dtype].map(dtype_to_storage_type);
    // SAFETY: units behind the last value return at once, and taps outside the map are passed over.
    unsafe {
        direct_output::launch_unchecked(
            &client,
            calculate_cube_count_elemwise(&client, units, dim),
            dim,
            result.tensor.required_address_type().max(x.tensor.required_address_type()),
            x.arg(),
            weight.into_buffer_arg(),
            result.arg(),
            units,
            channels,
            outputs,
            x.pitch,
            h,
            w,
            height,
            width,
            geometry.stride,
            geometry.padding,
            geometry.dilation,
            kernel,
            stored,
        );
    }
    result.tensor
}

/// Gradient of an input of this shape.
pub(super) fn grad_input(grad: CubeTensor, weight: CubeTensor, input: Shape, geometry: ConvGeometry) -> CubeTensor {
    let ([batch, channels, h, w], [_, _, kernel, _]) = (input.dims::<4>(), weight.shape().dims::<4>());
    let (grad, weight) = (Rows::of(grad), into_contiguous(weight));
    let [_, outputs, height, width] = grad.dims();
    let result = Rows::empty(&grad.tensor, [batch, channels, h, w]);
    let client = grad.tensor.client.clone();
    let units = result.number() * channels;
    let dim = CubeDim::new(&client, units);
    let stored = [grad.tensor.dtype, weight.dtype].map(dtype_to_storage_type);
    // SAFETY: units behind the last value return at once, and taps outside the map are passed over.
    unsafe {
        direct_grad_input::launch_unchecked(
            &client,
            calculate_cube_count_elemwise(&client, units, dim),
            dim,
            result.tensor.required_address_type().max(grad.tensor.required_address_type()),
            grad.arg(),
            weight.into_buffer_arg(),
            result.arg(),
            units,
            channels,
            outputs,
            grad.pitch,
            h,
            w,
            height,
            width,
            geometry.stride,
            geometry.padding,
            geometry.dilation,
            kernel,
            stored,
        );
    }
    result.tensor
}

/// Gradient of a weight of this shape, in float32.
pub(super) fn grad_weight(x: CubeTensor, grad: CubeTensor, weight: Shape, geometry: ConvGeometry) -> CubeTensor {
    let (x, grad) = (Rows::of(x), Rows::of(grad));
    let ([_, channels, h, w], [_, outputs, height, width]) = (x.dims(), grad.dims());
    let kernel = weight[2];
    let values = weight.num_elements();
    let client = x.tensor.client.clone();
    let units = UNITS.min(client.properties().hardware.max_units_per_cube as usize);
    let columns = values.div_ceil(units);
    let chunk = grad.number().div_ceil(CUBES.div_ceil(columns)).max(16);
    let chunks = grad.number().div_ceil(chunk);
    let partial = floats(&x.tensor, chunks * values);
    let stored = [x.tensor.dtype, grad.tensor.dtype].map(dtype_to_storage_type);
    // SAFETY: as in `grad_input`.
    unsafe {
        chunk_products::launch_unchecked(
            &client,
            CubeCount::Static(columns as u32, chunks as u32, 1),
            CubeDim::new_1d(units as u32),
            x.tensor.required_address_type().max(grad.tensor.required_address_type()),
            x.arg(),
            grad.arg(),
            partial.clone().into_buffer_arg(),
            values,
            channels,
            x.pitch,
            grad.pitch,
            h,
            w,
            height,
            width,
            grad.number(),
            chunk,
            geometry.stride,
            geometry.padding,
            geometry.dilation,
            kernel,
            units,
            stored,
        );
    }
    debug_assert_eq!(weight.dims::<4>(), [outputs, channels, kernel, kernel]);
    merged(partial, chunks, weight)
}

/// A gradient of this shape in float32 from its parts, `[parts, channels_out, kernel, kernel, channels_in]`.
pub(super) fn merged(partial: CubeTensor, parts: usize, weight: Shape) -> CubeTensor {
    let (values, [_, channels, kernel, _]) = (weight.num_elements(), weight.dims::<4>());
    let client = partial.client.clone();
    if parts == 1 && kernel == 1 {
        return CubeBackend::float_reshape(partial, weight);
    }
    let result = empty_device_contiguous_dtype(client.clone(), partial.device.clone(), weight, DType::F32);
    let (cubes, dim) = merging(values);
    // SAFETY: units behind the last value write nothing.
    unsafe {
        merge_products::launch_unchecked(
            &client,
            cubes,
            dim,
            partial.into_buffer_arg(),
            result.clone().into_buffer_arg(),
            values as u32,
            parts as u32,
            channels as u32,
            (kernel * kernel) as u32,
            LANES,
            LEVELS,
        );
    }
    result
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn direct_output<F: Float, W: Float>(
    x: &[F],
    weight: &[W],
    result: &mut [F],
    units: usize,
    channels: usize,
    outputs: usize,
    pitch: usize,
    h: usize,
    w: usize,
    height: usize,
    width: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
    #[comptime] kernel: usize,
    #[define(F, W)] _stored: [ElemType; 2],
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let pixel = ABSOLUTE_POS / outputs;
    let output = ABSOLUTE_POS - pixel * outputs;
    let line = pixel / width;
    let column = pixel - line * width;
    let picture = line / height;
    let row = line - picture * height;
    let mut sum = 0.0f32;
    for tap_y in 0..kernel {
        let y = row * stride + tap_y * dilation;
        if y >= padding && y - padding < h {
            let from_line = picture * h + y - padding;
            for tap_x in 0..kernel {
                let x_at = column * stride + tap_x * dilation;
                if x_at >= padding && x_at - padding < w {
                    let from = (from_line * w + x_at - padding) * pitch;
                    let tap = output * channels * kernel * kernel + tap_y * kernel + tap_x;
                    for channel in 0..channels {
                        sum +=
                            f32::cast_from(x[from + channel]) * f32::cast_from(weight[tap + channel * kernel * kernel]);
                    }
                }
            }
        }
    }
    result[ABSOLUTE_POS] = F::cast_from(sum);
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn direct_grad_input<F: Float, W: Float>(
    grad: &[F],
    weight: &[W],
    result: &mut [F],
    units: usize,
    channels: usize,
    outputs: usize,
    pitch: usize,
    h: usize,
    w: usize,
    height: usize,
    width: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
    #[comptime] kernel: usize,
    #[define(F, W)] _stored: [ElemType; 2],
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let pixel = ABSOLUTE_POS / channels;
    let channel = ABSOLUTE_POS - pixel * channels;
    let line = pixel / w;
    let x = pixel - line * w;
    let picture = line / h;
    let y = line - picture * h;
    let mut sum = 0.0f32;
    for tap_y in 0..kernel {
        let reach_y = y + padding;
        let back_y = tap_y * dilation;
        if reach_y >= back_y && (reach_y - back_y) % stride == 0 && (reach_y - back_y) / stride < height {
            let from_line = picture * height + (reach_y - back_y) / stride;
            for tap_x in 0..kernel {
                let reach_x = x + padding;
                let back_x = tap_x * dilation;
                if reach_x >= back_x && (reach_x - back_x) % stride == 0 && (reach_x - back_x) / stride < width {
                    let from = (from_line * width + (reach_x - back_x) / stride) * pitch;
                    let tap = (channel * kernel + tap_y) * kernel + tap_x;
                    for output in 0..outputs {
                        sum += f32::cast_from(grad[from + output])
                            * f32::cast_from(weight[output * channels * kernel * kernel + tap]);
                    }
                }
            }
        }
    }
    result[ABSOLUTE_POS] = F::cast_from(sum);
}

/// Sums over each chunk of output pixels: `[chunks, channels_out, kernel, kernel, channels_in]`.
#[cube(launch_unchecked, address_type = "dynamic")]
fn chunk_products<F: Float, G: Float>(
    x: &[F],
    grad: &[G],
    partial: &mut [f32],
    values: usize,
    channels: usize,
    x_pitch: usize,
    grad_pitch: usize,
    h: usize,
    w: usize,
    height: usize,
    width: usize,
    pixels: usize,
    chunk: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
    #[comptime] kernel: usize,
    #[comptime] units: usize,
    #[define(F, G)] _stored: [ElemType; 2],
) {
    let value = CUBE_POS_X as usize * units + UNIT_POS_X as usize;
    if value >= values {
        terminate!();
    }
    let tap = value / channels;
    let channel = value - tap * channels;
    let row_of_taps = tap / kernel;
    let tap_x = (tap - row_of_taps * kernel) * dilation;
    let output = row_of_taps / kernel;
    let tap_y = (row_of_taps - output * kernel) * dilation;

    let start = CUBE_POS_Y as usize * chunk;
    let end = select(start + chunk < pixels, start + chunk, pixels);
    let first_line = start / width;
    let mut column = start - first_line * width;
    let mut picture = first_line / height;
    let mut row = first_line - picture * height;
    let mut sum = 0.0f32;
    let mut pixel = start;
    while pixel < end {
        let y = row * stride + tap_y;
        let x_at = column * stride + tap_x;
        if y >= padding && y - padding < h && x_at >= padding && x_at - padding < w {
            let from = ((picture * h + y - padding) * w + x_at - padding) * x_pitch + channel;
            sum += f32::cast_from(x[from]) * f32::cast_from(grad[pixel * grad_pitch + output]);
        }
        pixel += 1;
        column += 1;
        if column == width {
            column = 0;
            row += 1;
            if row == height {
                row = 0;
                picture += 1;
            }
        }
    }
    partial[CUBE_POS_Y as usize * values + value] = sum;
}

/// Adds the chunks up, and puts the taps last: `[channels_out, channels_in, kernel, kernel]`.
#[cube(launch_unchecked)]
fn merge_products(
    partial: &[f32],
    result: &mut [f32],
    values: u32,
    chunks: u32,
    channels: u32,
    taps: u32,
    #[comptime] lanes: usize,
    #[comptime] levels: usize,
) {
    let total = of_column(partial, values, chunks, lanes, levels);
    let value = own_column(lanes);
    if value < values && UNIT_POS_Y == 0 {
        let tap = value / channels;
        let channel = value - tap * channels;
        let output = tap / taps;
        result[((output * channels + channel) * taps + tap - output * taps) as usize] = total;
    }
}
