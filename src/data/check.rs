//! Looks through a whole dataset before a run does: counts, sizes, class frequencies, and everything that is wrong.

use super::cityscapes::{self, Formats};
use super::config::{DataConfig, DatasetKind};
use super::folder::{self, Layout};
use super::masks::{MaskFormat, Value};
use super::pairs::{Listing, Pair};
use super::{class_file, folder::classes::BINARY, folder::classes::is_binary};
use crate::task::class_set::ClassFile;
use crate::task::{ClassSet, IGNORE_INDEX};
use crate::text::counted;
use crate::{Error, Result};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What one split holds.
#[derive(Debug)]
pub struct SplitReport {
    /// Name of the split.
    pub split: String,
    /// The class set that labels were read with.
    pub set: Arc<ClassSet>,
    /// Images that have a label.
    pub pairs: usize,
    /// Number of images of each `(height, width)`.
    pub sizes: BTreeMap<(usize, usize), usize>,
    /// Red, green and blue of all images.
    pub colours: Colours,
    /// Pixels and images of each class, in order.
    pub classes: Vec<Frequency>,
    /// Pixels without a class, and images with some.
    pub ignored: Frequency,
    /// Labels without a pixel of any class: allowed, but seldom meant.
    pub ignored_alone: BTreeSet<PathBuf>,
    /// Values that are not in the class set, as stored.
    pub unknown: BTreeMap<Value, Frequency>,
    /// Every id on disk.
    pub ids: BTreeSet<u16>,
    /// Everything that is wrong, one per file and cause.
    pub problems: Vec<Error>,
}

/// How often something occurs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Frequency {
    /// Pixels that show it.
    pub pixels: u64,
    /// Images that show it.
    pub pictures: u64,
}

/// What colors images have. Sums are exact, so that they do not depend on the order of images.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Colours {
    pixels: u64,
    sums: [u64; 3],
    squares: [u128; 3],
}

impl Colours {
    pub(crate) fn of(image: &ndarray::Array3<u8>) -> Self {
        let (height, width, _) = image.dim();
        let mut colours = Self { pixels: (height * width) as u64, ..Self::default() };
        for (channel, values) in image.axis_iter(ndarray::Axis(2)).enumerate() {
            let mut counts = [0_u64; 256];
            values.iter().for_each(|&value| counts[usize::from(value)] += 1);
            for (value, count) in counts.into_iter().enumerate() {
                colours.sums[channel] += count * value as u64;
                colours.squares[channel] += u128::from(count) * (value * value) as u128;
            }
        }
        colours
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.pixels += other.pixels;
        self.sums.iter_mut().zip(other.sums).for_each(|(mine, theirs)| *mine += theirs);
        self.squares.iter_mut().zip(other.squares).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// Mean and standard deviation of `[red, green, blue]`, in 0..=255; `None` without a pixel.
    pub fn mean_and_std(&self) -> Option<[(f64, f64); 3]> {
        let pixels = (self.pixels > 0).then_some(self.pixels as f64)?;
        Some([0, 1, 2].map(|channel| {
            let mean = self.sums[channel] as f64 / pixels;
            (mean, (self.squares[channel] as f64 / pixels - mean * mean).max(0.0).sqrt())
        }))
    }
}

impl Frequency {
    fn add(&mut self, other: Self) {
        self.pixels += other.pixels;
        self.pictures += other.pictures;
    }
}

/// A dataset of images and masks as it lies on the disk.
#[derive(Debug)]
pub struct Masks {
    root: PathBuf,
    kind: Kind,
    set: Arc<ClassSet>,
}

#[derive(Debug)]
enum Kind {
    Cityscapes(Formats),
    Folder(Layout, MaskFormat),
}

impl Masks {
    /// The dataset that `config` names.
    ///
    /// # Errors
    /// No class set; no known layout; a dataset that is not on the disk.
    pub fn open(config: &DataConfig) -> Result<Self> {
        let ClassFile { classes, layout } = class_file(config)?;
        let set = Arc::new(classes);
        let kind = match config.dataset {
            DatasetKind::Folder => {
                let format = MaskFormat::of(Arc::clone(&set), &layout);
                Kind::Folder(Layout::find(&config.root, &layout)?, format)
            }
            _ => Kind::Cityscapes(Formats::new(Arc::clone(&set))),
        };
        Ok(Self { root: config.root.clone(), kind, set })
    }

