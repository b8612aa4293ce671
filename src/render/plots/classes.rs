//! Scores class by class: IoU or accuracy, and the confusion matrix.

use super::bars::Bars;
use super::heatmap::{Heatmap, Scale};
use crate::Result;
use crate::eval::scores::Confusion;
use crate::task::ClassSet;
use ndarray::Array2;
use std::path::Path;

/// IoU of each class in percent as horizontal bars, in order; `None` shows as absent.
///
/// `class_iou`: in 0..=1, as [`Scores::class_iou`](crate::eval::scores::Scores::class_iou). `miou`: marked by a line.
///
/// # Errors
/// The file cannot be written.
pub fn class_iou_bars(path: impl AsRef<Path>, classes: &ClassSet, class_iou: &[Option<f64>], miou: f64) -> Result<()> {
    let bars = Bars {
        names: classes.classes.iter().map(|class| class.name.as_str()).collect(),
        scores: class_iou.to_vec(),
        axis: "IoU (%)",
        absent: "not in truth or prediction",
        mark: ("mIoU", miou),
    };
    bars.save(path)
}

/// Accuracy of each class in percent as horizontal bars, in order of classes; `None` shows as absent. With more
/// classes than bars can show: the sorted accuracies as a curve, and bars of the best and the worst.
///
/// `names`, `accuracy` in 0..=1: of each class. `mean`: of all images, marked by a line.
///
/// # Errors
/// The file cannot be written.
pub fn accuracy_plot(path: impl AsRef<Path>, names: &[String], accuracy: &[Option<f64>], mean: f64) -> Result<()> {
    let bars = Bars {
        names: names.iter().map(String::as_str).collect(),
        scores: accuracy.to_vec(),
        axis: "accuracy (%)",
        absent: "not in the truth",
        mark: ("all pictures", mean),
    };
    bars.save(path)
}

/// Confusion matrix of pixels, each row in percent of its true pixels.
///
/// # Errors
/// The file cannot be written.
pub fn confusion_heatmap(path: impl AsRef<Path>, confusion: &Confusion) -> Result<()> {
    let counts = confusion.counts();
    let totals = counts.outer_iter().zip(confusion.predicted_void()).map(|(row, void)| row.sum() + void).collect();
    let names = confusion.classes().classes.iter().map(|class| class.name.as_str()).collect();
    Heatmap { names, counts, totals, scale: Scale::Linear, unit: "pixels" }.save(path)
}

/// Confusion matrix of images, each row in percent of its true images, on a scale that shows rare confusions.
///
/// `names`: of the classes. `counts`: `[classes, classes]`, rows truth, columns prediction.
///
/// # Errors
/// The file cannot be written.
pub fn class_confusion(path: impl AsRef<Path>, names: &[String], counts: &Array2<u64>) -> Result<()> {
    let totals = counts.outer_iter().map(|row| row.sum()).collect();
    let names = names.iter().map(String::as_str).collect();
    let heatmap = Heatmap { names, counts: counts.clone(), totals, scale: Scale::CubeRoot, unit: "pictures" };
    heatmap.save(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_at_all_can_be_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        class_iou_bars(&path, &ClassSet::cityscapes(), &[None; 19], f64::NAN).unwrap();
        confusion_heatmap(&path, &Confusion::new(ClassSet::cityscapes())).unwrap();
        assert!(image::open(&path).unwrap().width() > 1000);
        for classes in [0, 1, 2, 31, 121] {
            let names: Vec<String> = (0..classes).map(|class| class.to_string()).collect();
            accuracy_plot(&path, &names, &vec![None; classes], f64::NAN).unwrap();
            class_confusion(&path, &names, &Array2::zeros((classes, classes))).unwrap();
        }
    }
}
