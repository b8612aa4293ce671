//! Looks through a whole dataset before a run does: counts, sizes, class frequencies, and everything that is wrong.

use super::cityscapes::{self, Pair};
use super::id_png::{load_label, train_id_table, train_ids};
use super::labels::{CLASSES, IGNORE_INDEX, NUM_CLASSES};
use crate::cli::counted;
use crate::{Error, Result};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What one split holds.
#[derive(Debug, Default)]
pub struct SplitReport {
    /// Name of the split.
    pub split: String,
    /// Pictures that have a label.
    pub pairs: usize,
    /// Number of pictures of each `(height, width)`.
    pub sizes: BTreeMap<(usize, usize), usize>,
    /// Red, green and blue of all pictures.
    pub colours: Colours,
    /// Pixels and pictures of each class, by train id.
    pub classes: [Frequency; NUM_CLASSES],
    /// Pixels without a class, and pictures with some.
    pub ignored: Frequency,
    /// Labels without a pixel of any class: allowed, but seldom meant.
    pub ignored_alone: BTreeSet<PathBuf>,
    /// Ids that do not exist, as stored.
    pub unknown: BTreeMap<u8, Frequency>,
    /// Everything that is wrong, one per file and cause.
    pub problems: Vec<Error>,
}

/// How often something occurs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Frequency {
    /// Pixels that show it.
    pub pixels: u64,
    /// Pictures that show it.
    pub pictures: u64,
}

/// What colours pictures have. Sums are exact, so that they do not depend on the order of pictures.
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

/// Reads every picture and label of `split` under `root`, on all cores.
///
/// # Errors
/// A missing root or split. All else that is wrong is in [`SplitReport::problems`].
pub fn check(root: &Path, split: &str) -> Result<SplitReport> {
    check_watched(root, split, &|_, _| ())
}

/// The same; `watch` is told of every pair that is done: how many are, and of how many.
///
/// # Errors
/// See [`check`].
pub fn check_watched(root: &Path, split: &str, watch: &(dyn Fn(usize, usize) + Sync)) -> Result<SplitReport> {
    let listing = cityscapes::list(root, split)?;
    let pairs = listing.pairs.len();
    let done = AtomicUsize::new(0);
    let look = |pair: &Pair| {
        let report = check_pair(pair);
        watch(done.fetch_add(1, Relaxed) + 1, pairs);
        report
    };
    let mut report = listing.pairs.par_iter().map(look).reduce(SplitReport::default, SplitReport::merged);
    let mut problems = listing.problems;
    if root.join("gtFine").join(split).is_dir() {
        problems.extend(cityscapes::labels_without_picture(root, split)?);
    }
    problems.extend(listing.passed_over.iter().map(|file| cityscapes::passed_over_problem(root, split, file)));
    problems.append(&mut report.problems);
    Ok(SplitReport { split: split.to_string(), pairs, problems, ..report })
}

fn check_pair(pair: &Pair) -> SplitReport {
    let mut report = SplitReport::default();
    let mut keep = |problem: Error| report.problems.push(problem);
    let image = cityscapes::load_image(&pair.image).map_err(&mut keep).ok();
    let label = load_label(&pair.label).map_err(&mut keep).ok();
    if let (Some(image), Some(label)) = (&image, &label)
        && let Err(problem) =
            cityscapes::same_size((&pair.label, label.dim()), "picture", (&pair.image, cityscapes::size_of(image)))
    {
        report.problems.push(problem);
    }
    if let Some(label) = &label
        && let Err(problem) = cityscapes::instances_of(&pair.label, label.dim())
    {
        report.problems.push(problem);
    }
    if let Some(image) = image {
        report.sizes.insert(cityscapes::size_of(&image), 1);
        report.colours = Colours::of(&image);
    }
    if let Some(label) = label {
        report.count(pair, label);
    }
    report
}

impl SplitReport {
    fn count(&mut self, pair: &Pair, label: ndarray::Array2<u8>) {
        let mut pixels = [0_u64; 256];
        label.iter().for_each(|&id| pixels[id as usize] += 1);
        let table = train_id_table(&pair.label);
        for (id, &pixels) in pixels.iter().enumerate().filter(|(_, pixels)| **pixels > 0) {
            match table[id] {
                None => self.unknown.entry(id as u8).or_default().add(Frequency { pixels, pictures: 1 }),
                Some(IGNORE_INDEX) => self.ignored.add(Frequency { pixels, pictures: 0 }),
                Some(class) => self.classes[class as usize].add(Frequency { pixels, pictures: 1 }),
            }
        }
        self.ignored.pictures = u64::from(self.ignored.pixels > 0);
        if self.unknown.is_empty() && self.classes.iter().all(|class| class.pixels == 0) {
            self.ignored_alone.insert(pair.label.clone());
        }
        if !self.unknown.is_empty()
            && let Err(problem) = train_ids(&pair.label, label)
        {
            self.problems.push(problem);
        }
    }

    fn merged(mut self, other: Self) -> Self {
        other.sizes.into_iter().for_each(|(size, count)| *self.sizes.entry(size).or_default() += count);
        other.unknown.into_iter().for_each(|(id, found)| self.unknown.entry(id).or_default().add(found));
        self.classes.iter_mut().zip(other.classes).for_each(|(mine, theirs)| mine.add(theirs));
        self.ignored.add(other.ignored);
        self.ignored_alone.extend(other.ignored_alone);
        self.colours.add(other.colours);
        self.problems.extend(other.problems);
        self
    }
}

impl fmt::Display for SplitReport {
    /// The numbers, as a table; problems are for the error stream.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pairs, problems) = (counted(self.pairs, "picture"), counted(self.problems.len(), "problem"));
        writeln!(f, "{}: {pairs} with labels, {problems}", self.split)?;
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
                "  unknown id {id:>3}: {} in {}",
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
        writeln!(f, "  {:<13}  {:>14}  {:>8}  {:>8}", "class", "pixels", "share", "pictures")?;
        let percent = |pixels: u64, of: u64| format!("{:.3}%", 100.0 * pixels as f64 / of.max(1) as f64);
        for (class, found) in CLASSES.iter().zip(&self.classes) {
            let share = percent(found.pixels, labelled);
            writeln!(f, "  {:<13}  {:>14}  {share:>8}  {:>8}", class.name, found.pixels, found.pictures)?;
        }
        // Shares of classes are of labelled pixels; that of ignored ones can only be of all.
        let Frequency { pixels, pictures } = self.ignored;
        let share = percent(pixels, labelled + pixels);
        writeln!(f, "  {:<13}  {pixels:>14}  {share:>8}  {pictures:>8}  (share of all pixels)", "(ignored)")
    }
}
