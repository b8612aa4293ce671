//! BatchNorm with the batch's own statistics, an optional residual and an optional ReLU: two passes over the input forward, two
//! over input and gradient backward.
//!
//! A pass of sums divides the rows into chunks, one cube each; a small second kernel adds the chunks up, always in the same
//! order. Means and variances are merged by Chan's formula, so that no large sum of squares is ever taken from another.

use super::rows::{Rows, floats, vector_size};
use crate::ops::Act;
use burn::backend::cubecl::dtype_to_storage_type;
use burn_cubecl::cubecl::{self, calculate_cube_count_elemwise, prelude::*};
use burn_cubecl::tensor::CubeTensor;

/// Units of a cube of a pass of sums.
const UNITS: usize = 256;
/// Cubes that a pass of sums is divided into, about: some for each multiprocessor of a large GPU.
const CUBES: usize = 768;
/// Channels and levels of a cube that adds chunks up.
const MERGE: [usize; 2] = [32, 8];

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

    /// Cubes of the kernel that adds chunks up.
    fn merging(&self) -> (CubeCount, CubeDim) {
        let channels = self.vectors * self.vector;
        let cubes = CubeCount::Static(channels.div_ceil(MERGE[0]) as u32, 1, 1);
        (cubes, CubeDim::new_2d(MERGE[0] as u32, MERGE[1] as u32))
    }
}

/// Output, mean and biased variance.
pub(super) fn forward(
    x: CubeTensor,
    gamma: CubeTensor,
    beta: CubeTensor,
    residual: Option<CubeTensor>,
    eps: f64,
    act: Act,
) -> (CubeTensor, CubeTensor, CubeTensor) {
    let x = Rows::of(x);
    let (mean, variance) = moments(&x);
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
    (output.tensor, mean, variance)
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
        let (cubes, dim) = division.merging();
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
            MERGE[0],
            MERGE[1],
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

/// Mean and biased variance of each channel.
fn moments(x: &Rows) -> (CubeTensor, CubeTensor) {
    let division = Division::of(x, &[]);
    let [_, channels, ..] = x.dims();
    let client = x.tensor.client.clone();
    let Division { vector, vectors, lanes, levels, chunk, chunks } = division;
    let partial = [(); 2].map(|()| floats(&x.tensor, chunks * channels));
    let [mean, variance] = [(); 2].map(|()| floats(&x.tensor, channels));
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
        let (cubes, dim) = division.merging();
        merge_moments::launch_unchecked(
            &client,
            cubes,
            dim,
            partial[0].clone().into_buffer_arg(),
            partial[1].clone().into_buffer_arg(),
            mean.clone().into_buffer_arg(),
            variance.clone().into_buffer_arg(),
            channels as u32,
            chunks as u32,
            x.number() as u32,
            chunk as u32,
            MERGE[0],
            MERGE[1],
        );
    }
    (mean, variance)
}

