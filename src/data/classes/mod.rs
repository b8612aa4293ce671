//! Datasets for classification: one image, one class. Each is read as its publisher ships it.
//!
//! | layout | what `root` is | held |
//! |---|---|---|
//! | CIFAR-10, CIFAR-100 | the folder of the binary version, the folder above it, or the `.tar.gz` itself | in memory |
//! | SVHN | the folder with `train_32x32.mat`, `test_32x32.mat`, `extra_32x32.mat` | in memory |
//! | STL-10 | `stl10_binary/` or the folder above it | in memory |
//! | ImageNet | the folder with `train/<class>/*.JPEG` and `val/<class>/*.JPEG` (or other images, or folders below) | on disk |
//! | digits | nothing: drawn on the fly | nowhere |
//!
//! [`Classes`] hands out whole images, [`augment`] makes inputs of the network from them, and [`check`] looks through
//! a split and tells all that is wrong with it.

pub mod augment;
pub mod check;
mod cifar;
mod digits;
mod folder;
mod imagenet;
mod mat;
mod records;
mod stl10;
mod svhn;

use super::image_file::say_passed_over;
use super::normalize::Normalization;
use super::{Dataset, Example};
use crate::task::ClassSet;
use crate::task::TaskKind;
use crate::{Error, Result};
use digits::Digits;
use imagenet::Listing;
use ndarray::Array2;
use records::Loaded;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// How a dataset's files are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// CIFAR-10, binary version.
    Cifar10,
    /// CIFAR-100, binary version; the 100 fine classes.
    Cifar100,
    /// Street View House Numbers, cropped digits (format 2).
    Svhn,
    /// STL-10, binary version; the labelled images.
    Stl10,
    /// Folders of images, one per class, as ImageNet (ILSVRC2012) is unpacked.
    Imagenet,
    /// Built-in images of digits.
    Digits,
}

impl Layout {
    /// Names of the splits that the dataset can have.
    pub fn splits(self) -> &'static [&'static str] {
        match self {
            Self::Cifar10 | Self::Cifar100 | Self::Digits => &["train", "test"],
            Self::Svhn => &["train", "test", "extra", "train+extra"],
            Self::Stl10 => &[
                "train", "test", "train0", "train1", "train2", "train3", "train4", "train5", "train6", "train7",
                "train8", "train9",
            ],
            Self::Imagenet => &["train", "val"],
        }
    }

    /// Usual height and width of a network's input, in pixels. All but ImageNet's images have it as stored.
    pub fn side(self) -> usize {
        match self {
            Self::Cifar10 | Self::Cifar100 | Self::Svhn | Self::Digits => 32,
            Self::Stl10 => 96,
            Self::Imagenet => 224,
        }
    }

    /// Number of classes, where the layout fixes it; ImageNet's is the number of class folders.
    pub fn num_classes_hint(self) -> Option<usize> {
        match self {
            Self::Cifar10 | Self::Svhn | Self::Stl10 | Self::Digits => Some(10),
            Self::Cifar100 => Some(100),
            Self::Imagenet => None,
        }
    }

    /// Color statistics that networks for this dataset are usually fed with.
    pub fn normalization(self) -> Normalization {
        match self {
            Self::Cifar10 | Self::Cifar100 => Normalization::CIFAR,
            Self::Svhn | Self::Stl10 | Self::Digits => Normalization::HALF,
            Self::Imagenet => Normalization::IMAGENET,
        }
    }

    /// Says so where there is no such split.
    fn check_split(self, split: &str) -> Result<()> {
        if self.splits().contains(&split) {
            return Ok(());
        }
        Err(Error::usage(format!("{self} has no split {split:?}; its splits are {}", self.splits().join(", "))))
    }
}

impl fmt::Display for Layout {
    /// The dataset's name, as people write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cifar10 => "CIFAR-10",
            Self::Cifar100 => "CIFAR-100",
            Self::Svhn => "SVHN",
            Self::Stl10 => "STL-10",
            Self::Imagenet => "ImageNet",
            Self::Digits => "digits",
        })
    }
}

/// One split of a dataset with one class for each image.
#[derive(Debug)]
pub struct Classes {
    set: Arc<ClassSet>,
    names: Vec<String>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Records(records::Records),
    Files(imagenet::Files),
    Digits(Digits),
}

