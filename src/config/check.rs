//! Relations between configuration keys, checked before data or a device is touched.

use super::{Crop, Cuts, LocalHeadKind, LrScheduleKind, Resolution, RunConfig, Schedule};
use crate::task::TaskKind;
use crate::text::counted;
use crate::{Error, Result};
use std::fmt::Display;

/// Smallest side of a picture: at output stride 16 it leaves a 2×2 feature map.
const MIN_SIDE: usize = 32;

/// A key whose value cannot be, and the sentence that says so.
#[derive(Debug)]
pub(super) struct Problem {
    /// Dotted key at fault.
    pub key: &'static str,
    /// `key = value: what is wrong; what would do`.
    pub message: String,
}

pub(super) fn problem(key: &'static str, value: impl Display, message: impl Display) -> Problem {
    Problem { key, message: format!("{key} = {value}: {message}") }
}

pub(super) fn ensure(ok: bool, key: &'static str, value: impl Display, must: impl Display) -> Result<(), Problem> {
    if ok { Ok(()) } else { Err(problem(key, value, must)) }
}

pub(super) fn at_least(minimum: usize, key: &'static str, value: usize) -> Result<(), Problem> {
    ensure(value >= minimum, key, value, format_args!("must be at least {minimum}"))
}

fn between(smallest: usize, largest: usize, key: &'static str, value: usize) -> Result<(), Problem> {
    at_least(smallest, key, value)?;
    ensure(value <= largest, key, value, format_args!("must be at most {largest}"))
}

/// Far above any network in use; keeps a slip of the keyboard from asking for more memory than there is.
const MAX_CHANNELS: usize = 8192;

fn probability(key: &'static str, value: f32) -> Result<(), Problem> {
    ensure((0.0..=1.0).contains(&value), key, value, "must be between 0 and 1")
}

fn positive(key: &'static str, value: f64) -> Result<(), Problem> {
    ensure(value.is_finite() && value > 0.0, key, value, "must be a number above 0")
}

fn not_negative(key: &'static str, value: f64) -> Result<(), Problem> {
    ensure(value.is_finite() && value >= 0.0, key, value, "must be 0 or more")
}

fn size(key: &'static str, size: Resolution) -> Result<(), Problem> {
    let Resolution { height, width } = size;
    let small = height < MIN_SIDE || width < MIN_SIDE;
    ensure(!small, key, format!("\"{size}\""), format_args!("must be at least {MIN_SIDE}x{MIN_SIDE}"))?;
    let large = height > Resolution::MAX_SIDE || width > Resolution::MAX_SIDE;
    ensure(!large, key, format!("\"{size}\""), format_args!("must be at most {0}x{0}", Resolution::MAX_SIDE))
}

fn channels(key: &'static str, list: &[usize]) -> Result<(), Problem> {
    let ok = (1..=16).contains(&list.len()) && list.iter().all(|value| (1..=MAX_CHANNELS).contains(value));
    let message = format_args!("must be a list of 1 to 16 whole numbers, each from 1 to {MAX_CHANNELS}");
    ensure(ok, key, format!("{list:?}"), message)
}

/// A choice as the file has it.
fn said(choice: impl serde::Serialize) -> String {
    toml::Value::try_from(choice).map_or_else(|_| String::new(), |value| value.to_string())
}

impl RunConfig {
    /// Checks what no single key's type can say.
    ///
    /// # Errors
    /// The first key whose value cannot be, with what would do. Whether the network has enough blocks for K modules
    /// and whether the named blocks exist is checked where the network is known.
    pub fn check(&self) -> Result<()> {
        self.first_problem().map_err(|problem| Error::usage(problem.message))
    }

    pub(super) fn first_problem(&self) -> Result<(), Problem> {
        let top = i64::MAX as u64; // TOML has no larger whole number, and config.toml must read back
        ensure(self.seed <= top, "seed", self.seed, format_args!("must be at most {top}"))?;
        self.check_data()?;
        self.check_task()?;
        self.check_model()?;
        self.check_local()?;
        self.check_optim()?;
        self.check_train()?;
        self.check_parallel()
    }

