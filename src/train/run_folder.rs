//! The folder of a run and its name.

use super::checkpoint;
use crate::config::RunConfig;
use crate::files::{make_folder, plain_cause, write_atomic};
use crate::{Error, Result};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Makes the folder of a new run and writes the effective configuration into it; `train.out` then names it.
///
/// Without `train.out` the folder is the first of `runs/<dataset>-<backbone>-<method>-k<K>-<number>` that is not there.
///
/// # Errors
/// The folder holds something already, or cannot be made. A start that failed before its first line of metrics does not
/// count: the same command is to work once its cause is mended.
pub fn create(config: &mut RunConfig) -> Result<PathBuf> {
    if config.train.out.as_os_str().is_empty() {
        config.train.out = unused_name(config);
    }
    let folder = config.train.out.clone();
    if folder.exists() && !folder.is_dir() {
        return Err(Error::file(&folder, "is a file; name a folder with --out"));
    }
    if !is_unused(&folder)? {
        let advice = match checkpoint::last(&folder).is_ok() {
            true => format!("go on with it by `segtrain --resume {}`, or name another with --out", folder.display()),
            false => "name another with --out, or empty it".into(),
        };
        return Err(Error::file(&folder, format!("this folder is not empty: {advice}")));
    }
    make_folder(&folder)?;
    write_config(&folder, config)?;
    Ok(folder)
}

/// Whether there is nothing in the folder, or only what a run leaves that did not come to its first line of metrics.
fn is_unused(folder: &Path) -> Result<bool> {
    if !folder.exists() {
        return Ok(true);
    }
    let unread = |e: std::io::Error| Error::file(folder, format!("the folder cannot be read: {}", plain_cause(&e)));
    for entry in folder.read_dir().map_err(unread)? {
        let entry = entry.map_err(unread)?;
        let nothing_learned = match entry.file_name().to_str() {
            Some("config.toml") => folder.join("metrics.jsonl").exists(),
            Some("metrics.jsonl") => entry.metadata().is_ok_and(|file| file.len() == 0),
            _ => false,
        };
        if !nothing_learned {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes `config.toml`, without `train.out`: given back as `--config` it makes a new run, not this one again.
///
/// # Errors
/// It cannot be written.
pub fn write_config(folder: &Path, config: &RunConfig) -> Result<()> {
    let mut config = config.clone();
    config.train.out = PathBuf::new();
    write_atomic(folder.join("config.toml"), |file| file.write_all(config.to_commented_toml().as_bytes()))
}

fn unused_name(config: &RunConfig) -> PathBuf {
    let stem = format!(
        "{}-{}-{}-k{}",
        name(&config.data.dataset),
        name(&config.model.backbone),
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
