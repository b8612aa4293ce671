//! Checkpoints: `checkpoints/step-000100/` with weights, optimizer state and `state.json`.
//!
//! A checkpoint is written into a folder aside, synced to disk and renamed: either all of it is there, or nothing.

use super::manifest;
use crate::config::{LocalConfig, ModelConfig, RunConfig, ScheduleKind};
use crate::data::CLASS_FILE;
use crate::eval::Predictor;
use crate::files::{plain_cause, sync_folder};
use crate::local::LocalNetwork;
use crate::messages::say;
use crate::task::ClassSet;
use crate::{Error, Result};
use burn::tensor::Device;
use serde::{Deserialize, Deserializer, Serialize};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// What a checkpoint says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Steps done.
    pub step: usize,
    /// Seconds trained.
    pub seconds: f64,
    /// The network that the weights fit.
    pub model: ModelConfig,
    /// How it was cut.
    pub local: LocalConfig,
    /// Steps of each module under the staged schedule, where steps are counted through all modules; `None` under others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged_steps: Option<usize>,
    /// The classes that the network tells apart.
    #[serde(default = "cityscapes", deserialize_with = "class_set")]
    pub classes: ClassSet,
}

/// The classes of checkpoints that name none: those of before there were class sets.
fn cityscapes() -> ClassSet {
    (*ClassSet::cityscapes()).clone()
}

/// A class set, or the bare names that checkpoints of classification networks once had.
fn class_set<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ClassSet, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Names(Vec<String>),
        Set(ClassSet),
    }
    Ok(match Stored::deserialize(deserializer)? {
        Stored::Names(names) => ClassSet::numbered("classes", &names),
        Stored::Set(set) => set,
    })
}

impl State {
    /// How many modules of a staged run are trained; `None` once all are, and for other schedules.
    pub fn unfinished(&self) -> Option<usize> {
        let trained = self.step / self.staged_steps?.max(1);
        (trained < self.local.num_modules).then_some(trained)
    }
}

/// A checkpoint on disk.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Its folder.
    pub folder: PathBuf,
    /// What it says about itself.
    pub state: State,
    /// Newer ones that are damaged, and how.
    pub damaged: Vec<String>,
}

fn folder_of(run: &Path) -> PathBuf {
    run.join("checkpoints")
}

/// Step folders of a run, the newest first.
fn step_folders(run: &Path) -> Vec<(usize, PathBuf)> {
    let entries = fs::read_dir(folder_of(run)).into_iter().flatten().flatten();
    let mut folders: Vec<(usize, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            Some((name.to_str()?.strip_prefix("step-")?.parse().ok()?, entry.path()))
        })
        .collect();
    folders.sort_unstable_by(|a, b| b.cmp(a));
    folders
}

/// The newest checkpoint of a run that is as it was written.
///
/// ```
/// use infoseg::train::checkpoint;
/// use std::path::Path;
///
/// let error = checkpoint::last(Path::new("no/such/run")).unwrap_err();
/// assert!(error.to_string().starts_with("no/such/run"));
/// ```
///
/// # Errors
/// There is no run, no checkpoint in it, or none that is not damaged.
pub fn last(run: &Path) -> Result<Checkpoint> {
    if !run.is_dir() {
        return Err(Error::file(run, "there is no such run folder"));
    }
    let mut damaged = Vec::new();
    for (_, folder) in step_folders(run) {
        match read(&folder) {
            Ok(state) => return Ok(Checkpoint { folder, state, damaged }),
            Err(error) => damaged.push(error.to_string()),
        }
    }
    match damaged.into_iter().next() {
        Some(newest) => Err(Error::run(format!(
            "{newest}; no other checkpoint of this run is whole, train it again from the start"
        ))),
        None => Err(Error::file(
            folder_of(run),
            "there is no checkpoint in this run yet; wait for its first, or train it again from the start if it has ended",
        )),
    }
}

fn read(folder: &Path) -> Result<State> {
    manifest::verify(folder)?;
    let path = folder.join("state.json");
    let text = fs::read_to_string(&path).map_err(|e| Error::file(&path, plain_cause(&e)))?;
    serde_json::from_str(&text).map_err(|e| Error::file(&path, format!("is damaged ({e})")))
}

