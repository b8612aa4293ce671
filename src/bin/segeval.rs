//! Scores a trained run, or predictions made elsewhere.

use clap::Parser;
use infoseg::cli::{self, Pictures};
use infoseg::config::{DataArgs, DatasetKind, RunConfig, defaults_for};
use infoseg::data::classes::augment::ClassAugment;
use infoseg::data::{self, Dataset};
use infoseg::device::DeviceChoice;
use infoseg::eval::report::Report;
use infoseg::eval::test_time::TestTimeArgs;
use infoseg::eval::{
    ClassificationMetric, ComparisonMetric, Evaluation, Metric, Predictor, Protocol, Scored, SegmentationMetric,
    TestTime, evaluate, score_predictions,
};
use infoseg::files::make_writable_folder;
use infoseg::page::{self, About};
use infoseg::render::overlays::Overlays;
use infoseg::render::written;
use infoseg::task::TaskKind;
use infoseg::train::checkpoint::{self, Checkpoint};
use infoseg::{Error, Result};
use std::ops::ControlFlow;
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
        return of_comparison(&args);
    }
    match (&args.predictions, &args.run) {
        (Some(predictions), _) => of_predictions(&args, predictions),
        (None, Some(run)) => of_run(&args, run),
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

fn of_run(args: &Args, run: &Path) -> Result<ExitCode> {
    pin_device(args, run)?;
    let test_time = args.test_time.test_time()?;
    let protocols = match args.protocol {
        Some(Named::Paper) => Protocol::paper(test_time.slide),
        None => Protocol::only(test_time),
    };
    let opened = Opened::new(args, run)?;
    if !opened.pictures.task().is_dense()
        && (args.protocol.is_some() || !protocols.iter().all(|p| p.test_time.is_plain()))
    {
        return Err(Error::usage(
            "--scales, --flip, --slide and --protocol average scores of pixels; this run classifies pictures, which are seen once",
        ));
    }
    let predictor = opened.predictor()?;
    let out = args.out.clone().unwrap_or_else(|| {
        let protocol = if args.protocol.is_some() { "-paper".into() } else { protocols[0].test_time.slug() };
        run.join(format!("eval-{}{protocol}", opened.split))
    });
    if same_folder(&out, run) {
        return Err(Error::usage(format!(
            "--out {}: is the run's own folder, whose report and plots would be lost; name another",
            out.display()
        )));
    }
    // Before the work, not after it.
    make_writable_folder(&out)?;
    let about = || opened.about(run, protocols[0].test_time.in_words());
    match opened.pictures.task() {
        TaskKind::Segmentation => of_segmentation(args, &opened, &predictor, &protocols, &out, about),
        TaskKind::Classification => of_classification(args, &opened, &predictor, &out, about),
    }
}

/// Several runs side by side.
fn of_comparison(args: &Args) -> Result<ExitCode> {
    let [first, _, ..] = &args.compare[..] else {
        return Err(Error::usage(format!(
            "--compare {}: is one run; name two or more, or score it by itself (segeval RUN)",
            args.compare[0].display()
        )));
    };
    pin_device(args, first)?;
    let test_time = args.test_time.test_time()?;
    let mut runs: Vec<(Predictor, About)> = Vec::new();
    let mut pictures: Option<Box<dyn Dataset>> = None;
    for run in &args.compare {
        let opened = Opened::new(args, run)?;
        let (predictor, about) = (opened.predictor()?, opened.about(run, test_time.in_words())?);
        if !opened.pictures.task().is_dense() {
            return Err(Error::usage(format!(
                "--compare {}: classifies whole pictures; runs that say a class of each pixel can be compared",
                run.display()
            )));
        }
        match &pictures {
            Some(others) => infoseg::eval::compare::check_same_data(first, &**others, run, &*opened.pictures)?,
            None => pictures = Some(opened.pictures),
        }
        runs.push((predictor, about));
    }
    let (Some(source), Some(folder)) = (pictures, &args.report) else {
        return Err(Error::usage("--compare needs runs, and --report DIR for its page"));
    };
    let (predictors, abouts): (Vec<Predictor>, Vec<About>) = runs.into_iter().unzip();
    let progress = Pictures::new("segeval", source.len());
    let mut metric = ComparisonMetric::new(&predictors, &*source, &test_time);
    let compared = evaluate(&mut metric, &*source, |_| {
        progress.one_more(source.len(), "");
        ControlFlow::Continue(())
    });
    progress.finish();
    compared?;
    let compared = metric.finish()?;
    let shown = page::differences(&compared, &predictors, &*source, &test_time, args.report_pictures)?;
    let path = page::comparison_page(folder, &abouts, &compared, &shown)?;
    for (about, evaluation) in abouts.iter().zip(&compared.evaluations) {
        let (scores, name) = (evaluation.scores(), &about.name);
        cli::print(format_args!(
            "mIoU {:>6.2}  mIoU (present) {:>6.2}  pixel accuracy {:>6.2}  {name}\n",
            100.0 * scores.miou,
            100.0 * scores.miou_present,
            100.0 * scores.pixel_accuracy
        ))?;
    }
    print_page(&path)
}

fn print_page(path: &Path) -> Result<ExitCode> {
    cli::print(format_args!("page      {}\n", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Scores a run that says a class of each image.
fn of_classification(
    args: &Args,
    opened: &Opened,
    predictor: &Predictor,
    out: &Path,
    about: impl FnOnce() -> Result<About>,
) -> Result<ExitCode> {
    let (config, classes) = (&opened.config, &*opened.pictures);
    let normalization = config.data.dataset.normalization();
    let augment = ClassAugment::of(&config.augment, config.train.resolution, normalization);
    let progress = Pictures::new("segeval", classes.len());
    let mut done = 0;
    let on_sheet = args.overlays.unwrap_or(36);
    let on_page = if args.report.is_some() { args.report_pictures } else { 0 };
    let mut metric = ClassificationMetric::new(predictor, classes, augment, on_sheet.max(on_page));
    let whole = evaluate(&mut metric, classes, |metric| {
        (done..metric.images()).for_each(|_| progress.one_more(classes.len(), &metric.so_far()));
        done = metric.images();
        ControlFlow::Continue(())
    });
    progress.finish();
    whole?;
    let counted = metric.counted;
    let written = written::write_classification(&counted, out, opened.scored(&TestTime::default()), on_sheet)?;
    cli::print(format_args!("{}\n", counted.report()))?;
    for path in written {
        cli::print(format_args!("{}\n", path.display()))?;
    }
    match &args.report {
        Some(folder) => print_page(&page::classification_page(folder, &about()?, &counted, on_page)?),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Scores a run that says a class of each pixel.
fn of_segmentation(
    args: &Args,
    opened: &Opened,
    predictor: &Predictor,
    protocols: &[Protocol],
    out: &Path,
    about: impl FnOnce() -> Result<About>,
) -> Result<ExitCode> {
    let source = &*opened.pictures;
    let progress = Pictures::new("segeval", source.len());
    let mut drawn = Overlays::new(out, args.overlays.unwrap_or(8), source.len())?;
    let draw = Box::new(|example: &_, pred: &_| drawn.add(source.classes(), example, pred));
    let mut metric =
        SegmentationMetric::new(predictor, source, protocols.to_vec()).with_instances().on_prediction(draw);
    let whole = evaluate(&mut metric, source, |metric| {
        progress.one_more(source.len(), &metric.so_far());
        ControlFlow::Continue(())
    });
    progress.finish();
    whole?;
    let evaluations = std::mem::take(&mut metric.evaluations);
    drop(metric);
    let overlays = drawn.publish()?;
    let mious: Vec<(&str, f64)> = match protocols {
        [_] => Vec::new(),
        several => several.iter().zip(&evaluations).map(|(p, e)| (p.name.as_str(), e.scores().miou)).collect(),
    };
    let scored = opened.scored(&protocols[0].test_time);
    let code = write(&evaluations[0], overlays, out, scored, &mious)?;
    let Some(folder) = &args.report else { return Ok(code) };
    let shown = page::gallery(predictor, source, &protocols[0].test_time, &evaluations[0], args.report_pictures)?;
    print_page(&page::segmentation_page(folder, &about()?, &evaluations[0], &mious, &shown)?)
}

fn same_folder(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn of_predictions(args: &Args, predictions: &Path) -> Result<ExitCode> {
    if let Some(dataset) = args.data.dataset
        && dataset.classes().is_some()
    {
        return Err(Error::usage(format!(
            "--predictions are label ids of pixels; {} has a class for each picture",
            dataset.name()
        )));
    }
    if args.data.dataset == Some(DatasetKind::Synthetic) {
        return Err(Error::usage(
            "--dataset synthetic has no label files to compare --predictions with; write some with `segdata synth`, and \
             set `--dataset cityscapes --data-root DIR`",
        ));
    }
    let root = args.data.data_root.as_ref().ok_or_else(|| {
        Error::usage(
            "--predictions are compared with the labels under --data-root DIR: the folder that holds gtFine/, or with \
             --dataset folder the one of images and masks",
        )
    })?;
    let mut config = defaults_for(args.data.dataset.unwrap_or(DatasetKind::Cityscapes)).data;
    config.root.clone_from(root);
    config.classes = args.data.classes.clone().unwrap_or_default();
    let split = args.split.as_deref().unwrap_or("val");
    let progress = Pictures::new("segeval", 0);
    let scored = score_predictions(predictions, &config, split, |pictures| progress.one_more(pictures, ""));
    progress.finish();
    let scored = scored?;
    let out = args.out.clone().unwrap_or_else(|| predictions.join(format!("eval-{split}")));
    let of = Scored::new(&config, split, scored.evaluation.classes(), &TestTime::default(), None);
    let code = write(&scored.evaluation, 0, &out, of, &[])?;
    if let Some(remark) = scored.remark {
        cli::say(format_args!("segeval: {remark}"));
    }
    Ok(code)
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
