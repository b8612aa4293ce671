//! Trains a segmentation or classification network in gradient-isolated local modules.

use clap::Parser;
use infoseg::Result;
use infoseg::cli::terminal::Terminal;
use infoseg::cli::{self, interrupt};
use infoseg::config::TrainArgs;
use infoseg::memory::counting::Counting;
use infoseg::train::{Outcome, load, run};
use std::process::ExitCode;

/// Train a DeepLabV3, or a network that classifies images, in gradient-isolated local modules (InfoPro). Without
/// arguments: a small DeepLabV3 on built-in street scenes.
#[derive(Parser)]
#[command(name = "segtrain", version)]
struct Args {
    #[command(flatten)]
    train: TrainArgs,
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    cli::run("segtrain", segtrain)
}

fn segtrain(args: Args) -> Result<ExitCode> {
    let config = load(&args.train)?;
    if args.train.print_config {
        cli::print(config.to_commented_toml())?;
        return Ok(ExitCode::SUCCESS);
    }
    // SAFETY: no thread of this program has started yet.
    unsafe { config.first_device().pin_default() };
    match run(config, args.train.resume.is_some(), Terminal::default(), interrupt::stop())? {
        Outcome::Done { folder, table } => {
            cli::print(format_args!("{table}\n"))?;
            for (what, name) in [("overlays", "overlays"), ("mistakes", "mistakes.png"), ("plots", "plots")] {
                let path = folder.join(name);
                if path.exists() {
                    cli::print(format_args!("{what:<12}{}\n", path.display()))?;
                }
            }
            cli::print(format_args!("run folder  {}\n", folder.display()))?;
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
