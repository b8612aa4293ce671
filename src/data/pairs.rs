//! Images with their masks on disk, whatever the layout.

use super::Example;
use super::image_file::{load_image, same_size, size_of};
use super::masks::MaskFormat;
use crate::{Error, Result};
use std::path::PathBuf;

/// An image file and its mask file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// Name of the example. In Cityscapes layout `<city>_<sequence>_<frame>`, then what tells several images of one label
    /// apart, such as `_foggy_beta_0.02`.
    pub name: String,
    /// The image.
    pub image: PathBuf,
    /// Its mask.
    pub label: PathBuf,
}

/// What a split's folders hold.
#[derive(Debug, Default)]
pub struct Listing {
    /// Images with labels, sorted by name.
    pub pairs: Vec<Pair>,
    /// Everything that is wrong with the folders (nothing is opened yet).
    pub problems: Vec<Error>,
    /// What looks like an image and is none of the layout's, below the split's folder of images.
    pub passed_over: Vec<PathBuf>,
}

/// Reads an image and its mask.
///
/// # Errors
/// Files that cannot be read or decoded, sizes that differ, values that the class set does not list.
pub fn load_pair(pair: &Pair, format: &MaskFormat) -> Result<Example> {
    let image = load_image(&pair.image)?;
    let mask = format.load(&pair.label)?;
    same_size((&pair.label, mask.label.dim()), "picture", (&pair.image, size_of(&image)))?;
    match mask.problem {
        Some(problem) => Err(problem),
        None => Ok(Example { name: pair.name.clone(), image, label: mask.label }),
    }
}