/// Saves a checkpoint, then removes all but the newest `keep`. A step that is saved already is left as it is.
///
/// # Errors
/// The file that could not be written, and why; earlier checkpoints are untouched.
pub fn save(run: &Path, network: &LocalNetwork, state: &State, keep: usize) -> Result<()> {
    let folder = folder_of(run);
    let target = folder.join(format!("step-{:06}", state.step));
    if target.exists() && read(&target).is_ok() {
        return Ok(());
    }
    let in_folder = |e: std::io::Error| Error::file(&folder, format!("no checkpoint saved: {}", plain_cause(&e)));
    fs::create_dir_all(&folder).map_err(in_folder)?;
    remove_unfinished(&folder);
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    // tempfile's own default is 0700; with 0777 the umask decides, as for any other folder.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    let aside = builder.tempdir_in(&folder).map_err(in_folder)?;
    network.save(aside.path()).map_err(|error| match error {
        // The folder aside is gone by the time a user reads this.
        Error::File { message, .. } => Error::file(&folder, format!("no checkpoint saved: {message}")),
        other => other,
    })?;
    let path = aside.path().join("state.json");
    let text = serde_json::to_string_pretty(state).map_err(|e| Error::file(&path, e.to_string()))?;
    fs::write(&path, text).map_err(in_folder)?;
    manifest::write(aside.path()).map_err(in_folder)?;
    for entry in fs::read_dir(aside.path()).map_err(in_folder)? {
        let file = File::open(entry.map_err(in_folder)?.path()).map_err(in_folder)?;
        file.sync_all().map_err(in_folder)?;
    }
    sync_folder(aside.path()).map_err(in_folder)?;
    if target.exists() {
        fs::remove_dir_all(&target).map_err(in_folder)?; // a damaged one
    }
    fs::rename(aside.keep(), &target).map_err(in_folder)?;
    sync_folder(&folder).map_err(in_folder)?;
    // Later ones are damaged, or they would have been gone on from.
    let (later, own): (Vec<_>, Vec<_>) = step_folders(run).into_iter().partition(|(step, _)| *step > state.step);
    for (_, old) in later.into_iter().chain(own.into_iter().skip(keep)) {
        // The new one is safe; that is no reason to stop training.
        if let Err(error) = fs::remove_dir_all(&old) {
            say(format_args!("{}: this old checkpoint cannot be removed: {}", old.display(), plain_cause(&error)));
        }
    }
    Ok(())
}

/// Name of a checkpoint that is being written.
const UNFINISHED: &str = ".saving-";

