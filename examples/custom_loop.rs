//! The training loop by hand: `cargo run --release --example custom_loop [STEPS]`.
//!
//! A small DeepLabV3 in two local modules learns the built-in street scenes and is scored on others.

use burn::tensor::{Device, Tensor};
use infoseg::config::{DatasetKind, defaults_for};
use infoseg::data;
use infoseg::data::loader::Loader;
use infoseg::data::training_set::TrainingSet;
use infoseg::eval::{Predictor, Protocol, SegmentationMetric, TestTime, evaluate};
use infoseg::local::{LocalNetwork, Targets};
use std::ops::ControlFlow;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let steps: usize = std::env::args().nth(1).map_or(Ok(20), |steps| steps.parse())?;
    let mut config = defaults_for(DatasetKind::Synthetic);
    config.data.synthetic_count = [32, 4];
    config.local.num_modules = 2;

    let device = Device::flex().autodiff();
    let train = data::open(&config.data, "train")?;
    let num_classes = train.classes().len();
    let mut network = LocalNetwork::new(&config.spec(), num_classes, &device)?;
    let crops = TrainingSet::new(train, &config.augment, config.train.resolution, network.normalization);
    let mut loader = Loader::new(crops, 4, config.seed, 2, 0);

    for step in 0..steps {
        let mut batch = loader.next()?; // input [batch, 3, height, width], a class for each pixel
        let label = std::mem::take(&mut batch.label);
        let input = Tensor::<4>::from_data(batch.into_input(), &device);
        let targets = Targets::new(&input, network.normalization, label, &device);
        let lr = config.optim.lr * (1.0 - step as f64 / steps as f64).powf(0.9);
        // Each local module goes forward, backward, and updates; then the next one does, on its detached features.
        let losses = network.train_step(input, &targets, lr, step as u64)?;
        let losses: Vec<String> = losses.iter().map(|loss| format!("{:.3}", loss.total)).collect();
        println!("step {}: {}", step + 1, losses.join(", "));
    }

    let val = data::open(&config.data, "val")?;
    let predictor = Predictor::of(&network, &device);
    let mut metric = SegmentationMetric::new(&predictor, &*val, Protocol::only(TestTime::default()));
    evaluate(&mut metric, &*val, |_| ControlFlow::Continue(()))?;
    for evaluation in &metric.evaluations {
        println!("mIoU {:.2} %", 100.0 * evaluation.scores().miou);
    }
    Ok(())
}
