//! The terms of a local loss λ1·R + λ2·T.
//!
//! R, the reconstruction, is [`ops::bce_with_logits`](crate::ops::bce_with_logits) between the decoder's image and the
//! input image. T is [`ops::upsample_cross_entropy`](crate::ops::upsample_cross_entropy), or [`contrast`].

use burn::tensor::{Bool, Device, FloatDType, Int, Tensor, TensorData, activation};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// λ of local module `index` (from 0) of `num_modules`: linear from the first to the last that has a local loss, which is
/// the (K−1)-th. With K = 2 the first value holds.
pub fn weight([first, last]: [f64; 2], index: usize, num_modules: usize) -> f64 {
    if num_modules <= 2 {
        return first;
    }
    first + (last - first) * index as f64 / (num_modules - 2) as f64
}

/// Pixels of a batch's features whose embeddings are compared, and their classes.
pub struct PixelSample {
    /// Indices into the flattened `[batch, h, w]`.
    pub pixels: Vec<i32>,
    /// Class of each.
    pub classes: Vec<u16>,
}

/// Draws up to `samples` labelled pixels at feature resolution `size`, the same number of each class as far as there are
/// that many. The label of a feature pixel is the nearest label pixel's; one that is none of the `num_classes` is ignored.
///
/// # Shapes
/// `label [batch, height, width]` flattened, `shape` its sizes.
pub fn sample_pixels(
    label: &[u16],
    num_classes: usize,
    shape: [usize; 3],
    size: [usize; 2],
    samples: usize,
    seed: u64,
) -> PixelSample {
    let [batch, height, width] = shape;
    let [h, w] = size;
    let mut by_class: Vec<Vec<i32>> = vec![Vec::new(); num_classes];
    for b in 0..batch {
        for y in 0..h {
            for x in 0..w {
                let class = label[(b * height + y * height / h) * width + x * width / w] as usize;
                if let Some(pixels) = by_class.get_mut(class) {
                    pixels.push(((b * h + y) * w + x) as i32);
                }
            }
        }
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Rarest class first: what it cannot use is shared out among the others.
    let mut order: Vec<usize> = (0..by_class.len()).filter(|&class| !by_class[class].is_empty()).collect();
    order.sort_by_key(|&class| by_class[class].len());
    let (mut left, mut sample) = (samples, PixelSample { pixels: Vec::new(), classes: Vec::new() });
    for (i, &class) in order.iter().enumerate() {
        let share = (left / (order.len() - i)).min(by_class[class].len());
        left -= share;
        let (drawn, _) = by_class[class].partial_shuffle(&mut rng, share);
        sample.pixels.extend(&*drawn);
        sample.classes.extend(std::iter::repeat_n(class as u16, share));
    }
    sample
}

/// Supervised contrastive loss (Khosla et al. 2020, L_out) over sampled pixel embeddings: each pixel is to be nearer to
/// its own class than to the others. A pixel that is alone in its class is compared with, but is no anchor itself; without
/// anchors the loss is 0. (The paper's code divides by all images, anchors or not: the same wherever each class has two.)
///
/// # Shapes
/// `embeddings [batch, dimensions, h, w]`, not normalised; returns `[1]`.
pub fn contrast(embeddings: Tensor<4>, sample: &PixelSample, temperature: f64) -> Tensor<1> {
    let [batch, dimensions, h, w] = embeddings.dims();
    let embeddings = embeddings.cast(FloatDType::F32);
    let device = embeddings.device();
    let n = sample.pixels.len();
    let (positives, anchors) = positive_weights(&sample.classes);
    if anchors == 0 {
        return (embeddings * 0.0).sum();
    }
    let pixels = Tensor::<1, Int>::from_data(TensorData::new(sample.pixels.clone(), [n]), &device);
    let z = embeddings.permute([0, 2, 3, 1]).reshape([batch * h * w, dimensions]).select(0, pixels); // [n, dimensions]
    let norm = (z.clone().powf_scalar(2.0).sum_dim(1) + 1e-12).sqrt();
    let z = z / norm;
    let similarity = z.clone().matmul(z.transpose()) / temperature; // [n, n]
    let others = similarity.mask_fill(diagonal(n, &device), -1e9);
    let log_share = activation::log_softmax(others, 1);
    let positives = Tensor::<2>::from_data(TensorData::new(positives, [n, n]), &device);
    // Row by row: a sum of millions at once is not done in the same order each time.
    (log_share * positives).sum_dim(1).sum_dim(0).reshape([1]).neg()
}

/// `[n, n]`: 1/(positives of the anchor · number of anchors) at each positive pair, else 0; and the number of anchors.
fn positive_weights(classes: &[u16]) -> (Vec<f32>, usize) {
    let n = classes.len();
    let members = |class: u16| classes.iter().filter(|&&other| other == class).count();
    let anchors = classes.iter().filter(|&&class| members(class) > 1).count();
    let mut weights = vec![0f32; n * n];
    for (i, &class) in classes.iter().enumerate() {
        let positives = members(class) - 1;
        for (j, &other) in classes.iter().enumerate() {
            if i != j && other == class {
                weights[i * n + j] = 1.0 / (positives * anchors) as f32;
            }
        }
    }
    (weights, anchors)
}

fn diagonal(n: usize, device: &Device) -> Tensor<2, Bool> {
    Tensor::<2>::eye(n, device).greater_elem(0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_run_linearly_to_the_last_but_one_module() {
        assert_eq!(weight([5.0, 0.0], 0, 2), 5.0);
        assert_eq!([0, 1, 2].map(|k| weight([6.0, 1.0], k, 4)), [6.0, 3.5, 1.0]);
    }

    #[test]
    fn sampled_pixels_are_balanced_and_labelled() {
        // 8 × 8 labels, features half that size: 12 pixels of class 0, 3 of class 4, one ignored
        let mut label = vec![0u16; 64];
        for (y, x, class) in [(0, 0, 4), (0, 2, 4), (2, 0, 4), (6, 6, 255)] {
            label[y * 8 + x] = class;
        }
        let sample = sample_pixels(&label, 19, [1, 8, 8], [4, 4], 8, 1);
        assert_eq!(sample.classes, [4, 4, 4, 0, 0, 0, 0, 0]);
        assert!(!sample.pixels.contains(&15), "pixel (3, 3) is ignored");
        let mut unique = sample.pixels.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), 8);
    }

    #[test]
    fn class_255_of_more_is_a_class_like_any_other() {
        let sample = sample_pixels(&[255, 299, 300], 300, [3, 1, 1], [1, 1], 3, 1);
        let mut classes = sample.classes.clone();
        classes.sort_unstable();
        assert_eq!(classes, [255, 299], "300 is none of them");
        let device = Device::flex();
        let label = Tensor::<3, Int>::from_data([[[255]], [[999]]], &device);
        let loss = crate::ops::upsample_cross_entropy(Tensor::zeros([2, 300, 1, 1], &device), label, false);
        assert!((loss.into_scalar::<f32>() - 300f32.ln()).abs() < 1e-4);
    }

    #[test]
    fn contrast_of_four_pixels_by_hand() {
        // Two classes at right angles: for each anchor one positive (similarity 1/τ) and two negatives (0).
        let device = Device::flex();
        let z = Tensor::<4>::from_data([[[[2.0, 3.0, 0.0, 0.0]], [[0.0, 0.0, 1.0, 4.0]]]], &device);
        let sample = PixelSample { pixels: vec![0, 1, 2, 3], classes: vec![0, 0, 1, 1] };
        let loss = contrast(z, &sample, 0.5).into_scalar::<f32>();
        let expected = ((2f32.exp() + 2.0) / 2f32.exp()).ln();
        assert!((loss - expected).abs() < 1e-5, "{loss} is not {expected}");
    }

    #[test]
    fn a_pixel_alone_in_its_class_is_no_anchor() {
        let device = Device::flex();
        let z = Tensor::<4>::from_data([[[[2.0, 0.0]], [[0.0, 1.0]]]], &device);
        let sample = PixelSample { pixels: vec![0, 1], classes: vec![0, 1] };
        assert_eq!(contrast(z, &sample, 0.07).into_scalar::<f32>(), 0.0);
    }
}
