//! Command-line flags of a training run, shared by every binary that starts one.

use super::{
    Backbone, DatasetKind, DeviceChoice, Flag, Layers, LocalK, Method, Precision, Resolution, RunConfig, ScheduleKind,
    TaskLoss,
};
use crate::memory::MemorySize;
use crate::{Error, Result};
use serde::Serialize;
use std::path::{Path, PathBuf};
use toml::Value;

// What to train, on what, where. Anything not said comes from `--config`, else from the dataset's built-in default.
// Not a doc comment: clap would print it in place of the program's own description.
#[allow(missing_docs)]
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TrainArgs {
    /// Configuration file (see configs/); flags and --set override it
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub config: Option<PathBuf>,

    /// Set any configuration key, such as --set optim.lr=0.02 (repeatable; --print-config shows all keys)
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Where images and labels come from
    #[arg(long)]
    pub dataset: Option<DatasetKind>,

    /// Folder of the dataset as its publisher ships it (Cityscapes: the one of leftImg8bit/ and gtFine/; CIFAR: its .tar.gz
    /// will do)
    #[arg(long, value_name = "DIR")]
    pub data_root: Option<PathBuf>,

    /// Classes: a classes.toml, or a preset (cityscapes, camvid, voc, ade20k, bdd100k, coco-stuff, mapillary-v1.2) [default:
    /// classes.toml in the data root]
    #[arg(long, value_name = "FILE|PRESET")]
    pub classes: Option<String>,

    /// Training crop in pixels, such as 512x1024
    #[arg(long, value_name = "HEIGHTxWIDTH")]
    pub resolution: Option<Resolution>,

    /// K: number of gradient-isolated local modules; 1 is end-to-end training, auto as few as fit into memory (then, where that is not
    /// enough, recomputation and micro-batches)
    #[arg(long, value_name = "K|auto", allow_negative_numbers = true)]
    pub local_k: Option<LocalK>,

    /// Memory that training may take, such as 8GiB: choose K (unless said), cuts, recomputation and micro-batches for it
    #[arg(long, value_name = "SIZE")]
    pub memory_budget: Option<MemorySize>,

    /// Keep the inputs of blocks alone and go forward twice: less memory, about a quarter more time
    #[arg(long)]
    pub recompute: bool,

    /// Local learning method
    #[arg(long)]
    pub method: Option<Method>,

    /// T: the task term of the local losses
    #[arg(long)]
    pub task_loss: Option<TaskLoss>,

    /// Network that computes the features; of small images resnet20 and what follows
    #[arg(long)]
    pub backbone: Option<Backbone>,

    /// Which local module steps when
    #[arg(long)]
    pub schedule: Option<ScheduleKind>,

    /// Schedule async: batches that may wait before each module but the first
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub queue_depth: Option<u32>,

    /// Number format of activations
    #[arg(long)]
    pub precision: Option<Precision>,

    /// Number of training steps
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub steps: Option<u32>,

    /// Images per step
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub batch_size: Option<u32>,

    /// Where to compute: auto, cpu, cuda, vulkan, or one of several as cuda:1
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<DeviceChoice>,

    /// Several devices instead, such as cuda:0,cuda:1: local modules are placed on them, neighbours together, by predicted work
    #[arg(long, value_name = "DEVICE,…", value_delimiter = ',')]
    pub devices: Option<Vec<DeviceChoice>>,

    /// With --devices: number (from 0) of each local module's device, such as 0,1,1
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    pub place: Option<Vec<u32>>,

    /// Token of the workers among --devices remote://host:port,…, as their own --token-file holds it
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Data parallelism: a whole network on each of N devices, --batch-size images each, gradients summed module by module
    #[arg(long, value_name = "N")]
    pub replicas: Option<u32>,

    /// With --replicas: BatchNorm's statistics are of all replicas' images
    #[arg(long)]
    pub sync_bn: bool,

    /// Seeds weights, data order, augmentation and dropout
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub seed: Option<u64>,

    /// Weights to start from: .pth, .pt, .safetensors or an index of several, of torchvision, mmsegmentation or segexport
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub pretrained: Option<PathBuf>,

    /// With --pretrained of other classes: TOML file of "class of the weights" = "class of the data", whose classifier rows
    /// carry over
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub init_classes: Option<PathBuf>,

    /// Checkpoints to keep; older ones are removed
    #[arg(long, value_name = "N")]
    pub keep: Option<u32>,

    /// Write losses, scores, predictions and histograms of module outputs for TensorBoard, too (into RUN/tensorboard)
    #[arg(long)]
    pub tensorboard: bool,

    /// Run folder to write; default: a new folder under runs/
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Go on with the run in this folder from its last checkpoint
    #[arg(long, value_name = "RUN", conflicts_with = "out")]
    pub resume: Option<PathBuf>,

    /// Print the final configuration with every key explained, and exit
    #[arg(long)]
    pub print_config: bool,
}

