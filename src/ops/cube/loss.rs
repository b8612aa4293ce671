//! Losses with their gradients. Sums are taken cube by cube and added up by one cube, always in the same order.

use super::resize::{Tap, end_of_readers, first_reader, scale, tap, weight};
use super::rows::{Rows, floats};
use burn::backend::TensorMetadata;
use burn::backend::cubecl::dtype_to_storage_type;
use burn_cubecl::cubecl::{self, calculate_cube_count_elemwise, prelude::*};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

/// Units of a cube that sums.
const UNITS: usize = 256;
/// Most cubes that sum.
const CUBES: usize = 1024;

/// Number of cubes, and of units in each, that sum `values` values.
fn summing(client: &cubecl::client::Client, values: usize) -> (usize, usize) {
    let units = UNITS.min(client.properties().hardware.max_units_per_cube as usize);
    (values.div_ceil(units).clamp(1, CUBES), units)
}

/// Loss `[1]` and its gradient at `logits [batch, classes, h, w]` (float32), for `label [batch, height, width]`. The logits of the
/// label's size are computed where they are used, first for the sum of their exponentials, then for the gradient: one value a
/// pixel is kept between the two.
pub(super) fn upsample_cross_entropy(
    logits: CubeTensor,
    label: CubeTensor,
    align_corners: bool,
) -> (CubeTensor, CubeTensor) {
    let (logits, label) = (Rows::of(logits), into_contiguous(label));
    let [batch, classes, h, w] = logits.dims();
    let [_, height, width] = label.shape().dims::<3>();
    let pixels = batch * height * width;
    let client = logits.tensor.client.clone();
    let log_sums = floats(&logits.tensor, pixels);
    let (cubes, units) = summing(&client, pixels);
    let [losses, counts] = [(); 2].map(|()| floats(&logits.tensor, cubes));
    let [loss, count] = [(); 2].map(|()| floats(&logits.tensor, 1));
    let grad = Rows::empty(&logits.tensor, [batch, classes, h, w]);
    let (scale_y, scale_x) = (scale(height, h, align_corners), scale(width, w, align_corners));
    let id = dtype_to_storage_type(label.dtype);
    let address = logits.tensor.required_address_type().max(label.required_address_type());
    // SAFETY: units behind the last pixel do nothing, and taps lie within the logits.
    unsafe {
        pixel_losses::launch_unchecked(
            &client,
            CubeCount::Static(cubes as u32, 1, 1),
            CubeDim::new_1d(units as u32),
            address,
            logits.arg(),
            label.clone().into_buffer_arg(),
            log_sums.clone().into_buffer_arg(),
            losses.clone().into_buffer_arg(),
            counts.clone().into_buffer_arg(),
            pixels,
            classes,
            logits.pitch,
            h,
            w,
            height,
            width,
            scale_y,
            scale_x,
            align_corners,
            units,
            id,
        );
        mean_of_sums::launch_unchecked(
            &client,
            CubeCount::new_single(),
            CubeDim::new_1d(units as u32),
            losses.into_buffer_arg(),
            counts.into_buffer_arg(),
            loss.clone().into_buffer_arg(),
            count.clone().into_buffer_arg(),
            cubes as u32,
            units,
        );
        let values = batch * h * w * classes;
        let dim = CubeDim::new(&client, values);
        logit_gradients::launch_unchecked(
            &client,
            calculate_cube_count_elemwise(&client, values, dim),
            dim,
            address,
            logits.arg(),
            label.into_buffer_arg(),
            log_sums.into_buffer_arg(),
            count.into_buffer_arg(),
            grad.arg(),
            values,
            classes,
            logits.pitch,
            h,
            w,
            height,
            width,
            scale_y,
            scale_x,
            align_corners,
            id,
        );
    }
    (loss, grad.tensor)
}

