//! `segdata`: looks through a dataset before a run does, writes a first class set, or writes built-in scenes in
//! Cityscapes layout.

use clap::{Parser, Subcommand};
use infoseg::config::{DataConfig, DatasetKind, defaults_for};
use infoseg::data::scenes::Scenes;
use infoseg::data::{self, SCENES_SEED, check, classes, folder, synth};
use infoseg::size::Resolution;
use infoseg::task::class_set::LayoutKeys;
use infoseg::{Error, Result, cli, files};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Check a dataset, write a first class set for your own, or write built-in street scenes in Cityscapes layout.
#[derive(Parser)]
#[command(name = "segdata", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Read every image and label; report sizes, class frequencies and all problems.
    Check {
        /// Layout of the dataset.
        #[arg(long, value_enum, default_value_t = DatasetKind::Cityscapes)]
        dataset: DatasetKind,
        /// Folder of the dataset as its publisher ships it.
        #[arg(long, value_name = "DIR")]
        data_root: PathBuf,
        /// Class set that labels are read with: a classes.toml, or a preset [default: classes.toml in the folder, else the
        /// classes that the layout is known for].
        #[arg(long, value_name = "FILE|PRESET")]
        classes: Option<String>,
        /// Split to check; may be given several times. Default: all that are there.
        #[arg(long, value_name = "SPLIT")]
        split: Vec<String>,
    },
    /// Write a first classes.toml for a folder of images and masks: every id or color that the masks hold, with its share
    /// of the pixels and its loss weight by frequency.
    Classes {
        /// Folder of the dataset; see `segtrain --dataset folder`.
        #[arg(value_name = "DIR")]
        data_root: PathBuf,
        /// Pattern of the images below DIR, such as imgs/{name}_img.jpg, where they are not found by themselves.
        #[arg(long, value_name = "PATTERN", requires = "masks")]
        images: Option<String>,
        /// Pattern of the masks below DIR, such as gts/{name}_gt.png.
        #[arg(long, value_name = "PATTERN", requires = "images")]
        masks: Option<String>,
        /// Pattern of lists of names below DIR, such as splits/{split}.txt.
        #[arg(long, value_name = "PATTERN")]
        splits: Option<String>,
        /// File to write; it must not be there yet [default: classes.toml in DIR].
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
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
        Command::Check { dataset, data_root, classes, split } => {
            run_check(dataset, &data_root, classes.unwrap_or_default(), split)?;
        }
        Command::Classes { data_root, images, masks, splits, out } => {
            let keys = LayoutKeys { images, masks, splits, ..LayoutKeys::default() };
            run_classes(&data_root, &keys, out)?;
        }
        Command::Synth { out, split, count, resolution, seed } => run_synth(&out, &split, count, resolution, seed)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints tables to stdout, problems and remarks to stderr.
fn run_check(dataset: DatasetKind, root: &Path, classes: String, splits: Vec<String>) -> Result<()> {
    if dataset.is_built_in() {
        return Err(Error::usage(format!(
            "--dataset {}: is drawn on the fly, there are no files to check",
            dataset.name()
        )));
    }
    if let (Some(layout), false) = (dataset.classes(), classes.is_empty()) {
        return Err(Error::usage(format!("--classes {classes}: {layout} has classes of its own; leave it out")));
    }
    let opened = match dataset.classes() {
        Some(layout) => Opened::Images(layout),
        None => {
            let mut config = defaults_for(dataset).data;
            (config.root, config.classes) = (root.to_path_buf(), classes);
            match check::Masks::open(&config) {
                Err(problem) if dataset == DatasetKind::Folder && is_without_set(&config) => {
                    return propose_classes(root, problem);
                }
                opened => Opened::Masks(opened?),
            }
        }
    };
    let splits = match (&opened, splits.is_empty()) {
        (_, false) => splits,
        (Opened::Images(layout), true) => classes::check::splits(*layout, root),
        (Opened::Masks(masks), true) => masks.splits()?,
    };
    if splits.is_empty() {
        return Err(Error::file(root.join("leftImg8bit"), "holds no split; expected folders such as train and val"));
    }
    let mut problems = 0;
    for split in splits {
        let bar = Bar::new(&split);
        let watch = |done, of| bar.show(done, of);
        let found = match &opened {
            Opened::Images(layout) => classes::check::check_watched(*layout, root, &split, &watch)
                .map(|report| (report.to_string(), report.problems, Vec::new())),
            Opened::Masks(masks) => masks.check_watched(&split, &watch).map(|report| {
                let (text, remarks) = (report.to_string(), report.remarks());
                (text, report.problems, remarks)
            }),
        };
        drop(bar);
        match found {
            Ok((report, found, remarks)) => {
                cli::print(&report)?;
                found.iter().for_each(|problem| cli::say(format_args!("segdata: {problem}")));
                remarks.iter().for_each(|remark| cli::say(format_args!("segdata: {split}: {remark}")));
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

/// Whether no class set is named, and none lies in the folder.
fn is_without_set(config: &DataConfig) -> bool {
    config.classes.is_empty() && !config.root.join(data::CLASS_FILE).exists()
}

enum Opened {
    Images(classes::Layout),
    Masks(check::Masks),
}

/// A folder without a class set: what its masks hold says what to write into one.
fn propose_classes(root: &Path, problem: Error) -> Result<()> {
    let keys = LayoutKeys::default();
    let Ok(scan) = folder::classes::scan(root, &keys, &|_, _| ()) else { return Err(problem) };
    let ids = scan.ids();
    if folder::classes::is_binary(&ids) {
        cli::say(format_args!(
            "segdata: all {} hold 0 and 255 alone; for binary masks put into {}:\n{}",
            cli::counted(scan.masks, "mask"),
            root.join(data::CLASS_FILE).display(),
            folder::classes::BINARY
        ));
    } else {
        cli::say(format_args!(
            "segdata: {} hold {}",
            cli::counted(scan.masks, "mask"),
            cli::counted(scan.counts.len(), "different value")
        ));
    }
    Err(problem)
}

fn run_classes(root: &Path, keys: &LayoutKeys, out: Option<PathBuf>) -> Result<()> {
    let out = out.unwrap_or_else(|| root.join(data::CLASS_FILE));
    if out.exists() {
        return Err(Error::file(&out, "is there already and is never overwritten; give another --out"));
    }
    let bar = Bar::new("masks");
    let scan = folder::classes::scan(root, keys, &|done, of| bar.show(done, of));
    drop(bar);
    let scan = scan?;
    let text = scan.to_toml(root, keys)?;
    files::write_atomic(&out, |file| file.write_all(text.as_bytes()))?;
    cli::print(&text)?;
    cli::print(format_args!("\nwritten to {}\n", out.display()))?;
    scan.remark().into_iter().for_each(|remark| cli::say(format_args!("segdata: {remark}")));
    Ok(())
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
        // Counted by the first thread that is free; they may come out of order.
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
