//! Folders of images, one per class: `train/<class>/*.JPEG` and `val/<class>/*.JPEG`, or in folders below.
//!
//! The classes are the folders of `train`, sorted by name, whichever split is read. ImageNet names them by WordNet id,
//! such as `n01440764`. The other formats of torchvision's `ImageFolder`, such as PNG, are read as well. The content of a file tells
//! its format: one of ImageNet's `.JPEG` is a PNG, and some are gray or CMYK.

use crate::data::image_file::{is_picture, load_image, looks_like_picture};
use crate::files::plain_cause;
use crate::folders::search;
use crate::{Error, Result};
use ndarray::Array3;
use rayon::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

/// Names of folders in one message.
const NAMED: usize = 3;

/// The images of one split.
#[derive(Debug)]
pub(super) struct Files {
    pub folder: PathBuf,
    /// A whole path for each of 1.28 million images would be mostly repetition.
    files: Vec<File>,
}

/// Class, and path of the file below the class folder.
type File = (u16, Box<str>);

/// What a split's folders hold.
#[derive(Debug)]
pub(super) struct Listing {
    /// The images, by class, then by name.
    pub files: Files,
    /// Names of the classes, sorted.
    pub names: Vec<String>,
    /// Everything that is wrong with the folders (nothing is opened yet).
    pub problems: Vec<Error>,
    /// What looks like an image and is not read, below the split's folder.
    pub passed_over: Vec<PathBuf>,
}

/// Lists the images of `split` under `root`. Opens none.
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
    let listed: Vec<(usize, Result<Pictures>)> = names
        .par_iter()
        .enumerate()
        .filter(|(_, name)| found.binary_search(name).is_ok())
        .map(|(class, name)| (class, pictures(&folder.join(name))))
        .collect();
    let (mut files, mut passed_over) = (Vec::new(), loose_pictures(&folder)?);
    for (class, listed) in listed {
        match listed {
            Ok(listed) => {
                files.extend(listed.files.into_iter().map(|file| (class as u16, file)));
                passed_over.extend(listed.passed_over.iter().map(|file| Path::new(&names[class]).join(file)));
            }
            Err(problem) => problems.push(problem),
        }
    }
    Ok(Listing { files: Files { folder, files }, names, problems, passed_over })
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

/// Names of the class folders in `path`, sorted. A link to `path` itself or to a folder above it is none.
fn class_folders(path: &Path) -> Result<Vec<String>> {
    if !path.is_dir() {
        return Err(Error::file(path, "no such folder; expected <class>/*.JPEG in it, and --data-root above it"));
    }
    let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let is_class = |(name, is_folder): &(String, bool)| {
        *is_folder || path.join(name).canonicalize().is_ok_and(|class| class.is_dir() && !real.starts_with(class))
    };
    let mut names: Vec<String> = entries(path)?.into_iter().filter(is_class).map(|(name, _)| name).collect();
    names.sort();
    Ok(names)
}

/// Names of images that are in no class folder, sorted.
fn loose_pictures(path: &Path) -> Result<Vec<PathBuf>> {
    let is_loose = |(name, is_folder): &(String, bool)| !is_folder && looks_like_picture(name);
    let mut names: Vec<PathBuf> = entries(path)?.into_iter().filter(is_loose).map(|(name, _)| name.into()).collect();
    names.sort();
    Ok(names)
}

/// What a class folder holds, as paths below it, sorted.
struct Pictures {
    files: Vec<Box<str>>,
    passed_over: Vec<PathBuf>,
}

/// The images in a class folder and in folders below.
fn pictures(path: &Path) -> Result<Pictures> {
    let found = search(path, &|name, is_folder| !is_folder && looks_like_picture(name))?;
    let (mut files, mut passed_over) = (Vec::new(), Vec::new());
    for file in found {
        match file.to_str() {
            None => return Err(not_unicode(&path.join(file))),
            Some(text) if is_picture(text) => files.push(text.into()),
            Some(_) => passed_over.push(file),
        }
    }
    if files.is_empty() {
        return Err(Error::file(path, "holds no picture (.JPEG, .jpg or .png); fill or remove this class folder"));
    }
    Ok(Pictures { files, passed_over })
}

fn not_unicode(path: &Path) -> Error {
    Error::file(path, "has a name that is no Unicode text; give it a plain name")
}

/// Names in a folder with whether each is a folder itself, hidden ones (such as macOS' `._*`) left out.
fn entries(path: &Path) -> Result<Vec<(String, bool)>> {
    let cannot = |cause: std::io::Error| Error::file(path, format!("cannot be listed: {}", plain_cause(&cause)));
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let name = entry.file_name().to_str().map(str::to_string).ok_or_else(|| not_unicode(&entry.path()))?;
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

    /// Reads and decodes image `i`. Shape: `[height, width, 3]`.
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
