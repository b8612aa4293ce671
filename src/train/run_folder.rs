//! The folder of a run and its name.

use super::checkpoint;
use super::lock::{self, RunLock};
use crate::config::RunConfig;
use crate::data::CLASS_FILE;
use crate::files::{make_folder, write_atomic};
use crate::task::class_set::ClassFile;
use crate::{Error, Result};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Makes the folder of a new run, takes it, and writes the effective configuration into it; `train.out` then names it.
///
/// Without `train.out` the folder is the first of `runs/<dataset>-<backbone>-<method>-k<K>-<number>` that is not there.
///
/// # Errors
/// The folder holds something already, or cannot be made.
pub fn create(config: &mut RunConfig) -> Result<(PathBuf, RunLock)> {
    if config.train.out.as_os_str().is_empty() {
        config.train.out = unused_name(config);
    }
    let folder = config.train.out.clone();
    if folder.exists() && !folder.is_dir() {
        return Err(Error::file(&folder, "is a file; name a folder with --out"));
    }
    // Another process may be writing it; then what is there is not to be touched.
    let earlier = if folder.join(lock::NAME).exists() { Some(RunLock::take(&folder)?) } else { None };
    // Left by a run that ended before its first step, such as for want of memory. A configuration alone may be the user's own.
    if folder.join("metrics.jsonl").exists() && is_unstarted(&folder) {
        remove_files(&folder);
    }
    let occupied = folder
        .read_dir()
        .is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != lock::NAME)));
    if occupied {
        let advice = match checkpoint::last(&folder).is_ok() {
            true => format!("go on with it by `segtrain --resume {}`, or name another with --out", folder.display()),
            false => "name another with --out, or empty it".into(),
        };
        return Err(Error::file(&folder, format!("this folder is not empty: {advice}")));
    }
    make_folder(&folder)?;
    let lock = match earlier {
        Some(lock) => lock,
        None => RunLock::take(&folder)?,
    };
    write_config(&folder, config)?;
    Ok((folder, lock))
}

/// Removes what [`create`] and an empty log left of a run that failed before it learned anything: the same command is to
/// work once the cause is fixed.
pub fn remove_unstarted(folder: &Path) {
    if is_unstarted(folder) {
        remove_files(folder);
        let _ = std::fs::remove_file(folder.join(lock::NAME));
        let _ = std::fs::remove_dir(folder);
    }
}

/// Whether a run folder holds nothing that has been learned, and no foreign files.
fn is_unstarted(folder: &Path) -> bool {
    let logged = folder.join("metrics.jsonl").metadata().is_ok_and(|log| log.len() > 0);
    let ours = ["metrics.jsonl", "config.toml", CLASS_FILE, lock::NAME];
    let others = folder.read_dir().is_ok_and(|mut entries| {
        entries.any(|entry| entry.is_ok_and(|entry| !ours.iter().any(|name| entry.file_name() == *name)))
    });
    !logged && !others
}

/// What cannot be removed is met, and told, by the next start.
fn remove_files(folder: &Path) {
    let _ = std::fs::remove_file(folder.join("metrics.jsonl"));
    let _ = std::fs::remove_file(folder.join("config.toml"));
    let _ = std::fs::remove_file(folder.join(CLASS_FILE));
}

/// Writes `config.toml`, without `train.out`: given back as `--config` it makes a new run, not this one again.
///
/// # Errors
/// It cannot be written.
pub fn write_config(folder: &Path, config: &RunConfig) -> Result<()> {
    let mut config = config.clone();
    config.train.out = PathBuf::new();
    config.make_paths_absolute()?;
    write_atomic(folder.join("config.toml"), |file| file.write_all(config.to_commented_toml().as_bytes()))
}

/// Writes `classes.toml`, the class set of a run with a class for each pixel, and how its masks are read.
///
/// # Errors
/// It cannot be written.
pub fn write_classes(folder: &Path, classes: &ClassFile) -> Result<()> {
    write_atomic(folder.join(CLASS_FILE), |file| file.write_all(classes.to_toml().as_bytes()))
}

fn unused_name(config: &RunConfig) -> PathBuf {
    let stem = format!(
        "{}-{}-{}-k{}",
        config.data.dataset.name(),
        config.model.backbone.name(),
        name(&config.local.method),
        config.local.num_modules
    );
    (1..)
        .map(|number| Path::new("runs").join(format!("{stem}-{number}")))
        .find(|folder| !folder.exists())
        .expect("some number is unused")
}

/// The name that a choice has on the command line.
fn name(value: &impl clap::ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_string())
}
