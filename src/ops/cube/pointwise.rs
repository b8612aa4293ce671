//! Gradients of 1×1 convolutions: products of matrices, one row a pixel.
//!
//! burn's choice for the weight has a candidate that copies input and gradient with the batch innermost, padded to a vector: twice
//! their size for two images, and the pool's pages stay that large.

use super::rows::Rows;
use crate::ops::ConvGeometry;
use burn::backend::ops::FloatTensorOps;
use burn::backend::{DType, TensorMetadata};
use burn::tensor::{Shape, Slice};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::matmul::{MatmulStrategy, matmul};
use burn_cubecl::ops::{permute_nchw_to_nhwc, permute_nhwc_to_nchw};
use burn_cubecl::tensor::CubeTensor;

/// Fewest pixels of a part of a sum over pixels.
const PART: usize = 2048;
/// Most parts, and most values of all their products together: 32 MiB.
const MOST_PARTS: usize = 64;
const MOST_VALUES: usize = 8 << 20;

/// Whether a convolution of this weight is a product of matrices.
pub(super) fn is_pointwise(weight: &Shape, geometry: ConvGeometry) -> bool {
    weight[2] == 1 && weight[3] == 1 && geometry.padding == 0
}

/// Gradient of an input of this shape.
pub(super) fn grad_input(
    grad: CubeTensor,
    weight: CubeTensor,
    input: Shape,
    geometry: ConvGeometry,
) -> Option<CubeTensor> {
    let [outputs, channels, ..] = weight.shape().dims::<4>();
    let (shape, dtype) = (grad.shape(), grad.dtype);
    let matrix = CubeBackend::float_reshape(weight, Shape::new([outputs, channels]));
    let rows = matmul(pixels(grad), matrix, None, MatmulStrategy::default(), dtype).ok()?;
    Some(spread(rows, shape, &input, geometry.stride))
}

/// Gradient of a weight of this shape, in the gradient's number format; with `divided`, its sum in parts, in float32.
pub(super) fn grad_weight(
    x: CubeTensor,
    grad: CubeTensor,
    weight: Shape,
    geometry: ConvGeometry,
    divided: bool,
) -> Option<CubeTensor> {
    let matrices = (pixels(grad), pixels(every(x, geometry.stride)));
    let product = if divided { product_of_parts(matrices) } else { product(matrices) }?;
    Some(CubeBackend::float_reshape(product, weight))
}

/// `[batch, channels, height, width]` as `[batch·height·width, channels]`.
fn pixels(x: CubeTensor) -> CubeTensor {
    let rows = Rows::of(x);
    let (number, [_, channels, ..]) = (rows.number(), rows.dims());
    CubeBackend::float_reshape(permute_nchw_to_nhwc(rows.tensor), Shape::new([number, channels]))
}

/// Every `stride`-th pixel of each direction.
fn every(x: CubeTensor, stride: usize) -> CubeTensor {
    if stride == 1 {
        return x;
    }
    let x = permute_nchw_to_nhwc(x);
    let [batch, height, width, channels] = x.shape().dims::<4>();
    permute_nhwc_to_nchw(CubeBackend::float_slice(x, &slices([batch, height, width, channels], stride)))
}

/// Rows of output pixels at their places in a map of shape `input`, and 0 between them.
fn spread(rows: CubeTensor, grad: Shape, input: &Shape, stride: usize) -> CubeTensor {
    let ([batch, channels, height, width], [_, _, out_height, out_width]) = (input.dims::<4>(), grad.dims::<4>());
    let map = CubeBackend::float_reshape(rows, Shape::new([batch, out_height, out_width, channels]));
    if stride == 1 {
        return permute_nhwc_to_nchw(map);
    }
    let shape = [batch, height, width, channels];
    let zeros = CubeBackend::float_zeros(Shape::new(shape), &map.device, map.dtype.into());
    permute_nhwc_to_nchw(CubeBackend::float_slice_assign(zeros, &slices(shape, stride), map))
}

fn slices([batch, height, width, channels]: [usize; 4], stride: usize) -> [Slice; 4] {
    [(batch, 1), (height, stride), (width, stride), (channels, 1)]
        .map(|(length, step)| Slice::new(0, Some(length as isize), step as isize))
}

/// Gradient `[pixels, channels_out]` and input `[pixels, channels_in]`.
type Matrices = (CubeTensor, CubeTensor);

fn product((grad, x): Matrices) -> Option<CubeTensor> {
    let dtype = grad.dtype;
    matmul(CubeBackend::float_swap_dims(grad, 0, 1), x, None, MatmulStrategy::default(), dtype).ok()
}

/// The sum over pixels in parts that are computed beside each other: it is long, and what it makes is small.
fn product_of_parts((grad, x): Matrices) -> Option<CubeTensor> {
    let ([number, outputs], [_, channels]) = (grad.shape().dims::<2>(), x.shape().dims::<2>());
    let Some(parts) = parts(number, outputs * channels) else { return product((grad, x)) };
    let cut = |matrix, columns| CubeBackend::float_reshape(matrix, Shape::new([parts, number / parts, columns]));
    let (grad, x) = (cut(grad, outputs), cut(x, channels));
    let products =
        matmul(CubeBackend::float_swap_dims(grad, 1, 2), x, None, MatmulStrategy::default(), DType::F32).ok()?;
    let sum = CubeBackend::float_sum_dim(products, 0);
    Some(CubeBackend::float_reshape(sum, Shape::new([outputs, channels])))
}

/// Number of equal parts, a power of two, for a sum over `number` pixels with `values` results.
fn parts(number: usize, values: usize) -> Option<usize> {
    let most = (number / PART).min(MOST_PARTS).min(MOST_VALUES / values);
    (1..=most.checked_ilog2()?).rev().map(|power| 1 << power).find(|parts| number.is_multiple_of(*parts))
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn parts_are_equal_and_not_too_short() {
        assert_eq!(parts(16_384, 4096), Some(8));
        assert_eq!(parts(1 << 20, 4096), Some(64));
        assert_eq!(parts(8100, 4096), Some(2));
        assert_eq!(parts(4095, 4096), None);
        assert_eq!(parts(4097, 4096), None);
        assert_eq!(parts(0, 4096), None);
        assert_eq!(parts(131_072, 2048 * 512), Some(8), "of large weights fewer");
    }
}
