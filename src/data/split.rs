//! One split of a dataset, whichever the task, and the training pictures that are made of it.

use super::Source;
use super::augment::{Augment, TrainSample};
use super::classes::Classes;
use super::classes::augment::ClassAugment;
use super::labels::CLASSES;
use super::normalize::Normalization;
use crate::Result;
use crate::config::{AugmentConfig, DataConfig, Dataset, Resolution};

/// One split: pictures with a class for each pixel, or for each picture.
#[derive(Debug)]
pub enum Split {
    /// Segmentation.
    Pixels(Source),
    /// Classification.
    Pictures(Classes),
}

impl Split {
    /// Opens `split` of the dataset that `config` names.
    ///
    /// # Errors
    /// A folder or file that is missing, empty, or not as the dataset's publisher ships it.
    pub fn open(config: &DataConfig, split: &str) -> Result<Self> {
        let Some(layout) = config.dataset.classes() else {
            return Source::open(config, split).map(Self::Pixels);
        };
        let count = config.synthetic_count[usize::from(split != config.train_split)];
        Classes::open(layout, &config.root, split, count).map(Self::Pictures)
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        match self {
            Self::Pixels(source) => source.len(),
            Self::Pictures(classes) => classes.len(),
        }
    }

    /// Whether there is no picture.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names of the classes, in order.
    pub fn class_names(&self) -> Vec<String> {
        match self {
            Self::Pixels(_) => CLASSES.iter().map(|class| class.name.to_string()).collect(),
            Self::Pictures(classes) => classes.class_names().to_vec(),
        }
    }
}

impl Dataset {
    /// How its pictures become the network's input.
    pub fn normalization(self) -> Normalization {
        self.classes().map_or(Normalization::IMAGENET, |layout| layout.normalization())
    }
}

/// A split and what is done to its pictures before they are trained on.
#[derive(Debug)]
pub struct TrainingSet {
    kind: Kind,
    crop: Resolution,
}

#[derive(Debug)]
enum Kind {
    Pixels(Source, Augment),
    Pictures(Classes, ClassAugment),
}

impl TrainingSet {
    /// Training pictures of `crop`.
    pub fn new(split: Split, config: &AugmentConfig, crop: Resolution, normalization: Normalization) -> Self {
        let kind = match split {
            Split::Pixels(source) => Kind::Pixels(source, Augment::new(config, crop)),
            Split::Pictures(classes) => Kind::Pictures(classes, ClassAugment::of(config, crop, normalization)),
        };
        Self { kind, crop }
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        match &self.kind {
            Kind::Pixels(source, _) => source.len(),
            Kind::Pictures(classes, _) => classes.len(),
        }
    }

    /// Whether there is no picture.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// CRC-32 of the names of all pictures, in order.
    pub fn checksum(&self) -> u32 {
        let mut crc = flate2::Crc::new();
        for i in 0..self.len() {
            let name = match &self.kind {
                Kind::Pixels(source, _) => source.name(i),
                Kind::Pictures(classes, _) => classes.name(i),
            };
            crc.update(name.as_bytes());
            crc.update(b"\n");
        }
        crc.sum()
    }

    /// Size of a training picture.
    pub fn crop(&self) -> Resolution {
        self.crop
    }

    /// Picture `index` as `epoch` sees it: a pure function of its arguments.
    ///
    /// # Errors
    /// It cannot be read or decoded.
    pub fn sample(&self, seed: u64, epoch: u64, index: usize) -> Result<TrainSample> {
        match &self.kind {
            Kind::Pixels(source, augment) => augment.apply(source.sample(index)?, seed, epoch, index as u64),
            Kind::Pictures(classes, augment) => {
                let picture = classes.picture(index)?;
                let label = vec![picture.class];
                Ok(TrainSample { input: augment.train(picture, seed, epoch, index as u64)?, label })
            }
        }
    }
}