/// Mean and sum of squared deviations of each channel over each chunk of rows: `[chunks, channels]`.
#[cube(launch_unchecked, address_type = "dynamic")]
fn chunk_moments<F: Float, N: Size>(
    x: &[Vector<F, N>],
    means: &mut [Vector<f32, N>],
    squares: &mut [Vector<f32, N>],
    rows: usize,
    vectors: usize,
    pitch: usize,
    chunk: usize,
    #[comptime] lanes: usize,
    #[comptime] levels: usize,
    #[define(F)] _stored: ElemType,
) {
    let lane = UNIT_POS_X as usize;
    let level = UNIT_POS_Y as usize;
    let vector = CUBE_POS_X as usize * lanes + lane;
    let start = CUBE_POS_Y as usize * chunk;
    let end = select(start + chunk < rows, start + chunk, rows);
    let mut mean_of = Shared::<[Vector<f32, N>]>::new_slice(comptime!(lanes * levels));
    let mut squares_of = Shared::<[Vector<f32, N>]>::new_slice(comptime!(lanes * levels));

    if vector < vectors && start + level < end {
        // Each unit counts from its own first value, so that nothing is lost where the mean is far from 0.
        let origin = Vector::<f32, N>::cast_from(x[(start + level) * pitch + vector]);
        let mut sum = Vector::<f32, N>::new(0.0f32);
        let mut square = Vector::<f32, N>::new(0.0f32);
        let mut row = start + level;
        while row < end {
            let value = Vector::<f32, N>::cast_from(x[row * pitch + vector]) - origin;
            sum += value;
            square += value * value;
            row += levels;
        }
        let count = (end - start - level + levels - 1) / levels;
        let above = sum / Vector::<f32, N>::new(f32::cast_from(count as u32));
        mean_of[level * lanes + lane] = origin + above;
        squares_of[level * lanes + lane] = square - sum * above;
    }
    sync_cube();
    if vector < vectors && level == 0 {
        let length = end - start;
        let taking_part = select(length < levels, length, levels);
        let mut mean = Vector::<f32, N>::new(0.0f32);
        for other in 0..taking_part {
            let share = (length - other + levels - 1) / levels;
            mean += mean_of[other * lanes + lane] * Vector::<f32, N>::new(f32::cast_from(share as u32));
        }
        mean /= Vector::<f32, N>::new(f32::cast_from(length as u32));
        let mut square = Vector::<f32, N>::new(0.0f32);
        for other in 0..taking_part {
            let share = (length - other + levels - 1) / levels;
            let apart = mean_of[other * lanes + lane] - mean;
            square +=
                squares_of[other * lanes + lane] + apart * apart * Vector::<f32, N>::new(f32::cast_from(share as u32));
        }
        let at = CUBE_POS_Y as usize * vectors + vector;
        means[at] = mean;
        squares[at] = square;
    }
}

/// Rows of a chunk, the last of which may be short.
#[cube]
fn rows_of(chunk_number: u32, chunk: u32, rows: u32) -> f32 {
    let left = rows - chunk_number * chunk;
    f32::cast_from(select(left < chunk, left, chunk))
}

/// Mean and biased variance of each channel from those of the chunks.
#[cube(launch_unchecked)]
fn merge_moments(
    means: &[f32],
    squares: &[f32],
    mean: &mut [f32],
    variance: &mut [f32],
    channels: u32,
    chunks: u32,
    rows: u32,
    chunk: u32,
    #[comptime] lanes: usize,
    #[comptime] levels: usize,
) {
    let lane = UNIT_POS_X as usize;
    let level = UNIT_POS_Y;
    let channel = CUBE_POS_X * (lanes as u32) + UNIT_POS_X;
    let own = level as usize * lanes + lane;
    let mut sums = Shared::<[f32]>::new_slice(comptime!(lanes * levels));
    let mut sums_of_squares = Shared::<[f32]>::new_slice(comptime!(lanes * levels));
    let mut sum = 0.0f32;
    if channel < channels {
        let mut at = level;
        while at < chunks {
            sum += means[(at * channels + channel) as usize] * rows_of(at, chunk, rows);
            at += levels as u32;
        }
    }
    sums[own] = sum;
    sync_cube();
    let mut total = 0.0f32;
    for other in 0..levels {
        total += sums[other * lanes + lane];
    }
    total /= f32::cast_from(rows);
    let mut square = 0.0f32;
    if channel < channels {
        let mut at = level;
        while at < chunks {
            let apart = means[(at * channels + channel) as usize] - total;
            square += squares[(at * channels + channel) as usize] + apart * apart * rows_of(at, chunk, rows);
            at += levels as u32;
        }
    }
    sums_of_squares[own] = square;
    sync_cube();
    if channel < channels && level == 0 {
        let mut total_square = 0.0f32;
        for other in 0..levels {
            total_square += sums_of_squares[other * lanes + lane];
        }
        mean[channel as usize] = total;
        variance[channel as usize] = total_square / f32::cast_from(rows);
    }
}

