//! Kernels that were chosen for their speed, checked for their numbers: on devices that multiply matrices in units of their own, a
//! process computes its first gradients of a shape by [`super::direct`] too, and outputs of its first size between two powers of two, and goes
//! on with what agrees.

use super::rows::{Rows, floats};
use crate::messages::say;
use crate::ops::ConvGeometry;
use burn::backend::DType;
use burn::backend::cubecl::dtype_to_storage_type;
use burn::tensor::Shape;
use burn_cubecl::CubeTuneId;
use burn_cubecl::cubecl::{self, prelude::*, tune::AutotuneKey};
use burn_cubecl::tensor::CubeTensor;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// What of a convolution is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Computed {
    Output,
    InputGradient,
    WeightGradient,
}

/// What the choice of a kernel depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Key {
    computed: Computed,
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
    pub fn new(input: Shape, weight: Shape, geometry: ConvGeometry, dtype: DType, computed: Computed) -> Self {
        let ConvGeometry { stride, padding, dilation } = geometry;
        let (input, weight) = (input.to_vec(), weight.to_vec());
        Self { computed, input, weight, geometry: [stride, padding, dilation], dtype }
    }

    /// One key for all sizes up to a power of two. It is for kernels that take maps of any size: a folder of images that all
    /// differ in size would otherwise wait for the tuner at each of them.
    pub fn up_to_a_power_of_two(mut self) -> Self {
        self.input[2..].iter_mut().for_each(|length| *length = length.next_power_of_two());
        self
    }

    /// Most that a right kernel is apart, of the largest value: tensor cores round float32 to ten bits, and add in any order.
    const fn tolerance(&self) -> f32 {
        match self.dtype {
            DType::F16 | DType::BF16 => 2e-2,
            _ => 5e-3,
        }
    }
}

/// A way to compute an output or a gradient; `None` where it does not take the shapes.
pub(super) type Way<'a> = &'a dyn Fn() -> Option<CubeTensor>;

/// Whether the device multiplies matrices in units of their own.
pub(super) fn is_accelerated(x: &CubeTensor) -> bool {
    let features = &x.client.properties().features.matmul;
    !features.cmma.is_empty() || !features.mma.is_empty()
}

/// By the first of `ways` that computes what `plain` does; without such units nothing is checked.
pub(super) fn checked(key: Key, like: &CubeTensor, ways: &[Way], plain: &dyn Fn() -> CubeTensor) -> CubeTensor {
    if is_accelerated(like) {
        return first_right(key, like, ways, plain);
    }
    ways.iter().find_map(|compute| compute()).unwrap_or_else(plain)
}

/// Whether the first of the ways is known to be right for this.
pub(super) fn is_settled(key: &Key, like: &CubeTensor) -> bool {
    let id = CubeTuneId::new(&like.client, &like.device);
    all_known().get(&(id, key.clone())) == Some(&0)
}

fn first_right(key: Key, like: &CubeTensor, ways: &[Way], plain: &dyn Fn() -> CubeTensor) -> CubeTensor {
    let tolerance = key.tolerance();
    let id = (CubeTuneId::new(&like.client, &like.device), key);
    let known = all_known().get(&id).copied();
    if let Some(way) = known {
        return ways.get(way).and_then(|compute| compute()).unwrap_or_else(plain);
    }
    let mut right = None;
    for (way, compute) in ways.iter().enumerate() {
        let Some(result) = compute() else { continue };
        let right = right.get_or_insert_with(plain);
        match apart(&result, right) {
            // All of it is 0 or not finite, and says nothing: the next step asks again.
            None => return right.clone(),
            Some(apart) if apart <= tolerance => {
                all_known().insert(id, way);
                return result;
            }
            Some(apart) => tell(&id.1, apart),
        }
    }
    all_known().insert(id, ways.len());
    right.unwrap_or_else(plain)
}

/// Index of the way to take for a shape; one more than the last is the plain kernel.
type Knowledge = HashMap<(CubeTuneId, Key), usize>;

fn all_known() -> MutexGuard<'static, Knowledge> {
    static KNOWN: LazyLock<Mutex<Knowledge>> = LazyLock::new(Mutex::default);
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(key: &Key, apart: f32) {
    let Key { computed, input, weight, geometry: [stride, padding, dilation], dtype } = key;
    let what = match computed {
        Computed::Output => "output",
        Computed::InputGradient => "gradient of the input",
        Computed::WeightGradient => "gradient of the weight",
    };
    say(format_args!(
        "a kernel of this GPU is wrong: {what} of a convolution {weight:?} of {input:?} in {dtype:?} (stride \
         {stride}, padding {padding}, dilation {dilation}), {apart:.1e} of its largest value apart; another takes its place"
    ));
}

/// Cubes and units of a comparison.
const CUBES: usize = 256;
const UNITS: usize = 256;
/// Stands for a value that is not finite.
const BEYOND: f32 = 1e38;

