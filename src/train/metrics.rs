//! `metrics.jsonl`: one JSON object a line, for every logged step and every evaluation.

use crate::eval::Counted;
use crate::files::{plain_cause, write_atomic};
use crate::local::Losses;
use crate::local::pipeline::Work;
use crate::render::plots::{self, LossCurves, Series, WorkerCurves};
use crate::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// A training step.
    Step(StepLine),
    /// An evaluation.
    Evaluation(EvaluationLine),
}

/// A training step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepLine {
    /// Steps done, this one included.
    pub step: usize,
    /// Learning rate of the step.
    pub lr: f64,
    /// In network order.
    pub losses: Vec<ModuleLine>,
    /// Since the run began, interruptions not counted.
    pub seconds: f64,
    /// See [`crate::memory::peak_bytes`].
    pub peak_memory_bytes: Option<u64>,
}

/// The losses of one module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModuleLine {
    /// From 1 to K.
    pub module: usize,
    /// R, before its weight; null where nothing is reconstructed.
    pub reconstruction: Option<f32>,
    /// T, before its weight.
    pub task: f32,
    /// λ1·R + λ2·T
    pub total: f32,
    /// What the asynchronous schedule adds.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerLine>,
}

/// How a worker of the asynchronous schedule came to its batch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WorkerLine {
    /// Batches that waited behind it.
    pub queued: usize,
    /// Batches that the first module was ahead by.
    pub staleness: usize,
    /// Share of its time that it worked, in 0..=1.
    pub busy: f64,
}

impl ModuleLine {
    /// Lines of a step's losses; `works` is empty where modules go one after another.
    pub fn all(losses: &[Losses], works: &[Work]) -> Vec<Self> {
        losses.iter().enumerate().map(|(index, losses)| Self::of(index, losses, works.get(index))).collect()
    }

    /// The line of module `index`, counted from 0.
    pub fn of(index: usize, losses: &Losses, work: Option<&Work>) -> Self {
        let worker = work.map(|work| WorkerLine { queued: work.queued, staleness: work.staleness, busy: work.busy });
        let Losses { reconstruction, task, total } = *losses;
        Self { module: index + 1, reconstruction, task, total, worker }
    }
}

/// An evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationLine {
    /// Steps done before it.
    pub step: usize,
    /// What came out.
    #[serde(flatten)]
    pub scores: LoggedScores,
    /// Since the run began.
    pub seconds: f64,
}

/// Scores in 0..=1, by task; null where nothing could be counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LoggedScores {
    /// Segmentation.
    Pixels {
        /// Mean IoU over classes in truth or prediction.
        #[serde(deserialize_with = "there")]
        miou: Option<f64>,
        /// Mean IoU over classes in truth.
        miou_present: Option<f64>,
        /// Share of labelled pixels predicted right.
        pixel_accuracy: Option<f64>,
    },
    /// Classification.
    Pictures {
        /// Share of images whose class is not the best scored.
        #[serde(deserialize_with = "there")]
        top1: Option<f64>,
        /// Share of images whose class is not among the five best scored.
        top5: Option<f64>,
    },
}

/// A score that may be null, but not left out: it tells one task from the other.
fn there<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<f64>, D::Error> {
    Option::deserialize(deserializer)
}

fn finite(score: f64) -> Option<f64> {
    score.is_finite().then_some(score)
}

impl LoggedScores {
    /// What an evaluation came to.
    pub fn of(counted: &Counted) -> Self {
        match counted {
            Counted::Segmentation(evaluation) => {
                let scores = evaluation.scores();
                Self::Pixels {
                    miou: finite(scores.miou),
                    miou_present: finite(scores.miou_present),
                    pixel_accuracy: finite(scores.pixel_accuracy),
                }
            }
            Counted::Classification(counted) => {
                Self::Pictures { top1: finite(counted.top1_error()), top5: finite(counted.top5_error()) }
            }
        }
    }