    fn check_data(&self) -> Result<(), Problem> {
        let data = &self.data;
        ensure(!data.train_split.is_empty(), "data.train_split", "\"\"", "must name a split, such as \"train\"")?;
        ensure(!data.val_split.is_empty(), "data.val_split", "\"\"", "must name a split, such as \"val\"")?;
        between(1, 256, "data.workers", data.workers)?;
        size("data.synthetic_resolution", data.synthetic_resolution)?;
        let count = data.synthetic_count;
        ensure(!count.contains(&0), "data.synthetic_count", format!("{count:?}"), "both must be at least 1")?;
        let most = 1_000_000;
        let ok = count.iter().all(|&count| count <= most);
        ensure(ok, "data.synthetic_count", format!("{count:?}"), format_args!("both must be at most {most}"))?;

        let [smallest, largest] = self.augment.scale;
        ensure(
            smallest.is_finite() && largest.is_finite() && smallest > 0.0 && smallest <= largest,
            "augment.scale",
            format!("{:?}", self.augment.scale),
            "must be [smallest, largest], both above 0; [1.0, 1.0] keeps the original size",
        )?;
        probability("augment.category_max_share", self.augment.category_max_share)?;
        probability("augment.flip", self.augment.flip)
    }

    /// What goes with a class for each pixel, and what with a class for each picture.
    fn check_task(&self) -> Result<(), Problem> {
        let (dataset, crop, backbone) = (self.data.dataset, self.augment.crop, self.model.backbone);
        let (on, pixels) = (dataset.name(), dataset.task() == TaskKind::Segmentation);
        let each = if pixels { "pixel" } else { "picture" };
        let fits = pixels == (crop == Crop::Scaled);
        let would_do = if pixels { "\"scaled\"" } else { "\"reflect-padded\", \"zero-padded\" or \"resized\"" };
        let message = format!("{on} has a class for each {each}; use {would_do}");
        ensure(fits, "augment.crop", said(crop), message)?;
        let classes = &self.data.classes;
        let message = format!("{on} has classes of its own; leave it out");
        ensure(pixels || classes.is_empty(), "data.classes", format!("\"{classes}\""), message)?;
        let fits = !pixels || !backbone.is_cifar();
        let message =
            format!("is made for small pictures with one class, {on} is segmented; use resnet18 to resnext101-32x8d");
        ensure(fits, "model.backbone", said(backbone), message)?;
        let message = format!("is for networks that segment; on {on} use false");
        ensure(pixels || !self.augment.photometric, "augment.photometric", "true", message)?;
        let weight = self.model.aux_weight;
        let message = format!("the auxiliary head is for networks that segment; on {on} use 0");
        ensure(pixels || weight == 0.0, "model.aux_weight", weight, message)?;
        let fits = pixels == (self.local.head == LocalHeadKind::Fcn);
        let would_do = if pixels { "\"fcn\"" } else { "\"1c2f\" or another of 0c1f to 2c2f, or \"imagenet\"" };
        ensure(fits, "local.head", said(self.local.head), format!("{on} has a class for each {each}; use {would_do}"))?;
        let (Some(layout), true) = (dataset.classes(), matches!(crop, Crop::ReflectPadded | Crop::ZeroPadded)) else {
            return Ok(());
        };
        let (side, padding) = (layout.side(), self.augment.crop_padding);
        ensure(
            padding < side,
            "augment.crop_padding",
            padding,
            format!("must be below the {side} pixels of a picture"),
        )?;
        let Resolution { height, width } = self.train.resolution;
        let message = format!("the pictures of {on} are {side}x{side}; use that, or augment.crop = \"resized\"");
        ensure(height == side && width == side, "train.resolution", format!("\"{height}x{width}\""), message)
    }