    /// The class set that masks are read with.
    pub fn classes(&self) -> &Arc<ClassSet> {
        &self.set
    }

    /// Names of the splits that are there. A folder without splits has one of an empty name.
    ///
    /// # Errors
    /// A missing or unreadable root.
    pub fn splits(&self) -> Result<Vec<String>> {
        match &self.kind {
            Kind::Cityscapes(_) => cityscapes::splits(&self.root),
            Kind::Folder(layout, _) => match layout.splits(&self.root) {
                splits if splits.is_empty() => Ok(vec![String::new()]),
                splits => Ok(splits),
            },
        }
    }

    fn list(&self, split: &str) -> Result<Listing> {
        match &self.kind {
            Kind::Cityscapes(_) => {
                let mut listing = cityscapes::list(&self.root, split)?;
                if self.root.join("gtFine").join(split).is_dir() {
                    listing.problems.extend(cityscapes::labels_without_picture(&self.root, split)?);
                }
                let others = listing.passed_over.iter();
                let others = others.map(|file| cityscapes::passed_over_problem(&self.root, split, file));
                listing.problems.extend(others.collect::<Vec<_>>());
                Ok(listing)
            }
            Kind::Folder(layout, _) => {
                let mut listing = folder::list(&self.root, split, layout)?;
                listing.problems.extend(folder::masks_without_image(&self.root, split, layout)?);
                let others = listing.passed_over.iter();
                let others = others.map(|file| folder::passed_over_problem(&self.root, split, layout, file));
                listing.problems.extend(others.collect::<Vec<_>>());
                Ok(listing)
            }
        }
    }

    fn format_of(&self, label: &Path) -> &MaskFormat {
        match &self.kind {
            Kind::Cityscapes(formats) => formats.of(label),
            Kind::Folder(_, format) => format,
        }
    }

    /// Reads every image and label of `split`, on all cores.
    ///
    /// # Errors
    /// A missing root or split. All else that is wrong is in [`SplitReport::problems`].
    pub fn check(&self, split: &str) -> Result<SplitReport> {
        self.check_watched(split, &|_, _| ())
    }

    /// Like [`check`](Self::check); `watch` is called with the number of pairs done and of all pairs.
    ///
    /// # Errors
    /// See [`check`](Self::check).
    pub fn check_watched(&self, split: &str, watch: &(dyn Fn(usize, usize) + Sync)) -> Result<SplitReport> {
        let listing = self.list(split)?;
        let pairs = listing.pairs.len();
        let done = AtomicUsize::new(0);
        let look = |pair: &Pair| {
            let report = self.check_pair(pair);
            watch(done.fetch_add(1, Relaxed) + 1, pairs);
            report
        };
        let empty = || SplitReport::new(Arc::clone(&self.set));
        let mut report = listing.pairs.par_iter().map(look).reduce(empty, SplitReport::merged);
        let mut problems = listing.problems;
        problems.append(&mut report.problems);
        Ok(SplitReport { split: split.to_string(), pairs, problems, ..report })
    }

