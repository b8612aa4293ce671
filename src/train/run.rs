//! From a configuration to a run that is under way.

use super::board::Board;
use super::checkpoint;
use super::lock::RunLock;
use super::metrics::Metrics;
use super::observer::{Observer, Stop};
use super::run_log::RunLog;
use super::schedule::{self, total_steps};
use super::trainer::Trainer;
use super::words::{describe, tell_new_schedule, tell_same_images, tell_unlabelled};
use super::{exhaustion, features, lost, metrics, run_folder};
use crate::config::{RunConfig, ScheduleKind};
use crate::data::Dataset;
use crate::local::{LocalNetwork, cost::StepCost, cut};
use crate::memory;
use crate::messages::say;
use crate::task::ClassSet;
use crate::task::class_set::ClassFile;
use crate::weights::Checkpoint;
use crate::weights::classifiers::{ClassMap, NewClasses};
use crate::{Error, Result, data};
use burn::tensor::Device;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// How a run ended.
pub enum Outcome {
    /// All steps done; the table of the last evaluation.
    Done {
        /// The run folder.
        folder: PathBuf,
        /// IoU or accuracy of each class, and the scores.
        table: String,
    },
    /// A stop was requested; saved after this step.
    Interrupted {
        /// The run folder.
        folder: PathBuf,
        /// Steps done.
        step: usize,
    },
}

/// Trains as `config` says, in a new run folder, or with `resume` from the newest checkpoint in `config.train.out`.
/// `observer` sees each step; `stop` ends the run, saved, after the step that it is at.
///
/// # Errors
/// Anything wrong with data, configuration, device or disk; a loss that is not finite. The last checkpoint stays good.
pub fn run(config: RunConfig, resume: bool, observer: impl Observer + 'static, stop: Stop) -> Result<Outcome> {
    let open = |config: &RunConfig| {
        let split = |split: &str| data::open(&config.data, split);
        let file = config.data.dataset.task().is_dense().then(|| data::class_file(&config.data)).transpose()?;
        Ok(Splits { train: split(&config.data.train_split)?, val: split(&config.data.val_split)?, file })
    };
    run_on(open, config, resume, Box::new(observer), stop)
}

/// Like [`run`], on datasets of the caller's own. The section `[data]` of the configuration is only read for its task, the
/// number of loader threads and the normalization, and is kept in the run folder.
///
/// # Errors
/// See [`run`]; the datasets are for another task than `config.data.dataset`.
pub fn run_with(
    train: Box<dyn Dataset>,
    val: Box<dyn Dataset>,
    config: RunConfig,
    resume: bool,
    observer: impl Observer + 'static,
    stop: Stop,
) -> Result<Outcome> {
    for dataset in [&train, &val] {
        let (given, wanted) = (dataset.task(), config.data.dataset.task());
        if given != wanted {
            let (given, wanted) = (given.task().unit(), wanted.task().unit());
            return Err(Error::usage(format!(
                "data.dataset = {}: has a class for each {wanted}, the given dataset one for each {given}; start from the \
                 defaults of another dataset",
                config.data.dataset.name()
            )));
        }
    }
    let own = |_: &RunConfig| {
        let file = train.task().is_dense().then(|| ClassFile::of((**train.classes()).clone()));
        Ok(Splits { train, val, file })
    };
    run_on(own, config, resume, Box::new(observer), stop)
}

/// What is trained on and what is scored.
struct Splits {
    train: Box<dyn Dataset>,
    val: Box<dyn Dataset>,
    /// The class set with the layout of its files, where each pixel has a class.
    file: Option<ClassFile>,
}

fn run_on(
    open: impl FnOnce(&RunConfig) -> Result<Splits>,
    mut config: RunConfig,
    resume: bool,
    observer: Box<dyn Observer>,
    stop: Stop,
) -> Result<Outcome> {
    // First: another process may still be changing this run.
    let mut lock = if resume { Some(RunLock::take(&config.train.out)?) } else { None };
    let checkpoint = match resume {
        true => Some(checkpoint::last(&config.train.out)?),
        false => None,
    };
    // What is wrong with the command comes before what is wrong with files. Cuts do not depend on the classes.
    cut::module_ranges_of(&config.spec(), ClassSet::cityscapes().len())?;
    checkpoint.iter().try_for_each(|checkpoint| check_resumed(checkpoint, &config))?;
    let Splits { train, val, file } = open(&config)?;
    for (dataset, split) in [(&train, &config.data.train_split), (&val, &config.data.val_split)] {
        tell_unlabelled(&**dataset, split)?;
    }
    if train.task().is_dense() {
        tell_same_images(&*train, &*val)?;
    }
    let classes = Arc::clone(train.classes());
    checkpoint.iter().try_for_each(|checkpoint| {
        checkpoint.check_classes(&classes)?;
        checkpoint.check_ids(&classes)
    })?;
    if checkpoint.is_none() {
        config.local.cuts = cut::named_cuts(&config.spec(), classes.len())?;
    }
    let plan = exhaustion::prepare(&config, classes.len())?;
    let remotes: Vec<_> = config.remote_devices().cloned().collect();
    let built = lost::guarded(&remotes, &config.train.out, &stop, || build(&config, &classes, checkpoint.as_ref()));
    let (devices, network, networks) = built?;
    let folder = match &checkpoint {
        Some(checkpoint) => {
            tell_new_schedule(&config, checkpoint.state.step);
            run_folder::write_config(&config.train.out, &config)?;
            config.train.out.clone()
        }
        None => {
            let (folder, taken) = run_folder::create(&mut config)?;
            lock = Some(taken);
            folder
        }
    };
    let resumed = checkpoint.is_some();
    if let Some(file) = &file {
        run_folder::write_classes(&folder, file)?;
    }
    let lock = lock; // until the end of the run
    let outcome =
        start(config, devices, network, networks, folder.clone(), checkpoint, plan.cost, train, &*val, observer, stop);
    if outcome.is_err() && !resumed {
        run_folder::remove_unstarted(&folder);
    }
    drop(lock);
    outcome
}

