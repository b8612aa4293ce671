//! The kernels of [`super::norm`].

use super::sums::{of_column, over_levels, own_column};
use burn_cubecl::cubecl::{self, prelude::*};

/// Mean and sum of squared deviations of each channel over each chunk of rows: `[chunks, channels]`.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn chunk_moments<F: Float, N: Size>(
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

/// Mean and biased variance of each channel from those of the chunks, and the running statistics moved towards them:
/// `(1 − momentum)·running + momentum·(mean, unbiasing·variance)`.
#[cube(launch_unchecked)]
pub(super) fn merge_moments(
    means: &[f32],
    squares: &[f32],
    running_mean: &[f32],
    running_var: &[f32],
    mean: &mut [f32],
    variance: &mut [f32],
    moved_mean: &mut [f32],
    moved_var: &mut [f32],
    channels: u32,
    chunks: u32,
    rows: u32,
    chunk: u32,
    momentum: f32,
    unbiasing: f32,
    #[comptime] lanes: usize,
    #[comptime] levels: usize,
) {
    let channel = own_column(lanes);
    let mut sum = 0.0f32;
    if channel < channels {
        let mut at = UNIT_POS_Y;
        while at < chunks {
            sum += means[(at * channels + channel) as usize] * rows_of(at, chunk, rows);
            at += levels as u32;
        }
    }
    let total = over_levels(sum, lanes, levels) / f32::cast_from(rows);
    let mut square = 0.0f32;
    if channel < channels {
        let mut at = UNIT_POS_Y;
        while at < chunks {
            let apart = means[(at * channels + channel) as usize] - total;
            square += squares[(at * channels + channel) as usize] + apart * apart * rows_of(at, chunk, rows);
            at += levels as u32;
        }
    }
    let total_square = over_levels(square, lanes, levels);
    if channel < channels && UNIT_POS_Y == 0 {
        let own = channel as usize;
        let spread = total_square / f32::cast_from(rows);
        mean[own] = total;
        variance[own] = spread;
        moved_mean[own] = running_mean[own] * (1.0f32 - momentum) + total * momentum;
        moved_var[own] = running_var[own] * (1.0f32 - momentum) + spread * unbiasing * momentum;
    }
}

/// `1/√(variance + eps)`
#[cube]
fn inverse_deviation<N: Size>(variance: Vector<f32, N>, eps: f32) -> Vector<f32, N> {
    Vector::<f32, N>::new(1.0f32) / Vector::sqrt(variance + Vector::<f32, N>::new(eps))
}

/// `act(γ·(x − mean)/√(variance + eps) + β + residual)`
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn normalize<F: Float, N: Size>(
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
pub(super) fn gradient_sums<F: Float, N: Size>(
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
pub(super) fn merge_sums(
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
    let product = of_column(products, channels, chunks, lanes, levels);
    let sum = of_column(sums, channels, chunks, lanes, levels);
    let channel = own_column(lanes);
    if channel < channels && UNIT_POS_Y == 0 {
        grad_gamma[channel as usize] = product / f32::sqrt(variance[channel as usize] + eps);
        grad_beta[channel as usize] = sum;
    }
}

/// `γ/σ·(g − Σg/n − x̂·Σ(g·x̂)/n)`, the gradient of the input.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn grad_input<F: Float, N: Size>(
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
