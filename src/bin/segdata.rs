//! `segdata`: looks through a dataset before a run does, or writes built-in scenes in Cityscapes layout.

use clap::{Parser, Subcommand};
use infoseg::config::{Dataset, Resolution};
use infoseg::data::scenes::Scenes;
use infoseg::data::{SCENES_SEED, check, cityscapes, classes, synth};
use infoseg::{Error, Result, cli};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Check a dataset, or write built-in street scenes in Cityscapes layout.
#[derive(Parser)]
#[command(name = "segdata", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Read every picture and label; report sizes, class frequencies and all problems.
    Check {
        /// Layout of the dataset.
        #[arg(long, value_enum, default_value_t = Dataset::Cityscapes)]
        dataset: Dataset,
        /// Folder of the dataset as its publisher ships it.
        #[arg(long, value_name = "DIR")]
        data_root: PathBuf,
        /// Split to check; may be given several times. Default: all that are there.
        #[arg(long, value_name = "SPLIT")]
        split: Vec<String>,
    },
    /// Write built-in street scenes. Existing files are never overwritten.
    Synth {
        /// Folder to write to.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Split to write; each has scenes of its own.
        #[arg(long, default_value = "val")]
        split: String,
        /// Number of scenes.
        #[arg(long)]
        count: usize,
        /// Height x width, such as 512x1024.
        #[arg(long, value_name = "HxW")]
        resolution: Resolution,
        /// The default writes the scenes that `--dataset synthetic` trains on.
        #[arg(long, default_value_t = SCENES_SEED)]
        seed: u64,
    },
}

fn main() -> ExitCode {
    cli::run("segdata", segdata)
}

fn segdata(args: Args) -> Result<ExitCode> {
    match args.command {
        Command::Check { dataset, data_root, split } => run_check(dataset, &data_root, split)?,
        Command::Synth { out, split, count, resolution, seed } => run_synth(&out, &split, count, resolution, seed)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints tables to stdout and problems to stderr.
fn run_check(dataset: Dataset, root: &Path, splits: Vec<String>) -> Result<()> {
    if dataset.is_built_in() {
        return Err(Error::usage(format!(
            "--dataset {}: is drawn on the fly, there are no files to check",
            dataset.name()
        )));
    }
    let splits = match (dataset.classes(), splits.is_empty()) {
        (_, false) => splits,
        (Some(layout), true) => classes::check::splits(layout, root),
        (None, true) => cityscapes::splits(root)?,
    };
    if splits.is_empty() {
        return Err(Error::file(root.join("leftImg8bit"), "holds no split; expected folders such as train and val"));
    }
    let mut problems = 0;
    for split in splits {
        let bar = Bar::new(&split);
        let watch = |done, of| bar.show(done, of);
        let found = match dataset.classes() {
            Some(layout) => classes::check::check_watched(layout, root, &split, &watch)
                .map(|report| (report.to_string(), report.problems)),
            None => check::check_watched(root, &split, &watch).map(|report| (report.to_string(), report.problems)),
        };
        drop(bar);
        match found {
            Ok((report, found)) => {
                cli::print(&report)?;
                found.iter().for_each(|problem| cli::say(format_args!("segdata: {problem}")));
                problems += found.len();
            }
            Err(problem) => {
                cli::say(format_args!("segdata: {problem}"));
                problems += 1;
            }
        }
    }
    match problems {
        0 => Ok(()),
        _ => Err(Error::run(format!("{} found", cli::counted(problems, "problem")))),
    }
}

/// How far a check has come: a bar at a terminal, nothing elsewhere.
struct Bar(indicatif::ProgressBar);

impl Bar {
    fn new(split: &str) -> Self {
        // Hidden where stderr is no terminal.
        let bar = indicatif::ProgressBar::new(0);
        let style =
            indicatif::ProgressStyle::with_template("{msg} {bar:24.cyan/blue} {pos}/{len} · {per_sec} · ETA {eta}");
        bar.set_style(style.unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()).progress_chars("━╸─"));
        bar.set_message(split.to_string());
        Self(bar)
    }

    fn show(&self, done: usize, of: usize) {
        self.0.set_length(of as u64);
        // Counted by whoever comes first; they may come out of order.
        self.0.set_position((done as u64).max(self.0.position()));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn run_synth(out: &Path, split: &str, count: usize, resolution: Resolution, seed: u64) -> Result<()> {
    let side = Resolution::MAX_SIDE;
    if count == 0 || count > 1_000_000 {
        return Err(Error::usage(format!("--count {count} is not in 1..=1000000")));
    }
    if [resolution.height, resolution.width].iter().any(|&pixels| pixels == 0 || pixels > side) {
        return Err(Error::usage(format!("--resolution {resolution} is not within 1x1 and {side}x{side}")));
    }
    synth::write(&Scenes::new(seed, split, count, resolution), out, split)?;
    cli::print(format_args!("{count} scenes of {resolution} in {}, split {split}\n", out.display()))
}
