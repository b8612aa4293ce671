//! Images and labels: dataset formats, augmentation and the loader.
//!
//! A [`Dataset`] hands out whole images with their labels. [`training_set`] makes training crops from them, and
//! [`loader`] makes batches of those on worker threads. Everything here lives in host memory; no tensor is in sight.

pub(crate) mod augment;
pub mod check;
pub mod cityscapes;
pub mod classes;
pub(crate) mod config;
pub mod folder;
pub(crate) mod id_png;
pub(crate) mod image_file;
mod jpeg;
mod keyed;
pub mod loader;
pub mod masks;
pub(crate) mod normalize;
pub(crate) mod pairs;
mod photometric;
mod polygons;
pub mod scenes;
pub mod synth;
pub mod training_set;

use crate::task::ClassSet;
use crate::task::TaskKind;
use crate::task::class_set::{ClassFile, LayoutKeys};
use crate::{Error, Result};
pub use normalize::Normalization;

use config::{DataConfig, DatasetKind};
use ndarray::{Array2, Array3};
use std::fmt::Debug;
use std::sync::Arc;

/// One image with its label, as read.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// Name without suffix, such as `frankfurt_000000_000294`; it may hold folders.
    pub name: String,
    /// RGB, 0..=255. Shape: `[height, width, 3]`.
    pub image: Array3<u8>,
    /// Class indices, or [`IGNORE_INDEX`](crate::task::IGNORE_INDEX). Shape: `[height, width]` with a class for each
    /// pixel, `[1, 1]` with one class for the whole image.
    pub label: Array2<u16>,
}

/// One split of a dataset. Examples may be asked for on any number of threads at once.
///
/// ```
/// use infoseg::config::{DatasetKind, defaults_for};
/// use infoseg::data;
///
/// let train = data::open(&defaults_for(DatasetKind::Synthetic).data, "train")?;
/// let example = train.example(0)?;
/// assert_eq!(example.image.dim(), (128, 256, 3));
/// assert_eq!(example.label.dim(), (128, 256));
/// assert_eq!(train.classes().name_of(0), "road");
/// # Ok::<(), infoseg::Error>(())
/// ```
///
/// `examples/own_dataset.rs` implements it.
pub trait Dataset: Debug + Send + Sync {
    /// Whether labels are of pixels or of whole images.
    fn task(&self) -> TaskKind;

    /// The classes that labels are of.
    fn classes(&self) -> &Arc<ClassSet>;

    /// Number of examples.
    fn len(&self) -> usize;

    /// Whether there is no example.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Name of example `i` of `0..len()`; see [`Example::name`]. Opens no file.
    fn name(&self, i: usize) -> String;

    /// Example `i` of `0..len()`.
    ///
    /// # Errors
    /// A file that cannot be read or decoded; an image and a label of different sizes; values that are no class.
    fn example(&self, i: usize) -> Result<Example>;

    /// Like [`example`](Self::example), with its instance ids if the dataset has them: id on disk * 1000 + number of the
    /// instance, or the id on disk where there are none. Shape: `[height, width]`.
    ///
    /// # Errors
    /// As of [`example`](Self::example), for the instance ids as well.
    fn annotated(&self, i: usize) -> Result<(Example, Option<Array2<u16>>)> {
        Ok((self.example(i)?, None))
    }
}

/// Seed of the built-in scenes of every run. Fixed, so that runs with different `seed` are scored on the same images.
pub const SCENES_SEED: u64 = 0;

/// File in the root of a dataset that holds its class set.
pub const CLASS_FILE: &str = "classes.toml";

/// Opens `split` of the dataset that `config` names.
///
/// For built-in data the training split has the first of `synthetic_count` examples, any other split the second.
///
/// # Errors
/// A folder or file that is missing, empty, or not laid out as the dataset's publisher ships it; no class set.
pub fn open(config: &DataConfig, split: &str) -> Result<Box<dyn Dataset>> {
    let count = config.synthetic_count[usize::from(split != config.train_split)];
    if let Some(layout) = config.dataset.classes() {
        return Ok(Box::new(classes::Classes::open(layout, &config.root, split, count)?));
    }
    if config.dataset.is_built_in() && count == 0 {
        let [train, val] = config.synthetic_count;
        return Err(Error::usage(format!(
            "data.synthetic_count = [{train}, {val}]: split {split:?} has no scenes; give it at least 1"
        )));
    }
    let ClassFile { classes, layout } = class_file(config)?;
    if config.dataset == DatasetKind::Cityscapes && layout != LayoutKeys::default() {
        return Err(Error::usage(
            "--dataset cityscapes: images, masks, splits and masks_are in classes.toml describe a folder of another layout; \
             set --dataset folder, or remove them",
        ));
    }
    let classes = Arc::new(classes);
    match config.dataset {
        DatasetKind::Cityscapes => Ok(Box::new(cityscapes::Cityscapes::open(&config.root, split, classes)?)),
        DatasetKind::Folder => Ok(Box::new(folder::Folder::open(&config.root, split, classes, &layout)?)),
        _ => Ok(Box::new(scenes::Scenes::new(SCENES_SEED, split, count, config.synthetic_resolution))),
    }
}

/// The class set of a dataset with a class for each pixel: that of `data.classes`, else of `classes.toml` in the root,
/// else the one that its layout is known for.
///
/// # Errors
/// A class set that cannot be read, or none at all.
pub fn class_file(config: &DataConfig) -> Result<ClassFile> {
    let own = config.root.join(CLASS_FILE);
    match (config.dataset, config.classes.is_empty()) {
        (DatasetKind::Synthetic, true) => Ok(cityscapes_file()),
        (DatasetKind::Synthetic, false) => Err(Error::usage(format!(
            "--classes {}: the built-in scenes have the classes of cityscapes; leave it out, or set --dataset folder",
            config.classes
        ))),
        (_, false) => {
            let mut file = ClassFile::named(&config.classes)?;
            // A set from elsewhere does not say how this folder is laid out.
            if own.is_file() && file.layout == LayoutKeys::default() {
                file.layout = ClassFile::read(&own)?.layout;
            }
            Ok(file)
        }
        (_, true) if !config.root.as_os_str().is_empty() && own.is_file() => ClassFile::read(&own),
        (DatasetKind::Cityscapes, true) => Ok(cityscapes_file()),
        _ if config.root.as_os_str().is_empty() => Err(Error::usage(
            "data.root = \"\": --dataset folder needs the folder of the images and masks; set --data-root DIR",
        )),
        _ if !config.root.is_dir() => {
            Err(Error::file(&config.root, "no such folder; set --data-root to the folder of the images and masks"))
        }
        _ => Err(Error::file(
            own,
            format!(
                "is missing: --dataset folder needs to know its classes; make a first one with `segdata classes {}`, or \
                 set --classes FILE|PRESET",
                config.root.display()
            ),
        )),
    }
}

fn cityscapes_file() -> ClassFile {
    ClassFile { classes: (*ClassSet::cityscapes()).clone(), layout: LayoutKeys::default() }
}
