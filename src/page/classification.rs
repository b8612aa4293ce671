//! The page of one run that says a class of each image.

use super::about::About;
use super::embed::photograph;
use super::template::{Page, write};
use crate::Result;
use crate::eval::{Classification, Verdict};
use crate::render::overlay::picture;
use ndarray::Array3;
use serde::Serialize;
use std::path::{Path, PathBuf};

#[derive(Serialize)]
struct Classes<'a> {
    run: &'a About,
    images: usize,
    top1: f64,
    top5: f64,
    accuracy: f64,
    classes: &'a [Class<'a>],
    /// Mistakes in the gallery.
    shown: usize,
}

/// A class and what its row and column of the confusion matrix say.
#[derive(Serialize)]
struct Class<'a> {
    id: usize,
    name: &'a str,
    /// Share of its images that are recognised.
    accuracy: Option<f64>,
    /// Share of the images taken for it that are of it.
    precision: Option<f64>,
    /// Its images.
    pictures: u64,
    /// Images taken for it.
    predicted: u64,
}

#[derive(Serialize)]
struct Data<'a> {
    classes: &'a [Class<'a>],
    confusion: Vec<Vec<u64>>,
    charts: &'a [super::Chart],
    mistakes: Vec<Mistake<'a>>,
}

#[derive(Serialize)]
struct Mistake<'a> {
    name: &'a str,
    picture: String,
    truth: u16,
    /// Best first.
    top: &'a [u16],
    confidence: f32,
}

/// Writes `index.html` into a folder, which is made where it is missing, with the most confident `count` of the mistakes that were
/// kept; returns its path.
///
/// # Errors
/// The file cannot be written.
pub fn classification_page(folder: &Path, run: &About, counted: &Classification, count: usize) -> Result<PathBuf> {
    let confusion = counted.confusion();
    let share = |part: u64, of: u64| (of > 0).then(|| part as f64 / of as f64);
    let class = |(id, (name, accuracy))| {
        let (pictures, predicted) = (confusion.row(id).sum(), confusion.column(id).sum());
        Class { id, name, accuracy, precision: share(confusion[[id, id]], predicted), pictures, predicted }
    };
    let named = counted.class_names().iter().map(String::as_str).zip(counted.per_class_accuracy());
    let classes = &named.enumerate().map(class).collect::<Vec<_>>()[..];
    let mistakes: Vec<_> = counted.mistake_pictures().take(count).map(mistake).collect::<Result<_>>()?;
    let page = Classes {
        run,
        images: counted.images(),
        top1: counted.top1_error(),
        top5: counted.top5_error(),
        accuracy: 1.0 - counted.top1_error(),
        classes,
        shown: mistakes.len(),
    };
    let confusion = confusion.outer_iter().map(|row| row.to_vec()).collect();
    write(folder, Page::Classification, &page, &Data { classes, confusion, charts: &run.charts, mistakes })
}

fn mistake((verdict, view): &(Verdict, Array3<u8>)) -> Result<Mistake<'_>> {
    Ok(Mistake {
        name: &verdict.name,
        picture: photograph(&picture(view.view()))?,
        truth: verdict.truth,
        top: &verdict.top,
        confidence: verdict.confidence,
    })
}
