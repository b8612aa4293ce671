//! Bilinear resizing and its gradient, and the taps that both and the upsampled cross-entropy share.

use super::rows::{Rows, floats, vector_size};
use burn::backend::cubecl::dtype_to_storage_type;
use burn_cubecl::cubecl::{self, calculate_cube_count_elemwise, prelude::*};
use burn_cubecl::tensor::CubeTensor;

/// Input pixels from one output pixel to the next, along an axis. Source: PyTorch `area_pixel_compute_scale`.
pub(super) fn scale(output: usize, input: usize, align_corners: bool) -> f32 {
    match align_corners {
        true if output > 1 => (input - 1) as f32 / (output - 1) as f32,
        true => 0.0,
        false => input as f32 / output as f32,
    }
}

/// `[batch, channels, h, w]` to `[batch, channels, height, width]`.
pub(super) fn forward(x: CubeTensor, size: [usize; 2], align_corners: bool) -> CubeTensor {
    let x = Rows::of(x);
    let [batch, channels, h, w] = x.dims();
    let [height, width] = size;
    let output = Rows::empty(&x.tensor, [batch, channels, height, width]);
    let client = x.tensor.client.clone();
    let vector = vector_size(&client, x.tensor.dtype.size(), &[channels, x.pitch]);
    let units = output.number() * channels / vector;
    let dim = CubeDim::new(&client, units);
    // SAFETY: units behind the last output return at once, and taps lie within the input.
    unsafe {
        resize::launch_unchecked(
            &client,
            calculate_cube_count_elemwise(&client, units, dim),
            dim,
            output.tensor.required_address_type().max(x.tensor.required_address_type()),
            vector,
            x.arg(),
            output.arg(),
            units,
            channels / vector,
            x.pitch / vector,
            h,
            w,
            height,
            width,
            scale(height, h, align_corners),
            scale(width, w, align_corners),
            align_corners,
            dtype_to_storage_type(x.tensor.dtype),
        );
    }
    output.tensor
}

/// Gradient of an input of `[h, w]`: what each of its pixels gave is gathered, first along rows, then along columns. Nothing is
/// added at two places at once, so that the same gradient comes out each time.
pub(super) fn backward(grad: CubeTensor, [h, w]: [usize; 2], align_corners: bool) -> CubeTensor {
    let grad = Rows::of(grad);
    let [batch, channels, height, width] = grad.dims();
    let output = Rows::empty(&grad.tensor, [batch, channels, h, w]);
    let client = grad.tensor.client.clone();
    let vector = vector_size(&client, grad.tensor.dtype.size(), &[channels, grad.pitch]);
    let vectors = channels / vector;
    let narrow = floats(&grad.tensor, batch * height * w * channels);
    let stored = dtype_to_storage_type(grad.tensor.dtype);
    let float = dtype_to_storage_type(narrow.dtype);
    let address = grad.tensor.required_address_type();
    // SAFETY: as in `forward`.
    unsafe {
        let units = batch * height * w * vectors;
        let dim = CubeDim::new(&client, units);
        gather::launch_unchecked(
            &client,
            calculate_cube_count_elemwise(&client, units, dim),
            dim,
            address,
            vector,
            grad.arg(),
            narrow.clone().into_buffer_arg(),
            units,
            width,
            w,
            vectors,
            grad.pitch / vector,
            scale(width, w, align_corners),
            align_corners,
            [stored, float],
        );
        let units = batch * h * w * vectors;
        let dim = CubeDim::new(&client, units);
        gather::launch_unchecked(
            &client,
            calculate_cube_count_elemwise(&client, units, dim),
            dim,
            address,
            vector,
            narrow.into_buffer_arg(),
            output.arg(),
            units,
            height,
            h,
            w * vectors,
            w * vectors,
            scale(height, h, align_corners),
            align_corners,
            [float, stored],
        );
    }
    output.tensor
}

/// Where an output pixel reads along an axis: a pixel, the next one, and the next one's share.
#[derive(CubeType)]
pub(super) struct Tap {
    pub lower: usize,
    pub upper: usize,
    pub share: f32,
}

/// Source: PyTorch `area_pixel_compute_source_index`; negative coordinates count as 0.
#[cube]
pub(super) fn tap(output: usize, inputs: usize, scale: f32, #[comptime] align_corners: bool) -> Tap {
    let place = f32::cast_from(output as u32);
    let source = if comptime!(align_corners) {
        scale * place
    } else {
        let raw = scale * (place + 0.5f32) - 0.5f32;
        select(raw < 0.0f32, 0.0f32, raw)
    };
    let floor = u32::cast_from(source) as usize;
    let lower = select(floor < inputs, floor, inputs - 1);
    let upper = select(lower + 1 < inputs, lower + 1, inputs - 1);
    Tap { lower, upper, share: source - f32::cast_from(lower as u32) }
}

