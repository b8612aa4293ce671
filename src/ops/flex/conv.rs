//! Convolution as matrix products over tiles of output pixels.
//!
//! With `columns` the matrix `[channels_in·kernel², pixels]` of the input values under each kernel tap,
//! output = `weight · columns`, weight gradient = `grad · columnsᵀ`, and the input gradient scatters `weightᵀ · grad`
//! (at stride 1 it is itself a convolution with the turned kernel). Only a block of `columns` that fits a core's cache
//! exists at a time; for 1×1 kernels it is the input itself.

use super::{Shared, f32s, tensor};
use crate::ops::ConvGeometry;
use burn_flex::FlexTensor;
use gemm::{Parallelism, gemm};
use rayon::prelude::*;

/// Output pixels of one tile.
const TILE: usize = 512;
/// Rows of `columns` held at a time: with [`TILE`], 1.2 MiB, a core's second-level cache.
const ROWS: usize = 576;
/// Weight gradients up to this many values are summed over several groups of images in parallel.
const SMALL_WEIGHT: usize = 1 << 15;

/// Everything about one convolution that its tasks need.
#[derive(Clone, Copy)]
struct Problem {
    batch: usize,
    channels_in: usize,
    height: usize,
    width: usize,
    channels_out: usize,
    kernel: usize,
    out_height: usize,
    out_width: usize,
    geometry: ConvGeometry,
}

impl Problem {
    fn new(input: [usize; 4], weight: [usize; 4], geometry: ConvGeometry) -> Self {
        let [batch, channels_in, height, width] = input;
        let [channels_out, weight_in, kernel, kernel_w] = weight;
        assert_eq!(channels_in, weight_in, "conv2d: input {input:?} does not fit weight {weight:?}");
        assert_eq!(kernel, kernel_w, "conv2d: kernels are square, not {weight:?}");
        let (out_height, out_width) = (geometry.output_len(height, kernel), geometry.output_len(width, kernel));
        Self { batch, channels_in, height, width, channels_out, kernel, out_height, out_width, geometry }
    }

    fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    fn in_pixels(&self) -> usize {
        self.height * self.width
    }

    fn out_pixels(&self) -> usize {
        self.out_height * self.out_width
    }

    /// A 1×1 kernel at stride 1: `columns` is the input.
    fn pointwise(&self) -> bool {
        self.kernel == 1 && self.geometry.stride == 1 && self.geometry.padding == 0
    }

    /// Input channels whose rows of `columns` are held at a time.
    fn channel_block(&self) -> usize {
        (ROWS / self.taps()).clamp(1, self.channels_in)
    }

    /// Writes rows `channels × taps` of `columns` for output pixels `first..first + n` of one image.
    fn columns(&self, picture: &[f32], channels: std::ops::Range<usize>, first: usize, n: usize, columns: &mut [f32]) {
        let ConvGeometry { stride, padding, dilation } = self.geometry;
        let mut row = 0;
        for channel in channels {
            let plane = &picture[channel * self.in_pixels()..][..self.in_pixels()];
            for ky in 0..self.kernel {
                for kx in 0..self.kernel {
                    let target = &mut columns[row * n..][..n];
                    row += 1;
                    let (mut done, mut y, mut x) = (0, first / self.out_width, first % self.out_width);
                    while done < n {
                        let run = (self.out_width - x).min(n - done);
                        let target = &mut target[done..done + run];
                        match (y * stride + ky * dilation).checked_sub(padding).filter(|&in_y| in_y < self.height) {
                            None => target.fill(0.0),
                            Some(in_y) => {
                                let line = &plane[in_y * self.width..][..self.width];
                                copy_line(line, target, x, kx * dilation, padding, stride);
                            }
                        }
                        done += run;
                        y += 1;
                        x = 0;
                    }
                }
            }
        }
    }

    /// Adds rows of `columns` back to the input pixels they came from: the adjoint of [`Self::columns`].
    fn scatter(&self, columns: &[f32], channels: std::ops::Range<usize>, first: usize, n: usize, picture: Shared) {
        let ConvGeometry { stride, padding, dilation } = self.geometry;
        let mut row = 0;
        for channel in channels {
            // SAFETY: a task owns its channels of its image.
            let plane = unsafe { picture.slice(channel * self.in_pixels(), self.in_pixels()) };
            for ky in 0..self.kernel {
                for kx in 0..self.kernel {
                    let source = &columns[row * n..][..n];
                    row += 1;
                    for (i, &value) in source.iter().enumerate() {
                        let (y, x) = ((first + i) / self.out_width, (first + i) % self.out_width);
                        let in_y = (y * stride + ky * dilation).wrapping_sub(padding);
                        let in_x = (x * stride + kx * dilation).wrapping_sub(padding);
                        if in_y < self.height && in_x < self.width {
                            plane[in_y * self.width + in_x] += value;
                        }
                    }
                }
            }
        }
    }
}

