//! Confusion matrix and the scores that come out of it, as the official Cityscapes evaluator counts them.

use crate::data::labels::{CATEGORIES, CLASSES, IGNORE_INDEX, MAX_LABEL_ID, NUM_CATEGORIES, NUM_CLASSES, train_id};
use ndarray::Array2;

/// Number of label ids. Predictions made elsewhere may hold ids that are not scored, too.
const NUM_LABEL_IDS: usize = MAX_LABEL_ID as usize + 1;

/// Pixel counts `[truth, prediction]`, over any number of pictures. Pixels whose truth is not scored are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    counts: Array2<u64>, // [NUM_CLASSES, NUM_LABEL_IDS]: rows by train id, columns by label id
}

impl Default for Confusion {
    fn default() -> Self {
        Self::new()
    }
}

impl Confusion {
    /// No pixel counted yet.
    pub fn new() -> Self {
        Self { counts: Array2::zeros((NUM_CLASSES, NUM_LABEL_IDS)) }
    }

    /// Counts the pixels of one picture. Where the truth is [`IGNORE_INDEX`] the prediction does not count at all.
    ///
    /// # Shapes
    /// `truth`, `pred`: train ids of the same pixels in the same order.
    ///
    /// # Panics
    /// If the lengths differ or an id is no class: the loader and the network give neither.
    pub fn add(&mut self, truth: &[u8], pred: &[u8]) {
        assert_eq!(truth.len(), pred.len(), "truth and prediction must have the same number of pixels");
        for (&truth, &pred) in truth.iter().zip(pred) {
            if truth != IGNORE_INDEX {
                assert!((pred as usize) < NUM_CLASSES, "predicted train id {pred} is not a class");
                self.counts[[truth as usize, CLASSES[pred as usize].label_id as usize]] += 1;
            }
        }
    }

    /// The same of label ids, scored or not.
    ///
    /// # Panics
    /// If the lengths differ or an id is above [`MAX_LABEL_ID`].
    pub fn add_label_ids(&mut self, truth: &[u8], pred: &[u8]) {
        const SIDE: usize = 64; // A power of two, so that the inner loop needs no bounds.
        assert_eq!(truth.len(), pred.len(), "truth and prediction must have the same number of pixels");
        let largest = |ids: &[u8]| ids.iter().copied().max().unwrap_or(0);
        assert!(largest(truth).max(largest(pred)) <= MAX_LABEL_ID, "label ids end at {MAX_LABEL_ID}");
        let mut pairs = vec![0_u64; SIDE * SIDE];
        for (&truth, &pred) in truth.iter().zip(pred) {
            pairs[(truth as usize % SIDE) * SIDE + pred as usize % SIDE] += 1;
        }
        for (class, mut row) in CLASSES.iter().zip(self.counts.outer_iter_mut()) {
            let counted = &pairs[class.label_id as usize * SIDE..];
            row.iter_mut().zip(counted).for_each(|(sum, pixels)| *sum += pixels);
        }
    }

    /// Counts `[NUM_CLASSES, NUM_CLASSES]` of pixels, and beside them the pixels of each class that were predicted as
    /// something that is not scored.
    ///
    /// # Panics
    /// If there are not [`NUM_CLASSES`] of each.
    pub(super) fn from_counts(counts: &Array2<u64>, predicted_void: &[u64]) -> Self {
        let mut confusion = Self::new();
        for (mut row, (pixels, void)) in confusion.counts.outer_iter_mut().zip(counts.outer_iter().zip(predicted_void))
        {
            CLASSES.iter().zip(pixels).for_each(|(class, pixels)| row[class.label_id as usize] = *pixels);
            row[0] = *void; // "unlabeled"; which void id it was does not matter to any IoU
        }
        confusion
    }

    /// Adds the pixels counted elsewhere, such as by another worker.
    pub fn merge(&mut self, other: &Self) {
        self.counts += &other.counts;
    }

    /// Pixel counts `[NUM_CLASSES, NUM_CLASSES]` by train id, rows truth, columns prediction.
    pub fn counts(&self) -> Array2<u64> {
        Array2::from_shape_fn((NUM_CLASSES, NUM_CLASSES), |(truth, pred)| {
            self.counts[[truth, CLASSES[pred].label_id as usize]]
        })
    }

    /// Pixels of each class that were predicted as something that is not scored: missed, and nobody's false positives.
    pub fn predicted_void(&self) -> Vec<u64> {
        (0..NUM_CLASSES).map(|class| self.pixels(|truth| truth == class, |pred| !is_scored(pred))).collect()
    }

    /// Number of pixels by their true train id and predicted label id.
    pub(super) fn pixels(&self, truth: impl Fn(usize) -> bool, pred: impl Fn(u8) -> bool) -> u64 {
        let counted = self.counts.indexed_iter().filter(|((row, column), _)| truth(*row) && pred(*column as u8));
        counted.map(|(_, pixels)| pixels).sum()
    }