    fn check_model(&self) -> Result<(), Problem> {
        let model = &self.model;
        positive("model.width", model.width)?;
        let stride = model.output_stride;
        ensure(matches!(stride, 8 | 16), "model.output_stride", stride, "must be 8 or 16")?;
        channels("model.atrous_rates", &model.atrous_rates)?;
        ensure(model.width <= 16.0, "model.width", model.width, "must be at most 16")?;
        between(1, MAX_CHANNELS, "model.aspp_channels", model.aspp_channels)?;
        between(1, MAX_CHANNELS, "model.aux_channels", model.aux_channels)?;
        not_negative("model.aux_weight", model.aux_weight)?;
        let dropout = model.dropout;
        ensure((0.0..1.0).contains(&dropout), "model.dropout", dropout, "must be at least 0 and below 1")
    }

    fn check_local(&self) -> Result<(), Problem> {
        let local = &self.local;
        let k = local.num_modules;
        at_least(1, "local.num_modules", k)?;
        if local.method.traits().is_end_to_end && k != 1 {
            let message = "method e2e is end-to-end training, which has one module; use 1, or method infopro";
            return Err(problem("local.num_modules", k, message));
        }
        if let Cuts::After(blocks) = &local.cuts {
            let message = format!(
                "{} named, but local.num_modules = {k} needs {}; name as many, or use \"auto\"",
                counted(blocks.len(), "block"),
                counted(k - 1, "cut")
            );
            ensure(blocks.len() == k - 1, "local.cuts", format!("{blocks:?}"), message)?;
        }
        for (key, [first, last]) in
            [("local.recon_weight", local.recon_weight), ("local.task_weight", local.task_weight)]
        {
            let ok = [first, last].iter().all(|weight| weight.is_finite() && *weight >= 0.0);
            ensure(ok, key, format!("[{first}, {last}]"), "both must be 0 or more")?;
        }
        between(1, MAX_CHANNELS, "local.head_channels", local.head_channels)?;
        positive("local.widen", local.widen)?;
        ensure(local.widen <= 64.0, "local.widen", local.widen, "must be at most 64")?;
        between(1, MAX_CHANNELS, "local.feature_dim", local.feature_dim)?;
        channels("local.decoder_channels", &local.decoder_channels)?;
        between(2, 16384, "local.contrast_samples", local.contrast_samples)?;
        positive("local.contrast_temperature", local.contrast_temperature)
    }

    fn check_optim(&self) -> Result<(), Problem> {
        let optim = &self.optim;
        positive("optim.lr", optim.lr)?;
        let momentum = optim.momentum;
        ensure((0.0..1.0).contains(&momentum), "optim.momentum", momentum, "must be at least 0 and below 1")?;
        not_negative("optim.weight_decay", optim.weight_decay)?;
        let message = "needs optim.momentum above 0";
        ensure(!optim.nesterov || momentum > 0.0, "optim.nesterov", optim.nesterov, message)?;
        positive("optim.gamma", optim.gamma)?;
        let milestones = &optim.milestones;
        let rising = milestones.windows(2).all(|pair| pair[0] < pair[1]);
        let ok = rising && milestones.iter().all(|share| (0.0..1.0).contains(share));
        let ok = ok && (optim.schedule != LrScheduleKind::Step || !milestones.is_empty());
        let message = "must be rising shares of the run, from 0 to below 1, such as [0.5, 0.75]";
        ensure(ok, "optim.milestones", format!("{milestones:?}"), message)?;
        positive("optim.power", optim.power)?;
        not_negative("optim.min_lr", optim.min_lr)?;
        let (lr, min_lr) = (optim.lr, optim.min_lr);
        ensure(min_lr <= lr, "optim.min_lr", min_lr, format_args!("must not be above optim.lr = {lr}"))
    }

