//! `--dataset folder`: a folder of images and masks, with the classes of its `classes.toml`.
//!
//! ```text
//! root/images/<split>/<name>.jpg       (or img_dir, imgs, JPEGImages; .png, .jpeg)
//! root/masks/<split>/<name>.png        (or ann_dir, gts, SegmentationClass)
//! root/classes.toml
//! ```
//!
//! Without folders of splits, names are read from `train.txt`, `splits/train.txt` or
//! `ImageSets/Segmentation/train.txt`. Any other layout is a pair of patterns in `classes.toml`.

pub mod classes;
mod layout;
mod pattern;

pub use layout::Layout;
pub use pattern::Pattern;

use super::masks::MaskFormat;
use super::pairs::{Listing, Pair, load_pair};
use super::{Dataset, Example};
use crate::data::image_file::{looks_like_picture, passed_over, say_passed_over};
use crate::files::plain_cause;
use crate::folders::search;
use crate::task::ClassSet;
use crate::task::TaskKind;
use crate::task::class_set::LayoutKeys;
use crate::{Error, Result};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One split of a folder of images and masks.
#[derive(Debug)]
pub struct Folder {
    pairs: Vec<Pair>,
    format: MaskFormat,
}

impl Folder {
    /// Lists the images of `split` under `root`. Opens none.
    ///
    /// # Errors
    /// A folder that is missing or laid out otherwise; a split without images; an image without a mask; a list that
    /// names a missing file or a name twice.
    pub fn open(root: &Path, split: &str, classes: Arc<ClassSet>, keys: &LayoutKeys) -> Result<Self> {
        let layout = Layout::find(root, keys)?;
        let listing = list(root, split, &layout)?;
        listing.problems.into_iter().next().map_or(Ok(()), Err)?;
        let folder = layout.images.folder(root, split);
        say_passed_over(&folder, &listing.passed_over, "`segdata check` names them all");
        Ok(Self { pairs: listing.pairs, format: MaskFormat::of(classes, keys) })
    }
}

impl Dataset for Folder {
    fn task(&self) -> TaskKind {
        TaskKind::Segmentation
    }

    fn classes(&self) -> &Arc<ClassSet> {
        self.format.classes()
    }

    fn len(&self) -> usize {
        self.pairs.len()
    }

    fn name(&self, i: usize) -> String {
        self.pairs[i].name.clone()
    }

    fn example(&self, i: usize) -> Result<Example> {
        load_pair(&self.pairs[i], &self.format)
    }
}

/// Lists a split.
///
/// # Errors
/// A split that is not there. All else that is wrong is in `Listing::problems`.
pub fn list(root: &Path, split: &str, layout: &Layout) -> Result<Listing> {
    let splits = layout.splits(root);
    if !splits.is_empty() && !splits.iter().any(|known| known == split) {
        let place = layout.list(root, split).unwrap_or_else(|| layout.images.folder(root, split));
        let message = format!(
            "no split {split:?} here; splits found: {}; name one of them (data.train_split and data.val_split, or --split where there is that flag)",
            splits.join(", ")
        );
        return Err(Error::file(place, message));
    }
    let mut listing = Listing::default();
    match layout.list(root, split) {
        Some(list) => from_list(root, split, layout, &list, &mut listing)?,
        None => from_folder(root, split, layout, &mut listing)?,
    }
    listing.pairs.sort();
    if listing.pairs.is_empty() && listing.problems.is_empty() {
        let message = format!("holds no image; expected {} in it", layout.images.text());
        listing.problems.push(Error::file(layout.images.folder(root, split), message));
    }
    Ok(listing)
}

