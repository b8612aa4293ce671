//! STL-10, binary version: `train_X.bin`, `train_y.bin`, `test_X.bin`, `test_y.bin`, `class_names.txt`,
//! `fold_indices.txt`.
//!
//! An image is 96 x 96 bytes each of red, green and blue, column after column; labels are bytes from 1. The unlabelled
//! images (`unlabeled_X.bin`, 2.8 GB) belong to no split and are never read.

use super::folder;
use super::records::{self, Loaded, Order, Record, Records};
use crate::{Error, Result};
use std::fs;
use std::path::Path;

/// Name of the folder, where the root is the one above.
pub(super) const FOLDER: &str = "stl10_binary";
const CLASS_NAMES: &str = "class_names.txt";
const FOLDS: &str = "fold_indices.txt";
const UNLABELED: &str = "unlabeled_X.bin";

/// Reads `train`, `test`, or one of the ten folds of the training images that the publisher defines, `train0` to
/// `train9`.
///
/// # Errors
/// A root that holds none of the files. All else that is wrong is in [`Loaded::problems`].
pub(super) fn read(root: &Path, split: &str) -> Result<Loaded> {
    let fold: Option<usize> = split.strip_prefix("train").and_then(|fold| fold.parse().ok());
    let part = if fold.is_some() { "train" } else { split };
    let (pictures, labels) = (format!("{part}_X.bin"), format!("{part}_y.bin"));
    let folder = folder::on_disk(root, FOLDER, &[&pictures, &labels, CLASS_NAMES])?;
    let names = folder.join(CLASS_NAMES);
    let mut loaded = Loaded::new(Records::new(96, Order::Columns), &names, folder::read(&names), 10);
    if let Err(problem) = read_part(&folder.join(pictures), &folder.join(labels), &mut loaded) {
        loaded.problems.push(problem);
    }
    // Without the images whose labels are wrong, the numbers in the file of folds would mean others.
    if let Some(fold) = fold
        && loaded.problems.is_empty()
    {
        let selected = select_fold(&folder.join(FOLDS), fold, &mut loaded.records);
        loaded.problems.extend(selected.err());
    }
    Ok(loaded)
}

fn read_part(pictures: &Path, labels: &Path, loaded: &mut Loaded) -> Result<()> {
    let (bytes, classes) = (folder::read(pictures)?, folder::read(labels)?);
    let record = Record { bytes: loaded.records.picture_bytes(), pixels: 0 };
    let count = bytes.len() / record.bytes;
    if classes.len() != count {
        loaded.problems.extend(records::check_length(pictures, bytes.len() as u64, record.bytes));
        let message = format!("holds {} labels for the {count} pictures of {}", classes.len(), pictures.display());
        return Err(Error::file(labels, format!("{message}; get both files again")));
    }
    loaded.records.push(pictures, bytes, record, labels, &mut loaded.problems, |_, number| {
        records::class_of(f64::from(classes[number]), 1, 10)
    });
    Ok(())
}

/// Keeps the images of one fold: the numbers in one line of the file, from 0.
fn select_fold(path: &Path, fold: usize, records: &mut Records) -> Result<()> {
    let text = folder::read(path)?;
    let text = String::from_utf8_lossy(&text);
    let line = fold + 1;
    let wrong = |what: &str| Error::file(path, format!("line {line}: {what}"));
    let numbers = text.lines().nth(fold).ok_or_else(|| wrong("is missing; expected ten lines, one a fold"))?;
    let number = |word: &str| word.parse().map_err(|_| wrong(&format!("{word:?} is not the number of a picture")));
    let numbers: Vec<usize> = numbers.split_whitespace().map(number).collect::<Result<_>>()?;
    if numbers.is_empty() {
        return Err(wrong("holds no number of a picture"));
    }
    let count = records.len();
    records.select(&numbers).map_err(|number| wrong(&format!("there is no picture {number}; train has {count}")))
}

/// What is wrong with the unlabelled images, by the size of their file alone; nothing where there are none.
pub(super) fn check_unlabeled(root: &Path) -> Option<Error> {
    let path = [root.join(UNLABELED), root.join(FOLDER).join(UNLABELED)].into_iter().find(|path| path.exists())?;
    match fs::metadata(&path) {
        Ok(file) => records::check_length(&path, file.len(), 3 * 96 * 96),
        Err(cause) => Some(Error::file(&path, format!("cannot be read: {}", crate::files::plain_cause(&cause)))),
    }
}

#[cfg(test)]
#[path = "stl10_tests.rs"]
mod tests;
