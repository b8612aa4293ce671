//! Segments images with a trained run, or with a checkpoint of another program.

use clap::{Parser, ValueEnum};
use infoseg::config::{Backbone, RunConfig};
use infoseg::device::DeviceChoice;
use infoseg::eval::{Predictor, test_time::TestTimeArgs};
use infoseg::predict::{Format, jobs, predict};
use infoseg::task::ClassSet;
use infoseg::task::class_set::ClassFile;
use infoseg::train::checkpoint;
use infoseg::weights::Checkpoint;
use infoseg::{Error, Result, cli, files};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Segment images of any size: segpredict RUN INPUT… --out DIR, or segpredict --pretrained FILE INPUT… --out DIR.
#[derive(Parser)]
#[command(
    name = "segpredict",
    version,
    override_usage = "segpredict RUN INPUT… --out DIR [OPTIONS]\n       segpredict --pretrained FILE INPUT… --out DIR [OPTIONS]"
)]
struct Args {
    /// Run folder of segtrain, whose newest checkpoint predicts (not with --pretrained); then images (PNG, JPEG,
    /// BMP, WebP, TIFF, PPM or PGM), or folders that are searched for them.
    #[arg(value_names = ["RUN", "INPUT"])]
    paths: Vec<PathBuf>,
    /// Folder to write to; subfolders of an input folder are kept.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What to write: overlay (NAME_overlay.png), color (_color.png, the colors of the classes), label-ids
    /// (_labelIds.png, ids on disk as the class set lists them; fit for the Cityscapes server), train-ids (_labelTrainIds.png), logits (_logits.safetensors, raw
    /// scores [classes, height, width] at the network's output size).
    #[arg(long, value_delimiter = ',', default_value = "overlay")]
    format: Vec<Format>,
    /// auto, cpu, cuda, vulkan, or one of several as cuda:1 [default: the run's, or auto].
    #[arg(long)]
    device: Option<DeviceChoice>,
    /// Checkpoint of another program instead of a run: .pth, .pt, .safetensors or an index of several (.index.json), of
    /// torchvision, mmsegmentation or segexport. Depth, width, stem, head and classes are read off it.
    #[arg(long, value_name = "FILE")]
    pretrained: Option<PathBuf>,
    /// Names, colors and ids of the classes: a classes.toml, or a preset [default: the network's own].
    #[arg(long, value_name = "FILE|PRESET")]
    classes: Option<String>,
    /// The network that --pretrained is of.
    #[arg(long, requires = "pretrained", default_value = "deeplabv3")]
    network: Network,
    /// Refuse a --pretrained of another depth.
    #[arg(long, requires = "pretrained")]
    backbone: Option<Backbone>,
    /// Output stride of the --pretrained network, 8 or 16; a foreign checkpoint does not tell it [default: 8, or as
    /// segexport wrote it].
    #[arg(long, requires = "pretrained", value_parser = ["8", "16"])]
    output_stride: Option<String>,
    #[command(flatten)]
    test_time: TestTimeArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum Network {
    Deeplabv3,
}

fn main() -> ExitCode {
    cli::run("segpredict", segpredict)
}

fn segpredict(args: Args) -> Result<ExitCode> {
    let test_time = args.test_time.test_time()?;
    if !test_time.is_plain() && args.format.contains(&Format::Logits) {
        return Err(Error::usage(
            "--format logits: raw scores are those of one pass; leave out --scales, --flip, --slide",
        ));
    }
    let (predictor, classes, jobs) = match &args.pretrained {
        Some(file) => {
            if let Some(run) =
                args.paths.iter().find(|path| path.join("config.toml").is_file() && path.join("checkpoints").is_dir())
            {
                return Err(Error::usage(format!(
                    "{}: is a run folder, and --pretrained {} predicts already; leave out one of the two",
                    run.display(),
                    file.display()
                )));
            }
            let jobs = jobs(some(&args.paths)?, &args.out)?;
            let (predictor, classes) = foreign(file, &args)?;
            (predictor, classes, jobs)
        }
        None => {
            let [run, inputs @ ..] = args.paths.as_slice() else {
                return Err(Error::usage("name a run folder (or --pretrained FILE) and pictures to segment"));
            };
            if run.is_file() {
                return Err(Error::usage(format!(
                    "{}: is a file where the run folder is expected; say segpredict RUN INPUT…",
                    run.display()
                )));
            }
            let config = RunConfig::of_run(run)?;
            if !config.data.dataset.task().is_dense() {
                return Err(Error::usage(format!(
                    "{}: this run classifies whole pictures, and segpredict segments them; score it with segeval {0}",
                    run.display()
                )));
            }
            let jobs = jobs(some(inputs)?, &args.out)?;
            let device = args.device.clone().unwrap_or_else(|| config.device.clone());
            // SAFETY: no thread of this program has started yet.
            unsafe { device.pin_default() };
            let newest = checkpoint::last(run)?;
            newest.tell_damaged();
            let predictor = newest.predictor(&config, &device.open()?)?;
            (predictor, chosen(&args, newest.state.classes)?, jobs)
        }
    };
    files::make_writable_folder(&args.out)?;
    let mut failures = 0;
    for job in &jobs {
        match predict(&predictor, &classes, job, &args.format, &test_time) {
            Ok(written) => {
                written.iter().try_for_each(|path| cli::print(format_args!("{}\n", path.display())))?;
            }
            Err(error) => {
                // One bad image does not stop the others; the exit code tells.
                cli::say(format_args!("segpredict: {error}"));
                failures += 1;
            }
        }
    }
    match failures {
        0 => Ok(ExitCode::SUCCESS),
        _ => Err(Error::run(format!("{failures} of {} failed", cli::counted(jobs.len(), "picture")))),
    }
}

fn some(inputs: &[PathBuf]) -> Result<&[PathBuf]> {
    match inputs {
        [] => {
            Err(Error::usage("no picture to segment: name pictures or folders, behind the run folder if there is one"))
        }
        some => Ok(some),
    }
}

/// The class set that predictions are written with: that of `--classes`, else the network's own.
fn chosen(args: &Args, own: ClassSet) -> Result<ClassSet> {
    let Some(name) = &args.classes else { return Ok(own) };
    let given = ClassFile::named(name)?.classes;
    if given.len() == own.len() {
        return Ok(given);
    }
    Err(Error::usage(format!(
        "--classes {name}: has {} classes, and the network has {} ({}); name a set of as many",
        given.len(),
        own.len(),
        own.name
    )))
}

/// The network of a foreign checkpoint, and its classes.
fn foreign(file: &Path, args: &Args) -> Result<(Predictor, ClassSet)> {
    let Network::Deeplabv3 = args.network;
    let checkpoint = Checkpoint::read(file)?;
    let (model, _) = checkpoint.model()?;
    if let Some(backbone) = args.backbone
        && backbone != model.backbone
    {
        return Err(Error::usage(format!(
            "--backbone {}: {} holds a {}",
            backbone.name(),
            file.display(),
            model.backbone.name()
        )));
    }
    let device = args.device.clone().unwrap_or(DeviceChoice::Auto);
    // SAFETY: no thread of this program has started yet.
    unsafe { device.pin_default() };
    let output_stride = args.output_stride.as_deref().map(|stride| if stride == "16" { 16 } else { 8 });
    let (predictor, num_classes, report) = Predictor::pretrained(&checkpoint, output_stride, &device.open()?)?;
    cli::say(report);
    let own = match checkpoint.classes() {
        Some(own) => own.clone(),
        // Without names: Cityscapes' where there are as many.
        None if num_classes == ClassSet::cityscapes().len() => (*ClassSet::cityscapes()).clone(),
        None => ClassSet::numbered(
            &format!("{num_classes} classes"),
            &(0..num_classes).map(|i| format!("class {i}")).collect::<Vec<_>>(),
        ),
    };
    Ok((predictor, chosen(args, own)?))
}
