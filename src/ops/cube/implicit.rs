//! Gradients of 3×3 and larger convolutions as cubek's implicit matrix products.
//!
//! burn's own choice has a candidate that writes every tap of every pixel into a matrix, nine times its input; where it wins a
//! step needs that memory, and where it loses, having tried it has left the pool with pages of that size. These read their operands where
//! they are.

use super::conv::Inputs;
use crate::ops::ConvGeometry;
use crate::ops::portable::options;
use burn::backend::DType;
use burn::backend::cubecl::dtype_to_storage_type;
use burn_cubecl::ops::numeric::empty_device_dtype;
use burn_cubecl::ops::{permute_nchw_to_nhwc, permute_nchw_to_nhwc_shape, permute_nhwc_to_nchw};
use burn_cubecl::tensor::CubeTensor;
use cubek::convolution::components::ConvSetupError;
use cubek::convolution::{ConvolutionArgs, ConvolutionInputs, Strategy, launch_ref};
use cubek::matmul::definition::{MatmulElems, MatmulGlobalElems};
use cubek::std::InputBinding;

pub(super) fn grad_input(
    (grad, weight, input, geometry): Inputs,
    strategy: Strategy,
) -> Result<CubeTensor, ConvSetupError> {
    let (grad, weight) = (permute_nchw_to_nhwc(grad), permute_nchw_to_nhwc(weight));
    let (client, device, dtype) = (grad.client.clone(), grad.device.clone(), grad.dtype);
    let result = empty_device_dtype(client.clone(), device, permute_nchw_to_nhwc_shape(input), dtype);
    let elements = elements(dtype, weight.dtype);
    let inputs = ConvolutionInputs::BackwardData {
        out_grad: binding(grad),
        weights: binding(weight),
        in_grad: result.clone().binding(),
    };
    launch_ref::<2>(&strategy, &client, inputs, arguments(geometry), elements)?;
    Ok(permute_nhwc_to_nchw(result))
}

pub(super) fn grad_weight(
    (x, grad, weight, geometry): Inputs,
    strategy: Strategy,
) -> Result<CubeTensor, ConvSetupError> {
    let (x, grad) = (permute_nchw_to_nhwc(x), permute_nchw_to_nhwc(grad));
    let (client, device, dtype) = (x.client.clone(), x.device.clone(), grad.dtype);
    let result = empty_device_dtype(client.clone(), device, permute_nchw_to_nhwc_shape(weight), dtype);
    let elements = elements(x.dtype, dtype);
    let inputs = ConvolutionInputs::BackwardWeight {
        input: binding(x),
        out_grad: binding(grad),
        weight_grad: result.clone().binding(),
    };
    launch_ref::<2>(&strategy, &client, inputs, arguments(geometry), elements)?;
    Ok(permute_nhwc_to_nchw(result))
}

fn binding(x: CubeTensor) -> InputBinding {
    let element = dtype_to_storage_type(x.dtype);
    InputBinding::new(x.binding(), element)
}

/// Number formats of a product whose result is in the left operand's.
fn elements(left: DType, right: DType) -> MatmulElems {
    let [lhs, rhs, out] = [left, right, left].map(dtype_to_storage_type);
    MatmulElems::from_globals(&MatmulGlobalElems { lhs, rhs, out })
}

fn arguments(geometry: ConvGeometry) -> ConvolutionArgs<2> {
    let options = options(geometry);
    ConvolutionArgs { stride: options.stride, padding: options.padding_begin(), dilation: options.dilation }
}
