//! Shows what each block of trained networks knows of the image and of its label.

use clap::Parser;
use infoseg::cli::{self, duration};
use infoseg::config::{DataArgs, RunConfig};
use infoseg::data;
use infoseg::device::DeviceChoice;
use infoseg::files::make_writable_folder;
use infoseg::page::About;
use infoseg::probe::report::{self, ProbedRun};
use infoseg::probe::{Probed, Settings, check_alike};
use infoseg::render::drawn::{DrawnRun, drawn_sheet};
use infoseg::render::plots::{DepthAxes, DepthCurve, DepthPoint, depth_plot};
use infoseg::render::save_png;
use infoseg::train::checkpoint;
use infoseg::{Error, Result};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Estimate what each block of trained networks knows: of the image, I(h, x), by how well a decoder that is trained afresh
/// on the block's frozen features draws it; of its label, I(h, y), by how well a classifier that is trained afresh tells it.
/// Writes a plot of both over depth for all runs, a sheet of the drawn images, and the numbers. "Without features" is who
/// has not seen the image: the mean color, and the most frequent class.
#[derive(Parser)]
#[command(name = "segprobe", version)]
struct Args {
    /// Run folders of segtrain; of each the newest checkpoint is probed.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
    /// Training steps of every probe.
    #[arg(long, value_name = "N", default_value_t = 500, allow_negative_numbers = true)]
    steps: usize,
    /// Images of a step [default: the first run's].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    batch_size: Option<usize>,
    /// Learning rate of the probes (Adam, falling to 0 along a cosine).
    #[arg(long, default_value_t = 2e-3, allow_negative_numbers = true)]
    lr: f64,
    /// Validation images to score the probes on, at most.
    #[arg(long, value_name = "N", default_value_t = 2000, allow_negative_numbers = true)]
    pictures: usize,
    /// Blocks to probe at most, evenly chosen, the first and the last among them; 1 is the last [default: all].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    blocks: Option<usize>,
    /// Draws the probes' weights, crops and order; the same for all runs.
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    seed: u64,
    /// auto, cpu, cuda, vulkan, or one of several as cuda:1 [default: the first run's].
    #[arg(long)]
    device: Option<DeviceChoice>,
    /// Folder for probe.png, probe.svg, drawn.png and probe.json [default: probe in the first RUN].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// In a step, as of training.
const MOST_PICTURES: usize = 4096;
/// Images on the sheet.
const DRAWN: usize = 3;

fn main() -> ExitCode {
    cli::run("segprobe", segprobe)
}

fn segprobe(args: Args) -> Result<ExitCode> {
    let mut configs = args.runs.iter().map(|run| config_of(&args, run)).collect::<Result<Vec<_>>>()?;
    let first = configs[0].clone();
    let settings = settings(&args, &first)?;
    let device = args.device.clone().unwrap_or_else(|| first.device.clone());
    // SAFETY: no thread of this program has started yet.
    unsafe { device.pin_default() };
    let device = device.open()?;
    let mut newest = Vec::new();
    for (run, config) in args.runs.iter().zip(&mut configs) {
        check_alike((&args.runs[0].display().to_string(), &first), (&run.display().to_string(), config))?;
        // All of them are asked about the same images.
        (config.data, config.augment) = (first.data.clone(), first.augment.clone());
        newest.push(checkpoint::last(run)?);
    }
    let open = |split: &str| data::open(&first.data, split);
    let val = open(&first.data.val_split)?;
    newest.iter().try_for_each(|checkpoint| checkpoint.check_classes(val.classes()))?;
    if val.task().is_dense() {
        cli::say(format_args!("segprobe: classes: {}", val.classes().describe()));
    }
    let out = args.out.clone().unwrap_or_else(|| args.runs[0].join("probe"));
    make_writable_folder(&out)?;
    let (mut probed, mut written) = (Vec::new(), Vec::new());
    let abouts = args.runs.iter().zip(&configs).zip(&newest);
    let abouts =
        abouts.map(|((run, config), newest)| About::of(run, config, &config.data.val_split, &newest.state, None));
    let abouts = abouts.collect::<Result<Vec<_>>>()?;
    for (number, (config, newest)) in configs.iter().zip(&newest).enumerate() {
        newest.tell_damaged();
        let train = open(&first.data.train_split)?;
        let mut probes = Probed::new(newest, config, &device, &settings)?;
        let title = title(&abouts, number, &args.runs[number]);
        let mut told = Reporter::new(match abouts.len() {
            1 => title.clone(),
            runs => format!("run {} of {runs}, {title}", number + 1),
        });
        probes.train(train, config, &settings, |step| told.trained(step, settings.steps))?;
        let scored = probes.score(&*val, config, &settings, DRAWN, |done, count| told.scored(done, count))?;
        let run = ProbedRun { name: title, steps: abouts[number].steps, scored };
        cli::print(format_args!("{}\n", report::table(&run)))?;
        probed.push(run);
        // After each run: what takes hours is not lost with the next one.
        written = write(&out, &probed, &settings)?;
    }
    for path in written {
        cli::print(format_args!("{}\n", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn config_of(args: &Args, run: &Path) -> Result<RunConfig> {
    let mut config = RunConfig::of_run(run)?;
    args.data.apply(&mut config)?;
    Ok(config)
}

fn settings(args: &Args, first: &RunConfig) -> Result<Settings> {
    let settings = Settings {
        steps: args.steps,
        batch_size: args.batch_size.unwrap_or(first.train.batch_size),
        lr: args.lr,
        seed: args.seed,
        workers: first.data.workers,
        pictures: args.pictures,
        blocks: args.blocks.unwrap_or(usize::MAX),
    };
    let counts = [
        ("--steps", settings.steps),
        ("--batch-size", settings.batch_size),
        ("--pictures", settings.pictures),
        ("--blocks", settings.blocks),
    ];
    if settings.batch_size > MOST_PICTURES {
        let message = format!("--batch-size {}: is above {MOST_PICTURES}; choose fewer", settings.batch_size);
        return Err(Error::usage(message));
    }
    match counts.into_iter().find(|(_, count)| *count == 0) {
        Some((flag, _)) => Err(Error::usage(format!("{flag} 0: there would be nothing to do; say 1 or more"))),
        None if !(args.lr > 0.0 && args.lr.is_finite()) => {
            Err(Error::usage(format!("--lr {}: a learning rate is above 0, such as 0.002", args.lr)))
        }
        None => Ok(settings),
    }
}

/// Such as `greedy, K = 4 (small)`: with its network where not all have the same, and its path where names do not tell it.
fn title(abouts: &[About], number: usize, run: &Path) -> String {
    let about = &abouts[number];
    let network = match abouts.iter().all(|other| other.network == about.network) {
        true => String::new(),
        false => format!(", {}", about.network),
    };
    let named_so = abouts.iter().filter(|other| other.name == about.name).count();
    let name = if named_so > 1 { run.display().to_string() } else { about.name.clone() };
    let schedule = about.schedule.as_ref().map_or_else(String::new, |schedule| format!(", {schedule}"));
    match about.num_modules {
        1 => format!("{}{network} ({name})", about.method),
        k => format!("{}, K = {k}{schedule}{network} ({name})", about.method),
    }
}

fn write(out: &Path, runs: &[ProbedRun], settings: &Settings) -> Result<Vec<PathBuf>> {
    let baseline = runs[0].scored.baseline;
    let segmentation = baseline.miou.is_some();
    let axes = DepthAxes {
        score: if segmentation { "mIoU of a fresh segmenter (%)" } else { "accuracy of a fresh classifier (%)" },
        without: (baseline.reconstruction_error, 100.0 * baseline.miou.unwrap_or(baseline.accuracy)),
    };
    let curves: Vec<DepthCurve> = runs
        .iter()
        .map(|run| DepthCurve {
            name: run.name.clone(),
            points: run
                .scored
                .blocks
                .iter()
                .map(|block| DepthPoint {
                    block: block.name.clone(),
                    ends_module: block.ends_module,
                    reconstruction_error: block.reconstruction_error,
                    score: 100.0 * block.miou.unwrap_or(block.accuracy),
                })
                .collect(),
        })
        .collect();
    let [plot, sheet, numbers] = ["probe.png", "drawn.png", "probe.json"].map(|name| out.join(name));
    depth_plot(&plot, axes, &curves)?;
    let drawn: Vec<DrawnRun> = runs
        .iter()
        .map(|run| DrawnRun {
            name: run.name.clone(),
            blocks: run.scored.blocks.iter().map(|block| block.name.clone()).collect(),
            pictures: run.scored.drawn.clone(),
        })
        .collect();
    save_png(&sheet, &drawn_sheet(&drawn)?)?;
    report::write(&numbers, runs, settings)?;
    Ok(vec![plot.clone(), plot.with_extension("svg"), sheet, numbers])
}

/// Says every ten seconds how far it is.
struct Reporter {
    name: String,
    started: Instant,
    said: Instant,
}

impl Reporter {
    fn new(name: String) -> Self {
        cli::say(format_args!("segprobe: {name}"));
        Self { name, started: Instant::now(), said: Instant::now() }
    }

    fn trained(&mut self, step: usize, steps: usize) {
        let left = self.started.elapsed().as_secs_f64() / step as f64 * (steps - step) as f64;
        self.tell(format_args!("{step}/{steps} steps · ETA {}", duration(left)));
    }

    fn scored(&mut self, done: usize, count: usize) {
        self.tell(format_args!("{done}/{count} pictures scored"));
    }

    fn tell(&mut self, words: impl Display) {
        if self.said.elapsed() >= Duration::from_secs(10) {
            self.said = Instant::now();
            cli::say(format_args!("segprobe: {}: {words}", self.name));
        }
    }
}
