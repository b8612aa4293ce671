//! How sure the network is of each pixel.

use super::Predictor;
use super::inference::picture;
use super::test_time::{TestTime, VersionScores, best_of_mean, each_row};
use crate::Result;
use crate::ops::upsample_argmax;
use ndarray::{Array2, Array3};

/// Prediction of one image, and how sure the network is of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Confident {
    /// Class indices `[height, width]`.
    pub pred: Array2<u8>,
    /// Softmax probability of the predicted class at the image's own size, 0..=255 for 0..=1; `[height, width]`.
    pub confidence: Array2<u8>,
}

impl Predictor {
    /// What [`predict_mean`](Self::predict_mean) says, with its confidence: of several versions their mean's.
    ///
    /// # Errors
    /// An image without pixels; scores that are not finite.
    pub fn predict_with_confidence(&self, image: &Array3<u8>, test_time: &TestTime) -> Result<Confident> {
        let versions = self.versions(image, test_time)?;
        let (height, width, _) = image.dim();
        Ok(sure(&versions.iter().collect::<Vec<_>>(), test_time.is_plain(), [height, width]))
    }
}

fn sure(versions: &[&VersionScores], plain: bool, size: [usize; 2]) -> Confident {
    let ids = match (plain, versions) {
        // As the evaluation predicts it: probabilities round, and so do their ties.
        (true, [VersionScores { windows, .. }]) => upsample_argmax(&windows[0].values, windows[0].shape, size),
        _ => best_of_mean(versions, size),
    };
    let mut confidence = vec![0; ids.len()];
    let scale = 255.0 / versions.len() as f32;
    each_row(versions, size, &mut confidence, |sum, row| {
        let mut largest = vec![0f32; row.len()];
        for class in sum.chunks_exact(row.len()) {
            largest.iter_mut().zip(class).for_each(|(largest, &value)| *largest = largest.max(value));
        }
        row.iter_mut().zip(&largest).for_each(|(target, largest)| *target = (largest * scale).round() as u8);
    });
    Confident { pred: picture(ids, size), confidence: picture(confidence, size) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::test_time::WindowScores;

    fn version(values: &[f32], [h, w]: [usize; 2], size: [usize; 2]) -> VersionScores {
        let shape = [values.len() / h / w, h, w];
        let windows = vec![WindowScores { place: [0, 0, size[0], size[1]], shape, values: values.to_vec() }];
        VersionScores { scale: 1.0, flipped: false, size, windows }
    }

    #[test]
    fn confidence_is_the_probability_of_the_predicted_class() {
        // Softmax of ln 3 and 0 is 3/4; of two equals 1/2, and the first is predicted.
        let one = version(&[3.0_f32.ln(), 0.0, 0.0, 0.0], [1, 2], [1, 2]);
        let Confident { pred, confidence } = sure(&[&one], true, [1, 2]);
        assert_eq!(pred.as_slice(), Some(&[0, 0][..]));
        assert_eq!(confidence.as_slice(), Some(&[191, 128][..]), "3/4 and 1/2 of 255, rounded");
    }

    #[test]
    fn scores_are_resized_before_the_softmax() {
        // Halfway between scores 8 : 0 and 0 : 8 both classes are as likely; afterwards it would be no more than 1/2 + e-8.
        let one = version(&[8.0, 0.0, 0.0, 8.0], [1, 2], [1, 4]);
        let confidence = sure(&[&one], true, [1, 4]).confidence;
        // Shares 0, 1/4, 3/4, 1 of the second: scores 8 : 0, 6 : 2, 2 : 6, 0 : 8.
        assert_eq!(confidence.as_slice(), Some(&[255, 250, 250, 255][..]), "1 / (1 + e^-4) = 0.982");
    }

    #[test]
    fn of_several_versions_it_is_the_mean() {
        let (a, b) = (version(&[200.0, 0.0], [1, 1], [1, 1]), version(&[0.0, 0.0], [1, 1], [1, 1]));
        let Confident { pred, confidence } = sure(&[&a, &b], false, [1, 1]);
        assert_eq!((pred[[0, 0]], confidence[[0, 0]]), (0, 191), "(1 + 1/2) / 2");
    }
}