impl TrainArgs {
    /// The configuration layers these flags stand for. With `--resume RUN` the file is `RUN/config.toml` and
    /// `train.out` is `RUN`, wherever that folder has been moved since.
    ///
    /// # Errors
    /// A path that is not UTF-8, which TOML cannot hold; a folder to resume that is no run.
    pub fn layers(&self) -> Result<Layers> {
        let mut flags = Vec::new();
        let mut say = |name, key, value: Option<Value>| {
            if let Some(value) = value {
                flags.push(Flag { name, key, value });
            }
        };
        say("--dataset", "data.dataset", self.dataset.map(named));
        say("--data-root", "data.root", path("--data-root", self.data_root.as_deref())?);
        say("--classes", "data.classes", self.classes.clone().map(Value::String));
        say("--resolution", "train.resolution", self.resolution.map(named));
        say("--local-k", "local.num_modules", self.local_k.and_then(LocalK::number).map(|k| Value::Integer(k.into())));
        say("--recompute", "train.recompute", self.recompute.then_some(Value::Boolean(true)));
        say("--method", "local.method", self.method.map(named));
        say("--task-loss", "local.task_loss", self.task_loss.map(named));
        say("--backbone", "model.backbone", self.backbone.map(named));
        say("--schedule", "train.schedule", self.schedule.map(named));
        say("--queue-depth", "train.queue_depth", self.queue_depth.map(|n| Value::Integer(n.into())));
        say("--precision", "train.precision", self.precision.map(named));
        say("--steps", "train.steps", self.steps.map(|steps| Value::Integer(steps.into())));
        say("--batch-size", "train.batch_size", self.batch_size.map(|size| Value::Integer(size.into())));
        say("--device", "device", self.device.as_ref().map(named));
        if self.device.is_some() && self.devices.is_none() {
            say("--device", "parallel.devices", Some(Value::Array(Vec::new())));
        }
        if (self.device.is_some() || self.devices.is_some()) && self.place.is_none() {
            // Places are numbers in the list that is said, not in one before it.
            say("--devices", "parallel.place", Some(Value::Array(Vec::new())));
        }
        if self.local_k == Some(LocalK::Auto) && self.replicas.is_none() {
            // Where to begin; there is to be a module for each device.
            let devices = self.devices.as_ref().map(|devices| Value::Integer(devices.len().max(2) as i64));
            say("--local-k", "local.num_modules", devices);
        }
        say("--devices", "parallel.devices", self.devices.as_ref().map(named));
        say("--place", "parallel.place", self.place.as_ref().map(named));
        say("--token-file", "parallel.token_file", path("--token-file", self.token_file.as_deref())?);
        say("--replicas", "parallel.replicas", self.replicas.map(|n| Value::Integer(n.into())));
        say("--sync-bn", "parallel.sync_bn", self.sync_bn.then_some(Value::Boolean(true)));
        say("--seed", "seed", self.seed.map(|seed| Value::Integer(seed as i64))); // clap holds it below i64::MAX
        say("--pretrained", "train.pretrained", path("--pretrained", self.pretrained.as_deref())?);
        say("--init-classes", "train.init_classes", path("--init-classes", self.init_classes.as_deref())?);
        say("--tensorboard", "train.tensorboard", self.tensorboard.then_some(Value::Boolean(true)));
        say("--keep", "train.keep_checkpoints", self.keep.map(|n| Value::Integer(n.into())));
        say("--out", "train.out", path("--out", self.out.as_deref())?);
        say("--resume", "train.out", path("--resume", self.resume.as_deref())?);
        let file = match &self.resume {
            Some(run) if !run.join("config.toml").is_file() => {
                return Err(Error::file(run, "is not a run folder: there is no config.toml in it"));
            }
            Some(run) => Some(run.join("config.toml")),
            None => self.config.clone(),
        };
        Ok(Layers { file, set: self.set.clone(), flags })
    }

    /// The checked configuration that these flags and their files mean.
    ///
    /// # Errors
    /// See [`Layers::load`]; a `--data-root` that nothing would be read from.
    pub fn load(&self) -> Result<RunConfig> {
        let (config, note) = self.layers()?.load_with_note()?;
        refuse_unused_root(self.data_root.as_deref(), &config)?;
        // A run that is resumed keeps its cuts, or is refused.
        note.filter(|_| self.resume.is_none()).into_iter().for_each(crate::messages::say);
        Ok(config)
    }
}

// Which images to score or compare with, where not the run's own. Not a doc comment, as above.
#[allow(missing_docs)]
#[derive(Debug, Clone, Default, clap::Args)]
pub struct DataArgs {
    /// Dataset [default: the run's]
    #[arg(long)]
    pub dataset: Option<DatasetKind>,

    /// Folder of the dataset [default: the run's]
    #[arg(long, value_name = "DIR")]
    pub data_root: Option<PathBuf>,

