//! Scores a trained run, or predictions made elsewhere.

mod comparison;
mod predictions;
mod run;

use clap::Parser;
use infoseg::cli;
use infoseg::config::{DataArgs, RunConfig};
use infoseg::data::{self, Dataset};
use infoseg::device::DeviceChoice;
use infoseg::eval::report::Report;
use infoseg::eval::test_time::TestTimeArgs;
use infoseg::eval::{Evaluation, Predictor, Scored, TestTime};
use infoseg::page::{self, About};
use infoseg::render::written;
use infoseg::train::checkpoint::{self, Checkpoint};
use infoseg::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Score a trained run, or label ids that are predicted already: IoU tables, report.json, plots, overlays. A run that
/// classifies images: top-1 and top-5 error, accuracy of each class, confusion, a sheet of the most confident mistakes.
#[derive(Parser)]
#[command(
    name = "segeval",
    version,
    override_usage = "segeval RUN [OPTIONS]\n       segeval --compare RUN RUN... --report DIR [OPTIONS]\n       segeval --predictions DIR --data-root DIR [OPTIONS]"
)]
struct Args {
    /// Run folder of segtrain; its newest checkpoint is scored.
    #[arg(conflicts_with = "predictions")]
    run: Option<PathBuf>,
    /// Score the label-ids PNGs in this folder instead, found by name as the official Cityscapes evaluator does. Draws no
    /// overlays, and goes with none of the flags that say how to predict.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["device", "overlays", "scales", "flip", "slide", "report"])]
    predictions: Option<PathBuf>,
    /// Set these runs side by side instead, on the same images: a page of their scores, differences of each class, curves,
    /// and the images that they differ most on. Writes nothing but the page.
    #[arg(long, value_name = "RUN", num_args = 1.., requires = "report", conflicts_with_all = ["run", "predictions", "out", "overlays", "protocol"])]
    compare: Vec<PathBuf>,
    /// Also write a page to look through into this folder: DIR/index.html, which opens from the disk and holds everything it
    /// shows.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Number of images on the page: those of the lowest mIoU, of --compare those that differ most, of a run that
    /// classifies images the most confident mistakes.
    #[arg(long, value_name = "N", default_value_t = 24, requires = "report", allow_negative_numbers = true)]
    report_pictures: usize,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    test_time: TestTimeArgs,
    /// paper: single scale, multi-scale, and multi-scale with mirroring, in one go (SS, MS, MS+flip).
    #[arg(long, value_enum, conflicts_with_all = ["scales", "flip", "predictions"])]
    protocol: Option<Named>,
    /// Split to score [default: the run's data.val_split; val with --predictions].
    #[arg(long)]
    split: Option<String>,
    /// auto, cpu, cuda, vulkan, or one of several as cuda:1 [default: the run's].
    #[arg(long)]
    device: Option<DeviceChoice>,
    /// Folder for report.json, plots/ and (of a run) overlays/ [default: eval-SPLIT in RUN or in the folder of predictions, with
    /// the scales, flip and window behind it where there are some].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Number of image | truth | prediction | errors panels to draw [default: 8], of a run that classifies images on the
    /// sheet of mistakes [default: 36]; not with --predictions.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    overlays: Option<usize>,
}

/// Ways to predict that have a name.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Named {
    Paper,
}

fn main() -> ExitCode {
    cli::run("segeval", segeval)
}

fn segeval(args: Args) -> Result<ExitCode> {
    if let Some(folder) = &args.report {
        page::check_folder(folder)?;
    }
    if !args.compare.is_empty() {
        return comparison::of_comparison(&args);
    }
    match (&args.predictions, &args.run) {
        (Some(predictions), _) => predictions::of_predictions(&args, predictions),
        (None, Some(run)) => run::of_run(&args, run),
        (None, None) => Err(Error::usage(
            "nothing to score: name a run folder (segeval RUN), or label ids that are predicted already (segeval \
             --predictions DIR --data-root DIR)",
        )),
    }
}

/// A run and the images that it is scored on.
struct Opened {
    config: RunConfig,
    device: DeviceChoice,
    split: String,
    pictures: Box<dyn Dataset>,
    newest: Checkpoint,
}

impl Opened {
    fn new(args: &Args, run: &Path) -> Result<Self> {
        let mut config = RunConfig::of_run(run)?;
        args.data.apply(&mut config)?;
        let device = args.device.clone().unwrap_or_else(|| config.device.clone());
        let split = args.split.as_ref().unwrap_or(&config.data.val_split).clone();
        let pictures = data::open(&config.data, &split)?;
        let newest = checkpoint::last(run)?;
        newest.tell_damaged();
        newest.tell_unfinished(run);
        newest.check_classes(pictures.classes())?;
        if pictures.task().is_dense() {
            cli::say(format_args!("segeval: classes: {}", pictures.classes().describe()));
        }
        Ok(Self { config, device, split, pictures, newest })
    }

    fn scored(&self, test_time: &TestTime) -> Scored {
        Scored::new(&self.config.data, &self.split, self.pictures.classes(), test_time, Some(&self.newest.folder))
    }

    fn predictor(&self) -> Result<Predictor> {
        self.newest.predictor(&self.config, &self.device.open()?)
    }

    fn about(&self, run: &Path, test_time: Option<String>) -> Result<About> {
        About::of(run, &self.config, &self.split, &self.newest.state, test_time)
    }
}

/// Must come before anything that may start a thread.
fn pin_device(args: &Args, run: &Path) -> Result<()> {
    match &args.device {
        // SAFETY: no thread of this program has started yet.
        Some(device) => unsafe { device.pin_default() },
        // SAFETY: as above.
        None => unsafe { RunConfig::of_run(run)?.device.pin_default() },
    }
    Ok(())
}

fn print_page(path: &Path) -> Result<ExitCode> {
    cli::print(format_args!("page      {}\n", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn write(
    evaluation: &Evaluation,
    overlays: usize,
    out: &Path,
    scored: Scored,
    protocols: &[(&str, f64)],
) -> Result<ExitCode> {
    let path = out.join("report.json");
    if let Ok(Report { scored: Some(before), .. }) = Report::read(&path)
        && (before.protocol() != scored.protocol()
            || before.split != scored.split
            || before.data_root != scored.data_root)
    {
        cli::say(format_args!(
            "segeval: {}: a report of {} in {} ({}) is replaced by one of {} in {} ({})",
            path.display(),
            before.split,
            before.data_root.display(),
            before.protocol(),
            scored.split,
            scored.data_root.display(),
            scored.protocol()
        ));
    }
    let report = written::write_segmentation(evaluation, out, scored, protocols)?;
    cli::print(format_args!("{}\n", report.table()))?;
    for (name, miou) in protocols {
        cli::print(format_args!("mIoU {name:<14}{:>7.2}\n", 100.0 * miou))?;
    }
    let (images, annotated) = (evaluation.images, evaluation.images_with_instances);
    if annotated > 0 && annotated < images {
        cli::say(format_args!(
            "segeval: no iIoU, as {} of {images} pictures have no *_gtFine_instanceIds.png",
            images - annotated
        ));
    }
    if overlays > 0 {
        cli::print(format_args!("overlays  {}\n", out.join("overlays").display()))?;
    }
    cli::print(format_args!("plots     {}\n", out.join("plots").display()))?;
    cli::print(format_args!("report    {}\n", out.join("report.json").display()))?;
    Ok(ExitCode::SUCCESS)
}