/// Loss `[1]` and its gradient at the logits, both `[batch, channels, height, width]` in float32.
pub(super) fn bce_with_logits(logits: CubeTensor, target: CubeTensor) -> (CubeTensor, CubeTensor) {
    let logits = Rows::of(logits);
    let [_, channels, height, width] = logits.dims();
    let values = logits.number() * channels;
    let client = logits.tensor.client.clone();
    let grad = Rows::empty(&logits.tensor, logits.dims());
    let (cubes, units) = summing(&client, values);
    let [losses, counts] = [(); 2].map(|()| floats(&logits.tensor, cubes));
    let [loss, count] = [(); 2].map(|()| floats(&logits.tensor, 1));
    let strides: [usize; 4] = std::array::from_fn(|axis| target.meta.strides()[axis]);
    let stored = dtype_to_storage_type(target.dtype);
    // SAFETY: units behind the last value do nothing.
    unsafe {
        value_losses::launch_unchecked(
            &client,
            CubeCount::Static(cubes as u32, 1, 1),
            CubeDim::new_1d(units as u32),
            logits.tensor.required_address_type().max(target.required_address_type()),
            logits.arg(),
            target.into_buffer_arg(),
            grad.arg(),
            losses.clone().into_buffer_arg(),
            counts.clone().into_buffer_arg(),
            values,
            channels,
            logits.pitch,
            height,
            width,
            strides[0],
            strides[1],
            strides[2],
            strides[3],
            1.0 / values as f32,
            units,
            stored,
        );
        mean_of_sums::launch_unchecked(
            &client,
            CubeCount::new_single(),
            CubeDim::new_1d(units as u32),
            losses.into_buffer_arg(),
            counts.into_buffer_arg(),
            loss.clone().into_buffer_arg(),
            count.into_buffer_arg(),
            cubes as u32,
            units,
        );
    }
    (loss, grad.tensor)
}

/// Sums of the units of a cube, in its first unit; all units take part.
#[cube]
fn cube_sum(value: f32, sums: &mut Shared<[f32]>, #[comptime] units: usize) -> f32 {
    sums[UNIT_POS as usize] = value;
    sync_cube();
    let mut total = 0.0f32;
    if UNIT_POS == 0 {
        for unit in 0..units {
            total += sums[unit];
        }
    }
    total
}

/// The sum of `sums` over that of `counts`, and the latter, at least 1.
#[cube(launch_unchecked)]
fn mean_of_sums(
    sums: &[f32],
    counts: &[f32],
    mean: &mut [f32],
    count: &mut [f32],
    number: u32,
    #[comptime] units: usize,
) {
    let mut shared_sums = Shared::<[f32]>::new_slice(units);
    let mut shared_counts = Shared::<[f32]>::new_slice(units);
    let mut sum = 0.0f32;
    let mut own = 0.0f32;
    let mut at = UNIT_POS;
    while at < number {
        sum += sums[at as usize];
        own += counts[at as usize];
        at += units as u32;
    }
    let total = cube_sum(sum, &mut shared_sums, units);
    let all = cube_sum(own, &mut shared_counts, units);
    if UNIT_POS == 0 {
        let at_least_one = select(all < 1.0f32, 1.0f32, all);
        mean[0] = total / at_least_one;
        count[0] = at_least_one;
    }
}

/// The logit of a class at an output pixel; `picture` counts input rows.
#[cube]
fn logit(logits: &[f32], picture: usize, row: &Tap, column: &Tap, w: usize, pitch: usize, class: usize) -> f32 {
    let upper_line = (picture + row.lower) * w;
    let lower_line = (picture + row.upper) * w;
    let a = logits[(upper_line + column.lower) * pitch + class];
    let b = logits[(upper_line + column.upper) * pitch + class];
    let c = logits[(lower_line + column.lower) * pitch + class];
    let d = logits[(lower_line + column.upper) * pitch + class];
    let top = a + (b - a) * column.share;
    let bottom = c + (d - c) * column.share;
    top + (bottom - top) * row.share
}

/// For each labelled pixel the logarithm of the sum of its logits' exponentials; for each cube its pixels' losses and how many are
/// labelled.
#[cube(launch_unchecked, address_type = "dynamic")]
fn pixel_losses<I: Numeric>(
    logits: &[f32],
    label: &[I],
    log_sums: &mut [f32],
    losses: &mut [f32],
    counts: &mut [f32],
    pixels: usize,
    classes: usize,
    pitch: usize,
    h: usize,
    w: usize,
    height: usize,
    width: usize,
    scale_y: f32,
    scale_x: f32,
    #[comptime] align_corners: bool,
    #[comptime] units: usize,
    #[define(I)] _id: ElemType,
) {
    let mut shared_losses = Shared::<[f32]>::new_slice(units);
    let mut shared_counts = Shared::<[f32]>::new_slice(units);
    let mut loss = 0.0f32;
    let mut count = 0.0f32;
    let mut pixel = ABSOLUTE_POS;
    while pixel < pixels {
        let id = i32::cast_from(label[pixel]);
        if id >= 0 && (id as usize) < classes {
            let line = pixel / width;
            let column = tap(pixel - line * width, w, scale_x, align_corners);
            let picture = line / height;
            let row = tap(line - picture * height, h, scale_y, align_corners);
            let first = picture * h;
            let mut highest = logit(logits, first, &row, &column, w, pitch, 0);
            let mut sum = 1.0f32;
            for class in 1..classes {
                let value = logit(logits, first, &row, &column, w, pitch, class);
                if value > highest {
                    sum = sum * f32::exp(highest - value) + 1.0f32;
                    highest = value;
                } else {
                    sum += f32::exp(value - highest);
                }
            }
            let log_sum = highest + f32::ln(sum);
            log_sums[pixel] = log_sum;
            loss += log_sum - logit(logits, first, &row, &column, w, pitch, id as usize);
            count += 1.0f32;
        }
        pixel += units * CUBE_COUNT as usize;
    }
    let all_losses = cube_sum(loss, &mut shared_losses, units);
    let all_counts = cube_sum(count, &mut shared_counts, units);
    if UNIT_POS == 0 {
        losses[CUBE_POS as usize] = all_losses;
        counts[CUBE_POS as usize] = all_counts;
    }
}

