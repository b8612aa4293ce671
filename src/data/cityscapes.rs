//! Folders in Cityscapes layout.
//!
//! ```text
//! root/leftImg8bit/<split>/<city>/<stem>_leftImg8bit.png     (or .jpg, .jpeg)
//! root/gtFine/<split>/<city>/<stem>_gtFine_labelIds.png      (or, where that is missing, _gtFine_labelTrainIds.png)
//! root/gtFine/<split>/<city>/<stem>_gtFine_instanceIds.png   (where things are told apart; for the iIoU alone)
//! ```

use super::Sample;
use super::id_png::{load_instances, load_label, train_ids};
pub use super::image_file::load_image;
pub(crate) use super::image_file::same_size;
pub(super) use super::image_file::{MAX_SIDE, size_of};
use crate::{Error, Result};
use ndarray::Array2;
use std::fs;
use std::path::{Path, PathBuf};

const IMAGE_SUFFIXES: [&str; 3] = ["_leftImg8bit.png", "_leftImg8bit.jpg", "_leftImg8bit.jpeg"];
const LABEL_IDS_SUFFIX: &str = "_gtFine_labelIds.png";
pub(super) const TRAIN_IDS_SUFFIX: &str = "_gtFine_labelTrainIds.png";
const INSTANCE_IDS_SUFFIX: &str = "_gtFine_instanceIds.png";

/// A picture file and its label file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// `<city>_<sequence>_<frame>`.
    pub name: String,
    /// The picture.
    pub image: PathBuf,
    /// Its label.
    pub label: PathBuf,
}

/// What a split's folders hold.
#[derive(Debug, Default)]
pub struct Listing {
    /// Pictures with labels, sorted by name.
    pub pairs: Vec<Pair>,
    /// Everything that is wrong with the folders (nothing is opened yet).
    pub problems: Vec<Error>,
}

/// One split of a dataset in Cityscapes layout.
#[derive(Debug)]
pub struct Cityscapes {
    pairs: Vec<Pair>,
}

impl Cityscapes {
    /// Lists the pictures of `split` under `root`. Opens none.
    ///
    /// # Errors
    /// A missing root or split, a split without pictures, a picture without a label.
    pub fn open(root: &Path, split: &str) -> Result<Self> {
        let listing = list(root, split)?;
        match listing.problems.into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(Self { pairs: listing.pairs }),
        }
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is no picture; never after [`open`](Self::open).
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Name of picture `i`.
    pub fn name(&self, i: usize) -> String {
        self.pairs[i].name.clone()
    }

    /// Picture `i` with its label as train ids.
    ///
    /// # Errors
    /// See [`load_pair`].
    pub fn sample(&self, i: usize) -> Result<Sample> {
        load_pair(&self.pairs[i])
    }

    /// The same with its instance ids, where there are any.
    ///
    /// # Errors
    /// See [`load_pair`] and [`instances_of`].
    pub fn annotated(&self, i: usize) -> Result<(Sample, Option<Array2<u16>>)> {
        let sample = self.sample(i)?;
        let instances = instances_of(&self.pairs[i].label, sample.label.dim())?;
        Ok((sample, instances))
    }
}

/// A label file by itself, to score predictions against that were made elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Truth {
    /// `<city>_<sequence>_<frame>`.
    pub name: String,
    /// Its `*_gtFine_labelIds.png`.
    pub label: PathBuf,
}

/// The label ids of `split` under `root`, sorted by name; pictures are not looked for.
///
/// # Errors
/// A missing root or split, a split without label ids.
pub fn truths(root: &Path, split: &str) -> Result<Vec<Truth>> {
    check_root(root, &["gtFine"])?;
    let labels = root.join("gtFine").join(split);
    if split.is_empty() || !labels.is_dir() {
        return Err(no_split(&labels, split, &folders(&root.join("gtFine"))?));
    }
    let mut truths = Vec::new();
    for city in folders(&labels)? {
        let city = labels.join(city);
        if let Some(folder) = folders(&city)?.iter().find(|folder| folder.ends_with(LABEL_IDS_SUFFIX)) {
            return Err(Error::file(city.join(folder), "is a folder; expected a PNG file"));
        }
        for file in files(&city)? {
            if let Some(name) = file.strip_suffix(LABEL_IDS_SUFFIX) {
                truths.push(Truth { name: name.to_string(), label: city.join(&file) });
            }
        }
    }
    if truths.is_empty() {
        return Err(Error::file(&labels, format!("holds no <city>/<name>{LABEL_IDS_SUFFIX} to score against")));
    }
    truths.sort();
    Ok(truths)
}

/// Instance ids beside a label of this size; `None` where there is no such file.
///
/// # Errors
/// A file that cannot be decoded or has another size.
pub fn instances_of(label: &Path, size: (usize, usize)) -> Result<Option<Array2<u16>>> {
    let name = label.file_name().unwrap_or_default().to_string_lossy();
    let stem = [LABEL_IDS_SUFFIX, TRAIN_IDS_SUFFIX].iter().find_map(|suffix| name.strip_suffix(suffix));
    let Some(stem) = stem else { return Ok(None) };
    let path = label.with_file_name(format!("{stem}{INSTANCE_IDS_SUFFIX}"));
    if !path.exists() {
        return Ok(None);
    }
    let instances = load_instances(&path)?;
    same_size((&path, instances.dim()), "label", (label, size))?;
    Ok(Some(instances))
}

