//! The two pixel losses with their gradients, a few rows at a time: full-size logits never exist.

use super::resize::Resize;
use super::{f32s, tensor};
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// Label rows of one task. Fixed, so that sums do not depend on the number of threads.
const BAND: usize = 32;

/// What one band of label rows contributes.
struct Band {
    loss: f64,
    /// First row of `grad` in the logits' gradient.
    first_row: usize,
    /// `[classes, rows, w]`.
    grad: Vec<f32>,
    rows: usize,
}

pub(super) fn upsample_cross_entropy(
    logits: &FlexTensor,
    label: &FlexTensor,
    align_corners: bool,
) -> (FlexTensor, FlexTensor) {
    let (logits, label) = (logits.to_contiguous(), label.to_contiguous());
    let [batch, classes, h, w] = logits.layout().shape().dims::<4>();
    let [_, height, width] = label.layout().shape().dims::<3>();
    let (values, ids) = (f32s(&logits), label.as_slice::<i32>().expect("the caller checked int32 labels"));
    let resize = Resize::new([h, w], [height, width], align_corners);
    let count = ids.par_iter().filter(|&&id| (0..classes as i32).contains(&id)).count().max(1);
    let scale = 1.0 / count as f32;

    let tasks: Vec<_> = (0..batch).flat_map(|b| (0..height).step_by(BAND).map(move |y| (b, y))).collect();
    let bands: Vec<Band> = tasks
        .par_iter()
        .map(|&(b, start)| {
            let logits = &values[b * classes * h * w..][..classes * h * w];
            let ids = &ids[b * height * width..][..height * width];
            band(&resize, logits, ids, [classes, h, w], width, start..(start + BAND).min(height), scale)
        })
        .collect();

    let mut grad = vec![0f32; values.len()];
    let mut loss = 0f64;
    for (&(b, _), band) in tasks.iter().zip(&bands) {
        loss += band.loss;
        for class in 0..classes {
            let target = &mut grad[((b * classes + class) * h + band.first_row) * w..][..band.rows * w];
            let source = &band.grad[class * band.rows * w..][..band.rows * w];
            target.iter_mut().zip(source).for_each(|(t, s)| *t += s);
        }
    }
    let loss = (loss / count as f64) as f32;
    (tensor(vec![loss], [1]), tensor(grad, [batch, classes, h, w]))
}

fn band(
    resize: &Resize,
    logits: &[f32],
    ids: &[i32],
    [classes, h, w]: [usize; 3],
    width: usize,
    rows: std::ops::Range<usize>,
    scale: f32,
) -> Band {
    let first_row = resize.rows[rows.start].0;
    let touched = resize.rows[rows.end - 1].1 - first_row + 1;
    let mut grad = vec![0f32; classes * touched * w];
    let mut blended = vec![0f32; w];
    let mut scores = vec![0f32; classes * width]; // [classes, width]: one full-size row
    let (mut highest, mut sum) = (vec![0f32; width], vec![0f32; width]);
    let mut loss = 0f64;
    for y in rows {
        let ids = &ids[y * width..][..width];
        let labelled = |id: i32| (0..classes as i32).contains(&id);
        if !ids.iter().any(|&id| labelled(id)) {
            continue;
        }
        for (class, row) in scores.chunks_mut(width).enumerate() {
            resize.row(&logits[class * h * w..][..h * w], y, &mut blended, row);
        }
        highest.fill(f32::NEG_INFINITY);
        for row in scores.chunks(width) {
            highest.iter_mut().zip(row).for_each(|(m, &s)| *m = if s > *m { s } else { *m });
        }
        for (x, &id) in ids.iter().enumerate() {
            if labelled(id) {
                loss += f64::from(highest[x] - scores[id as usize * width + x]);
            }
        }
        sum.fill(0.0);
        for row in scores.chunks_mut(width) {
            for ((s, &m), sum) in row.iter_mut().zip(&highest).zip(&mut sum) {
                *s = exp(*s - m);
                *sum += *s;
            }
        }
        for (x, &id) in ids.iter().enumerate() {
            if labelled(id) {
                loss += f64::from(sum[x].ln());
                sum[x] = scale / sum[x];
            } else {
                sum[x] = 0.0;
            }
        }
        for (class, row) in scores.chunks_mut(width).enumerate() {
            for ((s, &f), &id) in row.iter_mut().zip(&sum).zip(ids) {
                let target = if id == class as i32 { scale } else { 0.0 };
                *s = *s * f - target;
            }
            resize.row_grad(row, y, &mut blended, &mut grad[class * touched * w..][..touched * w], first_row);
        }
    }
    Band { loss, first_row, grad, rows: touched }
}

/// `eˣ` for `x ≤ 0` in a form that the compiler can vectorise: 2ⁿ times a polynomial on `[−½, ½]`·ln 2; relative error
/// below 3e-7.
#[inline(always)]
fn exp(x: f32) -> f32 {
    let x = if x < -87.0 { -87.0 } else { x };
    let n = (x * std::f32::consts::LOG2_E + 0.5).floor();
    // ln 2 in two parts, so that the product with n is exact.
    let r = (x - n * 0.693_359_4) - n * -2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_6e-1;
    let p = p * r + 5e-1;
    let p = p * r * r + r + 1.0;
    p * f32::from_bits(((n as i32 + 127) as u32) << 23)
}

pub(super) fn bce_with_logits(logits: &FlexTensor, target: &FlexTensor) -> (FlexTensor, FlexTensor) {
    let (logits, target) = (logits.to_contiguous(), target.to_contiguous());
    let shape = logits.layout().shape().clone();
    let (values, target) = (f32s(&logits), f32s(&target));
    assert_eq!(values.len(), target.len(), "bce_with_logits: logits {shape:?} do not fit the target");
    let scale = 1.0 / values.len() as f32;
    let mut grad = vec![0f32; values.len()];
    const CHUNK: usize = 1 << 12;
    let parts: Vec<f64> = grad
        .par_chunks_mut(CHUNK)
        .zip(values.par_chunks(CHUNK).zip(target.par_chunks(CHUNK)))
        .map(|(grad, (values, target))| {
            let mut loss = 0f32;
            for ((g, &z), &t) in grad.iter_mut().zip(values).zip(target) {
                let tail = exp(-z.abs()); // e^−|z|, in (0, 1]
                let sigmoid = if z >= 0.0 { 1.0 } else { tail } / (1.0 + tail);
                *g = (sigmoid - t) * scale;
                loss += z.max(0.0) - z * t + tail.ln_1p();
            }
            f64::from(loss)
        })
        .collect();
    let loss = (parts.iter().sum::<f64>() * f64::from(scale)) as f32;
    (tensor(vec![loss], [1]), tensor(grad, shape))
}
