//! Folders in Cityscapes layout.
//!
//! ```text
//! root/leftImg8bit/<split>/<city>/<stem>_leftImg8bit.png     (or .jpg, .jpeg)
//! root/gtFine/<split>/<city>/<stem>_gtFine_labelIds.png      (or, where that is missing, _gtFine_labelTrainIds.png)
//! root/gtFine/<split>/<city>/<stem>_gtFine_instanceIds.png   (where things are told apart; for the iIoU alone)
//! ```

use super::id_png::load_ids;
use super::masks::MaskFormat;
use super::{Dataset, Example};
use crate::config::{Resolution, Task};
use crate::files::{ZLIB_RATIO, unless_it_panics};
use crate::task::ClassSet;
use crate::task::class_set::{IdTable, Meaning};
use crate::{Error, Result};
use image::error::LimitErrorKind;
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits};
use ndarray::{Array2, Array3};
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// [`Resolution::MAX_SIDE`] for the decoders. Guards memory against a damaged header.
pub(super) const MAX_SIDE: u32 = Resolution::MAX_SIDE as u32;

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
    formats: Formats,
}

/// How the files of a layout are read: by the end of their names.
#[derive(Debug, Clone)]
pub(super) struct Formats {
    label_ids: MaskFormat,
    train_ids: MaskFormat,
}

impl Formats {
    pub fn new(classes: Arc<ClassSet>) -> Self {
        Self { label_ids: MaskFormat::ids(Arc::clone(&classes)), train_ids: MaskFormat::indices(classes) }
    }

    pub fn of(&self, label: &Path) -> &MaskFormat {
        let train_ids = label.to_string_lossy().ends_with(TRAIN_IDS_SUFFIX);
        if train_ids { &self.train_ids } else { &self.label_ids }
    }
}

impl Cityscapes {
    /// Lists the images of `split` under `root`. Opens none.
    ///
    /// # Errors
    /// A missing root or split, a split without images, an image without a label.
    pub fn open(root: &Path, split: &str, classes: Arc<ClassSet>) -> Result<Self> {
        let listing = list(root, split)?;
        match listing.problems.into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(Self { pairs: listing.pairs, formats: Formats::new(classes) }),
        }
    }
}

impl Dataset for Cityscapes {
    fn task(&self) -> Task {
        Task::Segmentation
    }

    fn classes(&self) -> &Arc<ClassSet> {
        self.formats.label_ids.classes()
    }

    fn len(&self) -> usize {
        self.pairs.len()
    }

    fn name(&self, i: usize) -> String {
        self.pairs[i].name.clone()
    }

    fn example(&self, i: usize) -> Result<Example> {
        let pair = &self.pairs[i];
        load_pair(pair, self.formats.of(&pair.label))
    }

