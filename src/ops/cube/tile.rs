//! What the kernels of [`super::tiles`] have in common.
//!
//! A cube computes a tile of the result, each of its planes a part of that, in `mma.sync` of 16×8 values. A *word* is what such an
//! instruction takes of an operand at once: one value in TF32, two neighbours along the sum in bfloat16. With words the two
//! formats are alike: an instruction sums over 8 of them, and 16 are in shared memory at a time, twice, so that one half is filled
//! while the other is multiplied. Unit `4·r + q` of a plane holds words `q` and `q + 4` of the rows `r` and `r + 8`. Which word of the sum
//! and which row of the result that is may be chosen freely, as long as both operands agree: here so that a unit reads four
//! words at once and no two units want the same bank.

use burn_cubecl::cubecl::{self, prelude::*};

/// Units of a plane.
pub(super) const PLANE: usize = 32;
/// Words of the sum that are in shared memory at a time.
pub(super) const DEPTH: usize = 16;

/// How a cube divides its tile: planes next to each other, and the part of each, in instructions of 16 rows and 8 columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Tiling {
    pub planes: [usize; 2],
    pub rows: usize,
    pub columns: usize,
}

impl Tiling {
    pub const fn units(&self) -> usize {
        self.planes[0] * self.planes[1] * PLANE
    }

    /// Cubes that a multiprocessor has room for at a time. It has 65,536 registers. A unit needs one for each value of its part of the
    /// result, two for each word that it copies, and about 30 more.
    pub const fn at_once(&self) -> usize {
        let copied = (self.height() + self.width()) * DEPTH / self.units();
        let registers = self.units() * (self.rows * self.columns * 4 + 2 * copied + 30);
        if registers > 32_768 { 1 } else { 65_536 / registers }
    }

    /// Rows of the result that a cube computes.
    pub const fn height(&self) -> usize {
        self.planes[0] * self.rows * 16
    }

    /// Columns of the result that a cube computes.
    pub const fn width(&self) -> usize {
        self.planes[1] * self.columns * 8
    }
}

/// Image, row and column of the pixel with this number.
#[cube]
pub(super) fn place(number: u32, height: u32, width: u32) -> (u32, u32, u32) {
    let line = number / width;
    let picture = line / height;
    (picture, line - picture * height, number - line * width)
}

/// The word that begins with this value of a vector.
#[cube]
pub(super) fn word_of<S: Float, N: Size, P: Size>(vector: Vector<S, N>, #[comptime] from: usize) -> Vector<S, P> {
    let mut word = Vector::<S, P>::empty();
    #[unroll]
    for value in 0..P::value() {
        word.insert(value, vector.extract(comptime!(from + value)));
    }
    word
}

/// Sums of all instructions of a plane, at 0.
#[cube]
pub(super) fn nothing<C: Size>(#[comptime] count: usize) -> Sequence<Array<Vector<f32, C>>> {
    let mut sums = Sequence::<Array<Vector<f32, C>>>::new();
    #[unroll]
    for _ in 0..count {
        let mut sum = Array::<Vector<f32, C>>::new(2usize);
        sum[0] = Vector::new(0.0f32);
        sum[1] = Vector::new(0.0f32);
        sums.push(sum);
    }
    sums
}
