//! `segbench local`: every local learning method at every K, several seeds each, at equal steps.
//!
//! Each run is a process of its own, so that its peak memory is its own; a run that is done already is not done again.

use super::table::{Cell, Table};
use crate::cli::interrupt;
use crate::config::{Flag, Layers, Method, RunConfig, TaskLoss};
use crate::files::{make_folder, plain_cause};
use crate::local::cut;
use crate::messages::say;
use crate::text::{counted, duration};
use crate::train::checkpoint;
use crate::train::metrics::{Line, LoggedScores, Metrics, has_evaluation};
use crate::{Error, Result};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use toml::Value;

/// A row of the paper's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Row {
    /// End-to-end training: K = 1
    E2e,
    /// Greedy supervised learning
    Greedy,
    /// DGL
    Dgl,
    /// InfoPro with cross-entropy
    InfoproSoftmax,
    /// InfoPro with the contrastive loss
    InfoproContrast,
}

impl Row {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::E2e, Self::Greedy, Self::Dgl, Self::InfoproSoftmax, Self::InfoproContrast];

    pub(super) fn method(self) -> (Method, TaskLoss) {
        match self {
            Self::E2e => (Method::E2e, TaskLoss::Softmax),
            Self::Greedy => (Method::Greedy, TaskLoss::Softmax),
            Self::Dgl => (Method::Dgl, TaskLoss::Softmax),
            Self::InfoproSoftmax => (Method::Infopro, TaskLoss::Softmax),
            Self::InfoproContrast => (Method::Infopro, TaskLoss::Contrast),
        }
    }

    /// What chooses it in a configuration.
    pub(super) fn flags(self) -> [Flag; 2] {
        let (method, task_loss) = self.method();
        let method = Value::try_from(method).expect("choices are written as their name");
        let task_loss = Value::try_from(task_loss).expect("choices are written as their name");
        [
            Flag { name: "--methods", key: "local.method", value: method },
            Flag { name: "--methods", key: "local.task_loss", value: task_loss },
        ]
    }

    /// Its name in a table.
    pub const fn title(self) -> &'static str {
        match self {
            Self::E2e => "end-to-end",
            Self::Greedy => "greedy",
            Self::Dgl => "DGL",
            Self::InfoproSoftmax => "InfoPro (softmax)",
            Self::InfoproContrast => "InfoPro (contrast)",
        }
    }
}

/// What is compared.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What all runs have in common, such as network, data and steps.
    pub common: Layers,
    /// Rows, in order.
    pub rows: Vec<Row>,
    /// Columns, rising; end-to-end has K = 1 alone, the others leave it out.
    pub ks: Vec<usize>,
    /// Seeds 1 to this.
    pub seeds: u64,
    /// Where runs, table and plot go.
    pub out: PathBuf,
}

/// One run of it.
struct Run {
    config: RunConfig,
    name: String,
    folder: PathBuf,
}

impl Plan {
    /// Rows with their K.
    fn cells(&self) -> Vec<(Row, usize)> {
        let mut cells = Vec::new();
        for &row in &self.rows {
            match row {
                Row::E2e => cells.push((row, 1)),
                _ => cells.extend(self.ks.iter().filter(|&&k| k > 1).map(|&k| (row, k))),
            }
        }
        cells
    }

    fn run_of(&self, row: Row, k: usize, seed: u64) -> Result<Run> {
        let mut layers = self.common.clone();
        layers.flags.extend(row.flags());
        let row = clap::ValueEnum::to_possible_value(&row).expect("every row has a name");
        let name = format!("{}-k{k}-seed{seed}", row.get_name());
        let folder = self.out.join("runs").join(&name);
        layers.flags.push(Flag { name: "--local-k", key: "local.num_modules", value: Value::Integer(k as i64) });
        layers.flags.push(Flag { name: "--seed", key: "seed", value: Value::Integer(seed as i64) });
        let mut config = layers.load()?;
        config.train.out = PathBuf::new(); // said to each run, and no part of its config.toml
        Ok(Run { config, name, folder })
    }

    /// Trains what is not trained yet and sums up.
    ///
    /// # Errors
    /// A configuration that cannot be; a run that fails.
    pub fn measure(&self) -> Result<Table> {
        make_folder(&self.out.join("runs"))?;
        // Ctrl-C reaches the run, too, which finishes its step and saves; this program waits for it.
        interrupt::install(|| "networks that were trained to their end are kept; the same command goes on".into())?;
        let cells = self.cells();
        // All configurations first: a wrong one is to be told before hours of training, not after.
        let mut plan = Vec::new();
        for &(row, k) in &cells {
            let runs = (1..=self.seeds).map(|seed| self.run_of(row, k, seed)).collect::<Result<Vec<_>>>()?;
            plan.push((row, k, runs));
        }
        let total: usize = plan.iter().map(|(.., runs)| runs.len()).sum();
        let first = plan.first().ok_or_else(|| Error::usage("there is nothing to compare"))?.2[0].config.clone();
        let num_classes = crate::data::open(&first.data, &first.data.train_split)?.classes().len();
        for run in plan.iter_mut().flat_map(|(.., runs)| runs) {
            run.config.local.cuts = cut::named_cuts(&run.config.spec(), num_classes)?; // as the run will write them
        }
        // K above the number of blocks, too, is told here. Cuts do not depend on the seed.
        let kept: Vec<u64> =
            plan.iter().map(|(.., runs)| activation_bytes(&runs[0].config, num_classes)).collect::<Result<_>>()?;
        let (mut number, mut table, started) = (0, Table::default(), Instant::now());
        // Seed by seed, so that half of the time gives half of the table's certainty, and not half of the table.
        for seed in 0..self.seeds as usize {
            for ((row, k, runs), &activation_bytes) in plan.iter().zip(&kept) {
                number += 1;
                let run = &runs[seed];
                let is_new = run.train()?;
                let (score, is_error, peak) = run.result()?;
                let cell = table.cell(row.title(), *k);
                cell.scores.push(score);
                cell.peak_bytes = cell.peak_bytes.max(peak);
                cell.activation_bytes = activation_bytes;
                table.is_error = is_error;
                if is_new {
                    let time = duration(started.elapsed().as_secs_f64());
                    say(format_args!("run {number} of {total}: {}: {score:.2} %; {time} in all", run.name));
                }
            }
        }
        table.title = format!(
            "{} on {}, {} of {}, {}",
            first.model.backbone.name(),
            first.data.dataset.name(),
            counted(first.train.steps, "step"),
            counted(first.train.batch_size, "picture"),
            counted(self.seeds as usize, "seed")
        );
        Ok(table)
    }
}

