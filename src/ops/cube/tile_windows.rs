//! Convolutions, and gradients of their inputs, in tiles.

use super::tile::{DEPTH, PLANE, Tiling, nothing, place, word_of};
use burn_cubecl::cubecl::cmma::{MatrixIdent, MmaDefinition};
use burn_cubecl::cubecl::{self, prelude::*};

/// Vectors of four words of a row in shared memory.
const QUARTERS: usize = DEPTH / 4;

/// Instructions over eight words of the sum: word `from` of each vector of the operands, and the next one.
#[cube]
fn multiply<S: Float, N: Size, P: Size, C: Size>(
    definition: &MmaDefinition<S, S, f32>,
    rows: &Array<Vector<S, N>>,
    column: Vector<S, N>,
    sums: &mut Sequence<Array<Vector<f32, C>>>,
    #[comptime] from: usize,
    #[comptime] at: usize,
    #[comptime] columns: usize,
    #[comptime] count: usize,
) {
    let values = P::value();
    let mut b = Array::<Vector<S, P>>::new(2usize);
    #[unroll]
    for word in 0..2usize {
        b[word] = word_of::<S, N, P>(column, comptime!((from + word) * values));
    }
    #[unroll]
    for row in 0..count {
        let mut a = Array::<Vector<S, P>>::new(4usize);
        #[unroll]
        for word in 0..2usize {
            a[2 * word] = word_of::<S, N, P>(rows[2 * row], comptime!((from + word) * values));
            a[2 * word + 1] = word_of::<S, N, P>(rows[2 * row + 1], comptime!((from + word) * values));
        }
        definition.execute_inplace(&a, &b, sums.index_mut(comptime!(row * columns + at)));
    }
}