/// Each logit's gradient: over the pixels that read it, its share times `softmax − one-hot`.
#[cube(launch_unchecked, address_type = "dynamic")]
fn logit_gradients<I: Numeric>(
    logits: &[f32],
    label: &[I],
    log_sums: &[f32],
    count: &[f32],
    grad: &mut [f32],
    values: usize,
    classes: usize,
    pitch: usize,
    h: usize,
    w: usize,
    height: usize,
    width: usize,
    scale_y: f32,
    scale_x: f32,
    #[comptime] align_corners: bool,
    #[define(I)] _id: ElemType,
) {
    if ABSOLUTE_POS >= values {
        terminate!();
    }
    let pixel = ABSOLUTE_POS / classes;
    let class = ABSOLUTE_POS - pixel * classes;
    let line = pixel / w;
    let own_column = pixel - line * w;
    let picture = line / h;
    let own_row = line - picture * h;
    let first = picture * h;
    let last_row = end_of_readers(own_row, scale_y, height, align_corners);
    let first_column = first_reader(own_column, scale_x, width, align_corners);
    let last_column = end_of_readers(own_column, scale_x, width, align_corners);
    let mut sum = 0.0f32;
    let mut y = first_reader(own_row, scale_y, height, align_corners);
    while y < last_row {
        let row = tap(y, h, scale_y, align_corners);
        let of_row = weight(&row, own_row);
        if of_row > 0.0f32 {
            let mut x = first_column;
            while x < last_column {
                let column = tap(x, w, scale_x, align_corners);
                let share = of_row * weight(&column, own_column);
                let at = (picture * height + y) * width + x;
                let id = i32::cast_from(label[at]);
                if share > 0.0f32 && id >= 0 && (id as usize) < classes {
                    let value = logit(logits, first, &row, &column, w, pitch, class);
                    let target = select(id as usize == class, 1.0f32, 0.0f32);
                    sum += share * (f32::exp(value - log_sums[at]) - target);
                }
                x += 1;
            }
        }
        y += 1;
    }
    grad[ABSOLUTE_POS] = sum / count[0];
}

/// `max(z, 0) − z·t + ln(1 + e^−|z|)` summed over each cube's values, and `(sigmoid(z) − t)·share`.
#[cube(launch_unchecked, address_type = "dynamic")]
fn value_losses<T: Float>(
    logits: &[f32],
    target: &[T],
    grad: &mut [f32],
    losses: &mut [f32],
    counts: &mut [f32],
    values: usize,
    channels: usize,
    pitch: usize,
    height: usize,
    width: usize,
    target_n: usize,
    target_c: usize,
    target_y: usize,
    target_x: usize,
    share: f32,
    #[comptime] units: usize,
    #[define(T)] _stored: ElemType,
) {
    let mut shared_losses = Shared::<[f32]>::new_slice(units);
    let mut shared_counts = Shared::<[f32]>::new_slice(units);
    let mut loss = 0.0f32;
    let mut count = 0.0f32;
    let mut at = ABSOLUTE_POS;
    while at < values {
        let row = at / channels;
        let channel = at - row * channels;
        let line = row / width;
        let x = row - line * width;
        let picture = line / height;
        let y = line - picture * height;
        let z = logits[row * pitch + channel];
        let t = f32::cast_from(target[picture * target_n + channel * target_c + y * target_y + x * target_x]);
        let far = f32::exp(-f32::abs(z)); // in (0, 1]: cannot overflow
        let one = 1.0f32;
        loss += select(z < 0.0f32, 0.0f32, z) - z * t + f32::log1p(far);
        let sigmoid = select(z < 0.0f32, far, one) / (one + far);
        grad[at] = (sigmoid - t) * share;
        count += 1.0f32;
        at += units * CUBE_COUNT as usize;
    }
    let all_losses = cube_sum(loss, &mut shared_losses, units);
    let all_counts = cube_sum(count, &mut shared_counts, units);
    if UNIT_POS == 0 {
        losses[CUBE_POS as usize] = all_losses;
        counts[CUBE_POS as usize] = all_counts;
    }
}
