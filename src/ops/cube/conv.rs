//! Convolutions and their gradients, each by whichever of several kernels is the fastest for its shape: measured once and kept.

use super::checked::{Computed, Key, Way, checked, is_settled};
use super::tiles::{self, Tiling};
use super::{direct, implicit, pointwise};
use crate::ops::ConvGeometry;
use burn::backend::TensorMetadata;
use burn::tensor::Shape;
use burn_cubecl::CubeTuneId;
use burn_cubecl::cubecl::tune::{LocalTuner, Tunable, TunableSet, local_tuner};
use burn_cubecl::tensor::CubeTensor;
use cubek::convolution::{AcceleratedTileKind, ConvAlgorithm, Strategy};
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

/// What is computed from: input and weight, gradient and weight, or input and gradient; the shape of the result; the convolution's
/// geometry.
pub(super) type Inputs = (CubeTensor, CubeTensor, Shape, ConvGeometry);

/// A way to compute a convolution or a gradient of it.
#[derive(Clone, Copy)]
enum By {
    /// A product of matrices, of 1×1 convolutions.
    Product,
    /// Such a product in parts.
    Parts,
    Implicit(ConvAlgorithm, AcceleratedTileKind),
    Tiles(Tiling),
}

/// Our own kernels, for tensor cores.
const TILES: [(&str, By); 6] = [
    ("tiles_64x32", By::Tiles(Tiling { planes: [2, 1], rows: 2, columns: 4 })),
    ("tiles_64x64", By::Tiles(Tiling { planes: [2, 2], rows: 2, columns: 4 })),
    ("tiles_128x64", By::Tiles(Tiling { planes: [2, 2], rows: 4, columns: 4 })),
    ("tiles_128x128", By::Tiles(Tiling { planes: [2, 2], rows: 4, columns: 8 })),
    ("tiles_128x128_of_eight", By::Tiles(Tiling { planes: [2, 4], rows: 4, columns: 4 })),
    ("tiles_128x256", By::Tiles(Tiling { planes: [2, 4], rows: 4, columns: 8 })),
];

/// Kernels of burn and cubek, for devices and shapes that ours do not take.
const OTHERS: [(&str, By); 8] = [
    ("product", By::Product),
    ("product_of_parts", By::Parts),
    ("sync_cmma", By::Implicit(ConvAlgorithm::SimpleSyncCyclic, AcceleratedTileKind::Cmma)),
    ("sync_mma", By::Implicit(ConvAlgorithm::SimpleSyncStrided, AcceleratedTileKind::Mma)),
    ("async_cmma", By::Implicit(ConvAlgorithm::SimpleAsyncCyclic, AcceleratedTileKind::Cmma)),
    ("async_mma", By::Implicit(ConvAlgorithm::SimpleAsyncStrided, AcceleratedTileKind::Mma)),
    ("tma_cmma", By::Implicit(ConvAlgorithm::SimpleAsyncTma, AcceleratedTileKind::Cmma)),
    ("tma_mma", By::Implicit(ConvAlgorithm::SimpleAsyncTma, AcceleratedTileKind::Mma)),
];

/// Tilings of our own kernels.
#[cfg(all(test, feature = "cuda"))]
pub(super) fn tilings() -> impl Iterator<Item = (&'static str, Tiling)> {
    TILES.into_iter().filter_map(|(name, by)| if let By::Tiles(tiling) = by { Some((name, tiling)) } else { None })
}

/// Output of this shape, of a convolution that [`tiles::fits`].
pub(super) fn output(x: CubeTensor, weight: CubeTensor, output: Shape, geometry: ConvGeometry) -> CubeTensor {
    static TUNER: LocalTuner<Key, CubeTuneId> = local_tuner!();
    let key = |(x, weight, _, geometry): &Inputs| {
        Key::new(x.shape(), weight.shape(), *geometry, x.dtype, Computed::Output).up_to_a_power_of_two()
    };
    right(&TUNER, key, &TILES, compute_output, &(x, weight, output, geometry), |(x, weight, output, geometry)| {
        direct::output(x, weight, output, geometry)
    })
}

/// Gradient of an input of this shape.
pub(super) fn grad_input(grad: CubeTensor, weight: CubeTensor, input: Shape, geometry: ConvGeometry) -> CubeTensor {
    static TILED: LocalTuner<Key, CubeTuneId> = local_tuner!();
    static OTHER: LocalTuner<Key, CubeTuneId> = local_tuner!();
    let key = |(grad, weight, input, geometry): &Inputs| {
        Key::new(input.clone(), weight.shape(), *geometry, grad.dtype, Computed::InputGradient)
    };
    let (tuner, candidates): (_, &[_]) =
        if tiles::fits(Computed::InputGradient, &grad, &weight.shape()) { (&TILED, &TILES) } else { (&OTHER, &OTHERS) };
    let inputs = (grad, weight, input, geometry);
    right(tuner, key, candidates, compute_grad_input, &inputs, |(grad, weight, input, geometry)| {
        direct::grad_input(grad, weight, input, geometry)
    })
}

