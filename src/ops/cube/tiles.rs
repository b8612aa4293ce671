//! Convolutions and their gradients as matrix products in tensor cores, by kernels of our own.
//!
//! cubek 0.3.1 has convolutions that wait for each part of their operands before they multiply it, and sums over pixels that are never
//! divided: a weight's gradient of 256×256×3×3 over 16,384 pixels ran at 15 TFLOP/s in float32 on an H200.

use super::checked::Computed;
use super::rows::Rows;
pub(super) use super::tile::Tiling;
use super::tile_pixels::multiply_pixels;
use super::tile_windows::multiply_windows;
use super::{direct, rows::floats};
use crate::ops::ConvGeometry;
use burn::backend::cubecl::dtype_to_storage_type;
use burn::backend::ops::FloatTensorOps;
use burn::backend::{DType, TensorMetadata};
use burn::tensor::{Shape, Slice};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::features::MmaConfig;
use burn_cubecl::cubecl::ir::{ElemType, FloatKind};
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::ops::permute_nhwc_to_nchw;
use burn_cubecl::tensor::CubeTensor;

/// The smallest tile's.
const LEAST_HEIGHT: usize = 64;
const LEAST_WIDTH: usize = 32;
/// Fewest pixels of a part of a weight's gradient.
const LEAST_PART: usize = 512;
/// Pixels that a cube could have summed up while it writes its part, and another kernel adds it to the others.
const PIXELS_OF_WRITING: usize = 256;
/// Most values of all parts together: 64 MiB, or one part.
const MOST_VALUES: usize = 16 << 20;
/// More values than this are not counted in 32 bits.
const MOST_OF_A_MAP: usize = 1 << 30;

/// Number format in shared memory, and values of 16 bytes.
fn staged(dtype: DType) -> Option<(ElemType, usize)> {
    match dtype {
        DType::F32 => Some((ElemType::Float(FloatKind::TF32), 4)),
        DType::BF16 => Some((ElemType::Float(FloatKind::BF16), 8)),
        _ => None,
    }
}

/// Whether these kernels compute this of a convolution; `x` is its input, or the gradient of its output.
pub(super) fn fits(computed: Computed, x: &CubeTensor, weight: &Shape) -> bool {
    let Some((stage, size)) = staged(x.dtype) else { return false };
    let properties = x.client.properties();
    let instruction = MmaConfig {
        a_type: stage,
        b_type: stage,
        cd_type: ElemType::Float(FloatKind::F32),
        m: 16,
        n: 8,
        k: 2 * size as u32,
    };
    let (hardware, [outputs, channels, ..]) = (&properties.hardware, weight.dims::<4>());
    let columns = match computed {
        Computed::Output => outputs,
        Computed::InputGradient => channels,
        Computed::WeightGradient => 4, // any number will do: input and gradient are widened
    };
    properties.features.matmul.mma.contains(&instruction)
        && (hardware.plane_size_min, hardware.plane_size_max) == (32, 32)
        && columns.is_multiple_of(4)
        && x.shape().num_elements() < MOST_OF_A_MAP
}

/// Output of this shape.
pub(super) fn output(
    x: CubeTensor,
    weight: CubeTensor,
    output: Shape,
    geometry: ConvGeometry,
    tiling: Tiling,
) -> Option<CubeTensor> {
    let kernel = weight.shape()[2];
    let weight = taps_first(weight, [0, 2, 3, 1], x.dtype, staged(x.dtype)?.1);
    windows(x, weight, output.dims::<4>(), kernel, None, geometry, tiling)
}

/// Gradient of an input of this shape: the convolution of the gradient, as far apart as the stride, with the weight turned around.
pub(super) fn grad_input(
    grad: CubeTensor,
    weight: CubeTensor,
    input: Shape,
    geometry: ConvGeometry,
    tiling: Tiling,
) -> Option<CubeTensor> {
    let ConvGeometry { stride, padding, dilation } = geometry;
    let kernel = weight.shape()[2];
    let padding = (dilation * (kernel - 1)).checked_sub(padding)?;
    let around = ConvGeometry { stride: 1, padding, dilation };
    let weight = taps_first(weight, [1, 2, 3, 0], grad.dtype, staged(grad.dtype)?.1);
    windows(grad, weight, input.dims::<4>(), kernel, Some(stride), around, tiling)
}

/// A weight with its axes in another order, the summed one last in memory, in the number format `dtype` of the activations, as wide as
/// a multiple of `size`, and without gaps.
fn taps_first(mut weight: CubeTensor, axes: [usize; 4], dtype: DType, size: usize) -> Rows {
    weight.meta.permute(&axes).expect("four axes");
    Rows::packed(permute_nhwc_to_nchw(weight), dtype, size)
}

