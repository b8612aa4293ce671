//! Segments pictures with a trained run.

use clap::Parser;
use infoseg::config::{DeviceChoice, RunConfig};
use infoseg::eval::Predictor;
use infoseg::predict::{Format, jobs, predict};
use infoseg::{Error, Result, cli};
use std::path::PathBuf;
use std::process::ExitCode;

/// Segment pictures of any size with a trained run.
#[derive(Parser)]
#[command(name = "segpredict", version)]
struct Args {
    /// Run folder of segtrain; its newest checkpoint predicts.
    run: PathBuf,
    /// Pictures (PNG or JPEG), or folders that are searched for them.
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// Folder to write to; subfolders of an input folder are kept.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What to write: overlay (NAME_overlay.png), color (_color.png, the Cityscapes palette), label-ids
    /// (_labelIds.png, fit for the Cityscapes server), train-ids (_labelTrainIds.png).
    #[arg(long, value_delimiter = ',', default_value = "overlay")]
    format: Vec<Format>,
    /// auto, cpu, cuda, vulkan, or one of several as cuda:1 [default: the run's].
    #[arg(long)]
    device: Option<DeviceChoice>,
}

fn main() -> ExitCode {
    cli::run("segpredict", segpredict)
}

fn segpredict(args: Args) -> Result<ExitCode> {
    let config = RunConfig::of_run(&args.run)?;
    let jobs = jobs(&args.inputs, &args.out)?;
    let device = args.device.unwrap_or(config.device);
    device.pin_default();
    let predictor = Predictor::load(&args.run, &config, &device.open()?)?;
    let mut failures = 0;
    for job in &jobs {
        match predict(&predictor, job, &args.format) {
            Ok(written) => {
                written.iter().try_for_each(|path| cli::print(format_args!("{}\n", path.display())))?;
            }
            Err(error) => {
                // One bad picture does not stop the others; the exit code tells.
                cli::say(format_args!("segpredict: {error}"));
                failures += 1;
            }
        }
    }
    match failures {
        0 => Ok(ExitCode::SUCCESS),
        _ => Err(Error::run(format!("{failures} of {} pictures failed", jobs.len()))),
    }
}