/// `1/√(variance + eps)`
#[cube]
fn inverse_deviation<N: Size>(variance: Vector<f32, N>, eps: f32) -> Vector<f32, N> {
    Vector::<f32, N>::new(1.0f32) / Vector::sqrt(variance + Vector::<f32, N>::new(eps))
}

/// `act(γ·(x − mean)/√(variance + eps) + β + residual)`
#[cube(launch_unchecked, address_type = "dynamic")]
fn normalize<F: Float, N: Size>(
    x: &[Vector<F, N>],
    mean: &[Vector<f32, N>],
    variance: &[Vector<f32, N>],
    gamma: &[Vector<f32, N>],
    beta: &[Vector<f32, N>],
    residual: &[Vector<F, N>],
    output: &mut [Vector<F, N>],
    units: usize,
    vectors: usize,
    x_pitch: usize,
    residual_pitch: usize,
    eps: f32,
    #[comptime] add: bool,
    #[comptime] relu: bool,
    #[define(F)] _stored: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let row = ABSOLUTE_POS / vectors;
    let vector = ABSOLUTE_POS - row * vectors;
    let scale = gamma[vector] * inverse_deviation::<N>(variance[vector], eps);
    let value = Vector::<f32, N>::cast_from(x[row * x_pitch + vector]);
    let mut y = (value - mean[vector]) * scale + beta[vector];
    if comptime!(add) {
        y += Vector::<f32, N>::cast_from(residual[row * residual_pitch + vector]);
    }
    if comptime!(relu) {
        let zero = Vector::<f32, N>::new(0.0f32);
        // What is not a number stays so.
        y = select_many(y.less_than(&zero), zero, y);
    }
    output[ABSOLUTE_POS] = Vector::cast_from(y);
}

/// The gradient in front of the ReLU.
#[cube]
fn masked<N: Size>(
    gradient: Vector<f32, N>,
    centred: Vector<f32, N>,
    scale: Vector<f32, N>,
    beta: Vector<f32, N>,
    #[comptime] relu: bool,
) -> Vector<f32, N> {
    if comptime!(relu) {
        let zero = Vector::<f32, N>::new(0.0f32);
        let before = centred * scale + beta;
        select_many(before.greater_than(&zero), gradient, zero)
    } else {
        gradient
    }
}

/// Sums of `g·(x − mean)` and of `g` over each chunk of rows: `[chunks, channels]`.
#[cube(launch_unchecked, address_type = "dynamic")]
fn gradient_sums<F: Float, N: Size>(
    x: &[Vector<F, N>],
    grad: &[Vector<F, N>],
    mean: &[Vector<f32, N>],
    variance: &[Vector<f32, N>],
    gamma: &[Vector<f32, N>],
    beta: &[Vector<f32, N>],
    products: &mut [Vector<f32, N>],
    sums: &mut [Vector<f32, N>],
    rows: usize,
    vectors: usize,
    x_pitch: usize,
    grad_pitch: usize,
    chunk: usize,
    eps: f32,
    #[comptime] relu: bool,
    #[comptime] lanes: usize,
    #[comptime] levels: usize,
    #[define(F)] _stored: ElemType,
) {
    let lane = UNIT_POS_X as usize;
    let level = UNIT_POS_Y as usize;
    let vector = CUBE_POS_X as usize * lanes + lane;
    let start = CUBE_POS_Y as usize * chunk;
    let end = select(start + chunk < rows, start + chunk, rows);
    let mut products_of = Shared::<[Vector<f32, N>]>::new_slice(comptime!(lanes * levels));
    let mut sums_of = Shared::<[Vector<f32, N>]>::new_slice(comptime!(lanes * levels));
    let mut product = Vector::<f32, N>::new(0.0f32);
    let mut sum = Vector::<f32, N>::new(0.0f32);
    if vector < vectors {
        let centre = mean[vector];
        let scale = gamma[vector] * inverse_deviation::<N>(variance[vector], eps);
        let shift = beta[vector];
        let mut row = start + level;
        while row < end {
            let centred = Vector::<f32, N>::cast_from(x[row * x_pitch + vector]) - centre;
            let gradient = Vector::<f32, N>::cast_from(grad[row * grad_pitch + vector]);
            let gradient = masked::<N>(gradient, centred, scale, shift, relu);
            sum += gradient;
            product += gradient * centred;
            row += levels;
        }
    }
    products_of[level * lanes + lane] = product;
    sums_of[level * lanes + lane] = sum;
    sync_cube();
    if vector < vectors && level == 0 {
        let mut all_products = Vector::<f32, N>::new(0.0f32);
        let mut all_sums = Vector::<f32, N>::new(0.0f32);
        for other in 0..levels {
            all_products += products_of[other * lanes + lane];
            all_sums += sums_of[other * lanes + lane];
        }
        let at = CUBE_POS_Y as usize * vectors + vector;
        products[at] = all_products;
        sums[at] = all_sums;
    }
}