    /// Every score by its name in the log.
    pub fn named(&self) -> Vec<(&'static str, Option<f64>)> {
        match self {
            Self::Pixels { miou, miou_present, pixel_accuracy } => {
                vec![("miou", *miou), ("miou_present", *miou_present), ("pixel_accuracy", *pixel_accuracy)]
            }
            Self::Pictures { top1, top5 } => vec![("top1", *top1), ("top5", *top5)],
        }
    }

    /// The curves that are drawn of it, in percent: a name and a value each.
    fn curves(&self) -> [(&'static str, Option<f64>); 2] {
        match self {
            Self::Pixels { miou, miou_present, .. } => {
                [("classes in truth or prediction (miou)", *miou), ("classes in truth (miou_present)", *miou_present)]
            }
            Self::Pictures { top1, top5 } => [("top-1 error", *top1), ("top-5 error", *top5)],
        }
        .map(|(name, score)| (name, score.map(|score| 100.0 * score)))
    }
}

impl Line {
    fn step(&self) -> usize {
        match self {
            Self::Step(line) => line.step,
            Self::Evaluation(line) => line.step,
        }
    }
}

/// Whether the evaluation after `step` steps is among `lines`.
pub fn has_evaluation(lines: &[Line], step: usize) -> bool {
    lines.iter().any(|line| matches!(line, Line::Evaluation(evaluation) if evaluation.step == step))
}

/// The log of a run.
pub struct Metrics {
    path: PathBuf,
    file: File,
    lines: Vec<Line>,
}

impl Metrics {
    /// Opens the log in a run folder, without what it says of steps after `last_step` (which a resumed run does again).
    ///
    /// # Errors
    /// The log cannot be read or written.
    pub fn open(folder: &Path, last_step: usize) -> Result<Self> {
        let path = folder.join("metrics.jsonl");
        let text = match path.exists() {
            true => std::fs::read_to_string(&path).map_err(|e| Error::file(&path, plain_cause(&e)))?,
            false => String::new(),
        };
        // Kept as they were written: to read a number and write it again may move its last digit.
        let kept: Vec<(&str, Line)> = text
            .lines()
            .filter_map(|line| Some((line, serde_json::from_str::<Line>(line).ok()?)))
            .filter(|(_, line)| line.step() <= last_step)
            .collect();
        write_atomic(&path, |file| kept.iter().try_for_each(|(line, _)| writeln!(file, "{line}")))?;
        let lines = kept.into_iter().map(|(_, line)| line).collect();
        let file = OpenOptions::new().append(true).open(&path).map_err(|e| Error::file(&path, plain_cause(&e)))?;
        Ok(Self { path, file, lines })
    }

    /// Every line of a log; a line cut short by a crash is left out.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn read(path: &Path) -> Result<Vec<Line>> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::file(path, plain_cause(&e)))?;
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// Whether the evaluation after `step` steps is in the log.
    pub fn has_evaluation(&self, step: usize) -> bool {
        has_evaluation(&self.lines, step)
    }

    /// Appends a line.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn push(&mut self, line: Line) -> Result<()> {
        let text = serde_json::to_string(&line).map_err(|e| Error::file(&self.path, e.to_string()))?;
        writeln!(self.file, "{text}").map_err(|e| Error::file(&self.path, plain_cause(&e)))?;
        self.lines.push(line);
        Ok(())
    }

