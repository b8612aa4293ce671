//! Confusion matrix and the scores that come out of it, as the official Cityscapes evaluator counts them.

use crate::data::labels::{CLASSES, IGNORE_INDEX, NUM_CLASSES};
use crate::files::{plain_cause, write_atomic};
use crate::{Error, Result};
use ndarray::{Array2, Axis};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

/// Pixel counts `[truth, prediction]`, over any number of pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    counts: Array2<u64>, // [NUM_CLASSES, NUM_CLASSES]
}

impl Default for Confusion {
    fn default() -> Self {
        Self::new()
    }
}

impl Confusion {
    /// No pixel counted yet.
    pub fn new() -> Self {
        Self { counts: Array2::zeros((NUM_CLASSES, NUM_CLASSES)) }
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
                self.counts[[truth as usize, pred as usize]] += 1;
            }
        }
    }

    /// Adds the pixels counted elsewhere, such as by another worker.
    pub fn merge(&mut self, other: &Self) {
        self.counts += &other.counts;
    }

    /// Pixel counts `[NUM_CLASSES, NUM_CLASSES]`, rows truth, columns prediction.
    pub fn counts(&self) -> &Array2<u64> {
        &self.counts
    }

    /// One division at the end: scores of all pixels counted so far.
    pub fn scores(&self) -> Scores {
        let truth = self.counts.sum_axis(Axis(1)); // [NUM_CLASSES]
        let pred = self.counts.sum_axis(Axis(0)); // [NUM_CLASSES]
        let hits = self.counts.diag();
        let total = truth.sum();
        let class_iou: Vec<Option<f64>> = (0..NUM_CLASSES)
            .map(|class| {
                let union = truth[class] + pred[class] - hits[class];
                (union > 0).then(|| hits[class] as f64 / union as f64)
            })
            .collect();
        let present = class_iou.iter().zip(&truth).filter(|(_, pixels)| **pixels > 0).map(|(iou, _)| *iou);
        Scores {
            miou: mean(class_iou.iter().copied()),
            miou_present: mean(present),
            pixel_accuracy: hits.sum() as f64 / total as f64,
            truth_share: truth.iter().map(|pixels| *pixels as f64 / total.max(1) as f64).collect(),
            class_iou,
        }
    }
}

/// Mean of what is there; NaN if nothing is.
fn mean(values: impl Iterator<Item = Option<f64>>) -> f64 {
    let values: Vec<f64> = values.flatten().collect();
    values.iter().sum::<f64>() / values.len() as f64
}

/// Scores in 0..=1. Without any labelled pixel the first three are NaN.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Mean IoU over the classes that occur in truth or prediction: what the official evaluator prints.
    pub miou: f64,
    /// Mean IoU over the classes that occur in the truth.
    pub miou_present: f64,
    /// Share of labelled pixels that are right.
    pub pixel_accuracy: f64,
    /// IoU of each class by train id; `None` where it occurs in neither truth nor prediction.
    pub class_iou: Vec<Option<f64>>,
    /// Share of the labelled pixels that are of each class.
    pub truth_share: Vec<f64>,
}

/// Result of one evaluation, as written to `report.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// [`Scores::miou`], null if no pixel was labelled.
    #[serde(deserialize_with = "nan_if_null")]
    pub miou: f64,
    /// [`Scores::miou_present`].
    #[serde(deserialize_with = "nan_if_null")]
    pub miou_present: f64,
    /// [`Scores::pixel_accuracy`].
    #[serde(deserialize_with = "nan_if_null")]
    pub pixel_accuracy: f64,
    /// Class name → IoU, null where the class occurs in neither truth nor prediction; in order of train ids.
    pub classes: serde_json::Map<String, serde_json::Value>,
    /// Pixel counts, `confusion[truth][prediction]`.
    pub confusion: Vec<Vec<u64>>,
    /// Pictures evaluated.
    pub images: usize,
}

fn nan_if_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

