//! Rows of the table of classes.

use crate::eval::scores::Confusion;
use serde::Serialize;

/// A class and what its row and column of the confusion matrix say; shares in 0..=1, `None` where there is no pixel to
/// divide by.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Class {
    pub id: usize,
    pub name: String,
    /// `#rrggbb`
    pub color: String,
    pub iou: Option<f64>,
    /// Share of what was predicted as the class that is it.
    pub precision: Option<f64>,
    /// Share of the class that was predicted as it.
    pub recall: Option<f64>,
    /// Share of the labelled pixels that are of the class.
    pub of_truth: Option<f64>,
    /// Share of the labelled pixels that were predicted as the class.
    pub of_predicted: Option<f64>,
}

/// A row for each class of segmentation.
pub(super) fn classes(confusion: &Confusion) -> Vec<Class> {
    let (counts, void, ious) = (confusion.counts(), confusion.predicted_void(), confusion.scores().class_iou);
    let set = confusion.classes();
    let share = |part: u64, of: u64| (of > 0).then(|| part as f64 / of as f64);
    let truth: Vec<u64> = counts.outer_iter().zip(&void).map(|(row, void)| row.sum() + void).collect();
    let total = truth.iter().sum();
    let class = |id: usize| {
        let (hits, predicted) = (counts[[id, id]], counts.column(id).sum());
        let info = &set.classes[id];
        let [red, green, blue] = info.color;
        Class {
            id,
            name: info.name.clone(),
            color: format!("#{red:02x}{green:02x}{blue:02x}"),
            iou: ious[id],
            precision: share(hits, predicted),
            recall: share(hits, truth[id]),
            of_truth: share(truth[id], total),
            of_predicted: share(predicted, total),
        }
    };
    (0..set.len()).map(class).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_and_recall_are_as_by_hand() {
        let mut confusion = Confusion::new(crate::task::ClassSet::cityscapes());
        // Road 2 of 3 found, one taken for sidewalk; one of sidewalk taken for road.
        confusion.add(&[0, 0, 0, 1, crate::task::IGNORE_INDEX], &[0, 0, 1, 0, 5]);
        let rows = classes(&confusion);
        let road = &rows[0];
        assert_eq!((road.iou, road.precision, road.recall), (Some(0.5), Some(2.0 / 3.0), Some(2.0 / 3.0)));
        assert_eq!((road.of_truth, road.of_predicted), (Some(0.75), Some(0.75)));
        assert_eq!((rows[1].iou, rows[1].precision, rows[1].recall), (Some(0.0), Some(0.0), Some(0.0)));
        assert_eq!((rows[5].iou, rows[5].precision, rows[5].recall), (None, None, None), "only where ignored");
        assert_eq!((road.name.as_str(), road.color.as_str()), ("road", "#804080"));
    }
}
