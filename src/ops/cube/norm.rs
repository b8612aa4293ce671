//! BatchNorm with the batch's own statistics, an optional residual and an optional ReLU: two passes over the input forward, two
//! over input and gradient backward.
//!
//! A pass of sums divides the rows into chunks, one cube each; a small second kernel adds the chunks up, always in the same
//! order. Means and variances are merged by Chan's formula, so that no large sum of squares is ever taken from another.

use super::norm_kernels::{chunk_moments, grad_input, gradient_sums, merge_moments, merge_sums, normalize};
use super::rows::{Rows, floats, vector_size};
use super::sums::{LANES, LEVELS, merging};
use crate::ops::backend::{Act, MOMENTUM, unbiasing};
use burn::backend::cubecl::dtype_to_storage_type;
use burn_cubecl::cubecl::{calculate_cube_count_elemwise, prelude::*};
use burn_cubecl::tensor::CubeTensor;

/// Units of a cube of a pass of sums.
const UNITS: usize = 256;
/// Cubes that a pass of sums is divided into, about: some for each multiprocessor of a large GPU.
const CUBES: usize = 768;

/// What a BatchNorm knows of its channels, each `[channels]` in float32.
pub(super) struct Statistics {
    pub gamma: CubeTensor,
    pub beta: CubeTensor,
    pub mean: CubeTensor,
    pub variance: CubeTensor,
}

/// How a pass of sums is divided: cubes of `lanes` vectors of channels times `levels` rows at a time.
struct Division {
    vector: usize,
    vectors: usize,
    lanes: usize,
    levels: usize,
    /// Rows of a chunk.
    chunk: usize,
    chunks: usize,
}

impl Division {
    fn of(x: &Rows, pitches: &[usize]) -> Self {
        let [_, channels, ..] = x.dims();
        let counts = [&[channels, x.pitch], pitches].concat();
        let vector = vector_size(&x.tensor.client, x.tensor.dtype.size(), &counts);
        let vectors = channels / vector;
        let units = UNITS.min(x.tensor.client.properties().hardware.max_units_per_cube as usize);
        let lanes = vectors.next_power_of_two().min(32).min(units);
        let levels = units / lanes;
        let wanted = CUBES.div_ceil(vectors.div_ceil(lanes));
        // At least four rows for each unit: less is not worth a chunk.
        let chunk = x.number().div_ceil(wanted).max(4 * levels);
        Self { vector, vectors, lanes, levels, chunk, chunks: x.number().div_ceil(chunk) }
    }

    fn cubes(&self) -> CubeCount {
        CubeCount::Static(self.vectors.div_ceil(self.lanes) as u32, self.chunks as u32, 1)
    }

    fn dim(&self) -> CubeDim {
        CubeDim::new_2d(self.lanes as u32, self.levels as u32)
    }
}

/// Output, mean and biased variance, and the running statistics moved.
pub(super) fn forward(
    x: CubeTensor,
    gamma: CubeTensor,
    beta: CubeTensor,
    residual: Option<CubeTensor>,
    running: [CubeTensor; 2],
    eps: f64,
    act: Act,
) -> (CubeTensor, CubeTensor, CubeTensor, CubeTensor, CubeTensor) {
    let x = Rows::of(x);
    let [mean, variance, running_mean, running_var] = moments(&x, running);
    let residual = residual.map(|residual| Rows::of(residual).stored_as(x.tensor.dtype));
    let output = Rows::empty(&x.tensor, x.dims());
    let [_, channels, ..] = x.dims();
    let client = x.tensor.client.clone();
    let residual_pitch = residual.as_ref().map_or(x.pitch, |residual| residual.pitch);
    let counts = [channels, x.pitch, residual_pitch];
    let vector = vector_size(&client, x.tensor.dtype.size(), &counts);
    let units = x.number() * channels / vector;
    let dim = CubeDim::new(&client, units);
    let stored = dtype_to_storage_type(x.tensor.dtype);
    let add = residual.is_some();
    // SAFETY: units behind the last row return at once, and rows are read as they lie.
    unsafe {
        normalize::launch_unchecked(
            &client,
            calculate_cube_count_elemwise(&client, units, dim),
            dim,
            x.tensor.required_address_type(),
            vector,
            x.arg(),
            mean.clone().into_buffer_arg(),
            variance.clone().into_buffer_arg(),
            gamma.into_buffer_arg(),
            beta.into_buffer_arg(),
            residual.as_ref().unwrap_or(&x).arg(),
            output.arg(),
            units,
            channels / vector,
            x.pitch / vector,
            residual_pitch / vector,
            eps as f32,
            add,
            act == Act::Relu,
            stored,
        );
    }
    (output.tensor, mean, variance, running_mean, running_var)
}

