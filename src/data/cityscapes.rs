//! Folders in Cityscapes layout.
//!
//! ```text
//! root/leftImg8bit/<split>/<city>/<stem>_leftImg8bit.png     (or .jpg, .webp, …)
//! root/gtFine/<split>/<city>/<stem>_gtFine_labelIds.png      (or, where that is missing, _gtFine_labelTrainIds.png)
//! root/gtFine/<split>/<city>/<stem>_gtFine_instanceIds.png   (where things are told apart; for the iIoU alone)
//! ```
//!
//! Suffixes are known in small letters and in capitals. What Foggy Cityscapes (`<stem>_leftImg8bit_foggy_beta_0.02.png`)
//! and ACDC (`<stem>_rgb_anon.png`, `<stem>_gt_labelIds.png`) call their files is known, too.

use super::id_png::load_ids;
pub use super::image_file::load_image;
pub(crate) use super::image_file::same_size;
pub(super) use super::image_file::size_of;
use super::image_file::{is_picture, looks_like_picture, passed_over, say_passed_over};
use super::masks::MaskFormat;
use super::pairs::{Listing, Pair, load_pair};
use super::{Dataset, Example};
use crate::folders::search;
use crate::task::ClassSet;
use crate::task::TaskKind;
use crate::task::class_set::{IdTable, Meaning};
use crate::{Error, Result};
use ndarray::Array2;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Endings of labels' names, the first that is there counts, with whether they hold train ids.
const LABEL_SUFFIXES: [(&str, bool); 4] = [
    ("_gtFine_labelIds.png", false),
    ("_gt_labelIds.png", false),
    ("_gtFine_labelTrainIds.png", true),
    ("_gt_labelTrainIds.png", true),
];
/// What may follow `_leftImg8bit`: several images have one label then.
const VARIANTS: [&str; 2] = ["_foggy_", "_rain_"];
const LABEL_IDS_SUFFIX: &str = LABEL_SUFFIXES[0].0;
const INSTANCE_IDS_SUFFIX: &str = "_gtFine_instanceIds.png";
const EXPECTED: &str = "<city>/<name>_leftImg8bit.png (or .jpg)";

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
        if holds_train_ids(label) { &self.train_ids } else { &self.label_ids }
    }
}

impl Cityscapes {
    /// Lists the images of `split` under `root`. Opens none. A message names files that are passed over.
    ///
    /// # Errors
    /// A missing root or split, a split without images, an image without a label.
    pub fn open(root: &Path, split: &str, classes: Arc<ClassSet>) -> Result<Self> {
        let listing = list(root, split)?;
        listing.problems.into_iter().next().map_or(Ok(()), Err)?;
        let folder = root.join("leftImg8bit").join(split);
        say_passed_over(&folder, &listing.passed_over, "`segdata check` names them all");
        Ok(Self { pairs: listing.pairs, formats: Formats::new(classes) })
    }
}