    fn check_train(&self) -> Result<(), Problem> {
        let train = &self.train;
        size("train.resolution", train.resolution)?;
        between(1, 4096, "train.batch_size", train.batch_size)?;
        let (alone, schedule) = (self.local.num_modules == 1, train.schedule);
        let message = "asynchronous training needs at least two local modules; use --local-k 2 or more, or sequential";
        ensure(!alone || schedule != Schedule::Async, "train.schedule", said(schedule), message)?;
        between(0, 64, "train.queue_depth", train.queue_depth)?;
        between(0, 1024, "train.worker_threads", train.worker_threads)?;
        between(1, train.batch_size, "train.micro_batches", train.micro_batches)?;
        at_least(1, "train.steps", train.steps)?;
        let (steps, warmup) = (train.steps, self.optim.warmup_steps);
        ensure(warmup <= steps, "optim.warmup_steps", warmup, format_args!("must not be above train.steps = {steps}"))?;
        let map = train.init_classes.display();
        let fits = train.init_classes.as_os_str().is_empty() || !train.pretrained.as_os_str().is_empty();
        ensure(fits, "train.init_classes", format!("\"{map}\""), "needs weights to carry over; set --pretrained FILE")?;
        at_least(1, "train.log_every_steps", train.log_every_steps)?;
        at_least(1, "train.keep_checkpoints", train.keep_checkpoints)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Method;
    use crate::config::{DatasetKind, defaults_for};

    fn message(change: impl FnOnce(&mut RunConfig)) -> String {
        let mut config = defaults_for(DatasetKind::Synthetic);
        change(&mut config);
        config.check().expect_err("the change must be refused").to_string()
    }

    #[test]
    fn each_relation_names_the_key_and_what_would_do() {
        let cases: [(String, &str); 25] = [
            (message(|c| c.model.output_stride = 32), "model.output_stride = 32: must be 8 or 16"),
            (message(|c| c.local.num_modules = 0), "local.num_modules = 0: must be at least 1"),
            (message(|c| c.local.cuts = Cuts::After(vec![])), "0 blocks named, but local.num_modules = 2 needs 1 cut;"),
            (message(|c| c.local.method = Method::E2e), "local.num_modules = 2: method e2e"),
            (message(|c| c.train.batch_size = 0), "train.batch_size = 0: must be at least 1"),
            (message(|c| c.train.steps = 0), "train.steps = 0: must be at least 1"),
            (message(|c| c.train.log_every_steps = 0), "train.log_every_steps = 0"),
            (message(|c| c.augment.scale = [2.0, 0.5]), "augment.scale = [2.0, 0.5]: must be [smallest, largest]"),
            (message(|c| c.augment.scale = [0.0, 0.5]), "augment.scale = [0.0, 0.5]"),
            (message(|c| c.augment.flip = 1.5), "augment.flip = 1.5: must be between 0 and 1"),
            (message(|c| c.augment.category_max_share = f32::NAN), "augment.category_max_share = NaN"),
            (message(|c| c.model.dropout = 1.0), "model.dropout = 1: must be at least 0 and below 1"),
            (message(|c| c.optim.lr = 0.0), "optim.lr = 0: must be a number above 0"),
            (message(|c| c.optim.min_lr = 1.0), "optim.min_lr = 1: must not be above optim.lr = 0.05"),
            (message(|c| c.local.recon_weight = [1.0, f64::NAN]), "local.recon_weight = [1, NaN]"),
            (message(|c| c.local.task_weight = [-1.0, 1.0]), "local.task_weight = [-1, 1]: both must be 0 or more"),
            (message(|c| c.model.width = 1e9), "model.width = 1000000000: must be at most 16"),
            (message(|c| c.local.decoder_channels = vec![8; 70]), "local.decoder_channels"),
            (message(|c| c.data.workers = 0), "data.workers = 0"),
            (message(|c| c.train.resolution.height = 31), "train.resolution = \"31x256\": must be at least 32x32"),
            (message(|c| c.model.atrous_rates.clear()), "model.atrous_rates = []"),
            (message(|c| c.model.width = f64::INFINITY), "model.width = inf"),
            (message(|c| c.local.contrast_samples = 1), "local.contrast_samples = 1: must be at least 2"),
            (message(|c| c.local.contrast_temperature = 0.0), "local.contrast_temperature = 0"),
            (message(|c| c.optim.warmup_steps = c.train.steps + 1), "must not be above train.steps = "),
        ];
        for (message, part) in cases {
            assert!(message.contains(part), "{message:?} should contain {part:?}");
        }
    }
}
