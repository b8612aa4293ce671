//! The sections `[data]` and `[augment]`: which images, and what is done to them.

use super::classes::Layout;
use crate::keys::{Checked, between, ensure, probability, size};
use crate::size::Resolution;
use crate::task::TaskKind;
use documented::DocumentedFields;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Which images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, DocumentedFields)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Where images and labels come from. The first three have a class for each pixel, the others one for each image.
    pub dataset: DatasetKind,
    /// Folder of the dataset, as its publisher ships it (Cityscapes: the one that holds leftImg8bit/ and gtFine/;
    /// CIFAR: the archive will do too); empty for built-in data.
    pub root: PathBuf,
    /// Class set of a dataset with a class for each pixel: a classes.toml, or a preset (cityscapes, camvid, voc,
    /// ade20k, bdd100k, coco-stuff, mapillary-v1.2); empty: classes.toml in the root, else Cityscapes' for
    /// cityscapes.
    #[serde(default)]
    pub classes: String,
    /// Split that is trained on.
    pub train_split: String,
    /// Split that is scored.
    pub val_split: String,
    /// Loader threads. Changes speed only, never results.
    pub workers: usize,
    /// Size of the built-in scenes.
    pub synthetic_resolution: Resolution,
    /// Number of built-in scenes or digits `[train, val]`.
    pub synthetic_count: [usize; 2],
}

impl DataConfig {
    /// Checks the values of these keys.
    pub(crate) fn check(&self) -> Checked {
        ensure(!self.train_split.is_empty(), "data.train_split", "\"\"", "must name a split, such as \"train\"")?;
        ensure(!self.val_split.is_empty(), "data.val_split", "\"\"", "must name a split, such as \"val\"")?;
        between(1, 256, "data.workers", self.workers)?;
        size("data.synthetic_resolution", self.synthetic_resolution)?;
        let count = self.synthetic_count;
        ensure(!count.contains(&0), "data.synthetic_count", format!("{count:?}"), "both must be at least 1")?;
        let most = 1_000_000;
        let ok = count.iter().all(|&count| count <= most);
        ensure(ok, "data.synthetic_count", format!("{count:?}"), format_args!("both must be at most {most}"))
    }
}

/// What is done to training images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, DocumentedFields)]
#[serde(deny_unknown_fields)]
pub struct AugmentConfig {
    /// How a training image is cut out of the whole one.
    pub crop: Crop,
    /// Pixels that a padded crop adds on each side before it cuts.
    pub crop_padding: usize,
    /// Random scale `[smallest, largest]` of the original size.
    pub scale: [f32; 2],
    /// A crop is drawn again (at most ten times) while one class holds more than this share of its labelled pixels.
    pub category_max_share: f32,
    /// Probability of a horizontal flip.
    pub flip: f32,
    /// Brightness, contrast, saturation and hue distortion.
    pub photometric: bool,
}

impl AugmentConfig {
    /// Checks the values of these keys.
    pub(crate) fn check(&self) -> Checked {
        let [smallest, largest] = self.scale;
        ensure(
            smallest.is_finite() && largest.is_finite() && smallest > 0.0 && smallest <= largest,
            "augment.scale",
            format!("{:?}", self.scale),
            "must be [smallest, largest], both above 0; [1.0, 1.0] keeps the original size",
        )?;
        probability("augment.category_max_share", self.category_max_share)?;
        probability("augment.flip", self.flip)
    }
}

/// Where images and labels come from. The first three have a class for each pixel, the others
/// one for each image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DatasetKind {
    /// Built-in procedural street scenes
    Synthetic,
    /// A folder in Cityscapes layout
    Cityscapes,
    /// A folder of images and masks of your own classes (classes.toml)
    Folder,
    /// CIFAR-10, binary version: the folder cifar-10-batches-bin or the .tar.gz
    Cifar10,
    /// CIFAR-100, binary version: the folder cifar-100-binary or the .tar.gz
    Cifar100,
    /// Street view house numbers: the folder of train_32x32.mat and test_32x32.mat
    Svhn,
    /// STL-10: the folder stl10_binary
    Stl10,
    /// ImageNet: a folder of train/ and val/ with a folder of images for each class
    Imagenet,
    /// Built-in procedural digits
    SyntheticDigits,
}

impl DatasetKind {
    /// What its labels are of.
    pub const fn task(self) -> TaskKind {
        match self.classes() {
            None => TaskKind::Segmentation,
            Some(_) => TaskKind::Classification,
        }
    }

    /// How its files are laid out, where an image has one class.
    pub const fn classes(self) -> Option<Layout> {
        match self {
            Self::Synthetic | Self::Cityscapes | Self::Folder => None,
            Self::Cifar10 => Some(Layout::Cifar10),
            Self::Cifar100 => Some(Layout::Cifar100),
            Self::Svhn => Some(Layout::Svhn),
            Self::Stl10 => Some(Layout::Stl10),
            Self::Imagenet => Some(Layout::Imagenet),
            Self::SyntheticDigits => Some(Layout::Digits),
        }
    }

    /// Whether its images are made here, and not read from a folder.
    pub const fn is_built_in(self) -> bool {
        matches!(self, Self::Synthetic | Self::SyntheticDigits)
    }

    /// As it is said in files and flags, such as `cifar10`.
    pub fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self).map_or_else(String::new, |value| value.get_name().to_string())
    }
}

/// How a training image is cut out of the whole one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Crop {
    /// Randomly scaled by `scale`, then cut: segmentation.
    Scaled,
    /// Padded by mirroring, then cut (CIFAR).
    ReflectPadded,
    /// Padded with black, then cut (SVHN, STL-10).
    ZeroPadded,
    /// A random part of random shape, resized (ImageNet's `RandomResizedCrop`).
    Resized,
}
