//! Gradients of weights, in tiles.

use super::tile::{DEPTH, PLANE, Tiling, nothing, place, word_of};
use burn_cubecl::cubecl::cmma::{MatrixIdent, MmaDefinition};
use burn_cubecl::cubecl::{self, prelude::*};

/// Vectors between the rows of pixels in shared memory, so that they begin in different banks.
const GAP: usize = 2;

/// `partial[part, output, tap, channel] = Σ grad[pixel, output] · x[pixel moved by tap, channel]` over the pixels of each part.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn multiply_pixels<F: Float, S: Float, N: Size, O: Size>(
    x: &[Vector<F, N>],
    grad: &[Vector<F, N>],
    partial: &mut [Vector<f32, O>],
    pixels: u32,
    part: u32,
    outputs: u32,
    channels: u32,
    x_pitch: u32,
    grad_pitch: u32,
    h: u32,
    w: u32,
    height: u32,
    width: u32,
    stride: u32,
    padding: i32,
    dilation: u32,
    #[comptime] kernel: u32,
    #[comptime] is_pointwise: bool,
    #[comptime] is_wide: bool,
    #[comptime] tiling: Tiling,
    #[define(F, S)] _stored: [ElemType; 2],
) {
    let size = N::value();
    let units = comptime!(tiling.units());
    let rows = comptime!(tiling.rows);
    let columns = comptime!(tiling.columns);
    // Pixels of a word, and of a step.
    let values = comptime!(size / 4);
    let depth = comptime!((DEPTH * values) as u32);
    let taps = comptime!(kernel * kernel);
    let planes_across = comptime!(tiling.planes[1] as u32);
    let grad_vectors = comptime!(tiling.height() / size);
    let x_vectors = comptime!(tiling.width() / size);
    let grad_words = comptime!(units / grad_vectors);
    let x_words = comptime!(units / x_vectors);
    let grad_passes = comptime!(DEPTH / grad_words);
    let x_passes = comptime!(DEPTH / x_words);
    let grad_row = comptime!((tiling.height() / 4 + GAP) as u32);
    let x_row = comptime!((tiling.width() / 4 + GAP) as u32);
    let grad_half = comptime!(grad_row * DEPTH as u32);
    let x_half = comptime!(x_row * DEPTH as u32);

    let definition = MmaDefinition::<S, S, f32>::new(16usize, 8usize, comptime!(DEPTH / 2 * size / 4));
    let size!(P) = definition.vector_size(MatrixIdent::A);
    let size!(C) = definition.vector_size(MatrixIdent::Accumulator);

    let mut grad_of = Shared::<[Vector<S, N>]>::new_slice(comptime!(2 * grad_half as usize));
    let mut x_of = Shared::<[Vector<S, N>]>::new_slice(comptime!(2 * x_half as usize));

    let unit = UNIT_POS_X;
    let tap = CUBE_POS_Y % taps;
    let first_output = CUBE_POS_Y / taps * comptime!(tiling.height() as u32);
    let first_channel = CUBE_POS_X * comptime!(tiling.width() as u32);
    let start = CUBE_POS_Z * part;
    let end = select(start + part < pixels, start + part, pixels);
    let down_by = i32::cast_from(tap / kernel * dilation) - padding;
    let right_by = i32::cast_from(tap % kernel * dilation) - padding;

    let grad_column = unit % (grad_vectors as u32);
    let grad_word = unit / (grad_vectors as u32);
    let grad_at = first_output / (size as u32) + grad_column;
    let grad_is_there = first_output + grad_column * (size as u32) < outputs;
    let x_column = unit % (x_vectors as u32);
    let x_word = unit / (x_vectors as u32);
    let x_at = first_channel / (size as u32) + x_column;
    let x_is_there = first_channel + x_column * (size as u32) < channels;

    let lane = UNIT_POS_PLANE;
    let q = lane % 4;
    let r = lane / 4;
    let plane = unit / (PLANE as u32);
    let down = plane / planes_across;
    let across = plane - down * planes_across;
    let grad_read = q * grad_row + down * comptime!((rows * 4) as u32) + r;
    let x_read = q * x_row + across * comptime!((columns * 2) as u32) + r;

    let mut sums = nothing::<C>(comptime!(rows * columns));
    let mut next_grad = Array::<Vector<F, N>>::new(comptime!(grad_passes * values));
    let mut next_x = Array::<Vector<F, N>>::new(comptime!(x_passes * values));

    // Where the pixels that this unit copies are: line of their image's begin, output row and column.
    let mut lines = Array::<u32>::new(comptime!(x_passes * values));
    let mut ys = Array::<u32>::new(comptime!(x_passes * values));
    let mut xs = Array::<u32>::new(comptime!(x_passes * values));
    #[unroll]
    for pass in 0..x_passes {
        #[unroll]
        for value in 0..values {
            let pixel = start + x_word * comptime!(values as u32) + comptime!((pass * x_words * values + value) as u32);
            let (picture, y, x_place) = place(pixel, height, width);
            lines[comptime!(pass * values + value)] = picture * h;
            ys[comptime!(pass * values + value)] = y;
            xs[comptime!(pass * values + value)] = x_place;
        }
    }

    let zero = Vector::<F, N>::new(F::from_int(0));
    let steps = (end - start + comptime!(depth - 1)) / depth;
    let mut from = start;
    let mut half = 0u32;
    for round in 0..steps + 1 {
        #[unroll]
        for pass in 0..grad_passes {
            #[unroll]
            for value in 0..values {
                let pixel = from
                    + grad_word * comptime!(values as u32)
                    + comptime!((pass * grad_words * values + value) as u32);
                let is_there = grad_is_there && pixel < end;
                let read = grad[select(is_there, pixel * grad_pitch + grad_at, 0u32) as usize];
                next_grad[comptime!(pass * values + value)] = select(is_there, read, zero);
            }
        }
        #[unroll]
        for pass in 0..x_passes {
            #[unroll]
            for value in 0..values {
                let pixel =
                    from + x_word * comptime!(values as u32) + comptime!((pass * x_words * values + value) as u32);
                let mut is_there = x_is_there && pixel < end;
                let mut row = pixel;
                if !is_pointwise {
                    let at = comptime!(pass * values + value);
                    if !is_wide {
                        let (picture, y, x_place) = place(pixel, height, width);
                        lines[at] = picture * h;
                        ys[at] = y;
                        xs[at] = x_place;
                    }
                    let own_y = i32::cast_from(ys[at] * stride) + down_by;
                    let own_x = i32::cast_from(xs[at] * stride) + right_by;
                    is_there =
                        is_there && own_y >= 0 && own_y < i32::cast_from(h) && own_x >= 0 && own_x < i32::cast_from(w);
                    row = u32::cast_from((i32::cast_from(lines[at]) + own_y) * i32::cast_from(w) + own_x);
                    if is_wide {
                        // The pixel that lies one step ahead is on this line or on the next one.
                        let next = xs[at] + depth;
                        let is_over = next >= width;
                        xs[at] = select(is_over, next - width, next);
                        let next_y = select(is_over, ys[at] + 1, ys[at]);
                        let is_next = next_y >= height;
                        ys[at] = select(is_next, 0u32, next_y);
                        lines[at] = select(is_next, lines[at] + h, lines[at]);
                    }
                }
                let read = x[select(is_there, row * x_pitch + x_at, 0u32) as usize];
                next_x[comptime!(pass * values + value)] = select(is_there, read, zero);
            }
        }

        if round > 0 {
            #[unroll]
            for step in 0..2usize {
                let grad_from = half * grad_half + grad_read + comptime!(step as u32 * 8 * grad_row);
                let x_from = half * x_half + x_read + comptime!(step as u32 * 8 * x_row);
                #[unroll]
                for two in 0..comptime!(rows / 2) {
                    let near = grad_of[(grad_from + comptime!((two * 8) as u32)) as usize];
                    let far = grad_of[(grad_from + comptime!((two * 8) as u32 + 4 * grad_row)) as usize];
                    #[unroll]
                    for four in 0..comptime!(columns / 4) {
                        let near_x = x_of[(x_from + comptime!((four * 8) as u32)) as usize];
                        let far_x = x_of[(x_from + comptime!((four * 8) as u32 + 4 * x_row)) as usize];
                        #[unroll]
                        for row in 0..2usize {
                            let mut a = Array::<Vector<S, P>>::new(4usize);
                            a[0] = word_of::<S, N, P>(near, comptime!(2 * row * values));
                            a[1] = word_of::<S, N, P>(near, comptime!((2 * row + 1) * values));
                            a[2] = word_of::<S, N, P>(far, comptime!(2 * row * values));
                            a[3] = word_of::<S, N, P>(far, comptime!((2 * row + 1) * values));
                            #[unroll]
                            for column in 0..4usize {
                                let mut b = Array::<Vector<S, P>>::new(2usize);
                                b[0] = word_of::<S, N, P>(near_x, comptime!(column * values));
                                b[1] = word_of::<S, N, P>(far_x, comptime!(column * values));
                                definition.execute_inplace(
                                    &a,
                                    &b,
                                    sums.index_mut(comptime!((two * 2 + row) * columns + four * 4 + column)),
                                );
                            }
                        }
                    }
                }
            }
            half = 1 - half;
        }

        #[unroll]
        for pass in 0..grad_passes {
            let at = half * grad_half
                + (grad_word + comptime!((pass * grad_words) as u32)) * grad_row
                + grad_column * comptime!(values as u32);
            put::<F, S, N>(&next_grad, &mut grad_of, at, comptime!(pass * values), values);
        }
        #[unroll]
        for pass in 0..x_passes {
            let at = half * x_half
                + (x_word + comptime!((pass * x_words) as u32)) * x_row
                + x_column * comptime!(values as u32);
            put::<F, S, N>(&next_x, &mut x_of, at, comptime!(pass * values), values);
        }
        sync_cube();
        from += depth;
    }

    #[unroll]
    for row in 0..rows {
        #[unroll]
        for lower in 0..2usize {
            let output = first_output
                + down * comptime!((rows * 16) as u32)
                + comptime!((row / 2 * 32 + row % 2 * 2 + lower) as u32)
                + r * 4;
            #[unroll]
            for four in 0..comptime!(columns / 4) {
                #[unroll]
                for value in 0..2usize {
                    let channel = first_channel
                        + across * comptime!((columns * 8) as u32)
                        + comptime!((four * 32 + value * 4) as u32)
                        + q * 8;
                    let mut sum = Vector::<f32, O>::empty();
                    #[unroll]
                    for column in 0..4usize {
                        let of = sums.index(comptime!(row * columns + four * 4 + column));
                        sum.insert(column, of[lower].extract(value));
                    }
                    if output < outputs && channel < channels {
                        let at = ((CUBE_POS_Z * outputs + output) * taps + tap) as usize * (channels as usize / 4)
                            + (channel / 4) as usize;
                        partial[at] = sum;
                    }
                }
            }
        }
    }
}

/// Vectors of neighbouring pixels (one, or two whose values become words) into shared memory.
#[cube]
fn put<F: Float, S: Float, N: Size>(
    pixels: &Array<Vector<F, N>>,
    shared: &mut Shared<[Vector<S, N>]>,
    at: u32,
    #[comptime] from: usize,
    #[comptime] values: usize,
) {
    if comptime!(values == 1) {
        shared[at as usize] = Vector::<S, N>::cast_from(pixels[from]);
    } else {
        let first = pixels[from];
        let second = pixels[comptime!(from + 1)];
        let size = N::value();
        #[unroll]
        for part in 0..2usize {
            let mut words = Vector::<S, N>::empty();
            #[unroll]
            for word in 0..comptime!(size / 2) {
                words.insert(comptime!(2 * word), S::cast_from(first.extract(comptime!(part * size / 2 + word))));
                words.insert(comptime!(2 * word + 1), S::cast_from(second.extract(comptime!(part * size / 2 + word))));
            }
            shared[(at + part as u32) as usize] = words;
        }
    }
}