/// Removes what a process that was killed while saving left behind. What cannot be removed does no harm.
fn remove_unfinished(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A section as `state.json` gives it back: reading a number may move its last digit.
fn as_read_back(section: &impl Serialize) -> serde_json::Result<serde_json::Value> {
    serde_json::from_str(&serde_json::to_string(section)?)
}

impl Checkpoint {
    /// Says which newer checkpoints were passed over, and why.
    pub fn tell_damaged(&self) {
        for damaged in &self.damaged {
            say(format_args!("{damaged}; going on from the checkpoint of step {}", self.state.step));
        }
    }

    /// Says so of a staged run whose last module has not learned all it will: what it predicts is worth little.
    pub fn tell_unfinished(&self, run: &Path) {
        if let Some(trained) = self.state.unfinished() {
            say(format_args!(
                "{}: this staged run is not over: {trained} of its {} modules are trained; go on with it (segtrain --resume \
                 {})",
                run.display(),
                self.state.local.num_modules,
                run.display()
            ));
        }
    }

    /// Number of classes that the network tells apart.
    pub fn num_classes(&self) -> usize {
        self.state.classes.len()
    }

    /// Refuses data whose classes are not those that the network learned: as many others would be scored in silence.
    ///
    /// # Errors
    /// The first class that differs.
    pub fn check_classes(&self, given: &ClassSet) -> Result<()> {
        let learned = &self.state.classes;
        let Some((index, now, before)) = given.first_difference(learned) else { return Ok(()) };
        let name = |name: Option<&str>| name.map_or("none".to_string(), |name| format!("`{name}`"));
        let own = self.folder.ancestors().nth(2).unwrap_or(&self.folder).join(CLASS_FILE);
        let remedy = match own.is_file() {
            true => format!(
                "name the run's own set with --classes {}, or train on the new classes from its weights (segtrain \
                 --pretrained)",
                own.display()
            ),
            false => "score it on data with its own classes, or train on the new ones from its weights (segtrain \
                      --pretrained)"
                .to_string(),
        };
        Err(Error::usage(format!(
            "the data has other classes ({}, {}) than this run learned ({}, {}): class {index} is {}, and was {} ({}); {}",
            given.name,
            given.len(),
            learned.name,
            learned.len(),
            name(now),
            name(before),
            self.folder.display(),
            remedy
        )))
    }

    /// Refuses to go on with a staged run, and warns for any other, where ids on disk mean other classes than before.
    ///
    /// # Errors
    /// Stored features would be of other crops than the labels.
    pub fn check_ids(&self, given: &ClassSet) -> Result<()> {
        let learned = &self.state.classes;
        if given.reads_like(learned) {
            return Ok(());
        }
        let what = format!(
            "the class set {} reads ids on disk otherwise than when this run began ({})",
            given.name,
            self.folder.display()
        );
        if self.state.staged_steps.is_some() {
            let remedy =
                "keep the ids of a staged run, whose features are stored, or start a new one with another --out";
            return Err(Error::usage(format!("{what}; {remedy}")));
        }
        say(format_args!("{what}: the run goes on with the new ids"));
        Ok(())
    }

    /// The network of this configuration with the checkpoint's weights.
    ///
    /// # Errors
    /// It does not fit the configuration, or cannot be read.
    pub fn network(&self, config: &RunConfig, device: &Device) -> Result<LocalNetwork> {
        self.check_fits(config)?;
        let mut network = LocalNetwork::new(&config.spec(), self.num_classes(), device)?;
        network.load(&self.folder, false)?;
        Ok(network)
    }

    /// The network of this configuration with the checkpoint's weights, to predict with.
    ///
    /// # Errors
    /// It does not fit the configuration, or cannot be read.
    pub fn predictor(&self, config: &RunConfig, device: &Device) -> Result<Predictor> {
        Ok(Predictor::of(&self.network(config, device)?, device))
    }

    /// Refuses a configuration whose network or cut is not the checkpoint's.
    ///
    /// # Errors
    /// The first key that differs.
    pub fn check_fits(&self, config: &RunConfig) -> Result<()> {
        let staged = (config.train.schedule == ScheduleKind::Staged).then_some(config.train.steps);
        let folder = self.folder.display();
        match (self.state.staged_steps, staged) {
            (Some(before), Some(steps)) if before != steps => {
                return Err(Error::usage(format!(
                    "--steps {steps}: each module of this staged run makes {before} steps, and some have made theirs \
                     ({folder}); keep that number, or start a new run with another --out"
                )));
            }
            (before, now) if before.is_some() != now.is_some() => {
                let cannot = match before {
                    Some(_) => "this run is staged and cannot go on with another schedule",
                    None => "this run is not staged and cannot go on so",
                };
                return Err(Error::usage(format!(
                    "--schedule: {cannot} ({folder}); start a new run with another --out"
                )));
            }
            _ => (),
        }
        let theirs = (self.state.model.clone(), self.state.local.clone());
        let ours = (config.model.clone(), config.local.clone());
        for (section, theirs, ours) in [
            ("model", serde_json::to_value(theirs.0), as_read_back(&ours.0)),
            ("local", serde_json::to_value(theirs.1), as_read_back(&ours.1)),
        ] {
            let (Ok(serde_json::Value::Object(theirs)), Ok(serde_json::Value::Object(ours))) = (theirs, ours) else {
                continue;
            };
            let mut differing: Vec<_> = ours.iter().filter(|(key, value)| theirs.get(*key) != Some(value)).collect();
            // K follows the method.
            differing.sort_by_key(|(key, _)| *key != "method");
            if let Some((key, value)) = differing.first().copied() {
                let before = theirs.get(key).map_or("not there".into(), ToString::to_string);
                return Err(Error::usage(format!(
                    "{section}.{key} = {value}, but this run was trained with {before} ({}): resume it with its own \
                     network, or start a new run with another --out",
                    self.folder.display()
                )));
            }
        }
        Ok(())
    }
}