/// Refuses to go on with a run that has come to its end, or that another configuration began.
fn check_resumed(checkpoint: &checkpoint::Checkpoint, config: &RunConfig) -> Result<()> {
    checkpoint.tell_damaged();
    checkpoint.check_fits(config)?;
    if checkpoint.state.staged_steps.is_some() {
        features::check_unchanged(&RunConfig::of_run(&config.train.out)?, config)?;
    }
    // A run that was stopped in its last evaluation has that left to do.
    let log = Metrics::read(&config.train.out.join("metrics.jsonl")).unwrap_or_default();
    let scored = metrics::has_evaluation(&log, checkpoint.state.step);
    let total = total_steps(config);
    if checkpoint.state.step > total || (checkpoint.state.step == total && scored) {
        let step = checkpoint.state.step;
        let longer = match checkpoint.state.staged_steps {
            None => format!("train longer with --steps N, above {step}"),
            Some(_) => "a staged run ends there".into(),
        };
        let last = if step == total { ", its last," } else { "" };
        return Err(Error::usage(format!(
            "{}: step {step}{last} is done already; {longer}",
            config.train.out.display(),
        )));
    }
    Ok(())
}

/// Devices, the network on them, and of data parallelism its replicas.
type Built = (Vec<Device>, LocalNetwork, Vec<LocalNetwork>);

fn build(config: &RunConfig, classes: &ClassSet, checkpoint: Option<&checkpoint::Checkpoint>) -> Result<Built> {
    let devices = config.open_devices()?;
    let fresh = checkpoint.is_none() && !config.train.pretrained.as_os_str().is_empty();
    let pretrained = if fresh { Some(Checkpoint::read(&config.train.pretrained)?) } else { None };
    let map = match fresh && !config.train.init_classes.as_os_str().is_empty() {
        true => Some(ClassMap::read(&config.train.init_classes)?),
        false => None,
    };
    let num_classes = classes.len();
    let mut networks = Vec::new();
    for (index, device) in devices[..config.parallel.replicas].iter().enumerate() {
        let mut network = LocalNetwork::new(&config.spec(), num_classes, device)?;
        if let Some(pretrained) = &pretrained {
            let new = NewClasses { classes, map: map.as_ref() };
            let report = pretrained.load_classes_into(&mut network, &config.model, Some(new), false)?;
            Some(report).filter(|_| index == 0).into_iter().for_each(say);
        }
        if let Some(checkpoint) = checkpoint {
            network.load(&checkpoint.folder, true)?;
        }
        networks.push(network);
        memory::give_back(device); // what reading took
    }
    let mut network = networks.remove(0);
    if networks.is_empty() {
        network.place(&devices, &config.places(num_classes)?);
    }
    Ok((devices, network, networks))
}

/// Trains in a run folder that is there.
fn start(
    config: RunConfig,
    devices: Vec<Device>,
    network: LocalNetwork,
    replicas: Vec<LocalNetwork>,
    folder: PathBuf,
    checkpoint: Option<checkpoint::Checkpoint>,
    predicted: StepCost,
    train: Box<dyn Dataset>,
    val: &dyn Dataset,
    mut observer: Box<dyn Observer>,
    stop: Stop,
) -> Result<Outcome> {
    let (first_step, seconds_before) = checkpoint.map_or((0, 0.0), |c| (c.state.step, c.state.seconds));
    let batch_size = config.train.batch_size * config.parallel.replicas;
    observer.started(&folder, total_steps(&config), first_step, batch_size)?;
    describe(&config, &network, &*train, val, &folder);
    let on_gpu = devices.iter().any(memory::has_pools);
    let beside =
        if on_gpu { format!(", {} of it beside tensors", memory::human(predicted.beside)) } else { String::new() };
    say(format_args!("predicted peak memory of a step: {}{beside}", memory::human(predicted.peak())));
    let tells = config.train.schedule == ScheduleKind::Sequential && config.parallel.replicas == 1;
    if on_gpu && !tells {
        say(format_args!("tuning kernels for this GPU (first run only): the first step may take minutes"));
    }
    let classes = Arc::clone(train.classes());

    let log = RunLog {
        metrics: Metrics::open(&folder, first_step)?,
        observer,
        stop,
        started: Instant::now(),
        seconds_before,
        devices: devices.clone(),
        optim: config.optim.clone(),
        steps: config.train.steps,
        total_steps: total_steps(&config),
        log_every_steps: config.train.log_every_steps,
        board: if config.train.tensorboard { Some(Board::create(&folder, first_step)?) } else { None },
    };
    let mut schedule = schedule::of(&config, train, network.normalization, replicas, first_step);
    let mut trainer = Trainer { log, config, devices, network, folder, classes, first_step };
    let remotes: Vec<_> = trainer.config.remote_devices().cloned().collect();
    let run = trainer.folder.clone();
    let outcome = lost::guarded(&remotes, &run, &trainer.log.stop.clone(), || trainer.train(&mut *schedule, val));
    trainer.log.observer.finished();
    outcome
}