    /// Classes of the data: a classes.toml, or a preset [default: the run's, or classes.toml in the data root]
    #[arg(long, value_name = "FILE|PRESET")]
    pub classes: Option<String>,
}

impl DataArgs {
    /// Puts the flags into a run's configuration.
    ///
    /// # Errors
    /// A dataset that needs a folder and has none.
    pub fn apply(&self, config: &mut RunConfig) -> Result<()> {
        if let Some(dataset) = self.dataset {
            let before = config.data.dataset;
            if dataset != before && (before.classes().is_some() || dataset.classes().is_some()) {
                return Err(Error::usage(format!(
                    "--dataset {}: this run was trained on {}, whose classes are others; score it on those",
                    dataset.name(),
                    before.name()
                )));
            }
            config.data.dataset = dataset;
            if dataset.is_built_in() {
                config.data.root = PathBuf::new();
                config.data.classes.clear();
            }
        }
        if let Some(root) = &self.data_root {
            config.data.root.clone_from(root);
            // Another folder's own class set says what its ids mean.
            if root.join(crate::data::CLASS_FILE).is_file() {
                config.data.classes.clear();
            }
        }
        if let Some(classes) = &self.classes {
            config.data.classes.clone_from(classes);
        }
        refuse_unused_root(self.data_root.as_deref(), config)?;
        config.check()
    }
}

impl RunConfig {
    /// The configuration of a run folder.
    ///
    /// # Errors
    /// It is not a run folder, or its `config.toml` is damaged.
    pub fn of_run(run: &Path) -> Result<Self> {
        let path = run.join("config.toml");
        if !path.is_file() {
            return Err(Error::file(run, "is not a run folder: there is no config.toml in it"));
        }
        Self::load_file(&path)
    }
}

/// Who names a folder wants its images, and is not to be given built-in ones in silence.
fn refuse_unused_root(root: Option<&Path>, config: &RunConfig) -> Result<()> {
    match root {
        Some(root) if config.data.dataset.is_built_in() => Err(Error::usage(match config.data.dataset {
            DatasetKind::SyntheticDigits => {
                format!(
                    "--data-root {}: the built-in digits are not read from a folder; say which --dataset it is",
                    root.display()
                )
            }
            _ => format!(
                "--data-root {}: the built-in scenes are not read from a folder; set --dataset folder or cityscapes",
                root.display()
            ),
        })),
        _ => Ok(()),
    }
}

/// Anything that serde writes as one TOML value.
fn named(value: impl Serialize) -> Value {
    Value::try_from(value).expect("choices are written as their name")
}

fn path(flag: &str, path: Option<&Path>) -> Result<Option<Value>> {
    path.map(|path| match path.to_str() {
        Some(text) => Ok(Value::String(text.to_string())),
        None => Err(Error::usage(format!("{flag}: {} is not a UTF-8 path; rename it", path.display()))),
    })
    .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: TrainArgs,
    }

    fn parse(line: &str) -> TrainArgs {
        Command::try_parse_from(std::iter::once("x").chain(line.split_whitespace())).unwrap().args
    }

    #[test]
    fn every_flag_reaches_its_key() {
        let config = parse(
            "--dataset cityscapes --data-root /d --resolution 64x128 --local-k 4 --recompute --method dgl --task-loss contrast \
             --backbone resnet50 --steps 7 --batch-size 3 --device cuda:1 --seed 9 --pretrained p.pth --out o --set optim.lr=0.5",
        )
        .layers()
        .and_then(|layers| layers.load())
        .unwrap();
        assert_eq!((config.data.dataset, config.data.root), (DatasetKind::Cityscapes, PathBuf::from("/d")));
        assert_eq!((config.train.resolution.height, config.train.resolution.width), (64, 128));
        assert_eq!((config.local.num_modules, config.local.method), (4, Method::Dgl));
        assert_eq!((config.local.task_loss, config.model.backbone), (TaskLoss::Contrast, Backbone::Resnet50));
        assert_eq!((config.train.steps, config.train.batch_size, config.train.recompute), (7, 3, true));
        assert_eq!((config.device, config.seed), (DeviceChoice::Cuda(1), 9));
        assert_eq!((config.train.out, config.optim.lr), (PathBuf::from("o"), 0.5));
        assert_eq!(config.train.pretrained, PathBuf::from("p.pth"));
    }

    #[test]
    fn resume_reads_the_run_s_own_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let args = TrainArgs { resume: Some(folder.path().into()), ..TrainArgs::default() };
        assert!(args.layers().unwrap_err().to_string().contains("is not a run folder"));
        std::fs::write(folder.path().join("config.toml"), "seed = 7\n").unwrap();
        let config = args.layers().and_then(|layers| layers.load()).unwrap();
        assert_eq!((config.seed, config.train.out), (7, folder.path().into()));
        assert!(Command::try_parse_from(["x", "--resume", "a", "--config", "b"]).is_err());
    }
}
