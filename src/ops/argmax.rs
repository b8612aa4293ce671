//! From class scores to class ids at the image's size, on the host.

use super::flex::resize::Resize;
use rayon::prelude::*;

/// The best class of each pixel of `scores` bilinearly resized (corners not aligned) to `[height, width]`; the first of
/// equals. Row by row: full-size scores never exist.
///
/// # Shapes
/// `scores [classes, h, w]` flattened; returns `[height, width]` flattened.
pub fn upsample_argmax(scores: &[f32], [classes, h, w]: [usize; 3], [height, width]: [usize; 2]) -> Vec<u8> {
    let resize = Resize::new([h, w], [height, width], false);
    let mut ids = vec![0u8; height * width];
    ids.par_chunks_mut(width).enumerate().for_each_init(
        || (vec![0f32; w], vec![0f32; width], vec![0f32; width]),
        |(blended, row, best), (y, ids)| {
            best.fill(f32::NEG_INFINITY);
            for class in 0..classes {
                resize.row(&scores[class * h * w..][..h * w], y, blended, row);
                for ((&score, best), id) in row.iter().zip(best.iter_mut()).zip(ids.iter_mut()) {
                    if score > *best {
                        *best = score;
                        *id = class as u8;
                    }
                }
            }
        },
    );
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_class_is_taken_after_resizing() {
        // Between 0.9 on the left and 0 on the right, class 0 falls below class 1's 0.5 past the middle.
        let scores = [0.9, 0.0, 0.5, 0.5];
        assert_eq!(upsample_argmax(&scores, [2, 1, 2], [1, 4]), [0, 0, 1, 1]);
        assert_eq!(upsample_argmax(&[1.0, 1.0], [2, 1, 1], [2, 2]), [0; 4]);
    }
}
