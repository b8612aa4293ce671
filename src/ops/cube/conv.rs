//! Gradients of 3×3 and larger convolutions as implicit matrix products.
//!
//! burn's own choice has a candidate that writes every tap of every pixel into a matrix, nine times its input; where it wins a
//! step needs that memory, and where it loses, having tried it has left the pool with pages of that size. The candidates here
//! read their operands where they are. Which is the fastest is measured once for each shape and kept.

use crate::ops::ConvGeometry;
use crate::ops::portable::options;
use burn::backend::cubecl::dtype_to_storage_type;
use burn::backend::{DType, TensorMetadata};
use burn::tensor::Shape;
use burn_cubecl::CubeTuneId;
use burn_cubecl::cubecl::tune::{AutotuneKey, LocalTuner, Tunable, TunableSet, local_tuner};
use burn_cubecl::kernel::conv::{ConvStrategy, conv_weight_backward};
use burn_cubecl::ops::numeric::empty_device_dtype;
use burn_cubecl::ops::{permute_nchw_to_nhwc, permute_nchw_to_nhwc_shape, permute_nhwc_to_nchw};
use burn_cubecl::tensor::CubeTensor;
use cubek::convolution::components::ConvSetupError;
use cubek::convolution::{
    AcceleratedTileKind, ConvAlgorithm, ConvolutionArgs, ConvolutionInputs, Strategy, launch_ref,
};
use cubek::matmul::definition::{MatmulElems, MatmulGlobalElems};
use cubek::std::InputBinding;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Ways to compute an implicit matrix product, by name.
const ALGORITHMS: [(&str, ConvAlgorithm, AcceleratedTileKind); 6] = [
    ("sync_cmma", ConvAlgorithm::SimpleSyncCyclic, AcceleratedTileKind::Cmma),
    ("sync_mma", ConvAlgorithm::SimpleSyncStrided, AcceleratedTileKind::Mma),
    ("async_cmma", ConvAlgorithm::SimpleAsyncCyclic, AcceleratedTileKind::Cmma),
    ("async_mma", ConvAlgorithm::SimpleAsyncStrided, AcceleratedTileKind::Mma),
    ("tma_cmma", ConvAlgorithm::SimpleAsyncTma, AcceleratedTileKind::Cmma),
    ("tma_mma", ConvAlgorithm::SimpleAsyncTma, AcceleratedTileKind::Mma),
];

/// Whose gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Gradient {
    Input,
    Weight,
}

/// What a choice depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Key {
    gradient: Gradient,
    /// `[batch, channels, height, width]`
    input: Vec<usize>,
    /// `[channels_out, channels_in, kernel, kernel]`
    weight: Vec<usize>,
    /// Stride, padding, dilation.
    geometry: [usize; 3],
    dtype: DType,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl AutotuneKey for Key {}

impl Key {
    fn new(input: Shape, weight: Shape, geometry: ConvGeometry, dtype: DType, gradient: Gradient) -> Self {
        let ConvGeometry { stride, padding, dilation } = geometry;
        let (input, weight) = (input.to_vec(), weight.to_vec());
        Self { gradient, input, weight, geometry: [stride, padding, dilation], dtype }
    }
}

/// Gradient and weight, or input and gradient; the shape of the gradient that is wanted; the convolution's geometry.
pub(super) type Inputs = (CubeTensor, CubeTensor, Shape, ConvGeometry);

/// Whether the device multiplies matrices in units of their own, without which no candidate here can run.
pub(super) fn is_accelerated(x: &CubeTensor) -> bool {
    let features = &x.client.properties().features.matmul;
    !features.cmma.is_empty() || !features.mma.is_empty()
}

/// Gradient of an input of this shape, of a convolution of stride 1; `None` where no candidate computes it.
pub(super) fn grad_input(inputs: &Inputs) -> Option<CubeTensor> {
    static TUNER: LocalTuner<Key, CubeTuneId> = local_tuner!();
    let key = |(grad, weight, input, geometry): &Inputs| {
        Key::new(input.clone(), weight.shape(), *geometry, grad.dtype, Gradient::Input)
    };
    chosen(&TUNER, key, implicit_grad_input, inputs)
}

/// Gradient of a weight of this shape; `None` where no candidate computes it.
pub(super) fn grad_weight(inputs: &Inputs) -> Option<CubeTensor> {
    static TUNER: LocalTuner<Key, CubeTuneId> = local_tuner!();
    let key =
        |(x, _, weight, geometry): &Inputs| Key::new(x.shape(), weight.clone(), *geometry, x.dtype, Gradient::Weight);
    chosen(&TUNER, key, implicit_grad_weight, inputs)
}

/// Pixels that the products of a weight's gradient add up at a time, at most.
const PIXELS: usize = 256;

/// Whether a weight's gradient adds up whole tiles of output pixels. On an H200 with cubek 0.3.1, weight gradients over 48 and 144
/// pixels were off by up to three quarters of their largest value, by burn's choice of kernel and by ours; forward convolutions
/// were not. The suspicion is a last tile that is not whole: such gradients go through the forward kernels.
pub(super) fn is_whole(grad: &CubeTensor) -> bool {
    let [batch, _, height, width] = grad.shape().dims::<4>();
    (batch * height * width).is_multiple_of(PIXELS)
}

/// Gradient of a weight of this shape as a convolution of the input by the output's gradient.
pub(super) fn grad_weight_by_forward(
    x: CubeTensor,
    grad: CubeTensor,
    weight: Shape,
    geometry: ConvGeometry,
) -> CubeTensor {
    conv_weight_backward(x, grad, weight, options(geometry), ConvStrategy::Direct).expect("it takes every shape")
}

type Compute = fn(Inputs, Strategy) -> Result<CubeTensor, ConvSetupError>;

/// By the candidate that is the fastest for these inputs.
fn chosen(
    tuner: &'static LocalTuner<Key, CubeTuneId>,
    key: fn(&Inputs) -> Key,
    compute: Compute,
    inputs: &Inputs,
) -> Option<CubeTensor> {
    let x = &inputs.0;
    if !is_possible(key(inputs), || {
        ALGORITHMS.iter().any(|&(_, algorithm, tile_kind)| {
            compute(inputs.clone(), Strategy::Inferred { algorithm, tile_kind }).is_ok()
        })
    }) {
        return None;
    }
    let id = CubeTuneId::new(&x.client, &x.device);
    let candidates = tuner.init(&id, move || {
        ALGORITHMS.into_iter().fold(TunableSet::new(key, clone_inputs), |set, (name, algorithm, tile_kind)| {
            set.with(Tunable::new(name, move |inputs: Inputs| {
                compute(inputs, Strategy::Inferred { algorithm, tile_kind })
            }))
        })
    });
    Some(tuner.execute(&id, &x.client, candidates, inputs.clone()))
}

/// Whether any candidate takes these shapes, asked once for each: a tuner with none ends the program.
fn is_possible(key: Key, try_it: impl FnOnce() -> bool) -> bool {
    static KNOWN: Mutex<Vec<(Key, bool)>> = Mutex::new(Vec::new());
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, possible)) = known().iter().find(|(known, _)| *known == key) {
        return *possible;
    }
    let possible = try_it();
    known().push((key, possible));
    possible
}

fn clone_inputs(_: &Key, inputs: &Inputs) -> Inputs {
    inputs.clone()
}

fn implicit_grad_input(
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

fn implicit_grad_weight((x, grad, weight, geometry): Inputs, strategy: Strategy) -> Result<CubeTensor, ConvSetupError> {
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