    /// One division at the end: scores of all pixels counted so far.
    pub fn scores(&self) -> Scores {
        let iou = |truth: &dyn Fn(usize) -> bool, pred: &dyn Fn(u8) -> bool| {
            let hits = self.pixels(truth, pred);
            let union = self.pixels(truth, |_| true) + self.pixels(|class| !truth(class), pred);
            (union > 0).then(|| hits as f64 / union as f64)
        };
        let class_iou: Vec<Option<f64>> = (0..NUM_CLASSES)
            .map(|class| iou(&|truth| truth == class, &|pred| pred == CLASSES[class].label_id))
            .collect();
        let category_iou: Vec<Option<f64>> = (0..NUM_CATEGORIES)
            .map(|category| {
                let ids = &CATEGORIES[category].label_ids;
                iou(&|truth| CLASSES[truth].category() == category, &|pred| is_scored(pred) && ids.contains(&pred))
            })
            .collect();
        let truth: Vec<u64> = (0..NUM_CLASSES).map(|class| self.pixels(|truth| truth == class, |_| true)).collect();
        let hits: u64 = (0..NUM_CLASSES).map(|class| self.counts[[class, CLASSES[class].label_id as usize]]).sum();
        let total: u64 = truth.iter().sum();
        let present = class_iou.iter().zip(&truth).filter(|(_, pixels)| **pixels > 0).map(|(iou, _)| *iou);
        Scores {
            miou: mean(&class_iou),
            miou_present: mean(&present.collect::<Vec<_>>()),
            miou_categories: mean(&category_iou),
            pixel_accuracy: hits as f64 / total as f64,
            truth_share: truth.iter().map(|pixels| *pixels as f64 / total.max(1) as f64).collect(),
            class_iou,
            category_iou,
        }
    }
}

fn is_scored(label_id: u8) -> bool {
    train_id(label_id).is_some_and(|class| class != IGNORE_INDEX)
}

/// Mean of what is there; NaN if nothing is.
pub(super) fn mean(values: &[Option<f64>]) -> f64 {
    let there = values.iter().flatten();
    there.clone().sum::<f64>() / there.count() as f64
}

/// Scores in 0..=1. Without any labelled pixel the first four are NaN.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Mean IoU over the classes that occur in truth or prediction: what the official evaluator prints.
    pub miou: f64,
    /// Mean IoU over the classes that occur in the truth.
    pub miou_present: f64,
    /// Mean IoU over the categories that occur in truth or prediction.
    pub miou_categories: f64,
    /// Share of labelled pixels that are right.
    pub pixel_accuracy: f64,
    /// IoU of each class by train id; `None` where it occurs in neither truth nor prediction.
    pub class_iou: Vec<Option<f64>>,
    /// IoU of each category, in order of [`CATEGORIES`].
    pub category_iou: Vec<Option<f64>>,
    /// Share of the labelled pixels that are of each class.
    pub truth_share: Vec<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Truth `0 0 / 1 255`, prediction `0 1 / 1 2`.
    fn two_by_two() -> Confusion {
        let mut confusion = Confusion::new();
        confusion.add(&[0, 0, 1, 255], &[0, 1, 1, 2]);
        confusion
    }

    #[test]
    fn a_two_by_two_mask_scores_as_by_hand() {
        let scores = two_by_two().scores();
        assert_eq!(scores.class_iou[0], Some(0.5), "1 hit of {{0,0}} and none beside");
        assert_eq!(scores.class_iou[1], Some(0.5), "1 hit, 1 false");
        assert_eq!(scores.class_iou[2], None, "predicted only where the truth is ignored");
        assert_eq!(scores.miou, 0.5);
        assert_eq!(scores.miou_present, 0.5);
        assert_eq!(scores.pixel_accuracy, 2.0 / 3.0);
        assert_eq!(scores.truth_share[0], 2.0 / 3.0);
    }

    #[test]
    fn a_class_that_is_only_predicted_counts_as_zero_in_the_official_mean() {
        let mut confusion = Confusion::new();
        confusion.add(&[0, 0], &[0, 5]);
        let scores = confusion.scores();
        assert_eq!(scores.class_iou[5], Some(0.0));
        assert_eq!(scores.miou, 0.25, "(0.5 + 0) / 2");
        assert_eq!(scores.miou_present, 0.5, "class 5 does not occur in the truth");
    }

    #[test]
    fn merged_counts_are_the_counts_of_all_pictures() {
        let mut merged = two_by_two();
        merged.merge(&two_by_two());
        let mut together = Confusion::new();
        together.add(&[0, 0, 1, 255, 0, 0, 1, 255], &[0, 1, 1, 2, 0, 1, 1, 2]);
        assert_eq!(merged, together);
    }

    #[test]
    fn void_predictions_are_missed_and_nobody_s_false_positives() {
        let mut confusion = Confusion::new();
        // Truth: road, road, parking (void), car, car. Predicted: road, parking, car, caravan (void), truck.
        confusion.add_label_ids(&[7, 7, 9, 26, 26], &[7, 9, 26, 29, 27]);
        let scores = confusion.scores();
        assert_eq!(scores.class_iou[0], Some(0.5), "road: 1 hit, 1 missed");
        assert_eq!(scores.class_iou[13], Some(0.0), "car: 2 missed; the one on parking does not count");
        assert_eq!(scores.class_iou[14], Some(0.0), "truck: 1 false");
        assert_eq!(scores.miou, 0.5 / 3.0);
        assert_eq!(scores.pixel_accuracy, 0.25);
        assert_eq!(scores.category_iou[0], Some(0.5), "flat: parking is of its ids, and not scored");
        assert_eq!(scores.category_iou[6], Some(0.5), "vehicle: a truck is a hit, a caravan is not");
        assert_eq!(scores.category_iou[1], None);
        assert_eq!(scores.miou_categories, 0.5);
        assert_eq!((confusion.predicted_void()[0], confusion.predicted_void()[13]), (1, 1));
        assert_eq!(confusion.counts().sum(), 2, "what is predicted void is not among the classes");
        let back = Confusion::from_counts(&confusion.counts(), &confusion.predicted_void());
        assert_eq!(back.scores(), scores);
    }

    #[test]
    fn label_ids_and_train_ids_count_the_same() {
        let (mut by_train_id, mut by_label_id) = (Confusion::new(), Confusion::new());
        by_train_id.add(&[0, 13, 255, 18], &[0, 14, 2, 18]);
        by_label_id.add_label_ids(&[7, 26, 0, 33], &[7, 27, 11, 33]);
        assert_eq!(by_train_id, by_label_id);
    }
}
