//! The page of one run that says a class of each pixel.

use super::about::About;
use super::shown::Shown;
use super::table::{self, Class};
use super::template::{Page, write};
use crate::Result;
use crate::eval::Evaluation;
use serde::Serialize;
use std::path::{Path, PathBuf};

#[derive(Serialize)]
struct Segmentation<'a> {
    run: &'a About,
    images: usize,
    miou: f64,
    miou_present: f64,
    pixel_accuracy: f64,
    /// Protocol and mIoU, where several were compared.
    protocols: &'a [(&'a str, f64)],
    classes: &'a [Class],
    /// Images in the gallery.
    shown: usize,
}

#[derive(Serialize)]
struct Data<'a> {
    classes: &'a [Class],
    confusion: Vec<Vec<u64>>,
    charts: &'a [super::Chart],
    preds: [&'a str; 1],
    pictures: &'a [Shown],
}

/// Writes `index.html` into a folder, which is made where it is missing; returns its path. `protocols`: names and mIoU,
/// where several were compared; the evaluation is the first's.
///
/// # Errors
/// The file cannot be written.
pub fn segmentation_page(
    folder: &Path,
    run: &About,
    evaluation: &Evaluation,
    protocols: &[(&str, f64)],
    pictures: &[Shown],
) -> Result<PathBuf> {
    let classes = &table::classes(&evaluation.confusion)[..];
    let scores = evaluation.scores();
    let page = Segmentation {
        run,
        images: evaluation.images,
        miou: scores.miou,
        miou_present: scores.miou_present,
        pixel_accuracy: scores.pixel_accuracy,
        protocols,
        classes,
        shown: pictures.len(),
    };
    let confusion = evaluation.confusion.counts().outer_iter().map(|row| row.to_vec()).collect();
    let data = Data { classes, confusion, charts: &run.charts, preds: ["prediction"], pictures };
    write(folder, Page::Segmentation, &page, &data)
}
