//! A dataset of your own, without files: `cargo run --release --example own_dataset [STEPS]`.
//!
//! Discs and squares on a grey ground. A folder of images and masks needs no code at all: see `--dataset folder`.

use burn::tensor::{Device, Tensor};
use infoseg::config::{DatasetKind, defaults_for};
use infoseg::data::loader::Loader;
use infoseg::data::training_set::TrainingSet;
use infoseg::data::{Dataset, Example};
use infoseg::eval::{Predictor, Protocol, SegmentationMetric, TestTime, evaluate};
use infoseg::local::{LocalNetwork, Targets};
use infoseg::size::Resolution;
use infoseg::task::ClassSet;
use infoseg::task::TaskKind;
use ndarray::{Array2, Array3};
use std::ops::ControlFlow;
use std::sync::Arc;

#[derive(Debug)]
struct Shapes {
    classes: Arc<ClassSet>,
    count: usize,
    first: usize,
}

impl Shapes {
    fn new(first: usize, count: usize) -> Self {
        let names = ["ground", "disc", "square"].map(String::from);
        Self { classes: Arc::new(ClassSet::numbered("shapes", &names)), count, first }
    }
}

impl Dataset for Shapes {
    fn task(&self) -> TaskKind {
        TaskKind::Segmentation
    }

    fn classes(&self) -> &Arc<ClassSet> {
        &self.classes
    }

    fn len(&self) -> usize {
        self.count
    }

    fn name(&self, i: usize) -> String {
        format!("shapes_{:04}", self.first + i)
    }

    fn example(&self, i: usize) -> infoseg::Result<Example> {
        let i = (self.first + i) as i32;
        let (cx, cy, sx, sy) = (12 + i * 7 % 40, 12 + i * 11 % 40, i * 13 % 44, i * 17 % 44);
        let label = Array2::from_shape_fn((64, 64), |(y, x)| {
            let (x, y) = (x as i32, y as i32);
            match () {
                () if (x - cx).pow(2) + (y - cy).pow(2) < 100 => 1,
                () if (sx..sx + 16).contains(&x) && (sy..sy + 16).contains(&y) => 2,
                () => 0,
            }
        });
        let image = Array3::from_shape_fn((64, 64, 3), |(y, x, channel)| match label[[y, x]] {
            0 => 110 + (x * y % 20) as u8,
            class => {
                if usize::from(class) == channel {
                    220
                } else {
                    60
                }
            }
        });
        Ok(Example { name: self.name(i as usize - self.first), image, label })
    }
}

fn main() -> infoseg::Result<()> {
    let steps: usize = std::env::args().nth(1).and_then(|steps| steps.parse().ok()).unwrap_or(30);
    let mut config = defaults_for(DatasetKind::Folder);
    config.train.resolution = Resolution { height: 64, width: 64 };
    (config.model.backbone, config.model.width) = (infoseg::config::Backbone::Resnet18, 0.25);
    (config.model.aspp_channels, config.model.atrous_rates) = (32, vec![1, 2, 4]);
    config.optim.lr = 0.05;

    let (train, val) = (Shapes::new(0, 40), Shapes::new(1000, 8));
    let device = Device::flex().autodiff();
    let mut network = LocalNetwork::new(&config.spec(), train.classes().len(), &device)?;
    let crops = TrainingSet::new(Box::new(train), &config.augment, config.train.resolution, network.normalization);
    let mut loader = Loader::new(crops, 8, 1, 2, 0);
    for step in 0..steps {
        let mut batch = loader.next()?;
        let label = std::mem::take(&mut batch.label);
        let input = Tensor::<4>::from_data(batch.into_input(), &device);
        let targets = Targets::new(&input, network.normalization, label, &device);
        network.train_step(input, &targets, config.optim.lr, step as u64)?;
    }
    let predictor = Predictor::of(&network, &device);
    let mut metric = SegmentationMetric::new(&predictor, &val, Protocol::only(TestTime::default()));
    evaluate(&mut metric, &val, |_| ControlFlow::Continue(()))?;
    for evaluation in &metric.evaluations {
        print!("{}", evaluation.report().table());
    }
    Ok(())
}