impl Report {
    /// The scores of these counts over `images` pictures.
    pub fn new(confusion: &Confusion, images: usize) -> Self {
        let scores = confusion.scores();
        let classes = CLASSES.iter().zip(&scores.class_iou).map(|(class, iou)| (class.name.to_string(), (*iou).into()));
        Self {
            miou: scores.miou,
            miou_present: scores.miou_present,
            pixel_accuracy: scores.pixel_accuracy,
            classes: classes.collect(),
            confusion: confusion.counts.outer_iter().map(|row| row.to_vec()).collect(),
            images,
        }
    }

    /// The counts this report was made from.
    ///
    /// # Errors
    /// A report that was read from a file may hold a matrix of another size.
    pub fn confusion(&self) -> Result<Confusion> {
        let flat: Vec<u64> = self.confusion.iter().flatten().copied().collect();
        let square = self.confusion.iter().all(|row| row.len() == NUM_CLASSES);
        match Array2::from_shape_vec((NUM_CLASSES, NUM_CLASSES), flat) {
            Ok(counts) if square => Ok(Confusion { counts }),
            _ => Err(Error::run(format!("the report's confusion matrix is not {NUM_CLASSES} x {NUM_CLASSES}"))),
        }
    }

    /// Writes the report as JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomic(path, |writer| {
            serde_json::to_writer_pretty(&mut *writer, self)?;
            writer.write_all(b"\n")
        })
    }

    /// Reads a `report.json`.
    ///
    /// # Errors
    /// The file cannot be read or is no report.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|error| Error::file(path, plain_cause(&error)))?;
        serde_json::from_str(&text).map_err(|error| Error::file(path, format!("is not a report of segeval: {error}")))
    }

    /// Table for the terminal: IoU of each class and its share of the labelled pixels, then the means.
    pub fn table(&self) -> String {
        let rows: Vec<u64> = self.confusion.iter().map(|row| row.iter().sum()).collect();
        let total = rows.iter().sum::<u64>().max(1);
        let mut table = format!("{:<16}{:>7}{:>10}\n", "class", "IoU %", "truth %");
        for ((name, iou), pixels) in self.classes.iter().zip(rows) {
            let iou = iou.as_f64().map_or("-".to_string(), |iou| format!("{:.2}", 100.0 * iou));
            let share = 100.0 * pixels as f64 / total as f64;
            let _ = writeln!(table, "{name:<16}{iou:>7}{share:>10.2}");
        }
        let counted = self.classes.values().filter(|iou| !iou.is_null()).count();
        for (name, score, note) in [
            ("mIoU", self.miou, format!("over {counted} classes in truth or prediction")),
            ("mIoU (present)", self.miou_present, "over classes in truth".into()),
            ("pixel accuracy", self.pixel_accuracy, format!("{} pictures", self.images)),
        ] {
            let score = if score.is_nan() { "-".to_string() } else { format!("{:.2}", 100.0 * score) };
            let _ = writeln!(table, "{name:<16}{score:>7}  {note}");
        }
        table
    }
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
    fn a_report_reads_back_and_its_table_lines_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let report = Report::new(&two_by_two(), 1);
        report.write(&path).unwrap();
        let read = Report::read(&path).unwrap();
        assert_eq!(read.confusion().unwrap(), two_by_two());
        assert_eq!((read.miou, read.images), (0.5, 1));
        assert_eq!(read.classes.keys().next().unwrap(), "road");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("\"road\": 0.5") && text.contains("\"bicycle\": null"), "{text}");
        let table = report.table();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "class             IoU %   truth %");
        assert_eq!(lines[1], "road              50.00     66.67");
        assert_eq!(lines[19], "bicycle               -      0.00");
        assert_eq!(lines[20], "mIoU              50.00  over 2 classes in truth or prediction");
    }

    #[test]
    fn without_labelled_pixels_scores_are_null_not_zero() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        Report::new(&Confusion::new(), 0).write(&path).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().contains("\"miou\": null"));
        assert!(Report::read(&path).unwrap().miou.is_nan());
    }

    #[test]
    fn a_file_that_is_no_report_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        std::fs::write(&path, "[1]").unwrap();
        let message = Report::read(&path).unwrap_err().to_string();
        assert!(message.contains("x.json: is not a report of segeval"), "{message}");
    }
}
