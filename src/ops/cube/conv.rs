//! Gradients of 3×3 and larger convolutions as implicit matrix products.
//!
//! burn's own choice has a candidate that writes every tap of every pixel into a matrix, nine times its input; where it wins a
//! step needs that memory, and where it loses, having tried it has left the pool with pages of that size. The candidates here
//! read their operands where they are. Which is the fastest is measured once for each shape and kept.

use super::checked::{Gradient, Key, Way, checked};
use super::direct;
use crate::ops::ConvGeometry;
use crate::ops::portable::options;
use burn::backend::cubecl::dtype_to_storage_type;
use burn::backend::{DType, TensorMetadata};
use burn::tensor::Shape;
use burn_cubecl::CubeTuneId;
use burn_cubecl::cubecl::tune::{LocalTuner, Tunable, TunableSet, local_tuner};
use burn_cubecl::ops::numeric::empty_device_dtype;
use burn_cubecl::ops::{permute_nchw_to_nhwc, permute_nchw_to_nhwc_shape, permute_nhwc_to_nchw};
use burn_cubecl::tensor::CubeTensor;
use cubek::convolution::components::ConvSetupError;
use cubek::convolution::{
    AcceleratedTileKind, ConvAlgorithm, ConvolutionArgs, ConvolutionInputs, Strategy, launch_ref,
};
use cubek::matmul::definition::{MatmulElems, MatmulGlobalElems};
use cubek::std::InputBinding;
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Ways to compute an implicit matrix product, by name.
const ALGORITHMS: [(&str, ConvAlgorithm, AcceleratedTileKind); 6] = [
    ("sync_cmma", ConvAlgorithm::SimpleSyncCyclic, AcceleratedTileKind::Cmma),
    ("sync_mma", ConvAlgorithm::SimpleSyncStrided, AcceleratedTileKind::Mma),
    ("async_cmma", ConvAlgorithm::SimpleAsyncCyclic, AcceleratedTileKind::Cmma),
    ("async_mma", ConvAlgorithm::SimpleAsyncStrided, AcceleratedTileKind::Mma),
    ("tma_cmma", ConvAlgorithm::SimpleAsyncTma, AcceleratedTileKind::Cmma),
    ("tma_mma", ConvAlgorithm::SimpleAsyncTma, AcceleratedTileKind::Mma),
];

/// Gradient and weight, or input and gradient; the shape of the gradient that is wanted; the convolution's geometry.
type Inputs = (CubeTensor, CubeTensor, Shape, ConvGeometry);

/// Gradient of an input of this shape, of a convolution of stride 1.
pub(super) fn grad_input(grad: CubeTensor, weight: CubeTensor, input: Shape, geometry: ConvGeometry) -> CubeTensor {
    static TUNER: LocalTuner<Key, CubeTuneId> = local_tuner!();
    let inputs = (grad, weight, input, geometry);
    let key = |(grad, weight, input, geometry): &Inputs| {
        Key::new(input.clone(), weight.shape(), *geometry, grad.dtype, Gradient::Input)
    };
    right(&TUNER, key, implicit_grad_input, &inputs, &|| {
        let (grad, weight, input, geometry) = inputs.clone();
        direct::grad_input(grad, weight, input, geometry)
    })
}

/// Gradient of a weight of this shape.
pub(super) fn grad_weight(x: CubeTensor, grad: CubeTensor, weight: Shape, geometry: ConvGeometry) -> CubeTensor {
    static TUNER: LocalTuner<Key, CubeTuneId> = local_tuner!();
    let inputs = (x, grad, weight, geometry);
    let key =
        |(x, _, weight, geometry): &Inputs| Key::new(x.shape(), weight.clone(), *geometry, x.dtype, Gradient::Weight);
    right(&TUNER, key, implicit_grad_weight, &inputs, &|| {
        let (x, grad, weight, geometry) = inputs.clone();
        direct::grad_weight(x, grad, weight, geometry)
    })
}

type Compute = fn(Inputs, Strategy) -> Result<CubeTensor, ConvSetupError>;

/// By the candidate that is the fastest for these inputs; where its numbers are not those of `plain`, by another.
fn right(
    tuner: &'static LocalTuner<Key, CubeTuneId>,
    key: fn(&Inputs) -> Key,
    compute: Compute,
    inputs: &Inputs,
    plain: &dyn Fn() -> CubeTensor,
) -> CubeTensor {
    let by = |(_, algorithm, tile_kind): (&str, ConvAlgorithm, AcceleratedTileKind)| {
        compute(inputs.clone(), Strategy::Inferred { algorithm, tile_kind }).ok()
    };
    let chosen = || {
        // A tuner that has no candidate ends the program.
        let possible =
            is_possible(&inputs.0, key(inputs), || ALGORITHMS.into_iter().any(|algorithm| by(algorithm).is_some()));
        possible.then(|| fastest(tuner, key, compute, inputs))
    };
    let others = ALGORITHMS.map(|algorithm| move || by(algorithm));
    let mut ways: Vec<Way> = vec![&chosen];
    ways.extend(others.iter().map(|other| other as Way));
    checked(key(inputs), &inputs.0, &ways, plain)
}

fn fastest(
    tuner: &'static LocalTuner<Key, CubeTuneId>,
    key: fn(&Inputs) -> Key,
    compute: Compute,
    inputs: &Inputs,
) -> CubeTensor {
    let x = &inputs.0;
    let id = CubeTuneId::new(&x.client, &x.device);
    let candidates = tuner.init(&id, move || {
        ALGORITHMS.into_iter().fold(TunableSet::new(key, clone_inputs), |set, (name, algorithm, tile_kind)| {
            set.with(Tunable::new(name, move |inputs: Inputs| {
                compute(inputs, Strategy::Inferred { algorithm, tile_kind })
            }))
        })
    });
    tuner.execute(&id, &x.client, candidates, inputs.clone())
}

/// Whether any candidate takes these shapes on this device, asked once for each.
fn is_possible(x: &CubeTensor, key: Key, try_it: impl FnOnce() -> bool) -> bool {
    static KNOWN: LazyLock<Mutex<HashMap<(CubeTuneId, Key), bool>>> = LazyLock::new(Mutex::default);
    let key = (CubeTuneId::new(&x.client, &x.device), key);
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(possible) = known().get(&key) {
        return *possible;
    }
    let possible = try_it();
    known().insert(key, possible);
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