impl Dataset for Cityscapes {
    fn task(&self) -> TaskKind {
        TaskKind::Segmentation
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

/// The label ids of `split` under `root`, sorted by name; images are not looked for.
///
/// # Errors
/// A missing root or split, a split without label ids.
pub fn truths(root: &Path, split: &str) -> Result<Vec<Truth>> {
    check_root(root, &["gtFine"])?;
    let labels = root.join("gtFine").join(split);
    if split.is_empty() || !labels.is_dir() {
        return Err(no_split(&labels, split, &folders(&root.join("gtFine"))?));
    }
    let holds_label_ids = |rank: usize| !LABEL_SUFFIXES[rank].1;
    let mut truths = Vec::new();
    for city in folders(&labels)? {
        let city = labels.join(city);
        let is_label = |name: &&String| label_name(name).is_some_and(|(_, rank)| holds_label_ids(rank));
        if let Some(folder) = folders(&city)?.iter().find(is_label) {
            return Err(Error::file(city.join(folder), "is a folder; expected a PNG file"));
        }
        let found = labels_in(&city)?.into_iter().filter(|(_, (rank, _))| holds_label_ids(*rank));
        truths.extend(found.map(|(name, (_, file))| Truth { name, label: city.join(file) }));
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
    if classes.classes.iter().all(|class| class.instance_pixels.is_none()) {
        return Ok(None); // nothing would be scored of them
    }
    let name = label.file_name().unwrap_or_default().to_string_lossy();
    let Some((name, _)) = label_name(&name) else { return Ok(None) };
    let mut path = label.with_file_name(format!("{name}{INSTANCE_IDS_SUFFIX}"));
    if !path.exists() {
        let is_it = |file: &String| strip_suffix(file, INSTANCE_IDS_SUFFIX) == Some(name);
        let Some(file) = files(label.parent().unwrap_or(label))?.into_iter().find(is_it) else { return Ok(None) };
        path.set_file_name(file);
    }
    let instances = load_ids(&path)?;
    check_instances(&path, &instances, classes)?;
    same_size((&path, instances.dim()), "label", (label, size))?;
    Ok(Some(instances))
}

/// An instance id is id on disk * 1000 + number of the instance. Up to 1000 it says nothing about an instance.
fn check_instances(path: &Path, instances: &Array2<u16>, classes: &ClassSet) -> Result<()> {
    let table = IdTable::of(classes);
    let published = *classes == *ClassSet::cityscapes();
    let wrong = |instance: u16| match table.meaning(instance / 1000) {
        _ if instance <= 1000 => None,
        _ if !published => None, // other sets may tell other things apart
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
                format!(
                    "holds no folder {part}/; --data-root is the one with leftImg8bit/ and gtFine/ in it, or set --dataset \
                     folder for images and masks of another layout"
                ),
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
/// A missing root or a missing split. All else that is wrong is in `Listing::problems`.
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
    let is_used = |below: &PathBuf| {
        below.components().count() == 2
            && image_name(&below.file_name().unwrap_or_default().to_string_lossy()).is_some()
    };
    listing.passed_over = search(&images, &|name, is_folder| !is_folder && looks_like_picture(name))?;
    listing.passed_over.retain(|below| !is_used(below));
    if listing.pairs.is_empty() && listing.problems.is_empty() {
        let other = listing.passed_over.first().map(|file| format!(", and passes over {}", file.display()));
        let message = format!("holds no picture{}; expected {EXPECTED} in it", other.unwrap_or_default());
        listing.problems.push(Error::file(&images, message));
    }
    Ok(listing)
}

fn list_city(images: &Path, labels: &Path, listing: &mut Listing) -> Result<()> {
    let found = if labels.is_dir() { labels_in(labels)? } else { BTreeMap::new() };
    let mut known: BTreeMap<String, PathBuf> = BTreeMap::new();
    for file in files(images)? {
        let Some((name, label)) = image_name(&file) else { continue };
        let image = images.join(&file);
        if let Some(other) = known.insert(name.clone(), image.clone()) {
            let message = format!("{} is the same picture; keep one of the two", other.display());
            listing.problems.push(Error::file(image, message));
            continue;
        }
        match found.get(label) {
            Some((_, file)) => listing.pairs.push(Pair { name, image, label: labels.join(file) }),
            None => {
                let message =
                    format!("has no label; expected {}", labels.join(format!("{label}{LABEL_IDS_SUFFIX}")).display());
                listing.problems.push(Error::file(image, message));
            }
        }
    }
    Ok(())
}

/// Labels in a folder, by name: the place of their ending in [`LABEL_SUFFIXES`], and the file.
fn labels_in(folder: &Path) -> Result<BTreeMap<String, (usize, String)>> {
    let mut found: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for file in files(folder)? {
        let Some((name, rank)) = label_name(&file) else { continue };
        if found.get(name).is_none_or(|(other, _)| rank < *other) {
            found.insert(name.to_string(), (rank, file));
        }
    }
    Ok(found)
}

/// Labels of `split` that no image belongs to; only `segdata check` minds them.
pub(super) fn labels_without_picture(root: &Path, split: &str) -> Result<Vec<Error>> {
    let mut problems = Vec::new();
    let labels = root.join("gtFine").join(split);
    for city in folders(&labels)? {
        let images = root.join("leftImg8bit").join(split).join(&city);
        let pictures = if images.is_dir() { files(&images)? } else { Vec::new() };
        let pictured: HashSet<&str> = pictures.iter().filter_map(|file| Some(image_name(file)?.1)).collect();
        for file in files(&labels.join(&city))? {
            if let Some((name, _)) = label_name(&file)
                && !pictured.contains(name)
            {
                let expected = images.join(format!("{name}_leftImg8bit.png"));
                let message = format!("has no picture; expected {} (or .jpg)", expected.display());
                problems.push(Error::file(labels.join(&city).join(&file), message));
            }
        }
    }
    Ok(problems)
}

/// What `segdata check` says of a file that [`Listing::passed_over`] names.
pub(super) fn passed_over_problem(root: &Path, split: &str, below: &Path) -> Error {
    passed_over(&root.join("leftImg8bit").join(split), below, &format!("expected {EXPECTED} in this split"))
}

/// Name of the image in a file of this name, and of its label; `None` where the layout has no such image.
fn image_name(file: &str) -> Option<(String, &str)> {
    let (stem, _) = file.rsplit_once('.').filter(|_| is_picture(file))?;
    if let Some(label) = strip_suffix(stem, "_rgb_anon") {
        return Some((label.to_string(), label));
    }
    let marker = "_leftimg8bit";
    let at = stem.to_ascii_lowercase().rfind(marker)?;
    let (label, variant) = (&stem[..at], &stem[at + marker.len()..]);
    let is_known = variant.is_empty() || VARIANTS.iter().any(|known| variant.starts_with(known));
    is_known.then(|| (format!("{label}{variant}"), label))
}

/// Name of the label in a file of this name, and the place of its ending in [`LABEL_SUFFIXES`].
fn label_name(file: &str) -> Option<(&str, usize)> {
    LABEL_SUFFIXES.iter().enumerate().find_map(|(rank, (suffix, _))| Some((strip_suffix(file, suffix)?, rank)))
}

/// Whether a label holds train ids rather than label ids, by its name.
pub(super) fn holds_train_ids(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    label_name(&name).is_some_and(|(_, rank)| LABEL_SUFFIXES[rank].1)
}

/// The text before a suffix in small letters or capitals.
pub(crate) fn strip_suffix<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let (stem, end) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
    end.eq_ignore_ascii_case(suffix).then_some(stem)
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
        // Datasets are often made of symbolic links, and only those need a look at where they lead.
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_symlink() && entry.path().is_dir());
        if !name.starts_with('.') && is_folder == want_folders {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
#[path = "cityscapes_tests.rs"]
mod tests;