/// Largest difference, of the largest value of `right`, infinite where `result` was never computed; `None` where the largest value is
/// 0 or not finite. Both are `[batch, channels, height, width]`, or a weight.
pub(super) fn apart(result: &CubeTensor, right: &CubeTensor) -> Option<f32> {
    let (result, right) = (Rows::of(result.clone()), Rows::of(right.clone()).stored_as(result.dtype));
    let [_, channels, ..] = right.dims();
    let client = right.tensor.client.clone();
    let units = UNITS.min(client.properties().hardware.max_units_per_cube as usize);
    let largest = floats(&right.tensor, 2 * CUBES);
    // SAFETY: units pass over what lies behind the last value.
    unsafe {
        largest_apart::launch_unchecked(
            &client,
            CubeCount::Static(CUBES as u32, 1, 1),
            CubeDim::new_1d(units as u32),
            result.tensor.required_address_type().max(right.tensor.required_address_type()),
            result.arg(),
            right.arg(),
            largest.clone().into_buffer_arg(),
            right.number() * channels,
            channels,
            result.pitch,
            right.pitch,
            units,
            CUBES,
            BEYOND,
            dtype_to_storage_type(right.tensor.dtype),
        );
    }
    // What a kernel that did not run was to write cannot be read, nor what is made of it.
    let Ok(bytes) = client.read_one(largest.handle) else { return Some(f32::INFINITY) };
    let values: Vec<f32> =
        bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().expect("four bytes"))).collect();
    let (apart, right) = values.split_at(CUBES);
    let most = |values: &[f32]| values.iter().copied().fold(0.0, f32::max);
    let (apart, right) = (most(apart), most(right));
    (right > 0.0 && right < BEYOND).then(|| apart / right)
}

/// How far a value is from 0.
#[cube]
fn magnitude(value: f32, beyond: f32) -> f32 {
    let magnitude = f32::abs(value);
    // What is not a number is not below anything.
    select(magnitude < beyond, magnitude, beyond)
}

/// Largest difference and largest right value of each cube's share: `[2, cubes]`.
#[cube(launch_unchecked, address_type = "dynamic")]
fn largest_apart<F: Float>(
    result: &[F],
    right: &[F],
    largest: &mut [f32],
    values: usize,
    channels: usize,
    result_pitch: usize,
    right_pitch: usize,
    #[comptime] units: usize,
    #[comptime] cubes: usize,
    beyond: f32,
    #[define(F)] _stored: ElemType,
) {
    let mut apart_of = Shared::<[f32]>::new_slice(units);
    let mut right_of = Shared::<[f32]>::new_slice(units);
    let own = UNIT_POS_X as usize;
    let mut most_apart = 0.0f32;
    let mut most_right = 0.0f32;
    let mut at = CUBE_POS_X as usize * units + own;
    while at < values {
        let row = at / channels;
        let channel = at - row * channels;
        let wanted = f32::cast_from(right[row * right_pitch + channel]);
        let apart = magnitude(f32::cast_from(result[row * result_pitch + channel]) - wanted, beyond);
        let size = magnitude(wanted, beyond);
        most_apart = select(apart > most_apart, apart, most_apart);
        most_right = select(size > most_right, size, most_right);
        at += units * cubes;
    }
    apart_of[own] = most_apart;
    right_of[own] = most_right;
    sync_cube();
    if own == 0 {
        for other in 1..units {
            let apart = apart_of[other];
            let size = right_of[other];
            most_apart = select(apart > most_apart, apart, most_apart);
            most_right = select(size > most_right, size, most_right);
        }
        largest[CUBE_POS_X as usize] = most_apart;
        largest[cubes + CUBE_POS_X as usize] = most_right;
    }
}

#[cfg(all(test, feature = "vulkan"))]
mod tests {
    use super::*;
    use burn::backend::TensorMetadata;
    use burn::backend::ops::FloatTensorOps;
    use burn::tensor::TensorData;
    use burn_cubecl::{CubeBackend, CubeDevice};

    fn map(values: Vec<f32>) -> CubeTensor {
        let shape = [1, 2, 3, values.len() / 6];
        CubeBackend::float_from_data(TensorData::new(values, shape), &CubeDevice::Wgpu(Default::default()))
    }

    #[test]
    fn wrong_kernels_on_devices_are_passed_over() {
        let right: Vec<f32> = (0..6000).map(|i| (i % 17) as f32 - 8.0).collect();
        let changed = |by: f32| {
            let mut values = right.clone();
            values[4321] += by;
            map(values)
        };
        let geometry = ConvGeometry { stride: 1, padding: 0, dilation: 1 };
        let plain = || map(right.clone());
        let like = plain();
        let (refuses, is_wrong, is_close) = (|| None, || Some(changed(0.1)), || Some(changed(0.01)));
        let ways: [Way; 3] = [&refuses, &is_wrong, &is_close];
        assert!((apart(&changed(0.1), &like).unwrap() - 0.1 / 8.0).abs() < 1e-5);
        assert_eq!(apart(&like, &map(vec![0.0; 6000])), None);
        assert!(apart(&changed(f32::NAN), &like).unwrap() > 1.0);
        let nothing = || map(vec![0.0; 6000]);
        for _ in 0..2 {
            let key = Key::new(like.shape(), Shape::new([9; 4]), geometry, DType::F32, Computed::WeightGradient);
            let result = first_right(key, &like, &[&is_wrong], &nothing);
            assert_eq!(apart(&like, &result), None, "a gradient of 0 settles nothing");
        }
        for (number, ways, expected) in [(1, &ways[..], 0.01), (2, &ways[..2], 0.0)] {
            let key =
                || Key::new(like.shape(), Shape::new([number; 4]), geometry, DType::F32, Computed::WeightGradient);
            // At first by comparison, then by what is known.
            for _ in 0..2 {
                let result = first_right(key(), &like, ways, &plain);
                assert!((apart(&result, &like).unwrap() - expected / 8.0).abs() < 1e-6);
            }
        }
    }
}
