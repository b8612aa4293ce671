//! Measurements of the project itself, to be rerun by any user.

use clap::{Parser, Subcommand};
use infoseg::bench::local::{Plan, Row};
use infoseg::bench::{data, eval, memory, ops, scaling, step, tune};
use infoseg::cli::terminal::Terminal;
use infoseg::cli::{self, interrupt};
use infoseg::config::{RunConfig, ScheduleKind, TrainArgs};
use infoseg::device::DeviceChoice;
use infoseg::memory::counting::Counting;
use infoseg::size::Resolution;
use infoseg::train::{Outcome, run};
use infoseg::{Error, Result};
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
    /// Seconds and memory of training steps at every K and size, on a made-up batch: no dataset is needed.
    Step {
        /// What all have in common, such as --config and --batch-size.
        #[command(flatten)]
        common: TrainArgs,
        /// Numbers of local modules; 1 is end-to-end training.
        #[arg(long, value_name = "K,…", value_delimiter = ',', default_values_t = [1, 2, 4], value_parser = clap::value_parser!(u64).range(1..))]
        ks: Vec<u64>,
        /// Methods; K = 1 is end-to-end training.
        #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Row::InfoproSoftmax])]
        methods: Vec<Row>,
        /// Crop sizes [default: the configuration's].
        #[arg(long, value_name = "HEIGHTxWIDTH,…", value_delimiter = ',')]
        resolutions: Vec<Resolution>,
        /// Steps for each; the first, where there are more, is not measured.
        #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
        bench_steps: u64,
        /// Print a line of JSON for each, and no table.
        #[arg(long)]
        json: bool,
    },
    /// Where the bytes of a training step are: kept by each block, peak of each module and of the step, predicted and
    /// measured, and a plot of bytes in use over the step. On a made-up batch: no dataset is needed.
    Memory {
        /// The configuration to measure.
        #[command(flatten)]
        common: TrainArgs,
        /// Where to draw the plot.
        #[arg(long, value_name = "FILE", default_value = "memory.png")]
        plot: PathBuf,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Each operation of ours against the same made of burn's own, forward and backward: time and memory.
    Ops {
        /// Where to compute.
        #[arg(long, default_value = "auto")]
        device: DeviceChoice,
        /// Times each is made.
        #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
        rounds: u64,
    },
    /// Training images a second: decoded and augmented on one thread, and from the loader.
    Data {
        /// The dataset, and how it is augmented.
        #[command(flatten)]
        common: TrainArgs,
        /// Images to go through.
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        count: u64,
    },
    /// Seconds to score an image of the configured --resolution, network and metrics apart; on a made-up image.
    Eval {
        /// The network.
        #[command(flatten)]
        common: TrainArgs,
        /// Images to score.
        #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
        rounds: u64,
    },
    /// Compile, measure and choose a GPU's kernels ahead of a run of these shapes; on a made-up batch. A run does it itself in
    /// its first step.
    Tune {
        /// The configuration that will be trained.
        #[command(flatten)]
        common: TrainArgs,
        /// Sizes of images that will be predicted or scored.
        #[arg(long, value_name = "HxW,…", value_delimiter = ',')]
        pictures: Vec<Resolution>,
    },
    /// Images a second on more devices: measured on one thread, predicted for devices and a link, and checked with a thread
    /// for each module, on a made-up batch.
    Scaling {
        /// The network, with its --local-k.
        #[command(flatten)]
        common: TrainArgs,
        /// Numbers of devices.
        #[arg(long, value_name = "D,…", value_delimiter = ',', default_values_t = [1, 2, 4, 8], value_parser = clap::value_parser!(u64).range(1..=1024))]
        numbers: Vec<u64>,
        /// Speed of the link between devices, in GB/s in each direction.
        #[arg(long, value_name = "GB/s", default_value_t = 1.25)]
        link: f64,
        /// Steps to measure.
        #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
        bench_steps: u64,
        /// Print JSON instead of tables.
        #[arg(long)]
        json: bool,
    },
    /// What `step` starts for one configuration.
    #[command(hide = true)]
    StepOnce {
        #[command(flatten)]
        common: TrainArgs,
        #[arg(long)]
        bench_steps: u64,
    },
    /// One run, as segtrain does it: what `local` starts.
    #[command(hide = true)]
    Train {
        #[command(flatten)]
        args: TrainArgs,
    },
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    cli::run("segbench", segbench)
}

impl Command {
    /// The flags of a training run, where it has them.
    const fn common(&self) -> Option<&TrainArgs> {
        match self {
            Self::Local { common, .. } | Self::Step { common, .. } | Self::Memory { common, .. } => Some(common),
            Self::Data { common, .. } | Self::Eval { common, .. } | Self::Tune { common, .. } => Some(common),
            Self::Scaling { common, .. } | Self::StepOnce { common, .. } => Some(common),
            Self::Train { args } => Some(args),
            Self::Ops { .. } => None,
        }
    }
}

/// The configuration, whose class set is there if it names one.
fn load(common: &TrainArgs) -> Result<RunConfig> {
    let config = infoseg::train::load(common)?;
    if config.data.dataset.task().is_dense() && !config.data.root.as_os_str().is_empty() {
        infoseg::data::class_file(&config.data)?;
    }
    Ok(config)
}

