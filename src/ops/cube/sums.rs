//! Sums in two kernels: one leaves a sum for each chunk, a small one adds the chunks up, always in the same order.

use burn_cubecl::cubecl::{self, prelude::*};

/// Columns of a cube that adds chunks up.
pub(super) const LANES: usize = 32;
/// Units of such a cube that share a column.
pub(super) const LEVELS: usize = 8;

/// Launch dimensions of a kernel that adds chunks up, for this number of columns.
pub(super) fn merging(columns: usize) -> (CubeCount, CubeDim) {
    (CubeCount::Static(columns.div_ceil(LANES) as u32, 1, 1), CubeDim::new_2d(LANES as u32, LEVELS as u32))
}

/// Column of this unit.
#[cube]
pub(super) fn own_column(#[comptime] lanes: usize) -> u32 {
    CUBE_POS_X * (lanes as u32) + UNIT_POS_X
}

/// Sum of the values of the units of a column, for each of them; all units of the cube take part.
#[cube]
pub(super) fn over_levels(value: f32, #[comptime] lanes: usize, #[comptime] levels: usize) -> f32 {
    let lane = UNIT_POS_X as usize;
    let mut values = Shared::<[f32]>::new_slice(comptime!(lanes * levels));
    values[UNIT_POS_Y as usize * lanes + lane] = value;
    sync_cube();
    let mut total = 0.0f32;
    for level in 0..levels {
        total += values[level * lanes + lane];
    }
    sync_cube(); // in case that the next sum is given the same memory
    total
}

/// Sum of this unit's column of `[chunks, columns]`; all units of the cube take part.
#[cube]
pub(super) fn of_column(
    chunk_sums: &[f32],
    columns: u32,
    chunks: u32,
    #[comptime] lanes: usize,
    #[comptime] levels: usize,
) -> f32 {
    let column = own_column(lanes);
    let mut sum = 0.0f32;
    if column < columns {
        let mut chunk = UNIT_POS_Y;
        while chunk < chunks {
            sum += chunk_sums[(chunk * columns + column) as usize];
            chunk += levels as u32;
        }
    }
    over_levels(sum, lanes, levels)
}
