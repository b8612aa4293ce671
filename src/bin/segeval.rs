//! Scores a trained run.

use clap::Parser;
use indicatif::ProgressBar;
use infoseg::config::{DataArgs, DeviceChoice, RunConfig};
use infoseg::data::Source;
use infoseg::eval::{Predictor, evaluate};
use infoseg::{Result, cli};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

/// Score a trained run: class IoU table, report.json, plots, overlays.
#[derive(Parser)]
#[command(name = "segeval", version)]
struct Args {
    /// Run folder of segtrain; its newest checkpoint is scored.
    run: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// Split to score [default: the run's data.val_split].
    #[arg(long)]
    split: Option<String>,
    /// auto, cpu, cuda, vulkan, or one of several as cuda:1 [default: the run's].
    #[arg(long)]
    device: Option<DeviceChoice>,
    /// Folder for report.json, plots/ and overlays/ [default: RUN/eval-SPLIT].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Number of picture | truth | prediction | errors panels to draw.
    #[arg(long, value_name = "N", default_value_t = 8, allow_negative_numbers = true)]
    overlays: usize,
}

fn main() -> ExitCode {
    cli::run("segeval", segeval)
}

fn segeval(args: Args) -> Result<ExitCode> {
    let mut config = RunConfig::of_run(&args.run)?;
    args.data.apply(&mut config)?;
    let device = args.device.unwrap_or(config.device);
    device.pin_default();
    let split = args.split.unwrap_or_else(|| config.data.val_split.clone());
    let source = Source::open(&config.data, &split)?;
    let predictor = Predictor::load(&args.run, &config, &device.open()?)?;
    let bar = ProgressBar::new(source.len() as u64);
    let evaluation = evaluate(&predictor, &source, args.overlays, |done| {
        bar.set_position(done as u64);
        ControlFlow::Continue(())
    })?;
    let Some(evaluation) = evaluation else { return Ok(ExitCode::FAILURE) };
    bar.finish_and_clear();
    let out = args.out.unwrap_or_else(|| args.run.join(format!("eval-{split}")));
    let report = evaluation.write(&out)?;
    cli::print(format_args!("{}\n", report.table()))?;
    if !evaluation.overlays.is_empty() {
        cli::print(format_args!("overlays  {}\n", out.join("overlays").display()))?;
    }
    cli::print(format_args!("plots     {}\n", out.join("plots").display()))?;
    cli::print(format_args!("report    {}\n", out.join("report.json").display()))?;
    Ok(ExitCode::SUCCESS)
}