fn segbench(args: Args) -> Result<ExitCode> {
    if let Some(common) = args.command.common().filter(|common| common.print_config) {
        cli::print(common.load()?.to_commented_toml())?;
        return Ok(ExitCode::SUCCESS);
    }
    match args.command {
        Command::Local { common, methods, ks, seeds } => local(common, methods, ks, seeds),
        Command::Step { common, ks, methods, resolutions, bench_steps, json } => {
            refuse_schedule(&common)?;
            refuse(&[
                ("--local-k", common.local_k.is_some(), "--ks"),
                ("--memory-budget", common.memory_budget.is_some(), "--ks"),
                ("--method", common.method.is_some(), "--methods"),
                ("--task-loss", common.task_loss.is_some(), "--methods"),
                ("--resume", common.resume.is_some(), "--config"),
            ])?;
            let ks = ks.into_iter().map(|k| usize::try_from(k).unwrap_or(usize::MAX)).collect();
            let plan = step::Plan { common: common.layers()?, methods, ks, resolutions, steps: bench_steps as usize };
            let all = plan.measure(|measured| if json { print_json(measured) } else { Ok(()) })?;
            if !json {
                cli::print(step::table(&all))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Memory { common, plot, json } => {
            refuse_schedule(&common)?;
            if !plot.extension().is_some_and(|extension| extension == "png" || extension == "svg") {
                let message = format!("--plot {}: ends in neither .png nor .svg; both are written", plot.display());
                return Err(Error::usage(message));
            }
            let config = load(&common)?;
            // SAFETY: no thread of this program has started yet.
            unsafe { config.first_device().pin_default() };
            let bytes = memory::measure(&config)?;
            if json {
                print_json(&bytes)?;
            } else {
                cli::print(bytes.table())?;
            }
            bytes.plot(&plot)?;
            cli::say(plot.with_extension("png").display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Ops { device, rounds } => {
            // SAFETY: no thread of this program has started yet.
            unsafe { device.pin_default() };
            let all = ops::measure(&device.open()?.autodiff(), rounds as usize)?;
            cli::print(ops::table(&all))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Data { common, count } => {
            print_json(&data::measure(&load(&common)?, count as usize)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Eval { common, rounds } => {
            let config = load(&common)?;
            // SAFETY: no thread of this program has started yet.
            unsafe { config.first_device().pin_default() };
            print_json(&eval::measure(&config, rounds as usize)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Tune { common, pictures } => {
            let config = load(&common)?;
            // SAFETY: no thread of this program has started yet.
            unsafe { config.first_device().pin_default() };
            tune::tune(&config, &pictures)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Scaling { common, numbers, link, bench_steps, json } => {
            if !(link.is_finite() && link > 0.0) {
                return Err(Error::usage(format!("--link {link}: a link has a speed above 0")));
            }
            let config = load(&common)?;
            // SAFETY: no thread of this program has started yet.
            unsafe { config.first_device().pin_default() };
            let numbers: Vec<usize> = numbers.into_iter().map(|number| number as usize).collect();
            let link = scaling::Link { bandwidth: link * 1e9 };
            let scaling = scaling::measure(&config, &numbers, link, bench_steps as usize)?;
            if json {
                print_json(&scaling)?
            } else {
                cli::print(scaling.text())?
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::StepOnce { common, bench_steps } => {
            let config = load(&common)?;
            // SAFETY: no thread of this program has started yet.
            unsafe { config.first_device().pin_default() };
            print_json(&step::measure(&config, bench_steps as usize)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Train { args } => {
            let config = args.load()?;
            // SAFETY: no thread of this program has started yet.
            unsafe { config.first_device().pin_default() };
            match run(config, args.resume.is_some(), Terminal::default(), interrupt::stop())? {
                Outcome::Done { .. } => Ok(ExitCode::SUCCESS),
                Outcome::Interrupted { .. } => Ok(ExitCode::from(interrupt::EXIT_CODE)),
            }
        }
    }
}

/// Steps are measured with one module at work at a time.
fn refuse_schedule(common: &TrainArgs) -> Result<()> {
    match common.schedule {
        Some(ScheduleKind::Async) => Err(Error::usage(
            "--schedule async: this measures one module after another; segtrain says what a run of all at once will take, \
             and `segbench scaling` how fast it is",
        )),
        _ => Ok(()),
    }
}

/// Refuses flags whose value is chosen for each run: `(flag, whether it was given, what to say instead)`.
fn refuse(flags: &[(&str, bool, &str)]) -> Result<()> {
    match flags.iter().find(|(_, given, _)| *given) {
        None => Ok(()),
        Some((flag, _, instead)) => {
            Err(Error::usage(format!("{flag}: the comparison chooses it for each run; say {instead}")))
        }
    }
}

fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string(value).map_err(|e| Error::run(format!("no JSON: {e}")))?;
    cli::print(format_args!("{text}\n"))
}

fn local(common: TrainArgs, rows: Vec<Row>, ks: Vec<u64>, seeds: u64) -> Result<ExitCode> {
    refuse(&[
        ("--method", common.method.is_some(), "--methods"),
        ("--task-loss", common.task_loss.is_some(), "--methods"),
        ("--local-k", common.local_k.is_some(), "--ks"),
        ("--seed", common.seed.is_some(), "--seeds"),
        ("--memory-budget", common.memory_budget.is_some(), "--ks"),
        ("--resume", common.resume.is_some(), "--out, which goes on with what is there"),
    ])?;
    let mut ks: Vec<usize> = ks.into_iter().map(|k| usize::try_from(k).unwrap_or(usize::MAX)).collect();
    ks.sort_unstable();
    ks.dedup();
    common.load()?; // what is wrong with it comes first
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