/// `target[i] = line[(x + i)·stride + offset − padding]`, 0 outside the line.
fn copy_line(line: &[f32], target: &mut [f32], x: usize, offset: usize, padding: usize, stride: usize) {
    let width = line.len();
    if stride == 1 {
        // line index of target[i] is i + x + offset − padding
        let shift = (x + offset) as isize - padding as isize;
        let start = (-shift).clamp(0, target.len() as isize) as usize;
        let end = (width as isize - shift).clamp(start as isize, target.len() as isize) as usize;
        target[..start].fill(0.0);
        if end > start {
            let from = (start as isize + shift) as usize;
            target[start..end].copy_from_slice(&line[from..from + (end - start)]);
        }
        target[end..].fill(0.0);
        return;
    }
    for (i, value) in target.iter_mut().enumerate() {
        let at = ((x + i) * stride + offset).wrapping_sub(padding);
        *value = if at < width { line[at] } else { 0.0 };
    }
}

/// A matrix inside a buffer: pointer to its first element, step between rows, step between columns.
#[derive(Clone, Copy)]
struct Matrix(*const f32, usize, usize);

/// `target = (add ? target : 0) + left · right` for a row-major target with rows `target_step` apart.
///
/// # Safety
/// `target`, `left [m, k]` and `right [k, n]` lie in live buffers, and no other thread touches the target.
unsafe fn product(
    m: usize,
    n: usize,
    k: usize,
    target: *mut f32,
    target_step: usize,
    add: bool,
    left: Matrix,
    right: Matrix,
) {
    unsafe {
        gemm(
            m,
            n,
            k,
            target,
            1,
            target_step as isize,
            add,
            left.0,
            left.2 as isize,
            left.1 as isize,
            right.0,
            right.2 as isize,
            right.1 as isize,
            1.0f32,
            1.0f32,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// `[first, second, …]` blocks of `size` that cover `0..len`.
fn blocks(len: usize, size: usize) -> impl Iterator<Item = std::ops::Range<usize>> + Clone {
    (0..len.div_ceil(size)).map(move |i| i * size..((i + 1) * size).min(len))
}

pub(super) fn forward(x: &FlexTensor, weight: &FlexTensor, geometry: ConvGeometry) -> FlexTensor {
    let (x, weight) = (x.to_contiguous(), weight.to_contiguous());
    let problem = Problem::new(x.layout().shape().dims::<4>(), weight.layout().shape().dims::<4>(), geometry);
    convolve(problem, f32s(&x), f32s(&weight))
}

fn convolve(p: Problem, input: &[f32], weight: &[f32]) -> FlexTensor {
    let pixels = p.out_pixels();
    let mut output = vec![0f32; p.batch * p.channels_out * pixels];
    let shared = Shared::new(&mut output);
    let depth = p.channels_in * p.taps();
    let weight = Shared(weight.as_ptr().cast_mut());
    let tasks: Vec<_> = (0..p.batch).flat_map(|b| blocks(pixels, TILE).map(move |tile| (b, tile))).collect();
    tasks.into_par_iter().for_each_init(Vec::new, |columns, (b, tile)| {
        let picture = &input[b * p.channels_in * p.in_pixels()..][..p.channels_in * p.in_pixels()];
        let target = shared.at(b * p.channels_out * pixels + tile.start);
        let n = tile.len();
        if p.pointwise() {
            // SAFETY: this tile of the output is this task's own.
            unsafe {
                let left = Matrix(weight.at(0), depth, 1);
                let right = Matrix(picture[tile.start..].as_ptr(), pixels, 1);
                product(p.channels_out, n, depth, target, pixels, false, left, right);
            }
            return;
        }
        columns.resize(p.channel_block() * p.taps() * TILE, 0f32);
        for channels in blocks(p.channels_in, p.channel_block()) {
            p.columns(picture, channels.clone(), tile.start, n, columns);
            let rows = channels.len() * p.taps();
            // SAFETY: as above; `columns` holds rows × n values.
            unsafe {
                let left = Matrix(weight.at(channels.start * p.taps()), depth, 1);
                let right = Matrix(columns.as_ptr(), n, 1);
                product(p.channels_out, n, rows, target, pixels, channels.start > 0, left, right);
            }
        }
    });
    tensor(output, [p.batch, p.channels_out, p.out_height, p.out_width])
}

pub(super) fn grad_input(
    input: [usize; 4],
    weight: &FlexTensor,
    grad: &FlexTensor,
    geometry: ConvGeometry,
) -> FlexTensor {
    let (weight, grad) = (weight.to_contiguous(), grad.to_contiguous());
    let p = Problem::new(input, weight.layout().shape().dims::<4>(), geometry);
    let reach = geometry.dilation * (p.kernel - 1);
    if geometry.stride == 1 && reach >= geometry.padding {
        let turned = turn(f32s(&weight), p);
        let geometry = ConvGeometry { padding: reach - geometry.padding, ..geometry };
        let shape = [p.batch, p.channels_out, p.out_height, p.out_width];
        let turned_shape = [p.channels_in, p.channels_out, p.kernel, p.kernel];
        return convolve(Problem::new(shape, turned_shape, geometry), f32s(&grad), &turned);
    }
    scatter_input(p, f32s(&weight), f32s(&grad))
}

/// The kernel with its channels exchanged and its taps in reverse: `[channels_in, channels_out, kernel, kernel]`.
fn turn(weight: &[f32], p: Problem) -> Vec<f32> {
    let taps = p.taps();
    let mut turned = vec![0f32; weight.len()];
    turned.par_chunks_mut(p.channels_out * taps).enumerate().for_each(|(channel_in, target)| {
        for (channel_out, target) in target.chunks_mut(taps).enumerate() {
            let source = &weight[(channel_out * p.channels_in + channel_in) * taps..][..taps];
            target.iter_mut().zip(source.iter().rev()).for_each(|(t, s)| *t = *s);
        }
    });
    turned
}

fn scatter_input(p: Problem, weight: &[f32], grad: &[f32]) -> FlexTensor {
    let pixels = p.out_pixels();
    let mut output = vec![0f32; p.batch * p.channels_in * p.in_pixels()];
    let shared = Shared::new(&mut output);
    let depth = p.channels_in * p.taps();
    let weight = Shared(weight.as_ptr().cast_mut());
    // Smaller blocks than elsewhere, so that a batch of one still makes several tasks.
    let block = p.channel_block().min(p.channels_in.div_ceil(4));
    let tasks: Vec<_> = (0..p.batch).flat_map(|b| blocks(p.channels_in, block).map(move |c| (b, c))).collect();
    tasks.into_par_iter().for_each_init(Vec::new, |columns, (b, channels)| {
        let grad = &grad[b * p.channels_out * pixels..][..p.channels_out * pixels];
        let picture = Shared(shared.at(b * p.channels_in * p.in_pixels()));
        let rows = channels.len() * p.taps();
        columns.resize(rows * TILE, 0f32);
        for tile in blocks(pixels, TILE) {
            let n = tile.len();
            // SAFETY: `columns` is this task's and holds rows × n values; weight is read transposed.
            unsafe {
                let left = Matrix(weight.at(channels.start * p.taps()), 1, depth);
                let right = Matrix(grad[tile.start..].as_ptr(), pixels, 1);
                product(rows, n, p.channels_out, columns.as_mut_ptr(), n, false, left, right);
            }
            p.scatter(columns, channels.clone(), tile.start, n, picture);
        }
    });
    tensor(output, [p.batch, p.channels_in, p.height, p.width])
}

pub(super) fn grad_weight(x: &FlexTensor, weight: [usize; 4], grad: &FlexTensor, geometry: ConvGeometry) -> FlexTensor {
    let (x, grad) = (x.to_contiguous(), grad.to_contiguous());
    let p = Problem::new(x.layout().shape().dims::<4>(), weight, geometry);
    let (input, grad) = (f32s(&x), f32s(&grad));
    let (pixels, depth) = (p.out_pixels(), p.channels_in * p.taps());
    let size = p.channels_out * depth;
    // A small weight has too few channel blocks to keep the cores busy: there, groups of images add up their own copies,
    // which are then summed in order. The number of groups depends on shapes only.
    let groups = if size <= SMALL_WEIGHT { p.batch.min(8) } else { 1 };
    let block = if size <= SMALL_WEIGHT { p.channel_block() } else { p.channel_block().min(p.channels_in.div_ceil(4)) };
    let mut copies = vec![0f32; groups * size];
    let shared = Shared::new(&mut copies);
    let tasks: Vec<_> = (0..groups).flat_map(|g| blocks(p.channels_in, block).map(move |c| (g, c))).collect();
    tasks.into_par_iter().for_each_init(Vec::new, |columns, (group, channels)| {
        let rows = channels.len() * p.taps();
        let target = shared.at(group * size + channels.start * p.taps());
        if !p.pointwise() {
            columns.resize(rows * TILE, 0f32);
        }
        let mut add = false;
        for b in (group..p.batch).step_by(groups) {
            let picture = &input[b * p.channels_in * p.in_pixels()..][..p.channels_in * p.in_pixels()];
            let grad = &grad[b * p.channels_out * pixels..][..p.channels_out * pixels];
            let tile_size = if p.pointwise() { pixels } else { TILE };
            for tile in blocks(pixels, tile_size) {
                let n = tile.len();
                let right = if p.pointwise() {
                    Matrix(picture[channels.start * pixels + tile.start..].as_ptr(), 1, pixels)
                } else {
                    p.columns(picture, channels.clone(), tile.start, n, columns);
                    Matrix(columns.as_ptr(), 1, n)
                };
                let left = Matrix(grad[tile.start..].as_ptr(), pixels, 1);
                // SAFETY: these columns of this group's copy are this task's own.
                unsafe { product(p.channels_out, rows, n, target, depth, add, left, right) };
                add = true;
            }
        }
    });
    let (sum, rest) = copies.split_at_mut(size);
    for copy in rest.chunks(size) {
        sum.iter_mut().zip(copy).for_each(|(s, c)| *s += c);
    }
    copies.truncate(size);
    tensor(copies, weight)
}