    /// Has what was appended on the disk when it returns.
    ///
    /// # Errors
    /// The disk refuses it.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| Error::file(&self.path, plain_cause(&e)))
    }

    /// Draws losses per module, learning rate and scores so far into `folder`.
    ///
    /// # Errors
    /// A plot cannot be written.
    pub fn plot(&self, folder: &Path) -> Result<()> {
        let steps: Vec<&StepLine> = self
            .lines
            .iter()
            .filter_map(|line| match line {
                Line::Step(line) => Some(line),
                Line::Evaluation(_) => None,
            })
            .collect();
        let evaluations: Vec<&EvaluationLine> = self
            .lines
            .iter()
            .filter_map(|line| match line {
                Line::Step(_) => None,
                Line::Evaluation(line) => Some(line),
            })
            .collect();
        let num_modules = steps.iter().flat_map(|line| &line.losses).map(|line| line.module).max().unwrap_or(0);
        // Where modules learn one by one, a line is of one of them.
        fn of(line: &StepLine, index: usize) -> Option<&ModuleLine> {
            line.losses.iter().find(|line| line.module == index + 1)
        }
        let curves: Vec<LossCurves> = (0..num_modules)
            .map(|index| {
                let curve = |value: fn(&ModuleLine) -> Option<f32>| {
                    steps.iter().filter_map(|line| Some((line.step, f64::from(value(of(line, index)?)?)))).collect()
                };
                LossCurves {
                    name: format!("module {}", index + 1),
                    reconstruction: curve(|line| line.reconstruction),
                    task: curve(|line| Some(line.task)),
                    total: curve(|line| Some(line.total)),
                }
            })
            .collect();
        plots::loss_plot(folder.join("losses.png"), &curves)?;
        plots::lr_plot(folder.join("lr.png"), &steps.iter().map(|line| (line.step, line.lr)).collect::<Vec<_>>())?;
        let workers: Vec<WorkerCurves> = (0..num_modules)
            .map(|index| {
                let curve = |value: fn(&WorkerLine) -> f64| -> Vec<(usize, f64)> {
                    let at = |line: &&StepLine| Some((line.step, value(of(line, index)?.worker.as_ref()?)));
                    steps.iter().filter_map(at).collect()
                };
                WorkerCurves {
                    name: format!("module {}", index + 1),
                    busy: curve(|line| 100.0 * line.busy),
                    queued: curve(|line| line.queued as f64),
                    staleness: curve(|line| line.staleness as f64),
                }
            })
            .collect();
        if workers.iter().any(|worker| !worker.busy.is_empty()) {
            plots::worker_plot(folder.join("workers.png"), &workers)?;
        }
        let Some(first) = evaluations.first() else { return Ok(()) };
        let curve = |i: usize| -> Vec<(usize, f64)> {
            evaluations.iter().filter_map(|line| Some((line.step, line.scores.curves()[i].1?))).collect()
        };
        let series = [0, 1].map(|i| Series { name: first.scores.curves()[i].0.into(), points: curve(i) });
        match first.scores {
            LoggedScores::Pixels { .. } => plots::score_plot(folder.join("miou.png"), "mIoU (%)", &series),
            LoggedScores::Pictures { .. } => plots::score_plot(folder.join("error.png"), "test error (%)", &series),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reopening_drops_later_steps_and_torn_lines() {
        let folder = tempfile::tempdir().unwrap();
        let mut metrics = Metrics::open(folder.path(), 0).unwrap();
        for step in [5, 10, 15] {
            let losses = vec![ModuleLine { module: 1, reconstruction: None, task: 0.5, total: 0.5, worker: None }];
            let line = StepLine { step, lr: 0.1, losses, seconds: 1.0, peak_memory_bytes: None };
            metrics.push(Line::Step(line)).unwrap();
        }
        let pixels = LoggedScores::Pixels { miou: Some(0.25), miou_present: None, pixel_accuracy: Some(1.0) };
        let pictures = LoggedScores::Pictures { top1: Some(0.25), top5: None };
        for scores in [pixels.clone(), pictures.clone()] {
            metrics.push(Line::Evaluation(EvaluationLine { step: 10, scores, seconds: 2.0 })).unwrap();
        }
        let path = folder.path().join("metrics.jsonl");
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{whole}{{\"step\":7,\"lr\":0.")).unwrap();
        drop(metrics);
        let metrics = Metrics::open(folder.path(), 10).unwrap();
        assert_eq!(metrics.lines.iter().map(Line::step).collect::<Vec<_>>(), [5, 10, 10, 10]);
        let scores = metrics.lines.iter().filter_map(|line| match line {
            Line::Evaluation(line) => Some(&line.scores),
            Line::Step(_) => None,
        });
        assert_eq!(scores.collect::<Vec<_>>(), [&pixels, &pictures]);
        assert_eq!(Metrics::read(&path).unwrap(), metrics.lines);
    }
}
