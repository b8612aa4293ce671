//! A folder of files, or the `.tar.gz` it was shipped in.

use crate::files::plain_cause;
use crate::{Error, Result};
use flate2::read::GzDecoder;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use tar::Archive;

/// No file of a dataset that comes as an archive is larger (CIFAR-100's training images are 154 MB): a gzip of a few
/// kilobytes can hold any number of bytes.
const MAX_FILE: u64 = 1 << 28;

/// Where a dataset's files are.
#[derive(Debug)]
pub(super) enum Folder {
    /// A folder on disk.
    Disk(PathBuf),
    /// An unpacked archive, its files by name without folders.
    Archive { path: PathBuf, files: BTreeMap<String, Vec<u8>> },
}

impl Folder {
    /// `root` itself if it holds one of the files `known`, else the folder `name` in it; or the archive `root`, of
    /// which the files `wanted` are unpacked into memory.
    ///
    /// # Errors
    /// Neither is there; an archive that cannot be unpacked.
    pub fn find(root: &Path, name: &str, known: &[&str], wanted: &[&str]) -> Result<Self> {
        if root.is_file() {
            return unpack(root, wanted).map(|files| Self::Archive { path: root.to_path_buf(), files });
        }
        on_disk(root, name, known).map(Self::Disk)
    }

    /// Path of a file, for messages: within an archive as if that were a folder.
    pub fn path(&self, name: &str) -> PathBuf {
        match self {
            Self::Disk(folder) => folder.join(name),
            Self::Archive { path, .. } => path.join(name),
        }
    }

    /// Whether there is a file of this name.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::Disk(folder) => folder.join(name).exists(),
            Self::Archive { files, .. } => files.contains_key(name),
        }
    }

    /// The bytes of a file; an archive's are handed out once.
    ///
    /// # Errors
    /// A file that is missing or cannot be read.
    pub fn take(&mut self, name: &str) -> Result<Vec<u8>> {
        let path = self.path(name);
        match self {
            Self::Disk(_) => read(&path),
            Self::Archive { files, .. } => {
                files.remove(name).ok_or_else(|| Error::file(path, "is not in the archive; get the archive again"))
            }
        }
    }
}

/// `root` itself if it holds one of the files `known`, else the folder `name` in it.
///
/// # Errors
/// Neither is there.
pub(super) fn on_disk(root: &Path, name: &str, known: &[&str]) -> Result<PathBuf> {
    let candidates = [root.to_path_buf(), root.join(name)];
    let holds = |folder: &PathBuf| known.iter().any(|file| folder.join(file).exists());
    candidates.into_iter().find(holds).ok_or_else(|| {
        let message = format!("holds none of {}, nor a folder {name}/ with one of them", known.join(", "));
        Error::file(root, format!("{message}; give the folder that does with --data-root"))
    })
}

/// The bytes of a file on disk.
///
/// # Errors
/// A file that is missing or cannot be read.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|cause| match cause.kind() {
        ErrorKind::NotFound => Error::file(path, "is missing; the dataset is shipped with it"),
        _ => Error::file(path, format!("cannot be read: {}", plain_cause(&cause))),
    })
}

fn unpack(path: &Path, wanted: &[&str]) -> Result<BTreeMap<String, Vec<u8>>> {
    let file = File::open(path).map_err(|e| Error::file(path, format!("cannot be read: {}", plain_cause(&e))))?;
    let mut files = BTreeMap::new();
    let unpack = || -> std::io::Result<()> {
        let mut archive = Archive::new(GzDecoder::new(BufReader::new(file)));
        for entry in archive.entries()? {
            let mut entry = entry?;
            let name = entry.path()?.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if entry.header().entry_type().is_file() && wanted.contains(&name.as_str()) {
                if entry.size() > MAX_FILE {
                    return Err(std::io::Error::other(format!("{name} in it is said to be of {} bytes", entry.size())));
                }
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes)?;
                if bytes.len() as u64 != entry.size() {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                files.insert(name, bytes);
            }
        }
        // The end of the stream holds its checksum, and tar stops before it.
        std::io::copy(&mut archive.into_inner(), &mut std::io::sink()).map(drop)
    };
    unpack().map_err(|cause| {
        Error::file(path, match cause.kind() {
            ErrorKind::UnexpectedEof => {
                "cannot be unpacked as .tar.gz (the file ends too early); get the archive again".to_string()
            }
            _ => format!(
                "cannot be unpacked as .tar.gz ({}); give the dataset's folder with --data-root, or its archive, whole",
                plain_cause(&cause)
            ),
        })
    })?;
    Ok(files)
}
