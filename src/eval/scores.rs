//! Confusion matrix and the scores that come out of it, as the official Cityscapes evaluator counts them.

use crate::task::{ClassSet, IGNORE_INDEX};
use ndarray::Array2;
use std::sync::Arc;

/// Pixel counts of truth and prediction, over any number of images. Pixels whose truth is not scored are left out.
///
/// Predictions made elsewhere may hold ids that are no class. They have columns behind those of the classes: one for each
/// group, for ids that belong to it without being a class, and a last one for all others.
#[derive(Debug, Clone, PartialEq)]
pub struct Confusion {
    classes: Arc<ClassSet>,
    counts: Array2<u64>, // [classes, classes + groups + 1]
}

impl Confusion {
    /// No pixel counted yet.
    pub fn new(classes: Arc<ClassSet>) -> Self {
        let (rows, groups) = (classes.len(), classes.groups.len());
        Self { counts: Array2::zeros((rows, rows + groups + 1)), classes }
    }

    /// The classes that are counted.
    pub fn classes(&self) -> &Arc<ClassSet> {
        &self.classes
    }

    /// Counts the pixels of one image. Where the truth is [`IGNORE_INDEX`] the prediction does not count at all.
    ///
    /// # Shapes
    /// `truth`, `pred`: class indices of the same pixels in the same order.
    ///
    /// # Panics
    /// If the lengths differ or an index is no class: the loader and the network give neither.
    pub fn add(&mut self, truth: &[u16], pred: &[u8]) {
        assert_eq!(truth.len(), pred.len(), "truth and prediction must have the same number of pixels");
        let classes = self.classes.len();
        // A row more, for what is ignored: no branch in the loop.
        let mut pairs = vec![0_u64; (classes + 1) * 256];
        for (&truth, &pred) in truth.iter().zip(pred) {
            pairs[usize::from(truth).min(classes) * 256 + usize::from(pred)] += 1;
        }
        for (mut row, counted) in self.counts.outer_iter_mut().zip(pairs.chunks_exact(256)) {
            let beyond = counted[classes.min(256)..].iter().position(|pixels| *pixels > 0);
            assert!(beyond.is_none(), "a predicted index is not a class");
            row.iter_mut().zip(&counted[..classes.min(256)]).for_each(|(sum, pixels)| *sum += pixels);
        }
    }

    /// Counts a prediction that may hold other ids than the classes': those of [`columns`](Self::columns).
    ///
    /// # Panics
    /// If the lengths differ, or a column is not there.
    pub fn add_columns(&mut self, truth: &[u16], pred: &[u16]) {
        assert_eq!(truth.len(), pred.len(), "truth and prediction must have the same number of pixels");
        for (&truth, &column) in truth.iter().zip(pred) {
            if truth != IGNORE_INDEX {
                self.counts[[usize::from(truth), usize::from(column)]] += 1;
            }
        }
    }

    /// Column of every id on disk: that of its class, else of the group that it belongs to, else the last.
    pub fn columns(classes: &ClassSet) -> Vec<u16> {
        let (num_classes, groups) = (classes.len() as u16, classes.groups.len() as u16);
        let mut columns = vec![num_classes + groups; usize::from(u16::MAX) + 1];
        for (group, index) in classes.groups.iter().zip(num_classes..) {
            group.ignored_ids.iter().for_each(|id| columns[usize::from(*id)] = index);
        }
        for (class, index) in classes.classes.iter().zip(0..) {
            class.ids.iter().for_each(|id| columns[usize::from(*id)] = index);
        }
        columns
    }

    /// Counts `[classes, classes]` of pixels, and beside them the pixels of each class that were predicted as something
    /// that is not scored.
    ///
    /// # Panics
    /// If there are not as many of each as classes.
    pub(super) fn from_counts(classes: Arc<ClassSet>, counts: &Array2<u64>, predicted_void: &[u64]) -> Self {
        let mut confusion = Self::new(classes);
        let last = confusion.counts.ncols() - 1;
        for (mut row, (pixels, void)) in confusion.counts.outer_iter_mut().zip(counts.outer_iter().zip(predicted_void))
        {
            row.iter_mut().zip(pixels).for_each(|(count, pixels)| *count = *pixels);
            row[last] = *void; // which void id it was does not matter to any IoU
        }
        confusion
    }

    /// Adds the pixels counted elsewhere, such as by another worker.
    pub fn merge(&mut self, other: &Self) {
        self.counts += &other.counts;
    }

    /// Pixel counts `[classes, classes]`, rows truth, columns prediction.
    pub fn counts(&self) -> Array2<u64> {
        let classes = self.classes.len();
        self.counts.slice(ndarray::s![.., ..classes]).to_owned()
    }

    /// Pixels of each class that were predicted as something that is not scored: missed, and no false positives.
    pub fn predicted_void(&self) -> Vec<u64> {
        let classes = self.classes.len();
        self.counts.outer_iter().map(|row| row.iter().skip(classes).sum()).collect()
    }

    /// Number of pixels by their true class and the column of their prediction.
    pub(super) fn pixels(&self, truth: impl Fn(usize) -> bool, column: impl Fn(usize) -> bool) -> u64 {
        let counted = self.counts.indexed_iter().filter(|((row, pred), _)| truth(*row) && column(*pred));
        counted.map(|(_, pixels)| pixels).sum()
    }

