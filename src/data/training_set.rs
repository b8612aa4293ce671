//! The examples that are trained on, and what is done to them before.

use super::Dataset;
use super::augment::{Augment, TrainSample};
use super::classes::augment::ClassAugment;
use super::config::{AugmentConfig, DatasetKind};
use super::normalize::Normalization;
use crate::Result;
use crate::size::Resolution;
use crate::task::TaskKind;

impl DatasetKind {
    /// How its images become the network's input.
    pub fn normalization(self) -> Normalization {
        self.classes().map_or(Normalization::IMAGENET, |layout| layout.normalization())
    }
}

/// A split and what is done to its images before they are trained on.
#[derive(Debug)]
pub struct TrainingSet {
    examples: Box<dyn Dataset>,
    transform: Transform,
    crop: Resolution,
}

#[derive(Debug)]
enum Transform {
    Pixels(Augment),
    Images(ClassAugment),
}

impl TrainingSet {
    /// Training crops of size `crop`.
    pub fn new(
        examples: Box<dyn Dataset>,
        config: &AugmentConfig,
        crop: Resolution,
        normalization: Normalization,
    ) -> Self {
        let transform = match examples.task() {
            TaskKind::Segmentation => {
                Transform::Pixels(Augment::new(config, crop, examples.classes().len(), normalization))
            }
            TaskKind::Classification => Transform::Images(ClassAugment::of(config, crop, normalization)),
        };
        Self { examples, transform, crop }
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// CRC-32 of the names of all examples, in order.
    pub fn checksum(&self) -> u32 {
        let mut crc = flate2::Crc::new();
        for i in 0..self.len() {
            crc.update(self.examples.name(i).as_bytes());
            crc.update(b"\n");
        }
        crc.sum()
    }

    /// Size of a training crop.
    pub fn crop(&self) -> Resolution {
        self.crop
    }

    /// Example `index` as `epoch` sees it: a pure function of its arguments.
    ///
    /// # Errors
    /// It cannot be read or decoded.
    pub fn sample(&self, seed: u64, epoch: u64, index: usize) -> Result<TrainSample> {
        let example = self.examples.example(index)?;
        match &self.transform {
            Transform::Pixels(augment) => augment.apply(example, seed, epoch, index as u64),
            Transform::Images(augment) => {
                let label = example.label.iter().copied().collect();
                Ok(TrainSample { input: augment.train(example, seed, epoch, index as u64)?, label })
            }
        }
    }
}