impl Classes {
    /// Opens `split` of the dataset at `root`.
    ///
    /// `count` is the number of images of [`Layout::Digits`], which needs no `root`; the others do not look at it.
    /// CIFAR, SVHN and STL-10 are read into memory whole (154 MB for CIFAR's `train`, 221 MB for STL-10's `test`,
    /// 1.6 GB for SVHN's `extra`); of ImageNet the files are listed and none is opened. A line on stderr tells of
    /// files that are passed over.
    ///
    /// # Errors
    /// A split that the layout does not have; files that are missing, cut off or of another format; labels that are no
    /// class; class folders that are empty or differ between `train` and `val`.
    pub fn open(layout: Layout, root: &Path, split: &str, count: usize) -> Result<Self> {
        layout.check_split(split)?;
        if layout == Layout::Digits {
            return Ok(Self::new(layout, digit_names(), Source::Digits(Digits::new(split, count)?)));
        }
        match read(layout, root, split)? {
            Read::Records(Loaded { records, names, problems }) => {
                problems.into_iter().next().map_or(Ok(()), Err)?;
                Ok(Self::new(layout, names, Source::Records(records)))
            }
            Read::Files(Listing { files, names, problems, passed_over }) => {
                problems.into_iter().next().map_or(Ok(()), Err)?;
                say_passed_over(&files.folder, &passed_over, "`segdata check` names them all");
                Ok(Self::new(layout, names, Source::Files(files)))
            }
        }
    }

    fn new(layout: Layout, names: Vec<String>, source: Source) -> Self {
        Self { set: Arc::new(ClassSet::numbered(&layout.to_string(), &names)), names, source }
    }

    /// Class of image `i` of `0..len()`, an index into the class set. Opens no file.
    pub fn class(&self, i: usize) -> u16 {
        match &self.source {
            Source::Records(records) => records.class(i),
            Source::Files(files) => files.class(i),
            Source::Digits(digits) => digits.class(i),
        }
    }
}

impl Dataset for Classes {
    fn task(&self) -> TaskKind {
        TaskKind::Classification
    }

    fn classes(&self) -> &Arc<ClassSet> {
        &self.set
    }

    fn len(&self) -> usize {
        match &self.source {
            Source::Records(records) => records.len(),
            Source::Files(files) => files.len(),
            Source::Digits(digits) => digits.len(),
        }
    }

    /// Leads back to the file: `data_batch_1_00017` is record 17 of `data_batch_1.bin` (counted from 0), and
    /// `n01440764/n01440764_10026` a file in a class folder, without its suffix.
    fn name(&self, i: usize) -> String {
        match &self.source {
            Source::Records(records) => records.name(i),
            Source::Files(files) => files.name(&self.names, i),
            Source::Digits(digits) => digits.name(i),
        }
    }

    /// ImageNet's images are read and decoded here, on the thread of the caller.
    fn example(&self, i: usize) -> Result<Example> {
        let image = match &self.source {
            Source::Records(records) => records.image(i),
            Source::Files(files) => files.image(&self.names, i)?,
            Source::Digits(digits) => digits.image(i),
        };
        Ok(Example { name: self.name(i), image, label: Array2::from_elem((1, 1), self.class(i)) })
    }
}

/// What the files of a split hold, with all that is wrong with them.
enum Read {
    Records(Loaded),
    Files(Listing),
}

/// Reads the files of every layout that has some.
fn read(layout: Layout, root: &Path, split: &str) -> Result<Read> {
    let no_files = || Error::usage("digits are drawn on the fly, there are no files to check");
    if layout == Layout::Digits {
        return Err(no_files());
    }
    if root.as_os_str().is_empty() {
        let message = format!("data.root = \"\": {layout} needs the folder with its files; say `--data-root DIR`");
        return Err(Error::usage(message));
    }
    if !root.exists() {
        return Err(Error::file(root, format!("no such folder; give the one with {layout}'s files with --data-root")));
    }
    match layout {
        Layout::Cifar10 | Layout::Cifar100 => cifar::read(layout, root, split).map(Read::Records),
        Layout::Svhn => svhn::read(root, split).map(Read::Records),
        Layout::Stl10 => stl10::read(root, split).map(Read::Records),
        Layout::Imagenet => imagenet::list(root, split).map(Read::Files),
        Layout::Digits => Err(no_files()),
    }
}

/// Names of the classes where they are the digits.
fn digit_names() -> Vec<String> {
    (0..10).map(|digit: u8| digit.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_that_is_not_there_is_told_with_those_that_are() {
        let error = Classes::open(Layout::Svhn, Path::new("."), "val", 0).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert_eq!(error.to_string(), r#"SVHN has no split "val"; its splits are train, test, extra, train+extra"#);
    }

    #[test]
    fn a_missing_root_says_what_to_give() {
        let error = Classes::open(Layout::Stl10, Path::new(""), "test", 0).unwrap_err();
        assert!(error.to_string().contains("--data-root DIR"), "{error}");
        let error = Classes::open(Layout::Stl10, Path::new("no/such"), "test", 0).unwrap_err();
        assert!(error.to_string().starts_with("no/such: no such folder; give the one with STL-10's files"), "{error}");
    }

    #[test]
    fn a_split_may_be_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Classes>();
    }
}