/// `result[pixel, output] = Σ x[pixel moved by tap, channel] · weight[output, tap, channel]`, a row a pixel. With `flip` the taps
/// of the weight are counted from the last. Between the pixels of `x` there are
/// `apart − 1` pixels of 0, in both directions.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn multiply_windows<F: Float, S: Float, N: Size, O: Size>(
    x: &[Vector<F, N>],
    weight: &[Vector<F, N>],
    result: &mut [Vector<F, O>],
    pixels: u32,
    outputs: u32,
    vectors: u32,
    pitch: u32,
    h: u32,
    w: u32,
    height: u32,
    width: u32,
    stride: u32,
    padding: i32,
    dilation: i32,
    #[comptime] kernel: u32,
    #[comptime] flip: bool,
    #[comptime] apart: i32,
    #[comptime] tiling: Tiling,
    #[define(F, S)] _stored: [ElemType; 2],
) {
    let size = N::value();
    let units = comptime!(tiling.units());
    let rows = comptime!(tiling.rows);
    let columns = comptime!(tiling.columns);
    let passes_x = comptime!(tiling.height() * QUARTERS / units);
    let passes_weight = comptime!(tiling.width() * QUARTERS / units);
    let between = comptime!((units / QUARTERS) as u32);
    let x_half = comptime!(tiling.height() * QUARTERS);
    let weight_half = comptime!(tiling.width() * QUARTERS);
    let taps = comptime!(kernel * kernel);
    let planes_across = comptime!(tiling.planes[1] as u32);

    let definition = MmaDefinition::<S, S, f32>::new(16usize, 8usize, comptime!(DEPTH / 2 * size / 4));
    let size!(P) = definition.vector_size(MatrixIdent::A);
    let size!(C) = definition.vector_size(MatrixIdent::Accumulator);

    let mut x_of = Shared::<[Vector<S, N>]>::new_slice(comptime!(2 * x_half));
    let mut weight_of = Shared::<[Vector<S, N>]>::new_slice(comptime!(2 * weight_half));

    let unit = UNIT_POS_X;
    let quarter = unit % (QUARTERS as u32);
    let own = unit / (QUARTERS as u32);
    // All outputs of some pixels one after the other, for they read the same rows; both along one axis, for it alone is long enough.
    let tiles_across = (outputs + comptime!(tiling.width() as u32 - 1)) / comptime!(tiling.width() as u32);
    let first_pixel = CUBE_POS_X / tiles_across * comptime!(tiling.height() as u32);
    let first_output = CUBE_POS_X % tiles_across * comptime!(tiling.width() as u32);

    // Where this unit reads, for each row that it copies: from the window's first tap, which may lie outside.
    let mut x_from = Array::<i32>::new(passes_x);
    let mut line = Array::<i32>::new(passes_x);
    let mut column = Array::<i32>::new(passes_x);
    #[unroll]
    for pass in 0..passes_x {
        let pixel = first_pixel + own + between * (pass as u32);
        let (picture, y, x_at) = place(pixel, height, width);
        let top = i32::cast_from(y * stride) - padding;
        let left = i32::cast_from(x_at * stride) - padding;
        let first = i32::cast_from(picture * h);
        if comptime!(apart > 1) {
            x_from[pass] = first;
        } else {
            x_from[pass] = ((first + top) * i32::cast_from(w) + left) * i32::cast_from(pitch) + i32::cast_from(quarter);
        }
        line[pass] = select(pixel < pixels, top, -(1i32 << 28i32));
        column[pass] = left;
    }
    let mut weight_from = Array::<u32>::new(passes_weight);
    #[unroll]
    for pass in 0..passes_weight {
        let output = first_output + own + between * (pass as u32);
        weight_from[pass] = select(output < outputs, output, outputs - 1) * taps * vectors + quarter;
    }

    let lane = UNIT_POS_PLANE;
    let q = lane % 4;
    let r = lane / 4;
    let plane = unit / (PLANE as u32);
    let down = plane / planes_across;
    let across = plane - down * planes_across;
    let x_read = (down * comptime!((rows * 16) as u32) + r) * 4 + q;
    let weight_read = (across * comptime!((columns * 8) as u32) + (r / 2) * 4 + r % 2) * 4 + q;

    let mut sums = nothing::<C>(comptime!(rows * columns));
    let mut next_x = Array::<Vector<F, N>>::new(passes_x);
    let mut next_weight = Array::<Vector<F, N>>::new(passes_weight);

    let zero = Vector::<F, N>::new(F::from_int(0));
    let steps = (vectors + comptime!(QUARTERS as u32 - 1)) / comptime!(QUARTERS as u32) * taps;
    let mut vector = 0u32;
    let mut tap = 0u32;
    let mut down_by = 0i32;
    let mut right_by = 0i32;
    let mut half = 0u32;
    // One round more than there are steps: the first only copies, the last only multiplies.
    for round in 0..steps + 1 {
        let inside = vector + quarter < vectors && tap < taps;
        let moved = (down_by * i32::cast_from(w) + right_by) * i32::cast_from(pitch) + i32::cast_from(vector);
        let tap_read = if flip { select(tap < taps, taps - 1 - tap, 0u32) } else { tap };
        #[unroll]
        for pass in 0..passes_x {
            let mut y = line[pass] + down_by;
            let mut x_at = column[pass] + right_by;
            let mut is_there = inside && y >= 0 && x_at >= 0;
            let mut from = x_from[pass] + moved;
            if comptime!(apart > 1) {
                is_there = is_there && y % apart == 0 && x_at % apart == 0;
                y /= apart;
                x_at /= apart;
                from = ((x_from[pass] + y) * i32::cast_from(w) + x_at) * i32::cast_from(pitch)
                    + i32::cast_from(vector + quarter);
            }
            is_there = is_there && y < i32::cast_from(h) && x_at < i32::cast_from(w);
            let value = x[usize::cast_from(select(is_there, from, 0i32))];
            next_x[pass] = select(is_there, value, zero);
        }
        #[unroll]
        for pass in 0..passes_weight {
            let value = weight[select(inside, weight_from[pass] + tap_read * vectors + vector, 0u32) as usize];
            next_weight[pass] = select(inside, value, zero);
        }

        if round > 0 {
            let x_at = half * comptime!(x_half as u32) + x_read;
            let weight_at = half * comptime!(weight_half as u32) + weight_read;
            let mut a = Array::<Vector<S, N>>::new(comptime!(2 * rows));
            #[unroll]
            for row in 0..comptime!(2 * rows) {
                a[row] = x_of[(x_at + comptime!((row * 8 * QUARTERS) as u32)) as usize];
            }
            #[unroll]
            for at in 0..columns {
                let b = weight_of[(weight_at + comptime!(((at / 2 * 16 + at % 2 * 2) * QUARTERS) as u32)) as usize];
                multiply::<S, N, P, C>(&definition, &a, b, &mut sums, 0usize, at, columns, rows);
                multiply::<S, N, P, C>(&definition, &a, b, &mut sums, 2usize, at, columns, rows);
            }
            half = 1 - half;
        }

        let write_x = half * comptime!(x_half as u32) + unit;
        let write_weight = half * comptime!(weight_half as u32) + unit;
        #[unroll]
        for pass in 0..passes_x {
            x_of[(write_x + comptime!((pass * units) as u32)) as usize] = Vector::<S, N>::cast_from(next_x[pass]);
        }
        #[unroll]
        for pass in 0..passes_weight {
            weight_of[(write_weight + comptime!((pass * units) as u32)) as usize] =
                Vector::<S, N>::cast_from(next_weight[pass]);
        }
        sync_cube();

        vector += QUARTERS as u32;
        if vector >= vectors {
            vector = 0;
            tap += 1;
            right_by += dilation;
            if tap % kernel == 0 {
                right_by = 0;
                down_by += dilation;
            }
        }
    }

    #[unroll]
    for row in 0..rows {
        #[unroll]
        for lower in 0..2usize {
            let pixel =
                first_pixel + down * comptime!((rows * 16) as u32) + comptime!((row * 16 + lower * 8) as u32) + r;
            #[unroll]
            for pair in 0..comptime!(columns / 2) {
                let output =
                    first_output + across * comptime!((columns * 8) as u32) + comptime!((pair * 16) as u32) + q * 4;
                let mut four = Vector::<F, O>::empty();
                #[unroll]
                for value in 0..4usize {
                    let sum = sums.index(comptime!(row * columns + pair * 2 + value / 2));
                    four.insert(value, F::cast_from(sum[lower].extract(comptime!(value % 2))));
                }
                if pixel < pixels && output < outputs {
                    result[pixel as usize * (outputs as usize / 4) + (output / 4) as usize] = four;
                }
            }
        }
    }
}
