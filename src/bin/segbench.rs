//! Measurements of the project itself that anybody can rerun.

use clap::{Parser, Subcommand};
use infoseg::bench::local::{Plan, Row};
use infoseg::config::TrainArgs;
use infoseg::train::{Outcome, interrupt, run};
use infoseg::{Error, Result, cli};
use std::path::PathBuf;
use std::process::ExitCode;

/// Measure and compare.
#[derive(Parser)]
#[command(name = "segbench", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train with every local learning method at every K and draw up the paper's table: score and memory. What was trained
    /// into OUT before is not trained again.
    Local {
        /// What all runs have in common; --method, --task-loss, --local-k, --seed and --resume are said below or by the plan.
        #[command(flatten)]
        common: TrainArgs,
        /// Rows of the table.
        #[arg(long, value_enum, value_delimiter = ',', default_values_t = Row::ALL)]
        methods: Vec<Row>,
        /// Columns of the table, beside K = 1 of end-to-end training.
        #[arg(long, value_name = "K,…", value_delimiter = ',', default_values_t = [2, 4, 8], value_parser = clap::value_parser!(u64).range(2..))]
        ks: Vec<u64>,
        /// Seeds of each cell: 1 to this.
        #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=1000))]
        seeds: u64,
    },
    /// One run, as segtrain does it: what `local` starts.
    #[command(hide = true)]
    Train {
        #[command(flatten)]
        args: TrainArgs,
    },
}

fn main() -> ExitCode {
    cli::run("segbench", segbench)
}

fn segbench(args: Args) -> Result<ExitCode> {
    match args.command {
        Command::Local { common, methods, ks, seeds } => local(common, methods, ks, seeds),
        Command::Train { args } => {
            let config = args.load()?;
            config.device.pin_default();
            match run(config, args.resume.is_some())? {
                Outcome::Done { .. } => Ok(ExitCode::SUCCESS),
                Outcome::Interrupted { .. } => Ok(ExitCode::from(interrupt::EXIT_CODE)),
            }
        }
    }
}

fn local(common: TrainArgs, rows: Vec<Row>, ks: Vec<u64>, seeds: u64) -> Result<ExitCode> {
    let given = [
        ("--method", common.method.is_some(), "--methods"),
        ("--task-loss", common.task_loss.is_some(), "--methods"),
        ("--local-k", common.local_k.is_some(), "--ks"),
        ("--seed", common.seed.is_some(), "--seeds"),
        ("--resume", common.resume.is_some(), "--out, which goes on with what is there"),
    ];
    if let Some((flag, _, instead)) = given.iter().find(|(_, given, _)| *given) {
        return Err(Error::usage(format!("{flag}: the comparison chooses it for each run; say {instead}")));
    }
    let mut ks: Vec<usize> = ks.into_iter().map(|k| usize::try_from(k).unwrap_or(usize::MAX)).collect();
    ks.sort_unstable();
    ks.dedup();
    let config = common.load()?;
    if common.print_config {
        cli::print(config.to_commented_toml())?;
        return Ok(ExitCode::SUCCESS);
    }
    let out = common.out.clone().unwrap_or_else(|| PathBuf::from("runs/segbench-local"));
    let layers = TrainArgs { out: None, ..common }.layers()?;
    let table = Plan { common: layers, rows, ks, seeds, out: out.clone() }.measure()?;
    let written = table.write(&out)?;
    cli::print(format_args!("{}\n", table.markdown()))?;
    for path in written {
        cli::print(format_args!("{}\n", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
