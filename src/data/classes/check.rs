//! Looks through a whole split before a run does: counts, sizes, images per class, and everything that is wrong.

use super::imagenet::Listing;
use super::records::Loaded;
use super::{Layout, Read, read, stl10, svhn};
use crate::data::image_file::{passed_over, size_of};
use crate::text::counted;
use crate::{Error, Result};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What one split holds.
#[derive(Debug, Default)]
pub struct Report {
    /// Name of the split.
    pub split: String,
    /// Images that have a class, whether they can be decoded or not.
    pub pictures: usize,
    /// Number of readable images of each `(height, width)`.
    pub sizes: BTreeMap<(usize, usize), usize>,
    /// Every class by name, with the number of its images.
    pub classes: Vec<(String, u64)>,
    /// Everything that is wrong, one per file (or record) and cause.
    pub problems: Vec<Error>,
}

/// Sizes of images and problems, while they are counted.
type Found = (BTreeMap<(usize, usize), usize>, Vec<Error>);

/// Splits to look through where none is named: those that have files of their own. SVHN's `extra` may be left out, and
/// STL-10's folds are asked for where there is a list of them.
pub fn splits(layout: Layout, root: &Path) -> Vec<String> {
    let there = |file: &str| {
        let folders =
            [root.to_path_buf(), root.join(if layout == Layout::Svhn { svhn::FOLDER } else { stl10::FOLDER })];
        folders.iter().any(|folder| folder.join(file).is_file())
    };
    let has_files = |split: &&&str| match **split {
        "train" | "test" | "val" => true,
        "extra" => there("extra_32x32.mat"),
        "train0" => there("fold_indices.txt"),
        _ => false, // made of others
    };
    layout.splits().iter().filter(has_files).map(ToString::to_string).collect()
}

/// Reads every image and label of `split` at `root`, on all cores.
///
/// # Errors
/// A split that the layout does not have; a root without any of its files; an archive that cannot be unpacked;
/// [`Layout::Digits`], which has no files. All else that is wrong is in [`Report::problems`].
pub fn check(layout: Layout, root: &Path, split: &str) -> Result<Report> {
    check_watched(layout, root, split, &|_, _| ())
}

/// The same; `watch` is told of every image file that is done: how many are, and of how many.
///
/// # Errors
/// See [`check`].
pub fn check_watched(
    layout: Layout,
    root: &Path,
    split: &str,
    watch: &(dyn Fn(usize, usize) + Sync),
) -> Result<Report> {
    layout.check_split(split)?;
    let mut report = match read(layout, root, split)? {
        Read::Records(loaded) => of_records(layout, loaded),
        Read::Files(listing) => of_files(listing, watch),
    };
    // With one of the splits: there is one such file.
    if layout == Layout::Stl10 && split == "train" {
        report.problems.extend(stl10::check_unlabeled(root));
    }
    Ok(Report { split: split.to_string(), ..report })
}

/// Records need no decoding: that they are whole is all there is to know.
fn of_records(layout: Layout, Loaded { records, names, problems }: Loaded) -> Report {
    let (side, pictures) = (layout.side(), records.len());
    let sizes = if pictures == 0 { BTreeMap::new() } else { BTreeMap::from([((side, side), pictures)]) };
    let classes = per_class(names, (0..pictures).map(|i| records.class(i)));
    Report { split: String::new(), pictures, sizes, classes, problems }
}

fn of_files(listing: Listing, watch: &(dyn Fn(usize, usize) + Sync)) -> Report {
    let Listing { files, names, mut problems, passed_over: others } = listing;
    problems.extend(others.iter().map(|file| passed_over(&files.folder, file, "put it into a class folder")));
    let done = AtomicUsize::new(0);
    let look = |i: usize| -> Found {
        let read = files.image(&names, i);
        watch(done.fetch_add(1, Relaxed) + 1, files.len());
        match read {
            Ok(image) => (BTreeMap::from([(size_of(&image), 1)]), Vec::new()),
            Err(problem) => (BTreeMap::new(), vec![problem]),
        }
    };
    let (sizes, mut broken) = (0..files.len()).into_par_iter().map(look).reduce(Found::default, merged);
    problems.append(&mut broken);
    let classes = (0..files.len()).map(|i| files.class(i));
    Report { split: String::new(), pictures: files.len(), sizes, classes: per_class(names, classes), problems }
}

fn merged((mut sizes, mut problems): Found, (more_sizes, more_problems): Found) -> Found {
    more_sizes.into_iter().for_each(|(size, count)| *sizes.entry(size).or_default() += count);
    problems.extend(more_problems);
    (sizes, problems)
}

fn per_class(names: Vec<String>, classes: impl Iterator<Item = u16>) -> Vec<(String, u64)> {
    let mut counts: Vec<(String, u64)> = names.into_iter().map(|name| (name, 0)).collect();
    classes.for_each(|class| counts[usize::from(class)].1 += 1);
    counts
}

/// Sizes that are listed each; photographs of all sizes would fill screens.
const SIZES_SHOWN: usize = 5;

impl fmt::Display for Report {
    /// The numbers, as a table; problems are for the error stream.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pictures, problems) = (counted(self.pictures, "picture"), counted(self.problems.len(), "problem"));
        writeln!(f, "{}: {pictures} in {} classes, {problems}", self.split, self.classes.len())?;
        let mut sizes: Vec<_> = self.sizes.iter().collect();
        sizes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for ((height, width), count) in sizes.iter().take(SIZES_SHOWN) {
            let pictures = if **count == 1 { "picture" } else { "pictures" };
            writeln!(f, "  {:>13}  {count:>8} {pictures}", format!("{height}x{width}"))?;
        }
        let others: usize = sizes.iter().skip(SIZES_SHOWN).map(|(_, count)| **count).sum();
        if others > 0 {
            let sizes = counted(sizes.len() - SIZES_SHOWN, "other size");
            writeln!(f, "  {sizes:>13}  {others:>8} {}", if others == 1 { "picture" } else { "pictures" })?;
        }
        if self.pictures == 0 {
            return Ok(());
        }
        let width = self.classes.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(13);
        writeln!(f, "  {:<width$}  {:>8}  {:>8}", "class", "pictures", "share")?;
        for (name, count) in &self.classes {
            let share = format!("{:.3}%", 100.0 * *count as f64 / self.pictures as f64);
            writeln!(f, "  {name:<width$}  {count:>8}  {share:>8}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
