//! An image of the gallery: all that a reader may click on.

use super::embed::{label, numbers, photograph, shown_size};
use crate::Result;
use crate::data::Example;
use crate::eval::{Confident, PictureScores};
use crate::render::overlay::picture;
use crate::render::palette::occurring;
use crate::task::ClassSet;
use serde::Serialize;

/// What a network says of an image, and what that scores.
#[derive(Debug, Clone, Copy)]
pub struct Prediction<'a> {
    /// Classes and confidence.
    pub sure: &'a Confident,
    /// Against the truth.
    pub scores: &'a PictureScores,
}

/// An image as the page holds it.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// Name without folder and suffix.
    pub name: String,
    /// Size `[height, width]` of the image.
    pub size: [usize; 2],
    /// Size `[height, width]` that it is shown at.
    pub shown: [u32; 2],
    /// The image, as a `data:` address.
    pub picture: String,
    /// Class indices of the truth as grey, 255 where it is ignored; with 256 classes their two bytes as red and green.
    pub truth: String,
    /// One for each network.
    pub preds: Vec<ShownPrediction>,
    /// Classes in the truth or in a prediction.
    pub classes: Vec<u16>,
    /// Share of pixels that not all networks predict alike, where there are several.
    pub differing: Option<f64>,
}

/// A prediction as the page holds it.
#[derive(Debug, Clone, Serialize)]
pub struct ShownPrediction {
    /// Class indices as grey.
    pub ids: String,
    /// 0..=255 for probabilities 0..=1, as grey.
    pub confidence: String,
    /// Mean IoU over this image alone.
    pub miou: Option<f64>,
    /// IoU of each class over this image alone.
    pub iou: Vec<Option<f64>>,
    /// Share of this image's labelled pixels that are wrong.
    pub wrong: Option<f64>,
}

impl Shown {
    /// The image with these predictions.
    ///
    /// # Errors
    /// An image that cannot be encoded.
    pub fn new(classes: &ClassSet, sample: &Example, predictions: &[Prediction]) -> Result<Self> {
        let (height, width) = sample.label.dim();
        let (shown_width, shown_height) = shown_size((height, width));
        let masks = predictions.iter().map(|prediction| prediction.sure.pred.view());
        let finite = |score: f64| score.is_finite().then_some(score);
        let pred = |Prediction { sure, scores }: &Prediction| {
            Ok(ShownPrediction {
                ids: numbers(sure.pred.view())?,
                confidence: numbers(sure.confidence.view())?,
                miou: finite(scores.miou),
                iou: scores.class_iou.clone(),
                wrong: finite(1.0 - scores.pixel_accuracy),
            })
        };
        Ok(Self {
            name: sample.name.clone(),
            size: [height, width],
            shown: [shown_height, shown_width],
            picture: photograph(&picture(sample.image.view()))?,
            truth: label(sample.label.view(), classes.len())?,
            preds: predictions.iter().map(pred).collect::<Result<_>>()?,
            classes: occurring(classes, Some(sample.label.view()), masks),
            differing: None,
        })
    }
}
