//! Folders of pictures, one per class: `train/<class>/*.JPEG` and `val/<class>/*.JPEG`.
//!
//! The classes are the folders of `train`, sorted by name, whichever split is read. ImageNet names them by WordNet id,
//! such as `n01440764`. PNG files are read as well, and formats are told by content: one of ImageNet's `.JPEG` is a
//! PNG, and some are gray or CMYK.

use crate::data::cityscapes::load_image;
use crate::files::plain_cause;
use crate::{Error, Result};
use ndarray::Array3;
use rayon::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

const SUFFIXES: [&str; 3] = ["jpeg", "jpg", "png"];
/// Names of folders in one message.
const NAMED: usize = 3;

/// The pictures of one split.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    /// A whole path for each of 1.28 million pictures would be mostly repetition.
    files: Vec<File>,
}

/// Class and file name.
type File = (u16, Box<str>);

/// What a split's folders hold.
#[derive(Debug)]
pub(super) struct Listing {
    /// The pictures, by class, then by name.
    pub files: Files,
    /// Names of the classes, sorted.
    pub names: Vec<String>,
    /// Everything that is wrong with the folders (nothing is opened yet).
    pub problems: Vec<Error>,
}

/// Lists the pictures of `split` under `root`. Opens none.
///
/// # Errors
/// Missing folders, or no class folder in `train`. All else that is wrong is in [`Listing::problems`].
pub(super) fn list(root: &Path, split: &str) -> Result<Listing> {
    let (train, folder) = (root.join("train"), root.join(split));
    let mut problems = Vec::new();
    let names = class_folders(&train)?;
    if names.is_empty() {
        return Err(Error::file(&train, "holds no class folder; expected train/<class>/*.JPEG"));
    }
    if names.len() > usize::from(u16::MAX) {
        return Err(Error::file(&train, format!("holds {} class folders; there can be up to 65535", names.len())));
    }
    let found = if split == "train" { names.clone() } else { class_folders(&folder)? };
    problems.extend(differing_classes(&folder, &found, &names));
    let listed: Vec<Result<Vec<File>>> = names
        .par_iter()
        .enumerate()
        .filter(|(_, name)| found.binary_search(name).is_ok())
        .map(|(class, name)| Ok(pictures(&folder.join(name))?.into_iter().map(|file| (class as u16, file)).collect()))
        .collect();
    let mut files = Vec::new();
    for listed in listed {
        match listed {
            Ok(mut listed) => files.append(&mut listed),
            Err(problem) => problems.push(problem),
        }
    }
    Ok(Listing { files: Files { folder, files }, names, problems })
}

/// Says which class folders of a split are none of `train`'s, and which it lacks.
fn differing_classes(folder: &Path, found: &[String], train: &[String]) -> Option<Error> {
    let only_in = |these: &[String], others: &[String]| -> Vec<String> {
        these.iter().filter(|name| others.binary_search(name).is_err()).cloned().collect()
    };
    let (unknown, missing) = (only_in(found, train), only_in(train, found));
    let named = |names: &[String]| match names.len() {
        ..=NAMED => names.join(", "),
        more => format!("{} and {} more", names[..NAMED].join(", "), more - NAMED),
    };
    let what = match (unknown.is_empty(), missing.is_empty()) {
        (true, true) => return None,
        (false, true) => format!("has class folders that train/ lacks ({})", named(&unknown)),
        (true, false) => format!("lacks class folders of train/ ({})", named(&missing)),
        (false, false) => format!("has {}, which train/ lacks, and lacks {}", named(&unknown), named(&missing)),
    };
    Some(Error::file(folder, format!("{what}; both need the same class folders")))
}

/// Names of the class folders in `path`, sorted.
fn class_folders(path: &Path) -> Result<Vec<String>> {
    if !path.is_dir() {
        return Err(Error::file(path, "no such folder; expected <class>/*.JPEG in it, and --data-root above it"));
    }
    let mut names = Vec::new();
    for entry in entries(path)? {
        if path.join(&entry.0).is_dir() {
            names.push(entry.0);
        }
    }
    names.sort();
    Ok(names)
}

/// Names of the pictures in a class folder, sorted.
fn pictures(path: &Path) -> Result<Vec<Box<str>>> {
    let is_picture = |name: &str| {
        let suffix = name.rsplit_once('.').map(|(_, suffix)| suffix.to_ascii_lowercase());
        suffix.is_some_and(|suffix| SUFFIXES.contains(&suffix.as_str()))
    };
    // Only what is known to be a folder is one: to ask the disk about each of a million links takes minutes.
    let files = entries(path)?.into_iter().filter(|(name, is_folder)| !is_folder && is_picture(name));
    let mut names: Vec<Box<str>> = files.map(|(name, _)| name.into_boxed_str()).collect();
    if names.is_empty() {
        return Err(Error::file(path, "holds no picture (.JPEG, .jpg or .png); fill or remove this class folder"));
    }
    names.sort();
    Ok(names)
}

/// Names in a folder with whether each is a folder itself, hidden ones (such as macOS' `._*`) left out.
fn entries(path: &Path) -> Result<Vec<(String, bool)>> {
    let cannot = |cause: std::io::Error| Error::file(path, format!("cannot be listed: {}", plain_cause(&cause)));
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let name = entry
            .file_name()
            .to_str()
            .map(str::to_string)
            .ok_or_else(|| Error::file(entry.path(), "has a name that is no Unicode text; give it a plain name"))?;
        if !name.starts_with('.') {
            entries.push((name, entry.file_type().is_ok_and(|kind| kind.is_dir())));
        }
    }
    Ok(entries)
}

impl Files {
    pub fn len(&self) -> usize {
        self.files.len()
    }

    pub fn class(&self, i: usize) -> u16 {
        self.files[i].0
    }

    /// `<class>/<file without suffix>`.
    pub fn name(&self, classes: &[String], i: usize) -> String {
        let (class, file) = &self.files[i];
        let stem = file.rsplit_once('.').map_or(&**file, |(stem, _)| stem);
        format!("{}/{stem}", classes[usize::from(*class)])
    }

    /// Reads and decodes picture `i`. Shape: `[height, width, 3]`.
    ///
    /// # Errors
    /// See [`load_image`].
    pub fn image(&self, classes: &[String], i: usize) -> Result<Array3<u8>> {
        let (class, file) = &self.files[i];
        load_image(&self.folder.join(&classes[usize::from(*class)]).join(&**file))
    }
}

#[cfg(test)]
#[path = "imagenet_tests.rs"]
mod tests;
