//! Scores of a network on one split, with pictures to look at.

use super::inference::Predictor;
use super::scores::{Confusion, Report, Scores};
use crate::data::{Sample, Source};
use crate::files::make_folder;
use crate::render::panels::panels;
use crate::render::{plots, save_png};
use crate::{Error, Result};
use image::RgbImage;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc;

/// What came out of an evaluation.
pub struct Evaluation {
    /// Summed over all pictures.
    pub confusion: Confusion,
    /// Number of pictures.
    pub images: usize,
    /// Picture | truth | prediction | errors panels, with their names.
    pub overlays: Vec<(String, RgbImage)>,
}

/// Predicts every picture of `source` and counts. Panels are drawn of `overlays` pictures, spread over the split;
/// `on_picture` is told the number of pictures done, and may break off: the result is then `None`.
///
/// # Errors
/// A picture that cannot be read.
pub fn evaluate(
    predictor: &Predictor,
    source: &Source,
    overlays: usize,
    mut on_picture: impl FnMut(usize) -> ControlFlow<()>,
) -> Result<Option<Evaluation>> {
    let images = source.len();
    let mut evaluation = Evaluation { confusion: Confusion::new(), images, overlays: Vec::new() };
    std::thread::scope(|scope| {
        // The next picture is decoded while this one is predicted.
        let (sender, samples) = mpsc::sync_channel::<Result<Sample>>(1);
        scope.spawn(move || {
            for index in 0..images {
                if sender.send(source.sample(index)).is_err() {
                    return;
                }
            }
        });
        for (index, sample) in samples.into_iter().enumerate() {
            let sample = sample?;
            let pred = predictor.predict(&sample.image)?;
            let truth = sample.label.as_standard_layout();
            let pred_ids = pred.as_slice().unwrap_or(&[]);
            evaluation.confusion.add(truth.as_slice().unwrap_or(&[]), pred_ids);
            if index * overlays / images != (index + 1) * overlays / images {
                let drawn = panels(sample.image.view(), Some(sample.label.view()), pred.view())?;
                evaluation.overlays.push((sample.name, drawn));
            }
            if on_picture(index + 1).is_break() {
                return Ok(None);
            }
        }
        Ok(Some(evaluation))
    })
}

impl Evaluation {
    /// Its scores.
    pub fn scores(&self) -> Scores {
        self.confusion.scores()
    }

    /// Writes `report.json`, `plots/class_iou.png`, `plots/confusion.png` and `overlays/*.png` into a folder; returns the
    /// report.
    ///
    /// # Errors
    /// A file that cannot be written; no labelled pixel in the whole split.
    pub fn write(&self, folder: &Path) -> Result<Report> {
        let scores = self.scores();
        if scores.miou.is_nan() {
            return Err(Error::run(format!(
                "none of the {} pictures has a labelled pixel: nothing to score",
                self.images
            )));
        }
        let plot_folder = folder.join("plots");
        make_folder(&plot_folder)?;
        let report = Report::new(&self.confusion, self.images);
        report.write(folder.join("report.json"))?;
        plots::class_iou_bars(plot_folder.join("class_iou.png"), &scores.class_iou, scores.miou)?;
        plots::confusion_heatmap(plot_folder.join("confusion.png"), &self.confusion)?;
        if !self.overlays.is_empty() {
            let overlay_folder = folder.join("overlays");
            make_folder(&overlay_folder)?;
            for (name, drawn) in &self.overlays {
                // Names of Cityscapes pictures hold the city as a folder.
                save_png(overlay_folder.join(format!("{}.png", name.replace(['/', '\\'], "_"))), drawn)?;
            }
        }
        Ok(report)
    }
}
