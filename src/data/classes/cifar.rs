//! CIFAR-10 and CIFAR-100, binary version.
//!
//! ```text
//! cifar-10-batches-bin/   data_batch_1.bin … data_batch_5.bin, test_batch.bin, batches.meta.txt
//! cifar-100-binary/       train.bin, test.bin, fine_label_names.txt
//! ```
//!
//! A record is the label (CIFAR-100: coarse, then fine), then 1024 bytes each of red, green and blue, row after row.

use super::Layout;
use super::folder::Folder;
use super::records::{self, Loaded, Order, Record, Records};
use crate::{Error, Result};
use std::path::Path;

const BATCHES: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];

/// What sets the two apart.
struct Format {
    folder: &'static str,
    train: &'static [&'static str],
    test: &'static [&'static str],
    names: &'static str,
    /// A file that only the version for Python has.
    python: &'static str,
    classes: usize,
    /// Bytes of labels; the last is the one that counts.
    labels: usize,
}

const CIFAR10: Format = Format {
    folder: "cifar-10-batches-bin",
    train: &BATCHES,
    test: &["test_batch.bin"],
    names: "batches.meta.txt",
    python: "cifar-10-batches-py",
    classes: 10,
    labels: 1,
};

const CIFAR100: Format = Format {
    folder: "cifar-100-binary",
    train: &["train.bin"],
    test: &["test.bin"],
    names: "fine_label_names.txt",
    python: "cifar-100-python",
    classes: 100,
    labels: 2,
};

/// Reads `train` or `test`.
///
/// # Errors
/// A root that holds none of the files; an archive that cannot be unpacked. All else that is wrong is in
/// [`Loaded::problems`].
pub(super) fn read(layout: Layout, root: &Path, split: &str) -> Result<Loaded> {
    let format = if layout == Layout::Cifar100 { CIFAR100 } else { CIFAR10 };
    let files = if split == "test" { format.test } else { format.train };
    let wanted: Vec<&str> = files.iter().copied().chain([format.names]).collect();
    let mut folder = Folder::find(root, format.folder, &wanted, &wanted).map_err(|other| {
        let for_python = [root.join(format.python), root.to_path_buf()].into_iter();
        let for_python = for_python.filter(|folder| folder.ends_with(format.python)).find(|folder| folder.is_dir());
        for_python.map_or(other, |folder| {
            Error::file(folder, format!("is {layout} for Python; get the binary version, {}/", format.folder))
        })
    })?;
    let names = (folder.path(format.names), folder.take(format.names));
    let mut loaded = Loaded::new(Records::new(32, Order::Rows), &names.0, names.1, format.classes);
    loaded.problems.extend(missing(&folder, files));
    let record = Record { bytes: format.labels + loaded.records.picture_bytes(), pixels: format.labels };
    let class_of = |content: &[u8], _| records::class_of(f64::from(content[format.labels - 1]), 0, format.classes);
    for name in files {
        let path = folder.path(name);
        match folder.take(name) {
            Ok(bytes) => loaded.records.push(&path, bytes, record, &path, &mut loaded.problems, class_of),
            Err(problem) if folder.has(name) => loaded.problems.push(problem),
            Err(_) => {} // What is missing has been told, where it is a problem.
        }
    }
    Ok(loaded)
}

/// The first file that is missing. Small sets in this format have fewer batches, but none before another may lack.
fn missing(folder: &Folder, files: &[&str]) -> Option<Error> {
    let first = files.iter().position(|name| !folder.has(name))?;
    let later = files[first..].iter().find(|name| folder.has(name));
    let why = match later {
        Some(later) => format!(", but {later} is there"),
        None if first == 0 => String::new(),
        None => return None,
    };
    Some(Error::file(folder.path(files[first]), format!("is missing{why}; get the file again")))
}

#[cfg(test)]
#[path = "cifar_tests.rs"]
mod tests;