/// Gradient of a weight of this shape.
pub(super) fn grad_weight(x: CubeTensor, grad: CubeTensor, weight: Shape, geometry: ConvGeometry) -> CubeTensor {
    static TILED: LocalTuner<Key, CubeTuneId> = local_tuner!();
    static OTHER: LocalTuner<Key, CubeTuneId> = local_tuner!();
    let key = |(x, _, weight, geometry): &Inputs| {
        Key::new(x.shape(), weight.clone(), *geometry, x.dtype, Computed::WeightGradient)
    };
    let (tuner, candidates): (_, &[_]) =
        if tiles::fits(Computed::WeightGradient, &x, &weight) { (&TILED, &TILES) } else { (&OTHER, &OTHERS) };
    let inputs = (x, grad, weight, geometry);
    right(tuner, key, candidates, compute_grad_weight, &inputs, |(x, grad, weight, geometry)| {
        direct::grad_weight(x, grad, weight, geometry)
    })
}

fn compute_output((x, weight, output, geometry): Inputs, by: By) -> Option<CubeTensor> {
    match by {
        By::Tiles(tiling) => tiles::output(x, weight, output, geometry, tiling),
        _ => None,
    }
}

fn compute_grad_input((grad, weight, input, geometry): Inputs, by: By) -> Option<CubeTensor> {
    let is_pointwise = pointwise::is_pointwise(&weight.shape(), geometry);
    match by {
        By::Product if is_pointwise => pointwise::grad_input(grad, weight, input, geometry),
        By::Implicit(algorithm, tile_kind) if !is_pointwise => {
            implicit::grad_input((grad, weight, input, geometry), Strategy::Inferred { algorithm, tile_kind }).ok()
        }
        By::Tiles(tiling) => tiles::grad_input(grad, weight, input, geometry, tiling),
        _ => None,
    }
}

fn compute_grad_weight((x, grad, weight, geometry): Inputs, by: By) -> Option<CubeTensor> {
    let is_pointwise = pointwise::is_pointwise(&weight, geometry);
    match by {
        By::Product if is_pointwise => pointwise::grad_weight(x, grad, weight, geometry, false),
        By::Parts if is_pointwise => pointwise::grad_weight(x, grad, weight, geometry, true),
        By::Implicit(algorithm, tile_kind) if !is_pointwise => {
            implicit::grad_weight((x, grad, weight, geometry), Strategy::Inferred { algorithm, tile_kind }).ok()
        }
        By::Tiles(tiling) => tiles::grad_weight(x, grad, weight, geometry, tiling),
        _ => None,
    }
}

/// By the candidate that is the fastest for these inputs; where its numbers are not those of `plain`, by another.
fn right(
    tuner: &'static LocalTuner<Key, CubeTuneId>,
    key: fn(&Inputs) -> Key,
    candidates: &'static [(&'static str, By)],
    compute: fn(Inputs, By) -> Option<CubeTensor>,
    inputs: &Inputs,
    plain: fn(Inputs) -> CubeTensor,
) -> CubeTensor {
    let own = key(inputs);
    if is_settled(&own, &inputs.0) {
        return fastest(tuner, key, candidates, compute, inputs);
    }
    let chosen = || {
        // A tuner that has no candidate ends the program.
        let any = || candidates.iter().any(|(_, by)| compute(inputs.clone(), *by).is_some());
        let possible = is_possible(&inputs.0, own.clone(), any);
        possible.then(|| fastest(tuner, key, candidates, compute, inputs))
    };
    let others: Vec<_> = candidates.iter().map(|(_, by)| move || compute(inputs.clone(), *by)).collect();
    let mut ways: Vec<Way> = vec![&chosen];
    ways.extend(others.iter().map(|other| other as Way));
    checked(own.clone(), &inputs.0, &ways, &|| plain(inputs.clone()))
}

fn fastest(
    tuner: &'static LocalTuner<Key, CubeTuneId>,
    key: fn(&Inputs) -> Key,
    candidates: &'static [(&'static str, By)],
    compute: fn(Inputs, By) -> Option<CubeTensor>,
    inputs: &Inputs,
) -> CubeTensor {
    let x = &inputs.0;
    let id = CubeTuneId::new(&x.client, &x.device);
    let candidates = tuner.init(&id, move || {
        let none = TunableSet::new(key, |_: &Key, inputs: &Inputs| inputs.clone());
        candidates.iter().fold(none, |set, &(name, by)| {
            set.with(Tunable::new(name, move |inputs: Inputs| compute(inputs, by).ok_or("not taken")))
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