/// `apart` is given where the weight is turned around; the pixels of `x` are then so far apart.
fn windows(
    x: CubeTensor,
    weight: Rows,
    output: [usize; 4],
    kernel: usize,
    apart: Option<usize>,
    geometry: ConvGeometry,
    tiling: Tiling,
) -> Option<CubeTensor> {
    let (stage, size) = staged(x.dtype)?;
    let [_, outputs, height, width] = output;
    if is_wasteful(outputs, tiling.width(), LEAST_WIDTH) {
        return None;
    }
    let dtype = x.dtype;
    let x = Rows::arranged(x, dtype, size);
    let [_, channels, h, w] = x.dims();
    let result = Rows::empty(&x.tensor, output);
    assert_eq!(weight.pitch, channels, "rows of a weight follow one another without gaps");
    let cubes = outputs.div_ceil(tiling.width()) * result.number().div_ceil(tiling.height());
    let cubes = CubeCount::Static(cubes as u32, 1, 1);
    let client = x.tensor.client.clone();
    // SAFETY: rows and columns behind the last are read at place 0 and not written.
    unsafe {
        multiply_windows::launch_unchecked(
            &client,
            cubes,
            CubeDim::new_1d(tiling.units() as u32),
            result.tensor.required_address_type().max(x.tensor.required_address_type()),
            size,
            4,
            x.arg(),
            weight.arg(),
            result.arg(),
            result.number() as u32,
            outputs as u32,
            (channels / size) as u32,
            (x.pitch / size) as u32,
            h as u32,
            w as u32,
            height as u32,
            width as u32,
            geometry.stride as u32,
            geometry.padding as i32,
            geometry.dilation as i32,
            kernel as u32,
            apart.is_some(),
            apart.unwrap_or(1) as i32,
            tiling,
            [dtype_to_storage_type(x.tensor.dtype), stage],
        );
    }
    Some(result.tensor)
}

/// Gradient of a weight of this shape, in float32.
pub(super) fn grad_weight(
    x: CubeTensor,
    grad: CubeTensor,
    weight: Shape,
    geometry: ConvGeometry,
    tiling: Tiling,
) -> Option<CubeTensor> {
    let (stage, size) = staged(x.dtype)?;
    let [outputs, channels, kernel, _] = weight.dims::<4>();
    if grad.dtype != x.dtype
        || is_wasteful(channels, tiling.width(), LEAST_WIDTH)
        || is_wasteful(outputs, tiling.height(), LEAST_HEIGHT)
    {
        return None;
    }
    let dtype = x.dtype;
    let (x, grad) = (Rows::arranged(x, dtype, size), Rows::arranged(grad, dtype, size));
    let ([_, channels, h, w], [_, outputs, height, width]) = (x.dims(), grad.dims());
    let wide = Shape::new([outputs, channels, kernel, kernel]);
    let (values, pixels) = (wide.num_elements(), grad.number());
    let across = channels.div_ceil(tiling.width());
    let down = outputs.div_ceil(tiling.height()) * kernel * kernel;
    let depth = 4 * size;
    let client = x.tensor.client.clone();
    let most = (pixels / LEAST_PART).min(MOST_VALUES / values).max(1);
    let at_once = tiling.at_once() * client.properties().hardware.num_streaming_multiprocessors.unwrap_or(1) as usize;
    let part = pixels.div_ceil(parts(across * down, pixels, at_once, most)).next_multiple_of(depth);
    let parts = pixels.div_ceil(part);
    let cubes = CubeCount::Static(across as u32, down as u32, parts as u32);
    let partial = floats(&x.tensor, parts * values);
    // SAFETY: as in `windows`.
    unsafe {
        multiply_pixels::launch_unchecked(
            &client,
            cubes,
            CubeDim::new_1d(tiling.units() as u32),
            x.tensor.required_address_type().max(grad.tensor.required_address_type()),
            size,
            4,
            x.arg(),
            grad.arg(),
            partial.clone().into_buffer_arg(),
            pixels as u32,
            part as u32,
            outputs as u32,
            channels as u32,
            (x.pitch / size) as u32,
            (grad.pitch / size) as u32,
            h as u32,
            w as u32,
            height as u32,
            width as u32,
            geometry.stride as u32,
            geometry.padding as i32,
            geometry.dilation as u32,
            kernel as u32,
            kernel == 1 && geometry.stride == 1 && geometry.padding == 0,
            width >= depth,
            tiling,
            [dtype_to_storage_type(x.tensor.dtype), stage],
        );
    }
    let result = direct::merged(partial, parts, wide.clone());
    if wide == weight {
        return Some(result);
    }
    let own = weight.to_vec().into_iter().map(|length| Slice::from(0..length));
    Some(CubeBackend::float_slice(result, &own.collect::<Vec<_>>()))
}

