//! What a page says of a run before any score.

use super::curves::{self, Chart};
use crate::Result;
use crate::config::{Method, RunConfig, ScheduleKind};
use crate::train::checkpoint::State;
use serde::Serialize;
use std::path::Path;

/// A run: what was trained on what, and how it went.
#[derive(Debug, Clone, Serialize)]
pub struct About {
    /// Name of the run folder.
    pub name: String,
    /// As in `--dataset`.
    pub dataset: String,
    /// Split that was scored.
    pub split: String,
    /// Such as `DeepLabV3, resnet101, output stride 8`.
    pub network: String,
    /// Local learning method.
    pub method: &'static str,
    /// K.
    pub num_modules: usize,
    /// How modules took turns, where that was not one after another.
    pub schedule: Option<String>,
    /// Steps that each module of the scored checkpoint was trained for; of a staged run that is not over those of all modules.
    pub steps: usize,
    /// How to predict, where that is not once and whole.
    pub test_time: Option<String>,
    /// What `metrics.jsonl` says.
    pub charts: Vec<Chart>,
}

impl About {
    /// The run in the folder `run`, whose newest checkpoint is of this state, scored on `split`.
    ///
    /// # Errors
    /// `metrics.jsonl` is there and cannot be read.
    pub fn of(run: &Path, config: &RunConfig, split: &str, state: &State, test_time: Option<String>) -> Result<Self> {
        let num_modules = config.local.num_modules;
        Ok(Self {
            name: run_name(run),
            dataset: config.data.dataset.name(),
            split: split.to_string(),
            network: network(config),
            // With one module there is nothing local to a method.
            method: if num_modules == 1 { Method::E2e } else { config.local.method }.traits().title,
            num_modules,
            schedule: match config.train.schedule {
                ScheduleKind::Sequential => None,
                ScheduleKind::Async => Some("async".into()),
                ScheduleKind::Staged => Some(match state.unfinished() {
                    Some(trained) => format!("staged, {trained} of {num_modules} modules trained"),
                    None => "staged".into(),
                }),
            },
            // Steps of the staged schedule are counted through all modules.
            steps: state.staged_steps.filter(|_| state.unfinished().is_none()).unwrap_or(state.step),
            test_time,
            charts: curves::of_run(run)?,
        })
    }
}

/// Last part of a run folder's path, whatever way it was said.
pub fn run_name(run: &Path) -> String {
    let full = run.canonicalize().unwrap_or_else(|_| run.to_path_buf());
    full.file_name().map_or_else(|| run.display().to_string(), |name| name.to_string_lossy().into_owned())
}

fn network(config: &RunConfig) -> String {
    let model = &config.model;
    let mut network = model.backbone.name();
    if config.data.dataset.classes().is_none() {
        network = format!("DeepLabV3, {network}, output stride {}", model.output_stride);
    }
    if model.width != 1.0 {
        network += &format!(", width × {}", model.width);
    }
    network
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_a_name_whatever_way_its_folder_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("first");
        std::fs::create_dir(&run).unwrap();
        assert_eq!(run_name(&run), "first");
        assert_eq!(run_name(&run.join("..").join("first")), "first");
        assert_eq!(run_name(Path::new("/no/such/run")), "run");
    }
}