fn from_folder(root: &Path, split: &str, layout: &Layout, listing: &mut Listing) -> Result<()> {
    let mut last: Option<(String, std::path::PathBuf)> = None;
    let files = layout.images.files(root, split)?;
    let folder = layout.images.folder(root, split);
    let read: HashSet<&Path> = files.iter().map(|file| file.path.as_path()).collect();
    let pictures = search(&folder, &|name, is_folder| !is_folder && looks_like_picture(name))?;
    // A pattern with a suffix of its own may share its folder with masks.
    let whole_folder = layout.images.takes_whole_folder();
    listing.passed_over =
        pictures.into_iter().filter(|below| whole_folder && !read.contains(&*folder.join(below))).collect();
    for file in files {
        if let Some((name, other)) = &last
            && *name == file.name
        {
            let message = format!("{} is the same picture; keep one of the two", other.display());
            listing.problems.push(Error::file(file.path, message));
            continue;
        }
        match layout.masks.file(root, split, &file.name) {
            Ok(label) => listing.pairs.push(Pair { name: file.name.clone(), image: file.path.clone(), label }),
            Err(expected) => {
                let message = format!("has no mask; expected {}", expected.display());
                listing.problems.push(Error::file(&file.path, message));
            }
        }
        last = Some((file.name, file.path));
    }
    Ok(())
}

fn from_list(root: &Path, split: &str, layout: &Layout, list: &Path, listing: &mut Listing) -> Result<()> {
    let text = std::fs::read_to_string(list)
        .map_err(|cause| Error::file(list, format!("cannot be read: {}", plain_cause(&cause))))?;
    let mut seen: HashMap<PathBuf, usize> = HashMap::new();
    for (line, number) in text.trim_start_matches('\u{feff}').lines().zip(1..) {
        let entry = line.trim();
        if entry.is_empty() || entry.starts_with('#') {
            continue;
        }
        match entry_of(root, split, layout, entry) {
            Ok(pair) => match seen.insert(pair.image.clone(), number) {
                None => listing.pairs.push(pair),
                Some(first) => {
                    let message = format!(
                        "line {number}: `{entry}` is listed twice (first in line {first}); keep one of the two"
                    );
                    listing.problems.push(Error::file(list, message));
                }
            },
            Err(message) => listing.problems.push(Error::file(list, format!("line {number}: {message}"))),
        }
    }
    if listing.pairs.is_empty() && listing.problems.is_empty() {
        listing.problems.push(Error::file(list, "holds no name; write the name of an image into each line"));
    }
    Ok(())
}

/// The files of a line: a name, or the paths of an image and its mask.
fn entry_of(root: &Path, split: &str, layout: &Layout, entry: &str) -> Result<Pair, String> {
    if let [image, mask] = entry.split_whitespace().collect::<Vec<_>>()[..] {
        let [image, label] = [image, mask].map(|path| root.join(path.trim_start_matches('/')));
        if image.is_file() && label.is_file() {
            let name = image.strip_prefix(root).unwrap_or(&image).with_extension("").to_string_lossy().into_owned();
            return Ok(Pair { name, image, label });
        }
    }
    let found = layout.images.file(root, split, entry).map(|image| (entry, image)).or_else(|expected| {
        // Some lists name files, not names.
        let stem = entry.rsplit_once('.').map_or(entry, |(stem, _)| stem);
        layout.images.file(root, split, stem).map(|image| (stem, image)).map_err(|_| expected)
    });
    let (name, image) = found.map_err(|expected| format!("`{entry}` has no image; expected {}", expected.display()))?;
    match layout.masks.file(root, split, name) {
        Ok(label) => Ok(Pair { name: name.to_string(), image, label }),
        Err(expected) => Err(format!("`{entry}` has no mask; expected {}", expected.display())),
    }
}

/// What `segdata check` says of a file that [`Listing::passed_over`] names.
pub(super) fn passed_over_problem(root: &Path, split: &str, layout: &Layout, below: &Path) -> Error {
    let expected = format!("expected {} in this split", layout.images.text());
    passed_over(&layout.images.folder(root, split), below, &expected)
}

/// Masks of `split` that no image belongs to; only `segdata check` minds them.
pub(super) fn masks_without_image(root: &Path, split: &str, layout: &Layout) -> Result<Vec<Error>> {
    if layout.lists.is_some() || !layout.masks.folder(root, split).is_dir() {
        return Ok(Vec::new());
    }
    let mut problems = Vec::new();
    for mask in layout.masks.files(root, split)? {
        if let Err(expected) = layout.images.file(root, split, &mask.name) {
            problems.push(Error::file(mask.path, format!("has no image; expected {}", expected.display())));
        }
    }
    Ok(problems)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