/// Names of the splits under `root/leftImg8bit`, sorted.
///
/// # Errors
/// A missing or unreadable root.
pub fn splits(root: &Path) -> Result<Vec<String>> {
    check_root(root, &["leftImg8bit", "gtFine"])?;
    folders(&root.join("leftImg8bit"))
}

fn check_root(root: &Path, parts: &[&str]) -> Result<()> {
    if root.as_os_str().is_empty() {
        return Err(Error::usage(
            "data.root = \"\": cityscapes needs the folder that holds leftImg8bit/ and gtFine/; say `--data-root DIR`",
        ));
    }
    if !root.is_dir() {
        return Err(Error::file(
            root,
            "no such folder; give the one that holds leftImg8bit/ and gtFine/ with --data-root",
        ));
    }
    for part in parts {
        if !root.join(part).is_dir() {
            return Err(Error::file(
                root,
                format!("holds no folder {part}/; --data-root is the one with leftImg8bit/ and gtFine/ in it"),
            ));
        }
    }
    Ok(())
}

fn no_split(folder: &Path, split: &str, found: &[String]) -> Error {
    let found = if found.is_empty() { "none".to_string() } else { found.join(", ") };
    Error::file(folder, format!("no split {split:?} here; splits found: {found}"))
}

/// Lists `split` under `root`.
///
/// # Errors
/// A missing root or a missing split. All else that is wrong is in [`Listing::problems`].
pub fn list(root: &Path, split: &str) -> Result<Listing> {
    let found = splits(root)?;
    let images = root.join("leftImg8bit").join(split);
    if split.is_empty() || !images.is_dir() {
        return Err(no_split(&images, split, &found));
    }
    let mut listing = Listing::default();
    let labels = root.join("gtFine").join(split);
    if !labels.is_dir() {
        listing
            .problems
            .push(Error::file(&labels, format!("no such folder, but {} is there; add the labels", images.display())));
        return Ok(listing);
    }
    for city in folders(&images)? {
        list_city(&images.join(&city), &labels.join(&city), &mut listing)?;
    }
    listing.pairs.sort();
    if listing.pairs.is_empty() && listing.problems.is_empty() {
        listing
            .problems
            .push(Error::file(&images, "holds no picture; expected <city>/<name>_leftImg8bit.png (or .jpg) in it"));
    }
    Ok(listing)
}

fn list_city(images: &Path, labels: &Path, listing: &mut Listing) -> Result<()> {
    let mut known: Vec<(String, PathBuf)> = Vec::new();
    for file in files(images)? {
        let Some(name) = IMAGE_SUFFIXES.iter().find_map(|suffix| file.strip_suffix(suffix)) else { continue };
        let image = images.join(&file);
        if let Some((_, other)) = known.iter().rev().find(|(known, _)| known == name) {
            let message = format!("{} is the same picture; keep one of the two", other.display());
            listing.problems.push(Error::file(image, message));
            continue;
        }
        known.push((name.to_string(), image.clone()));
        let candidates = [LABEL_IDS_SUFFIX, TRAIN_IDS_SUFFIX].map(|suffix| labels.join(format!("{name}{suffix}")));
        match candidates.iter().find(|label| label.is_file()) {
            Some(label) => listing.pairs.push(Pair { name: name.to_string(), image, label: label.clone() }),
            None => {
                let message = format!("has no label; expected {}", candidates[0].display());
                listing.problems.push(Error::file(image, message));
            }
        }
    }
    Ok(())
}

/// Labels of `split` that no picture belongs to; only `segdata check` minds them.
pub(super) fn labels_without_picture(root: &Path, split: &str) -> Result<Vec<Error>> {
    let mut problems = Vec::new();
    let labels = root.join("gtFine").join(split);
    for city in folders(&labels)? {
        for file in files(&labels.join(&city))? {
            let name = [LABEL_IDS_SUFFIX, TRAIN_IDS_SUFFIX].iter().find_map(|suffix| file.strip_suffix(suffix));
            let Some(name) = name else { continue };
            let images = root.join("leftImg8bit").join(split).join(&city);
            if !IMAGE_SUFFIXES.iter().any(|suffix| images.join(format!("{name}{suffix}")).is_file()) {
                let expected = images.join(format!("{name}{}", IMAGE_SUFFIXES[0]));
                let message = format!("has no picture; expected {} (or .jpg)", expected.display());
                problems.push(Error::file(labels.join(&city).join(&file), message));
            }
        }
    }
    Ok(problems)
}

/// Reads a picture and its label.
///
/// # Errors
/// Files that cannot be read or decoded, sizes that differ, ids that do not exist.
pub fn load_pair(pair: &Pair) -> Result<Sample> {
    let image = load_image(&pair.image)?;
    let label = load_label(&pair.label)?;
    same_size((&pair.label, label.dim()), "picture", (&pair.image, size_of(&image)))?;
    let label = train_ids(&pair.label, label)?;
    Ok(Sample { name: pair.name.clone(), image, label })
}

/// Names of the folders in `path`, sorted, hidden ones left out.
fn folders(path: &Path) -> Result<Vec<String>> {
    entries(path, true)
}

/// Names of the files in `path`, sorted, hidden ones (such as macOS' `._*`) left out.
fn files(path: &Path) -> Result<Vec<String>> {
    entries(path, false)
}

fn entries(path: &Path, want_folders: bool) -> Result<Vec<String>> {
    let cannot = |cause: std::io::Error| Error::file(path, format!("cannot be listed: {cause}"));
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Of the path, not of the entry: datasets are often made of symbolic links.
        if !name.starts_with('.') && entry.path().is_dir() == want_folders {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
#[path = "cityscapes_tests.rs"]
mod tests;