    /// Group that a column belongs to.
    pub(super) fn group_of_column(&self, column: usize) -> Option<usize> {
        let classes = self.classes.len();
        if column < classes {
            return self.classes.group_of(column);
        }
        Some(column - classes).filter(|group| *group < self.classes.groups.len())
    }

    /// One division at the end: scores of all pixels counted so far.
    pub fn scores(&self) -> Scores {
        let num_classes = self.classes.len();
        let truth: Vec<u64> = self.counts.outer_iter().map(|row| row.sum()).collect();
        let predicted: Vec<u64> =
            self.counts.columns().into_iter().take(num_classes).map(|column| column.sum()).collect();
        let hits: Vec<u64> = (0..num_classes).map(|class| self.counts[[class, class]]).collect();
        let iou = |hits: u64, truth: u64, predicted: u64| {
            let union = truth + predicted - hits;
            (union > 0).then(|| hits as f64 / union as f64)
        };
        let class_iou: Vec<Option<f64>> =
            (0..num_classes).map(|class| iou(hits[class], truth[class], predicted[class])).collect();
        let groups: Vec<Option<usize>> = (0..num_classes).map(|class| self.classes.group_of(class)).collect();
        let group_iou = |group: usize| {
            let is_in = |class: usize| class < num_classes && groups[class] == Some(group);
            let sum =
                |of: &[u64]| of.iter().enumerate().filter(|(class, _)| is_in(*class)).map(|(_, n)| n).sum::<u64>();
            iou(self.pixels(is_in, is_in), sum(&truth), sum(&predicted))
        };
        let category_iou: Vec<Option<f64>> = (0..self.classes.groups.len()).map(group_iou).collect();
        let total: u64 = truth.iter().sum();
        let present = class_iou.iter().zip(&truth).filter(|(_, pixels)| **pixels > 0).map(|(iou, _)| *iou);
        Scores {
            miou: mean(&class_iou),
            miou_present: mean(&present.collect::<Vec<_>>()),
            miou_categories: mean(&category_iou),
            pixel_accuracy: hits.iter().sum::<u64>() as f64 / total as f64,
            truth_share: truth.iter().map(|pixels| *pixels as f64 / total.max(1) as f64).collect(),
            class_iou,
            category_iou,
        }
    }
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
    /// IoU of each class, in order; `None` where it occurs in neither truth nor prediction.
    pub class_iou: Vec<Option<f64>>,
    /// IoU of each category, in order of the groups of the class set.
    pub category_iou: Vec<Option<f64>>,
    /// Share of the labelled pixels that are of each class.
    pub truth_share: Vec<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Truth `0 0 / 1 255`, prediction `0 1 / 1 2`.
    fn two_by_two() -> Confusion {
        let mut confusion = Confusion::new(ClassSet::cityscapes());
        confusion.add(&[0, 0, 1, IGNORE_INDEX], &[0, 1, 1, 2]);
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
        let mut confusion = Confusion::new(ClassSet::cityscapes());
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
        let mut together = Confusion::new(ClassSet::cityscapes());
        together.add(&[0, 0, 1, IGNORE_INDEX, 0, 0, 1, IGNORE_INDEX], &[0, 1, 1, 2, 0, 1, 1, 2]);
        assert_eq!(merged, together);
    }

    #[test]
    fn void_predictions_are_missed_and_no_false_positives() {
        let mut confusion = Confusion::new(ClassSet::cityscapes());
        // Truth: road, road, parking (void), car, car. Predicted: road, parking, car, caravan (void), truck.
        let columns = Confusion::columns(&ClassSet::cityscapes());
        let pred = [7, 9, 26, 29, 27].map(|id| columns[id]);
        confusion.add_columns(&[0, 0, IGNORE_INDEX, 13, 13], &pred);
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
        let back = Confusion::from_counts(ClassSet::cityscapes(), &confusion.counts(), &confusion.predicted_void());
        assert_eq!(back.scores(), scores);
    }

    #[test]
    fn class_indices_and_ids_on_disk_count_the_same() {
        let set = ClassSet::cityscapes();
        let (mut by_index, mut by_id) = (Confusion::new(Arc::clone(&set)), Confusion::new(Arc::clone(&set)));
        by_index.add(&[0, 13, IGNORE_INDEX, 18], &[0, 14, 2, 18]);
        let columns = Confusion::columns(&set);
        by_id.add_columns(&[0, 13, IGNORE_INDEX, 18], &[7, 27, 11, 33].map(|id| columns[id]));
        assert_eq!(by_index, by_id);
    }

    #[test]
    fn two_and_256_classes_are_counted() {
        for classes in [2_usize, 256] {
            let names: Vec<String> = (0..classes).map(|index| index.to_string()).collect();
            let mut confusion = Confusion::new(Arc::new(ClassSet::numbered("x", &names)));
            let last = (classes - 1) as u8;
            confusion.add(&[last.into(), last.into(), 0, IGNORE_INDEX], &[last, 0, 0, last]);
            let scores = confusion.scores();
            assert_eq!((scores.class_iou[0], scores.class_iou[classes - 1]), (Some(0.5), Some(0.5)));
            assert!(scores.miou_categories.is_nan() && scores.category_iou.is_empty());
        }
    }
}