/// Gradients of gamma and beta from the sums of the chunks.
#[cube(launch_unchecked)]
fn merge_sums(
    variance: &[f32],
    products: &[f32],
    sums: &[f32],
    grad_gamma: &mut [f32],
    grad_beta: &mut [f32],
    channels: u32,
    chunks: u32,
    eps: f32,
    #[comptime] lanes: usize,
    #[comptime] levels: usize,
) {
    let lane = UNIT_POS_X as usize;
    let level = UNIT_POS_Y;
    let channel = CUBE_POS_X * (lanes as u32) + UNIT_POS_X;
    let own = level as usize * lanes + lane;
    let mut products_of = Shared::<[f32]>::new_slice(comptime!(lanes * levels));
    let mut sums_of = Shared::<[f32]>::new_slice(comptime!(lanes * levels));
    let mut product = 0.0f32;
    let mut sum = 0.0f32;
    if channel < channels {
        let mut at = level;
        while at < chunks {
            product += products[(at * channels + channel) as usize];
            sum += sums[(at * channels + channel) as usize];
            at += levels as u32;
        }
    }
    products_of[own] = product;
    sums_of[own] = sum;
    sync_cube();
    if channel < channels && level == 0 {
        let mut all_products = 0.0f32;
        let mut all_sums = 0.0f32;
        for other in 0..levels {
            all_products += products_of[other * lanes + lane];
            all_sums += sums_of[other * lanes + lane];
        }
        grad_gamma[channel as usize] = all_products / f32::sqrt(variance[channel as usize] + eps);
        grad_beta[channel as usize] = all_sums;
    }
}

/// `γ/σ·(g − Σg/n − x̂·Σ(g·x̂)/n)`, the gradient of the input.
#[cube(launch_unchecked, address_type = "dynamic")]
fn grad_input<F: Float, N: Size>(
    x: &[Vector<F, N>],
    grad: &[Vector<F, N>],
    mean: &[Vector<f32, N>],
    variance: &[Vector<f32, N>],
    gamma: &[Vector<f32, N>],
    beta: &[Vector<f32, N>],
    grad_gamma: &[Vector<f32, N>],
    grad_beta: &[Vector<f32, N>],
    output: &mut [Vector<F, N>],
    units: usize,
    vectors: usize,
    x_pitch: usize,
    grad_pitch: usize,
    rows: f32,
    eps: f32,
    #[comptime] relu: bool,
    #[define(F)] _stored: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let row = ABSOLUTE_POS / vectors;
    let vector = ABSOLUTE_POS - row * vectors;
    let inverse = inverse_deviation::<N>(variance[vector], eps);
    let scale = gamma[vector] * inverse;
    let centred = Vector::<f32, N>::cast_from(x[row * x_pitch + vector]) - mean[vector];
    let gradient = Vector::<f32, N>::cast_from(grad[row * grad_pitch + vector]);
    let gradient = masked::<N>(gradient, centred, scale, beta[vector], relu);
    let count = Vector::<f32, N>::new(rows);
    let along = centred * inverse * grad_gamma[vector];
    output[ABSOLUTE_POS] = Vector::cast_from(scale * (gradient - (grad_beta[vector] + along) / count));
}