    fn check_pair(&self, pair: &Pair) -> SplitReport {
        let mut report = SplitReport::new(Arc::clone(&self.set));
        let mut keep = |problem: Error| report.problems.push(problem);
        let image = cityscapes::load_image(&pair.image).map_err(&mut keep).ok();
        let mask = self.format_of(&pair.label).inspect(&pair.label).map_err(&mut keep).ok();
        if let (Some(image), Some(mask)) = (&image, &mask) {
            let sizes = (mask.label.dim(), cityscapes::size_of(image));
            let checked = cityscapes::same_size((&pair.label, sizes.0), "picture", (&pair.image, sizes.1));
            report.problems.extend(checked.err());
        }
        if let (Some(mask), Kind::Cityscapes(_)) = (&mask, &self.kind) {
            let instances = cityscapes::instances_of(&pair.label, mask.label.dim(), &self.set);
            report.problems.extend(instances.err());
        }
        if let Some(image) = image {
            report.sizes.insert(cityscapes::size_of(&image), 1);
            report.colours = Colours::of(&image);
        }
        if let Some(mask) = mask {
            let unlisted = mask.unlisted.into_iter();
            report.unknown = unlisted.map(|(value, pixels)| (value, Frequency { pixels, pictures: 1 })).collect();
            if !mask.of_indices {
                report.ids = mask.ids;
            }
            report.count(pair, &mask.label);
            report.problems.extend(mask.problem);
        }
        report
    }
}

impl SplitReport {
    fn new(set: Arc<ClassSet>) -> Self {
        Self {
            split: String::new(),
            pairs: 0,
            sizes: BTreeMap::new(),
            colours: Colours::default(),
            classes: vec![Frequency::default(); set.len()],
            ignored: Frequency::default(),
            ignored_alone: BTreeSet::new(),
            unknown: BTreeMap::new(),
            ids: BTreeSet::new(),
            problems: Vec::new(),
            set,
        }
    }

    fn count(&mut self, pair: &Pair, label: &ndarray::Array2<u16>) {
        for &class in label {
            if let Some(found) = self.classes.get_mut(usize::from(class)) {
                found.pixels += 1;
            } else if class == IGNORE_INDEX {
                self.ignored.pixels += 1;
            }
        }
        self.ignored.pixels -= self.unknown.values().map(|found| found.pixels).sum::<u64>();
        self.classes.iter_mut().for_each(|found| found.pictures = u64::from(found.pixels > 0));
        self.ignored.pictures = u64::from(self.ignored.pixels > 0);
        if self.unknown.is_empty() && self.classes.iter().all(|class| class.pixels == 0) {
            self.ignored_alone.insert(pair.label.clone());
        }
    }

    fn merged(mut self, other: Self) -> Self {
        other.sizes.into_iter().for_each(|(size, count)| *self.sizes.entry(size).or_default() += count);
        other.unknown.into_iter().for_each(|(id, found)| self.unknown.entry(id).or_default().add(found));
        self.classes.iter_mut().zip(other.classes).for_each(|(mine, theirs)| mine.add(theirs));
        self.ids.extend(other.ids);
        self.ignored.add(other.ignored);
        self.ignored_alone.extend(other.ignored_alone);
        self.colours.add(other.colours);
        self.problems.extend(other.problems);
        self
    }

