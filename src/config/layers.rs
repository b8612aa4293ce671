//! Default of the dataset → file → `--set` → flags, merged key by key so that an error names its source.

use super::defaults::flatten;
use super::merge::{Merged, Setting, TYPED};
use super::{DatasetKind, RunConfig};
use crate::files::plain_cause;
use crate::{Error, Result};
use clap::ValueEnum;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// One command-line flag that stands for a configuration key.
#[derive(Debug, Clone)]
pub struct Flag {
    /// The flag as typed, such as `--local-k`.
    pub name: &'static str,
    /// Dotted key it sets, such as `local.num_modules`.
    pub key: &'static str,
    /// Its value.
    pub value: Value,
}

/// Everything that may say something about the configuration, from weak to strong.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// `--config FILE`. A file may leave keys out; they come from the dataset's default.
    pub file: Option<PathBuf>,
    /// `--set KEY=VALUE`: dotted key, TOML literal (or a bare string where it is none).
    pub set: Vec<String>,
    /// The other flags.
    pub flags: Vec<Flag>,
}

impl RunConfig {
    /// Reads and checks a configuration file; keys it leaves out come from its dataset's default.
    ///
    /// # Errors
    /// The file cannot be read, holds an unknown key or a value that cannot be; the message names file and key.
    pub fn load_file(path: &Path) -> Result<Self> {
        Layers { file: Some(path.to_path_buf()), ..Layers::default() }.load()
    }
}

impl Layers {
    /// Merges the layers into one checked configuration.
    ///
    /// Some keys follow others that were said more strongly: `method = "e2e"` makes K 1, and a list of cuts goes back
    /// to `"auto"` where K or the backbone it was written for was changed from above. Cuts typed with `--set` stay.
    ///
    /// # Errors
    /// Unknown keys, values of the wrong kind, values that cannot be; the message names file or flag, key and remedy.
    pub fn load(&self) -> Result<RunConfig> {
        Ok(self.load_with_note()?.0)
    }

    /// [`Layers::load`], with a line about what the user may not expect, to be printed once the configuration is used.
    ///
    /// # Errors
    /// See [`Layers::load`].
    pub fn load_with_note(&self) -> Result<(RunConfig, Option<String>)> {
        let settings = self.settings()?;
        // The last word decides which default the other keys start from.
        let dataset = match settings.iter().rev().find(|setting| setting.key == "data.dataset") {
            // A wrong name is reported below like any other wrong value.
            Some(Setting { value: Value::String(name), .. }) => {
                DatasetKind::from_str(name, false).unwrap_or(DatasetKind::Synthetic)
            }
            _ => DatasetKind::Synthetic,
        };
        let mut merged = Merged::new(dataset);
        let (of_file, typed): (Vec<_>, Vec<_>) = settings.into_iter().partition(|setting| setting.layer < TYPED);
        of_file.into_iter().try_for_each(|setting| merged.apply(setting))?;
        // A run that goes on keeps what it was begun with.
        if !self.flags.iter().any(|flag| flag.name == "--resume") {
            merged.forget_what_follows();
        }
        typed.into_iter().try_for_each(|setting| merged.apply(setting))?;
        merged.reconcile()?;
        merged.follow_length()?;
        merged.follow_paper()?;
        let config = merged.config()?;
        match config.first_problem() {
            Ok(()) => Ok((config, merged.note)),
            Err(problem) => {
                let source = merged.source_of(problem.key).map(|source| format!("{source}: ")).unwrap_or_default();
                Err(Error::usage(format!("{source}{}", problem.message)))
            }
        }
    }

    fn settings(&self) -> Result<Vec<Setting>> {
        let mut settings = Vec::new();
        if let Some(path) = &self.file {
            let table = read_table(path)?;
            let source = path.display().to_string();
            flatten("", table, &mut |key, value| {
                settings.push(Setting { layer: 1, source: source.clone(), key, value });
            });
        }
        for text in &self.set {
            let (key, value) = parse_set(text)?;
            settings.push(Setting { layer: 2, source: format!("--set {text}"), key, value });
        }
        for Flag { name, key, value } in &self.flags {
            let (source, key) = ((*name).to_string(), (*key).to_string());
            settings.push(Setting { layer: 3, source, key, value: value.clone() });
        }
        Ok(settings)
    }
}

fn read_table(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::file(path, "no such configuration file"),
        std::io::ErrorKind::InvalidData => Error::file(path, "is not a text file; a TOML configuration is expected"),
        _ => Error::file(path, format!("cannot be read: {}", plain_cause(&error))),
    })?;
    text.parse::<Table>().map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let message = error.message().trim().replace('\n', "; ");
        Error::usage(format!("{}: line {line} is not TOML: {message}", path.display()))
    })
}

fn parse_set(text: &str) -> Result<(String, Value)> {
    let Some((key, value)) = text.split_once('=').filter(|(key, _)| !key.trim().is_empty()) else {
        return Err(Error::usage(format!("--set {text}: write KEY=VALUE, such as --set optim.lr=0.02")));
    };
    let literal = format!("value = {value}").parse::<Table>().ok().filter(|table| table.len() == 1);
    let parsed = literal.and_then(|mut table| table.remove("value"));
    Ok((key.trim().to_string(), parsed.unwrap_or_else(|| Value::String(value.trim().to_string()))))
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
