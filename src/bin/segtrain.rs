//! Trains a segmentation or classification network in gradient-isolated local modules.

use clap::Parser;
use infoseg::config::TrainArgs;
use infoseg::train::{Outcome, interrupt, run};
use infoseg::{Result, cli};
use std::process::ExitCode;

/// Train a DeepLabV3, or a network that classifies pictures, in gradient-isolated local modules (InfoPro). Without
/// arguments: a small DeepLabV3 on built-in street scenes.
#[derive(Parser)]
#[command(name = "segtrain", version)]
struct Args {
    #[command(flatten)]
    train: TrainArgs,
}

fn main() -> ExitCode {
    cli::run("segtrain", segtrain)
}

fn segtrain(args: Args) -> Result<ExitCode> {
    let config = args.train.load()?;
    if args.train.print_config {
        cli::print(config.to_commented_toml())?;
        return Ok(ExitCode::SUCCESS);
    }
    config.device.pin_default();
    match run(config, args.train.resume.is_some())? {
        Outcome::Done { folder, table } => {
            let drawn = match folder.join("overlays").is_dir() {
                true => format!("overlays    {}", folder.join("overlays").display()),
                false => format!("mistakes    {}", folder.join("mistakes.png").display()),
            };
            cli::print(format_args!(
                "{table}\n{drawn}\nplots       {}\nrun folder  {}\n",
                folder.join("plots").display(),
                folder.display()
            ))?;
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Interrupted { folder, step } => {
            cli::print(format_args!(
                "stopped and saved after step {step}; go on with: segtrain --resume {}\n",
                folder.display()
            ))?;
            Ok(ExitCode::from(interrupt::EXIT_CODE))
        }
    }
}