impl Run {
    /// Trains in a process of its own, if that has not been done; returns whether it had to.
    fn train(&self) -> Result<bool> {
        if self.is_done() {
            return Ok(false);
        }
        let resumed = self.is_begun()?;
        let config = self.folder.with_extension("toml");
        crate::files::write_atomic(&config, |file| {
            std::io::Write::write_all(file, self.config.to_commented_toml().as_bytes())
        })?;
        let log = self.folder.with_extension("log");
        let open = |path: &Path| File::create(path).map_err(|e| Error::file(path, plain_cause(&e)));
        let program =
            std::env::current_exe().map_err(|e| Error::run(format!("cannot find itself: {}", plain_cause(&e))))?;
        let status = Command::new(program)
            .arg("train")
            .args(match resumed {
                true => vec!["--resume".as_ref(), self.folder.as_os_str()],
                false => vec!["--config".as_ref(), config.as_os_str(), "--out".as_ref(), self.folder.as_os_str()],
            })
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(open(&log)?)
            .status()
            .map_err(|e| Error::run(format!("cannot start a run: {}", plain_cause(&e))))?;
        if interrupt::stop().requested() {
            return Err(Error::run(format!("stopped in {}; the same command goes on where it was", self.name)));
        }
        match status.success() && self.is_done() {
            true => Ok(true),
            false => {
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                let last = text.lines().last().unwrap_or("it was stopped");
                Err(Error::run(format!("{} failed: {last} (all of it: {})", self.name, log.display())))
            }
        }
    }

    fn log(&self) -> Vec<Line> {
        Metrics::read(&self.folder.join("metrics.jsonl")).unwrap_or_default()
    }

    /// Whether the folder holds this very run.
    fn is_here(&self) -> bool {
        let written = std::fs::read_to_string(self.folder.join("config.toml"));
        written.is_ok_and(|written| written == self.config.to_commented_toml())
    }

    /// Whether it was scored after its last step.
    fn is_done(&self) -> bool {
        self.is_here() && has_evaluation(&self.log(), self.config.train.steps)
    }

    /// Whether it was stopped on its way, and can go on.
    ///
    /// # Errors
    /// The folder holds something else, which is not ours to remove.
    fn is_begun(&self) -> Result<bool> {
        if !self.folder.exists() {
            return Ok(false);
        }
        let mend = "name another folder with --out, or remove this one";
        match (self.is_here(), checkpoint::last(&self.folder)) {
            (true, Ok(_)) => Ok(true),
            (true, Err(_)) => Err(Error::file(&self.folder, format!("holds a run that came to no checkpoint; {mend}"))),
            (false, _) => Err(Error::file(&self.folder, format!("holds a run of another configuration; {mend}"))),
        }
    }

    /// Score in percent, whether it is an error, and the peak memory of the process.
    fn result(&self) -> Result<(f64, bool, u64)> {
        let (mut score, mut peak) = (None, 0);
        for line in self.log() {
            match line {
                Line::Step(line) => peak = peak.max(line.peak_memory_bytes.unwrap_or(0)),
                Line::Evaluation(line) => {
                    score = match line.scores {
                        LoggedScores::Pixels { miou, .. } => miou.map(|miou| (100.0 * miou, false)),
                        LoggedScores::Pictures { top1, .. } => top1.map(|error| (100.0 * error, true)),
                    }
                }
            }
        }
        let (score, is_error) = score.ok_or_else(|| Error::file(&self.folder, "holds no score"))?;
        Ok((score, is_error, peak))
    }
}

/// What the most expensive module keeps for its backward, for a batch, as the cuts are planned by.
fn activation_bytes(config: &RunConfig, num_classes: usize) -> Result<u64> {
    let values = cut::kept_values(&config.spec(), num_classes)?;
    let dearest = values.into_iter().max().unwrap_or(0);
    Ok((dearest * config.train.batch_size * size_of::<f32>()) as u64)
}

impl Table {
    /// The cell of a method at a K, made where it is not there yet.
    fn cell(&mut self, row: &str, k: usize) -> &mut Cell {
        let row = match self.rows.iter().position(|(name, _)| name == row) {
            Some(index) => index,
            None => {
                self.rows.push((row.to_string(), Vec::new()));
                self.rows.len() - 1
            }
        };
        let cells = &mut self.rows[row].1;
        let index = match cells.iter().position(|cell| cell.k == k) {
            Some(index) => index,
            None => {
                cells.push(Cell { k, ..Cell::default() });
                cells.len() - 1
            }
        };
        &mut cells[index]
    }
}
