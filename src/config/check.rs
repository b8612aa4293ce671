//! Relations between configuration keys, checked before data or a device is touched.

use super::{Crop, LocalHeadKind, Resolution, RunConfig, ScheduleKind};
use crate::keys::{Checked, at_least, between, ensure, said, size};
use crate::{Error, Result};

impl RunConfig {
    /// Checks what no single key's type can say.
    ///
    /// # Errors
    /// The first key whose value cannot be, with what would do. Whether the network has enough blocks for K modules
    /// and whether the named blocks exist is checked where the network is known.
    pub fn check(&self) -> Result<()> {
        self.first_problem().map_err(|problem| Error::usage(problem.message))
    }

    pub(super) fn first_problem(&self) -> Checked {
        let top = i64::MAX as u64; // TOML has no larger whole number, and config.toml must read back
        ensure(self.seed <= top, "seed", self.seed, format_args!("must be at most {top}"))?;
        self.data.check()?;
        self.augment.check()?;
        self.check_task()?;
        self.model.check()?;
        self.local.check()?;
        self.optim.check()?;
        self.check_train()?;
        self.check_parallel()
    }

    /// What goes with a class for each pixel, and what with a class for each image.
    fn check_task(&self) -> Checked {
        let (dataset, crop, backbone) = (self.data.dataset, self.augment.crop, self.model.backbone);
        let (on, pixels) = (dataset.name(), dataset.task().is_dense());
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

    fn check_train(&self) -> Checked {
        let train = &self.train;
        size("train.resolution", train.resolution)?;
        between(1, 4096, "train.batch_size", train.batch_size)?;
        let (alone, schedule) = (self.local.num_modules == 1, train.schedule);
        let end_to_end = self.local.method.traits().is_end_to_end;
        let other = if end_to_end { "another --method than e2e with --local-k 2" } else { "--local-k 2" };
        let message =
            format!("asynchronous training needs at least two local modules; use {other} or more, or sequential");
        ensure(!alone || schedule != ScheduleKind::Async, "train.schedule", said(schedule), message)?;
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
    use crate::config::{Cuts, Method};
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