/// What an input pixel gives to the output pixel with this tap.
#[cube]
pub(super) fn weight(tap: &Tap, input: usize) -> f32 {
    let of_lower = select(tap.lower == input, 1.0f32 - tap.share, 0.0f32);
    let of_upper = select(tap.upper == input, tap.share, 0.0f32);
    of_lower + of_upper
}

/// The first output pixel that may read this input pixel.
#[cube]
pub(super) fn first_reader(input: usize, scale: f32, outputs: usize, #[comptime] align_corners: bool) -> usize {
    let place = f32::cast_from(input as u32) - 1.0f32;
    let least = if comptime!(align_corners) { place / scale } else { (place + 0.5f32) / scale - 0.5f32 };
    let floor = f32::floor(least) - 1.0f32;
    // A scale of 0: every output pixel reads the first input pixel.
    let none = scale <= 0.0f32 || floor <= 0.0f32;
    let first = u32::cast_from(select(none, 0.0f32, floor)) as usize;
    select(first < outputs, first, outputs)
}

/// One behind the last output pixel that may read this input pixel.
#[cube]
pub(super) fn end_of_readers(input: usize, scale: f32, outputs: usize, #[comptime] align_corners: bool) -> usize {
    let place = f32::cast_from(input as u32) + 1.0f32;
    let most = if comptime!(align_corners) { place / scale } else { (place + 0.5f32) / scale - 0.5f32 };
    let end = f32::ceil(most) + 2.0f32;
    let all = scale <= 0.0f32 || end >= f32::cast_from(outputs as u32);
    u32::cast_from(select(all, f32::cast_from(outputs as u32), end)) as usize
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn resize<F: Float, N: Size>(
    x: &[Vector<F, N>],
    output: &mut [Vector<F, N>],
    units: usize,
    vectors: usize,
    pitch: usize,
    h: usize,
    w: usize,
    height: usize,
    width: usize,
    scale_y: f32,
    scale_x: f32,
    #[comptime] align_corners: bool,
    #[define(F)] _stored: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let pixel = ABSOLUTE_POS / vectors;
    let vector = ABSOLUTE_POS - pixel * vectors;
    let line = pixel / width;
    let column = tap(pixel - line * width, w, scale_x, align_corners);
    let picture = line / height;
    let row = tap(line - picture * height, h, scale_y, align_corners);
    let upper_line = (picture * h + row.lower) * w;
    let lower_line = (picture * h + row.upper) * w;
    let right = Vector::<f32, N>::new(column.share);
    let below = Vector::<f32, N>::new(row.share);
    let a = Vector::<f32, N>::cast_from(x[(upper_line + column.lower) * pitch + vector]);
    let b = Vector::<f32, N>::cast_from(x[(upper_line + column.upper) * pitch + vector]);
    let c = Vector::<f32, N>::cast_from(x[(lower_line + column.lower) * pitch + vector]);
    let d = Vector::<f32, N>::cast_from(x[(lower_line + column.upper) * pitch + vector]);
    let top = a + (b - a) * right;
    let bottom = c + (d - c) * right;
    output[ABSOLUTE_POS] = Vector::cast_from(top + (bottom - top) * below);
}

/// `[outer, outputs, inner]` to `[outer, inputs, inner]` along the middle axis: each input pixel's gradient.
#[cube(launch_unchecked, address_type = "dynamic")]
fn gather<I: Float, O: Float, N: Size>(
    grad: &[Vector<I, N>],
    result: &mut [Vector<O, N>],
    units: usize,
    outputs: usize,
    inputs: usize,
    inner: usize,
    pitch: usize,
    scale: f32,
    #[comptime] align_corners: bool,
    #[define(I, O)] _stored: [ElemType; 2],
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let line = ABSOLUTE_POS / inner;
    let vector = ABSOLUTE_POS - line * inner;
    let outer = line / inputs;
    let input = line - outer * inputs;
    let mut sum = Vector::<f32, N>::new(0.0f32);
    let mut output = first_reader(input, scale, outputs, align_corners);
    let end = end_of_readers(input, scale, outputs, align_corners);
    while output < end {
        let read = tap(output, inputs, scale, align_corners);
        let share = weight(&read, input);
        let gradient = Vector::<f32, N>::cast_from(grad[(outer * outputs + output) * pitch + vector]);
        sum += gradient * Vector::<f32, N>::new(share);
        output += 1;
    }
    result[ABSOLUTE_POS] = Vector::cast_from(sum);
}
