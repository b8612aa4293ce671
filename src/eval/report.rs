//! The report of an evaluation: `report.json`, and a table for the terminal.

use super::instances::InstanceTally;
use super::json::{self, Named, named, nan_if_null};
use super::scores::{Confusion, mean};
use super::test_time::TestTime;
use crate::data::config::DataConfig;
use crate::task::ClassSet;
use crate::text::counted;
use crate::{Error, Result};
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Result of one evaluation, as written to `report.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// [`Scores::miou`](super::scores::Scores::miou), null if no pixel was labelled.
    #[serde(deserialize_with = "nan_if_null")]
    pub miou: f64,
    /// [`Scores::miou_present`](super::scores::Scores::miou_present).
    #[serde(deserialize_with = "nan_if_null")]
    pub miou_present: f64,
    /// [`Scores::pixel_accuracy`](super::scores::Scores::pixel_accuracy).
    #[serde(deserialize_with = "nan_if_null")]
    pub pixel_accuracy: f64,
    /// Class name → IoU, null where the class occurs in neither truth nor prediction; in order of train ids.
    pub classes: Named,
    /// Pixel counts, `confusion[truth][prediction]`.
    pub confusion: Vec<Vec<u64>>,
    /// Pixels of each class that were predicted as something that is not scored; left out where there are none. Only
    /// predictions made elsewhere have some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub predicted_void: Vec<u64>,
    /// Images evaluated.
    pub images: usize,
    /// [`Scores::miou_categories`](super::scores::Scores::miou_categories).
    #[serde(default = "nan", deserialize_with = "nan_if_null")]
    pub miou_categories: f64,
    /// Category name → IoU, null where the category occurs in neither truth nor prediction.
    #[serde(default)]
    pub categories: Named,
    /// Mean of `iiou_classes`, null where that is.
    #[serde(default = "nan", deserialize_with = "nan_if_null")]
    pub miiou_classes: f64,
    /// Mean of `iiou_categories`, null where that is.
    #[serde(default = "nan", deserialize_with = "nan_if_null")]
    pub miiou_categories: f64,
    /// Class name → instance-weighted IoU, null for classes without instances; null as a whole where not every image
    /// has instance ids.
    #[serde(default)]
    pub iiou_classes: Option<Named>,
    /// The same of the categories.
    #[serde(default)]
    pub iiou_categories: Option<Named>,
    /// Protocol name → mIoU, where several were compared; everything above is the first's.
    #[serde(default, skip_serializing_if = "Named::is_empty")]
    pub protocols: Named,
    /// What was scored, and how; absent in reports of before there were class sets, which are of Cityscapes' classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scored: Option<Scored>,
}

/// What a report is of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// Split of the dataset.
    pub split: String,
    /// Folder of the dataset; empty for built-in data.
    pub data_root: PathBuf,
    /// Scales that predictions are averaged over.
    pub scales: Vec<f64>,
    /// Whether mirrored versions are averaged as well.
    pub flip: bool,
    /// Window and stride, such as `512x1024/341x683`, where images are not seen whole.
    pub window: Option<String>,
    /// Name of the checkpoint's folder; `None` for predictions made elsewhere.
    pub checkpoint: Option<String>,
    /// Version of infoseg.
    pub version: String,
    /// The classes.
    pub class_set: ClassSet,
}

impl Scored {
    /// A split that is scored as `test_time` says.
    pub fn new(
        data: &DataConfig,
        split: &str,
        classes: &ClassSet,
        test_time: &TestTime,
        checkpoint: Option<&Path>,
    ) -> Self {
        Self {
            split: split.to_string(),
            data_root: std::path::absolute(&data.root).unwrap_or_else(|_| data.root.clone()),
            scales: test_time.scales.clone(),
            flip: test_time.flip,
            window: test_time.slide.map(|slide| format!("{}/{}", slide.window, slide.stride)),
            checkpoint: checkpoint.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()),
            version: env!("CARGO_PKG_VERSION").to_string(),
            class_set: classes.clone(),
        }
    }

    /// How predictions were made, in a few words.
    pub fn protocol(&self) -> String {
        let flip = if self.flip { ", mirrored" } else { "" };
        let window = self.window.as_ref().map_or_else(String::new, |window| format!(", windows {window}"));
        format!("scales {:?}{flip}{window}", self.scales)
    }
}

fn nan() -> f64 {
    f64::NAN
}

impl Report {
    /// The scores of these counts over `images` images; `instances` where every image has instance ids.
    pub fn new(confusion: &Confusion, instances: Option<&InstanceTally>, images: usize) -> Self {
        let scores = confusion.scores();
        let set = confusion.classes();
        let classes = |scores: &[Option<f64>]| named(set.classes.iter().map(|class| class.name.as_str()), scores);
        let categories = |scores: &[Option<f64>]| named(set.groups.iter().map(|group| group.name.as_str()), scores);
        let class_iiou = instances.map(|instances| instances.class_iiou(confusion));
        let category_iiou = instances.map(|instances| instances.category_iiou(confusion));
        let predicted_void = confusion.predicted_void();
        Self {
            miou: scores.miou,
            miou_present: scores.miou_present,
            pixel_accuracy: scores.pixel_accuracy,
            classes: classes(&scores.class_iou),
            confusion: confusion.counts().outer_iter().map(|row| row.to_vec()).collect(),
            predicted_void: if predicted_void.iter().any(|pixels| *pixels > 0) { predicted_void } else { Vec::new() },
            images,
            miou_categories: scores.miou_categories,
            categories: categories(&scores.category_iou),
            miiou_classes: class_iiou.as_deref().map_or(f64::NAN, mean),
            miiou_categories: category_iiou.as_deref().map_or(f64::NAN, mean),
            iiou_classes: class_iiou.as_deref().map(classes),
            iiou_categories: category_iiou.as_deref().map(categories),
            protocols: Named::new(),
            scored: None,
        }
    }

    /// The counts this report was made from; what was predicted void is taken for "unlabeled".
    ///
    /// # Errors
    /// A report that was read from a file may hold a matrix of another size.
    pub fn confusion(&self) -> Result<Confusion> {
        let set = self.scored.as_ref().map_or_else(ClassSet::cityscapes, |scored| Arc::new(scored.class_set.clone()));
        let classes = set.len();
        let flat: Vec<u64> = self.confusion.iter().flatten().copied().collect();
        let square = self.confusion.iter().all(|row| row.len() == classes);
        let void = if self.predicted_void.is_empty() { vec![0; classes] } else { self.predicted_void.clone() };
        match Array2::from_shape_vec((classes, classes), flat) {
            Ok(counts) if square && void.len() == classes => Ok(Confusion::from_counts(set, &counts, &void)),
            _ => Err(Error::run(format!("the report's confusion matrix is not {classes} x {classes}"))),
        }
    }

    /// Writes the report as JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        json::write(path, self)
    }

    /// Reads a `report.json`.
    ///
    /// # Errors
    /// The file cannot be read or is no report.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        json::read(path, "a report of segeval")
    }

    /// Table for the terminal: IoU of each class and its share of the labelled pixels, then the categories, then the
    /// means.
    pub fn table(&self) -> String {
        let predicted_void = self.predicted_void.iter().copied().chain(std::iter::repeat(0));
        let rows: Vec<u64> =
            self.confusion.iter().zip(predicted_void).map(|(row, void)| row.iter().sum::<u64>() + void).collect();
        let total = rows.iter().sum::<u64>().max(1);
        let longest = self.classes.keys().map(|name| name.chars().count() + 1).max().unwrap_or(0).max(16);
        let mut table = format!("{:<longest$}{:>7}{:>10}\n", "class", "IoU %", "truth %");
        for ((name, iou), pixels) in self.classes.iter().zip(rows) {
            let share = 100.0 * pixels as f64 / total as f64;
            let _ = writeln!(table, "{name:<longest$}{:>7}{share:>10.2}", percent(iou.as_f64()));
        }
        if !self.categories.is_empty() {
            self.write_categories(&mut table, longest);
        }
        let there = |scores: &Named| scores.values().filter(|score| !score.is_null()).count();
        let mut means = Vec::new();
        if let Some(classes) = &self.iiou_classes {
            means.push(("iIoU", self.miiou_classes, format!("over {} classes with instances", there(classes))));
        }
        means.push(("mIoU", self.miou, format!("over {} classes in truth or prediction", there(&self.classes))));
        means.push(("mIoU (present)", self.miou_present, "over classes in truth".into()));
        means.push(("pixel accuracy", self.pixel_accuracy, counted(self.images, "picture")));
        for (name, score, note) in means {
            let _ = writeln!(table, "{name:<longest$}{:>7}  {note}", percent(Some(score)));
        }
        table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }

    fn write_categories(&self, table: &mut String, longest: usize) {
        let iiou = self.iiou_categories.as_ref();
        let head = if iiou.is_some() { "    iIoU %" } else { "" };
        let _ = writeln!(table, "{:<longest$}{:>7}{head}", "category", "IoU %");
        for (name, iou) in &self.categories {
            let iiou = iiou.map(|iiou| percent(iiou.get(name).and_then(|iiou| iiou.as_f64())));
            let _ = writeln!(table, "{name:<longest$}{:>7}{:>10}", percent(iou.as_f64()), iiou.unwrap_or_default());
        }
        let mean_iiou = iiou.map(|_| percent(Some(self.miiou_categories))).unwrap_or_default();
        let _ = writeln!(table, "{:<longest$}{:>7}{mean_iiou:>10}", "mean", percent(Some(self.miou_categories)));
    }
}

/// A score in percent, or a dash where there is none.
pub(super) fn percent(score: Option<f64>) -> String {
    score.filter(|score| !score.is_nan()).map_or("-".to_string(), |score| format!("{:.2}", 100.0 * score))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Truth `0 0 / 1 255`, prediction `0 1 / 1 2`.
    fn two_by_two() -> Confusion {
        let mut confusion = Confusion::new(ClassSet::cityscapes());
        confusion.add(&[0, 0, 1, crate::task::IGNORE_INDEX], &[0, 1, 1, 2]);
        confusion
    }

    #[test]
    fn a_report_reads_back_and_its_table_lines_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let report = Report::new(&two_by_two(), None, 1);
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
        assert_eq!(lines[20..22], ["category          IoU %", "flat             100.00"]);
        assert_eq!(lines[27..29], ["vehicle               -", "mean             100.00"]);
        assert_eq!(lines[29], "mIoU              50.00  over 2 classes in truth or prediction");
    }

    #[test]
    fn instances_and_void_predictions_are_reported_where_there_are_some() {
        let instances = ndarray::array![[26_000, 26_000, 7, 7]];
        let pred = ndarray::array![[26, 29, 7, 0]];
        let mut tally = InstanceTally::new(ClassSet::cityscapes());
        tally.add(&instances, &pred);
        let mut confusion = Confusion::new(ClassSet::cityscapes());
        let columns = Confusion::columns(&ClassSet::cityscapes());
        let pred: Vec<u16> = pred.iter().map(|id| columns[usize::from(*id)]).collect();
        confusion.add_columns(&[13, 13, 0, 0], &pred);
        let report = Report::new(&confusion, Some(&tally), 1);
        let (classes, categories) = (report.iiou_classes.as_ref().unwrap(), report.iiou_categories.as_ref().unwrap());
        assert_eq!((classes["car"].as_f64(), categories["vehicle"].as_f64()), (Some(0.5), Some(1.0)));
        assert!(classes["road"].is_null() && categories["flat"].is_null());
        assert_eq!((report.miiou_classes, report.miiou_categories), (0.5, 1.0));
        assert_eq!((report.predicted_void[0], report.predicted_void[13]), (1, 1));
        let table = report.table();
        for line in [
            "road              50.00     50.00",
            "category          IoU %    iIoU %",
            "flat              50.00         -",
            "vehicle           50.00    100.00",
            "iIoU              50.00  over 1 classes with instances",
        ] {
            assert!(table.lines().any(|found| found == line), "{line:?} is not in:\n{table}");
        }
        let text = serde_json::to_string(&report).unwrap();
        let back: Report = serde_json::from_str(&text).unwrap();
        assert_eq!(back.confusion().unwrap().scores(), confusion.scores());
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }

    #[test]
    fn a_report_of_before_there_were_categories_is_read() {
        let mut report = serde_json::to_value(Report::new(&two_by_two(), None, 1)).unwrap();
        let object = report.as_object_mut().unwrap();
        object.retain(|key, _| !key.contains("iou_c") && key != "categories");
        assert_eq!(object.len(), 6);
        let read: Report = serde_json::from_value(report).unwrap();
        assert!(read.miou_categories.is_nan() && read.iiou_classes.is_none());
    }

    #[test]
    fn without_labelled_pixels_scores_are_null_not_zero() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        Report::new(&Confusion::new(ClassSet::cityscapes()), None, 0).write(&path).unwrap();
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