/// Gradients of input, gamma and beta.
pub(super) fn backward(
    x: CubeTensor,
    statistics: Statistics,
    grad: CubeTensor,
    eps: f64,
    act: Act,
) -> (CubeTensor, CubeTensor, CubeTensor) {
    let x = Rows::of(x);
    let grad = Rows::of(grad).stored_as(x.tensor.dtype);
    let Statistics { gamma, beta, mean, variance } = statistics;
    let division = Division::of(&x, &[grad.pitch]);
    let [_, channels, ..] = x.dims();
    let client = x.tensor.client.clone();
    let (relu, stored) = (act == Act::Relu, dtype_to_storage_type(x.tensor.dtype));
    let Division { vector, vectors, lanes, levels, chunk, chunks } = division;
    let partial = [(); 2].map(|()| floats(&x.tensor, chunks * channels));
    let [grad_gamma, grad_beta] = [(); 2].map(|()| floats(&x.tensor, channels));
    let known = || [&mean, &variance, &gamma, &beta].map(|tensor| tensor.clone().into_buffer_arg());
    // SAFETY: as in `forward`.
    unsafe {
        let [mean, variance, gamma, beta] = known();
        gradient_sums::launch_unchecked(
            &client,
            division.cubes(),
            division.dim(),
            x.tensor.required_address_type(),
            vector,
            x.arg(),
            grad.arg(),
            mean,
            variance,
            gamma,
            beta,
            partial[0].clone().into_buffer_arg(),
            partial[1].clone().into_buffer_arg(),
            x.number(),
            vectors,
            x.pitch / vector,
            grad.pitch / vector,
            chunk,
            eps as f32,
            relu,
            lanes,
            levels,
            stored,
        );
        let (cubes, dim) = merging(channels);
        let [_, variance, ..] = known();
        merge_sums::launch_unchecked(
            &client,
            cubes,
            dim,
            variance,
            partial[0].clone().into_buffer_arg(),
            partial[1].clone().into_buffer_arg(),
            grad_gamma.clone().into_buffer_arg(),
            grad_beta.clone().into_buffer_arg(),
            channels as u32,
            chunks as u32,
            eps as f32,
            LANES,
            LEVELS,
        );
        let grad_x = Rows::empty(&x.tensor, x.dims());
        let units = x.number() * vectors;
        let dim = CubeDim::new(&client, units);
        let [mean, variance, gamma, beta] = known();
        grad_input::launch_unchecked(
            &client,
            calculate_cube_count_elemwise(&client, units, dim),
            dim,
            x.tensor.required_address_type(),
            vector,
            x.arg(),
            grad.arg(),
            mean,
            variance,
            gamma,
            beta,
            grad_gamma.clone().into_buffer_arg(),
            grad_beta.clone().into_buffer_arg(),
            grad_x.arg(),
            units,
            vectors,
            x.pitch / vector,
            grad.pitch / vector,
            x.number() as f32,
            eps as f32,
            relu,
            stored,
        );
        (grad_x.tensor, grad_gamma, grad_beta)
    }
}

/// Mean and biased variance of each channel, and the running statistics moved towards them.
fn moments(x: &Rows, running: [CubeTensor; 2]) -> [CubeTensor; 4] {
    let division = Division::of(x, &[]);
    let [_, channels, ..] = x.dims();
    let client = x.tensor.client.clone();
    let Division { vector, vectors, lanes, levels, chunk, chunks } = division;
    let partial = [(); 2].map(|()| floats(&x.tensor, chunks * channels));
    let made = [(); 4].map(|()| floats(&x.tensor, channels));
    let [running_mean, running_var] = running.map(CubeTensor::into_buffer_arg);
    let [mean, variance, moved_mean, moved_var] = made.each_ref().map(|tensor| tensor.clone().into_buffer_arg());
    // SAFETY: as in `forward`.
    unsafe {
        chunk_moments::launch_unchecked(
            &client,
            division.cubes(),
            division.dim(),
            x.tensor.required_address_type(),
            vector,
            x.arg(),
            partial[0].clone().into_buffer_arg(),
            partial[1].clone().into_buffer_arg(),
            x.number(),
            vectors,
            x.pitch / vector,
            chunk,
            lanes,
            levels,
            dtype_to_storage_type(x.tensor.dtype),
        );
        let (cubes, dim) = merging(channels);
        merge_moments::launch_unchecked(
            &client,
            cubes,
            dim,
            partial[0].clone().into_buffer_arg(),
            partial[1].clone().into_buffer_arg(),
            running_mean,
            running_var,
            mean,
            variance,
            moved_mean,
            moved_var,
            channels as u32,
            chunks as u32,
            x.number() as u32,
            chunk as u32,
            MOMENTUM as f32,
            unbiasing(x.number()) as f32,
            LANES,
            LEVELS,
        );
    }
    made
}