    /// What looks as if labels were of another class set, and what to do: sentences that are no errors.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        let set = &self.set.name;
        if is_binary(&self.ids) && self.classes.iter().filter(|found| found.pixels > 0).count() < 2 {
            remarks.push(format!(
                "all masks hold 0 and 255 alone, which the class set {set} does not have as two classes; for binary masks \
                 put into classes.toml:\n{BINARY}"
            ));
            return remarks;
        }
        let labelled: u64 = self.classes.iter().map(|found| found.pixels).sum();
        let ids: Vec<u16> = self.ids.iter().copied().filter(|id| *id != 255).collect();
        let from_zero = ids.iter().zip(0..).all(|(id, number)| *id == number) && ids.len() > 1;
        let mostly_ignored = self.ignored.pixels > labelled;
        let few = ids.iter().max().is_some_and(|largest| *largest < self.set.largest_id());
        let others = mostly_ignored || (from_zero && few);
        if *set == "cityscapes" && others && self.ignored.pixels > 0 && !ids.is_empty() {
            let share = 100.0 * self.ignored.pixels as f64 / (self.ignored.pixels + labelled).max(1) as f64;
            remarks.push(format!(
                "the ids found ({}) look like those of another class set: {share:.1} % of the pixels are ignored as label \
                 ids of Cityscapes; name the set with --classes FILE|PRESET, or write one with `segdata classes`",
                listed(&ids)
            ));
        }
        let unused: Vec<&str> = self
            .set
            .classes
            .iter()
            .zip(&self.classes)
            .filter(|(_, found)| found.pixels == 0)
            .map(|(class, _)| class.name.as_str())
            .collect();
        if labelled > 0 && unused.len() * 2 > self.set.len() {
            remarks.push(format!("{} of {} classes do not occur in this split", unused.len(), self.set.len()));
        }
        remarks
    }
}

/// The first few ids.
fn listed(ids: &[u16]) -> String {
    let first: Vec<String> = ids.iter().take(12).map(ToString::to_string).collect();
    format!("{}{}", first.join(", "), if ids.len() > 12 { ", …" } else { "" })
}

impl fmt::Display for SplitReport {
    /// The numbers, as a table; problems are for the error stream.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pairs, problems) = (counted(self.pairs, "picture"), counted(self.problems.len(), "problem"));
        let split = if self.split.is_empty() { "all" } else { &self.split };
        writeln!(f, "{split}: {pairs} with labels, {problems}")?;
        writeln!(f, "  classes: {}", self.set.describe())?;
        let mut sizes: Vec<_> = self.sizes.iter().collect();
        sizes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for ((height, width), count) in sizes {
            writeln!(
                f,
                "  {:>13}  {count:>6} picture{}",
                format!("{height}x{width}"),
                if *count == 1 { "" } else { "s" }
            )?;
        }
        if let Some(colours) = self.colours.mean_and_std() {
            let list = |pick: fn(&(f64, f64)) -> f64| colours.each_ref().map(|c| format!("{:.2}", pick(c))).join(", ");
            writeln!(f, "  red, green, blue: mean {}; standard deviation {}", list(|c| c.0), list(|c| c.1))?;
        }
        for (id, found) in &self.unknown {
            writeln!(
                f,
                "  unlisted {id}: {} in {}",
                counted(found.pixels as usize, "pixel"),
                counted(found.pictures as usize, "picture")
            )?;
        }
        // One of them is named: the others are likely to be of the same kind.
        if let Some(first) = self.ignored_alone.first() {
            let labels = counted(self.ignored_alone.len(), "label");
            writeln!(f, "  {labels} without a pixel of any class, from which nothing is learned: {}", first.display())?;
        }
        let labelled: u64 = self.classes.iter().map(|class| class.pixels).sum();
        if labelled == 0 && self.ignored.pixels == 0 {
            return Ok(());
        }
        let longest = self.set.classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0).max(13);
        writeln!(f, "  {:<longest$}  {:>14}  {:>8}  {:>8}", "class", "pixels", "share", "pictures")?;
        let percent = |pixels: u64, of: u64| format!("{:.3}%", 100.0 * pixels as f64 / of.max(1) as f64);
        for (class, found) in self.set.classes.iter().zip(&self.classes) {
            let share = percent(found.pixels, labelled);
            writeln!(f, "  {:<longest$}  {:>14}  {share:>8}  {:>8}", class.name, found.pixels, found.pictures)?;
        }
        // Shares of classes are of labelled pixels; that of ignored ones can only be of all.
        let Frequency { pixels, pictures } = self.ignored;
        let share = percent(pixels, labelled + pixels);
        writeln!(f, "  {:<longest$}  {pixels:>14}  {share:>8}  {pictures:>8}  (share of all pixels)", "(ignored)")
    }
}