    fn annotated(&self, i: usize) -> Result<(Example, Option<Array2<u16>>)> {
        let example = self.example(i)?;
        let instances = instances_of(&self.pairs[i].label, example.label.dim(), self.classes())?;
        Ok((example, instances))
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
/// A file that cannot be decoded or has another size; an instance of a class that has none, or of none that exists.
pub fn instances_of(label: &Path, size: (usize, usize), classes: &ClassSet) -> Result<Option<Array2<u16>>> {
    let name = label.file_name().unwrap_or_default().to_string_lossy();
    let stem = [LABEL_IDS_SUFFIX, TRAIN_IDS_SUFFIX].iter().find_map(|suffix| name.strip_suffix(suffix));
    let Some(stem) = stem else { return Ok(None) };
    let path = label.with_file_name(format!("{stem}{INSTANCE_IDS_SUFFIX}"));
    if !path.exists() {
        return Ok(None);
    }
    let instances = load_ids(&path)?;
    check_instances(&path, &instances, classes)?;
    same_size((&path, instances.dim()), "label", (label, size))?;
    Ok(Some(instances))
}

/// An instance id is id on disk * 1000 + number of the instance. Up to 1000 it says nothing about an instance.
fn check_instances(path: &Path, instances: &Array2<u16>, classes: &ClassSet) -> Result<()> {
    let table = IdTable::of(classes);
    let wrong = |instance: u16| match table.meaning(instance / 1000) {
        _ if instance <= 1000 => None,
        Meaning::Unlisted => Some(format!("there is no label id {}", instance / 1000)),
        Meaning::Ignored => None,
        Meaning::Class(class) => {
            let class = &classes.classes[usize::from(class)];
            class.instance_pixels.is_none().then(|| format!("{} is a class without instances", class.name))
        }
    };
    let mut last = 0;
    for ((row, column), &id) in instances.indexed_iter() {
        if id != last
            && let Some(wrong) = wrong(id)
        {
            return Err(Error::file(path, format!("{id} at row {row}, column {column} is no instance id: {wrong}")));
        }
        last = id;
    }
    Ok(())
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

/// Says so where a file and what it belongs to, its `role`, differ in size `(height, width)`.
pub(crate) fn same_size(
    (path, size): (&Path, (usize, usize)),
    role: &str,
    (other, other_size): (&Path, (usize, usize)),
) -> Result<()> {
    if size == other_size {
        return Ok(());
    }
    let message = format!(
        "is {}x{} (height x width), but its {role} {} is {}x{}; make them the same",
        size.0,
        size.1,
        other.display(),
        other_size.0,
        other_size.1
    );
    Err(Error::file(path, message))
}

/// Height and width of a picture.
pub(super) fn size_of(image: &Array3<u8>) -> (usize, usize) {
    (image.dim().0, image.dim().1)
}

/// Reads a PNG or JPEG as 8-bit RGB, whatever it is stored as. Shape: `[height, width, 3]`.
///
/// # Errors
/// A file that is missing, damaged, of another format or over [`Resolution::MAX_SIDE`] pixels a side.
pub fn load_image(path: &Path) -> Result<Array3<u8>> {
    let bytes = fs::read(path).map_err(|cause| Error::file(path, format!("cannot be read: {cause}")))?;
    let bad = |cause: &dyn std::fmt::Display| {
        // Some of the decoders' sentences end with a line break.
        let cause = cause.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        Error::file(path, format!("cannot be decoded ({cause}); expected a whole PNG or JPEG"))
    };
    let mut reader = ImageReader::new(Cursor::new(&bytes)).with_guessed_format().map_err(|cause| bad(&cause))?;
    if reader.format() == Some(image::ImageFormat::Jpeg) && jpeg_is_cut_off(&bytes) {
        return Err(bad(&"the file ends too early"));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(4 << 30); // 16384² pixels of 16-bit RGBA are 2 GiB.
    reader.limits(limits);
    let too_large = |cause: ImageError| match cause {
        ImageError::Limits(limit) if limit.kind() == LimitErrorKind::DimensionError => {
            Error::file(path, format!("is of more than {MAX_SIDE} pixels a side; make it smaller"))
        }
        cause => bad(&cause),
    };
    let is_png = reader.format() == Some(image::ImageFormat::Png);
    let decoder = reader.into_decoder().map_err(too_large)?;
    // What is counted are expanded pixels: one bit of a palette with transparency becomes 32.
    if is_png && decoder.total_bytes() > 32 * ZLIB_RATIO * bytes.len() as u64 {
        return Err(bad(&"the file ends too early"));
    }
    let decoded = unless_it_panics(|| DynamicImage::from_decoder(decoder)).ok_or_else(|| bad(&"it is damaged"))?;
    let rgb = decoded.map_err(|cause| bad(&cause))?.into_rgb8();
    let (width, height) = (rgb.width() as usize, rgb.height() as usize);
    Array3::from_shape_vec((height, width, 3), rgb.into_raw()).map_err(|cause| bad(&cause))
}

/// Whether the last scan of a JPEG lacks its end marker: the decoder would fill the rest with gray in silence.
fn jpeg_is_cut_off(bytes: &[u8]) -> bool {
    let last = |marker: [u8; 2]| bytes.windows(2).rposition(|pair| pair == marker);
    match (last([0xFF, 0xDA]), last([0xFF, 0xD9])) {
        (Some(scan), Some(end)) => end < scan,
        (Some(_), None) => true,
        (None, _) => false, // Not even a scan: the decoder says so itself.
    }
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
