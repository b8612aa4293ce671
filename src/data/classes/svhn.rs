//! Street View House Numbers, cropped digits: `train_32x32.mat`, `test_32x32.mat`, `extra_32x32.mat`.
//!
//! `X` is `[32, 32, 3, pictures]` of uint8, column-major, so each image's bytes are together; `y` holds their labels,
//! 1 to 10, where 10 is the digit 0.

use super::mat::{self, Array, Values};
use super::records::{self, Loaded, Order, Record, Records};
use super::{digit_names, folder};
use crate::{Error, Result};
use std::path::Path;

/// Name of the folder, where the root is the one above.
pub(super) const FOLDER: &str = "svhn";

/// Reads `train`, `test`, `extra` or `train+extra` from the folder `root`.
///
/// # Errors
/// A root that holds none of the files. All else that is wrong is in [`Loaded::problems`].
pub(super) fn read(root: &Path, split: &str) -> Result<Loaded> {
    let mut loaded = Loaded { records: Records::new(32, Order::Columns), names: digit_names(), problems: Vec::new() };
    let files: Vec<String> = split.split('+').map(|part| format!("{part}_32x32.mat")).collect();
    let known: Vec<&str> = files.iter().map(String::as_str).collect();
    let folder = folder::on_disk(root, FOLDER, &known)?;
    for file in files {
        if let Err(problem) = read_file(&folder.join(file), &mut loaded) {
            loaded.problems.push(problem);
        }
    }
    Ok(loaded)
}

fn read_file(path: &Path, loaded: &mut Loaded) -> Result<()> {
    let mut arrays = mat::read(path)?;
    let mut take = |name: &str| {
        let found = arrays.iter().position(|array| array.name == name).map(|at| arrays.swap_remove(at));
        found.ok_or_else(|| Error::file(path, format!("holds no array {name}; expected X (pictures) and y (labels)")))
    };
    let (pictures, labels) = (take("X")?, take("y")?);
    let count = match (&pictures.values, pictures.shape.as_slice()) {
        (Values::Bytes(_), &[32, 32, 3, count]) => count,
        // MATLAB drops the last side of a single image.
        (Values::Bytes(_), &[32, 32, 3]) => 1,
        _ => return Err(unexpected(path, &pictures, "uint8 of [32, 32, 3, pictures]")),
    };
    let is_column = labels.shape == [count, 1] || labels.shape == [1, count];
    let labels = match labels.values {
        Values::Bytes(labels) if is_column => labels.into_iter().map(f64::from).collect(),
        Values::Doubles(labels) if is_column => labels,
        _ => return Err(unexpected(path, &labels, &format!("numbers of [{count}, 1], one per picture in X"))),
    };
    let Values::Bytes(bytes) = pictures.values else { return Err(Error::file(path, "holds no pictures")) };
    let record = Record { bytes: loaded.records.picture_bytes(), pixels: 0 };
    loaded.records.push(path, bytes, record, path, &mut loaded.problems, |_, number| {
        records::class_of(labels[number], 1, 10).map(|class| (class + 1) % 10)
    });
    Ok(())
}

fn unexpected(path: &Path, array: &Array, expected: &str) -> Error {
    let kind = match array.values {
        Values::Bytes(_) => "uint8",
        Values::Doubles(_) => "double",
        Values::Other => "another type",
    };
    let message = format!("holds {} as {kind} of {:?}; expected {expected}", array.name, array.shape);
    Error::file(path, message)
}

#[cfg(test)]
#[path = "svhn_tests.rs"]
mod tests;
