//! Pictures and labels: dataset formats, augmentation and the loader.
//!
//! A [`Source`] hands out whole pictures with a label for each pixel, [`classes`] pictures with one; a [`split`] is of
//! either. [`augment`] and [`classes::augment`] make training pictures of them, and [`loader`] makes batches of those on
//! worker threads. Everything here lives in host memory; no tensor is in sight.

pub mod augment;
pub mod check;
pub mod cityscapes;
pub mod classes;
pub mod id_png;
pub mod image_file;
mod jpeg;
mod keyed;
pub mod labels;
pub mod loader;
pub mod normalize;
mod photometric;
mod polygons;
pub mod scenes;
pub mod split;
pub mod synth;

use crate::config::{DataConfig, Dataset};
use crate::{Error, Result};
use ndarray::{Array2, Array3};

/// One picture with its truth, as read.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Name without folder and suffix, such as `frankfurt_000000_000294`.
    pub name: String,
    /// RGB, 0..=255. Shape: `[height, width, 3]`.
    pub image: Array3<u8>,
    /// Train ids, [`labels::IGNORE_INDEX`] where nothing is known. Shape: `[height, width]`.
    pub label: Array2<u8>,
}

/// One split of a dataset with a class for each pixel.
#[derive(Debug)]
pub enum Source {
    /// Built-in procedural street scenes.
    Synthetic(scenes::Scenes),
    /// A folder in Cityscapes layout.
    Cityscapes(cityscapes::Cityscapes),
}

/// Seed of the built-in scenes of every run. Fixed, so that runs with different `seed` are scored on the same pictures.
pub const SCENES_SEED: u64 = 0;

impl Source {
    /// Opens `split` of the dataset that `config` names.
    ///
    /// For built-in scenes the split picks a stream of scenes and their number: `train` the first of
    /// `synthetic_count`, any other name the second.
    ///
    /// # Errors
    /// A folder that is missing, empty or not in Cityscapes layout; no built-in scenes asked for.
    pub fn open(config: &DataConfig, split: &str) -> Result<Self> {
        match config.dataset {
            Dataset::Synthetic => {
                let which = usize::from(split != "train");
                let count = config.synthetic_count[which];
                if count == 0 {
                    let [train, val] = config.synthetic_count;
                    return Err(Error::usage(format!(
                        "data.synthetic_count = [{train}, {val}]: split {split:?} has no scenes; give it at least 1"
                    )));
                }
                Ok(Self::Synthetic(scenes::Scenes::new(SCENES_SEED, split, count, config.synthetic_resolution)))
            }
            Dataset::Cityscapes => Ok(Self::Cityscapes(cityscapes::Cityscapes::open(&config.root, split)?)),
            other => Err(Error::usage(format!(
                "--dataset {}: has a class for each picture, not for each pixel",
                other.name()
            ))),
        }
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        match self {
            Self::Synthetic(scenes) => scenes.len(),
            Self::Cityscapes(folder) => folder.len(),
        }
    }

    /// Whether there is no picture.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Name of picture `i` of `0..len()`.
    pub fn name(&self, i: usize) -> String {
        match self {
            Self::Synthetic(scenes) => scenes.name(i),
            Self::Cityscapes(folder) => folder.name(i),
        }
    }

    /// Picture `i` of `0..len()` with its label.
    ///
    /// # Errors
    /// A file that cannot be read or decoded, sizes that differ, ids that do not exist.
    pub fn sample(&self, i: usize) -> Result<Sample> {
        match self {
            Self::Synthetic(scenes) => Ok(scenes.sample(i)),
            Self::Cityscapes(folder) => folder.sample(i),
        }
    }
    /// The same with its instance ids (label id * 1000 + number of the instance; the label id where there are none), if
    /// the dataset has them.
    ///
    /// # Errors
    /// As of [`sample`](Self::sample), of the instance ids too.
    pub fn annotated(&self, i: usize) -> Result<(Sample, Option<Array2<u16>>)> {
        match self {
            Self::Synthetic(scenes) => {
                let (sample, instances) = scenes.annotated(i);
                Ok((sample, Some(instances)))
            }
            Self::Cityscapes(folder) => folder.annotated(i),
        }
    }
}