/// Into how many parts each of `tiles` sums over `pixels` is divided: as many as give the shortest time on a device that has room
/// for `at_once` of the parts.
fn parts(tiles: usize, pixels: usize, at_once: usize, most: usize) -> usize {
    let time = |parts: &usize| (tiles * parts).div_ceil(at_once) * (pixels.div_ceil(*parts) + PIXELS_OF_WRITING);
    (1..=most).min_by_key(time).expect("one part at least")
}

/// Whether half of a tile would do, and there are smaller ones.
const fn is_wasteful(length: usize, tile: usize, least: usize) -> bool {
    tile > least && 2 * length <= tile
}

#[cfg(all(test, feature = "cuda"))]
mod tests {
    use super::super::checked::apart;
    use super::super::{conv, direct};
    use super::*;
    use burn::tensor::TensorData;
    use burn_cubecl::CubeDevice;

    /// A map of rows, of numbers that are the same on every device.
    fn map([batch, channels, height, width]: [usize; 4], dtype: DType, seed: u64) -> CubeTensor {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        let values: Vec<f32> = (0..batch * channels * height * width).map(|_| next()).collect();
        let data = TensorData::new(values, [batch, height, width, channels]);
        let x = CubeBackend::float_from_data(data, &CubeDevice::Cuda(Default::default()));
        let x = CubeBackend::float_permute(x, &[0, 3, 1, 2]);
        if dtype == DType::F32 { x } else { CubeBackend::float_cast(x, dtype.into()) }
    }

    #[test]
    fn tiles_on_devices_equal_plain_kernels() {
        // As in `crate::parity`: of a build with several backends, one may be tested.
        if std::env::var("BURN_DEVICE").is_ok_and(|device| device != "cuda") {
            return;
        }
        // Batch, channels in and out, size, kernel, stride, padding, dilation: whole tiles and parts of them, all edges of windows.
        let cases = [
            (2, 64, 64, [16, 24], 1, 1, 0, 1),
            (1, 128, 256, [33, 40], 3, 1, 1, 1),
            (2, 256, 128, [16, 32], 3, 1, 12, 12),
            (3, 72, 200, [9, 7], 3, 1, 1, 1),
            (1, 64, 128, [35, 64], 3, 2, 1, 1),
            (1, 64, 256, [34, 50], 1, 2, 0, 1),
            (2, 48, 24, [20, 36], 5, 1, 2, 1),
            (1, 512, 512, [12, 40], 3, 1, 2, 2),
            (2, 12, 36, [20, 36], 3, 1, 1, 1),
        ];
        for (dtype, tolerance) in [(DType::F32, 5e-3), (DType::BF16, 2e-2)] {
            for (case, (batch, channels, outputs, [h, w], kernel, stride, padding, dilation)) in
                cases.into_iter().enumerate()
            {
                let geometry = ConvGeometry { stride, padding, dilation };
                let [height, width] = [h, w].map(|length| geometry.output_len(length, kernel));
                let (x, grad) =
                    (map([batch, channels, h, w], dtype, 1), map([batch, outputs, height, width], dtype, 2));
                let weight = map([outputs, channels, kernel, kernel], dtype, 3);
                for computed in [Computed::Output, Computed::InputGradient, Computed::WeightGradient] {
                    assert!(fits(computed, &x, &weight.shape()));
                }
                let shapes = (x.shape(), weight.shape(), grad.shape());
                let of_x = direct::output(x.clone(), weight.clone(), shapes.2.clone(), geometry);
                let of_input = direct::grad_input(grad.clone(), weight.clone(), shapes.0.clone(), geometry);
                let of_weight = direct::grad_weight(x.clone(), grad.clone(), shapes.1.clone(), geometry);
                for (name, tiling) in conv::tilings() {
                    let (x, weight, grad) = (x.clone(), weight.clone(), grad.clone());
                    let results = [
                        (output(x.clone(), weight.clone(), shapes.2.clone(), geometry, tiling), &of_x),
                        (grad_input(grad.clone(), weight, shapes.0.clone(), geometry, tiling), &of_input),
                        (grad_weight(x, grad, shapes.1.clone(), geometry, tiling), &of_weight),
                    ];
                    for (what, (result, right)) in ["output", "input", "weight"].into_iter().zip(results) {
                        let Some(result) = result else { continue };
                        let apart = apart(&result, right).expect("values that are not 0");
                        println!("case {case} {dtype:?} {name} {what}: {apart:.1e}");
                        assert!(apart < tolerance, "case {case} in {dtype:?} by {name}, {what}: {apart} apart");
                    }
                }
            }
        }
    }
}
