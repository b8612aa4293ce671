//! A dataset of your own, without files: `cargo run --release --example own_dataset [STEPS [OUT]]`.
//!
//! Discs and squares on a grey ground. A folder of images and masks needs no code at all: see `--dataset folder`.

use infoseg::config::{Backbone, DatasetKind, DeviceChoice, defaults_for};
use infoseg::data::{Dataset, Example};
use infoseg::size::Resolution;
use infoseg::task::{ClassSet, TaskKind};
use infoseg::train::{Outcome, Silent, Stop, run_with};
use ndarray::{Array2, Array3};
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
    let mut arguments = std::env::args().skip(1);
    let mut config = defaults_for(DatasetKind::Folder);
    config.train.steps = arguments.next().and_then(|steps| steps.parse().ok()).unwrap_or(30);
    config.train.out = arguments.next().unwrap_or_default().into(); // empty: a new folder under runs/
    (config.train.resolution, config.train.batch_size) = (Resolution { height: 64, width: 64 }, 8);
    (config.model.backbone, config.model.width) = (Backbone::Resnet18, 0.25);
    (config.model.aspp_channels, config.model.atrous_rates) = (32, vec![1, 2, 4]);
    (config.optim.lr, config.device) = (0.05, DeviceChoice::Cpu);

    let (train, val) = (Shapes::new(0, 40), Shapes::new(1000, 8));
    // Checkpoints, a log, plots, overlays and report.json come with it, as with segtrain.
    let outcome = run_with(Box::new(train), Box::new(val), config, false, Silent, Stop::default())?;
    if let Outcome::Done { folder, table } = outcome {
        println!("{table}\n{}", folder.display());
    }
    Ok(())
}
