//! `segbench eval`: seconds to score an image, network and metrics apart.

use super::step::median;
use crate::Result;
use crate::config::RunConfig;
use crate::data::Dataset;
use crate::data::scenes::Scenes;
use crate::eval::scores::Confusion;
use crate::eval::{Predictor, Protocol, SegmentationMetric, TestTime, evaluate};
use crate::local::LocalNetwork;
use crate::memory;
use ndarray::Array3;
use serde::Serialize;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// Always `infoseg`.
    pub program: String,
    /// Always `eval`.
    pub bench: String,
    /// Height and width of the image.
    pub size: [usize; 2],
    /// Seconds to predict the class of each of its pixels.
    pub predict_seconds: f64,
    /// Seconds to count them against a label.
    pub count_seconds: f64,
    /// Seconds an image in the loop of every evaluation (read ahead, predicted, counted), over built-in scenes; `None` for a
    /// network of other classes than theirs.
    pub loop_seconds: Option<f64>,
    /// See [`memory::peak_bytes`].
    pub peak_bytes: Option<u64>,
}

/// Scores a made-up image of the configured size `rounds` times.
///
/// # Errors
/// The device cannot be had.
pub fn measure(config: &RunConfig, rounds: usize) -> Result<Measured> {
    let device = config.open_device()?;
    let network = LocalNetwork::new(&config.spec(), config.num_classes_expected(), &device)?;
    let predictor = Predictor::of(&network, &device);
    let (height, width) = (config.train.resolution.height, config.train.resolution.width);
    let image = Array3::from_shape_fn((height, width, 3), |(y, x, c)| (y * 7 + x * 3 + c * 50) as u8);
    let classes = Arc::new(config.class_set_expected());
    let truth: Vec<u16> =
        (0..height * width).map(|i| ((i / width / 32 + i % width / 32) % classes.len()) as u16).collect();
    let (mut predict, mut count) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let start = Instant::now();
        let predicted = predictor.predict(&image)?;
        let predicting = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let mut confusion = Confusion::new(Arc::clone(&classes));
        confusion.add(&truth, predicted.as_slice().expect("predictions are in rows"));
        if round > 0 {
            predict.push(predicting);
            count.push(start.elapsed().as_secs_f64());
        }
    }
    // The built-in scenes have Cityscapes' classes.
    let scenes = Scenes::new(1, "val", rounds, config.train.resolution);
    let mut metric = SegmentationMetric::new(&predictor, &scenes, Protocol::only(TestTime::default()));
    let start = Instant::now();
    let comparable = classes.len() == scenes.classes().len();
    if comparable {
        evaluate(&mut metric, &scenes, |_| ControlFlow::Continue(()))?;
    }
    let loop_seconds = comparable.then(|| start.elapsed().as_secs_f64() / rounds.max(1) as f64);
    Ok(Measured {
        program: "infoseg".into(),
        bench: "eval".into(),
        size: [height, width],
        predict_seconds: median(&predict),
        count_seconds: median(&count),
        loop_seconds,
        peak_bytes: memory::peak_bytes(&device),
    })
}
