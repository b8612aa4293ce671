//! Several devices: which there are, and which of them each local module or replica is on.

use super::{DeviceChoice, Precision, RunConfig, ScheduleKind};
use crate::device::{RemoteAddress, read_token};
use crate::keys::{Checked, at_least, ensure, problem};
use crate::local::place;
use crate::text::counted;
use crate::{Error, Result};
use burn::tensor::{Device, FloatDType};
use documented::DocumentedFields;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Several devices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, DocumentedFields)]
#[serde(deny_unknown_fields)]
pub struct ParallelConfig {
    /// Several devices to train on, such as ["cuda:0", "cuda:1"] (cpu:0, cpu:1, …: shares of the CPU's cores;
    /// remote://host:port: what a segworker lends); empty: `device` alone.
    pub devices: Vec<DeviceChoice>,
    /// Number (from 0) in devices of each local module's device; empty: neighbours together, balanced by predicted
    /// work.
    pub place: Vec<usize>,
    /// File with the token of remote devices; empty: they want none.
    #[serde(default)]
    pub token_file: PathBuf,
    /// Data parallelism: number of whole networks, each on a device with batch_size images.
    #[serde(default = "one")]
    pub replicas: usize,
    /// Whether BatchNorm's statistics are those of all replicas' images.
    #[serde(default)]
    pub sync_bn: bool,
}

fn one() -> usize {
    1
}

impl Default for ParallelConfig {
    fn default() -> Self {
        Self { devices: Vec::new(), place: Vec::new(), token_file: PathBuf::new(), replicas: one(), sync_bn: false }
    }
}

impl RunConfig {
    /// Where to compute, the first device first: there images arrive, and there the network is scored.
    pub fn devices(&self) -> &[DeviceChoice] {
        match self.parallel.devices.as_slice() {
            [] => std::slice::from_ref(&self.device),
            devices => devices,
        }
    }

    /// The first of [`Self::devices`].
    pub fn first_device(&self) -> &DeviceChoice {
        &self.devices()[0]
    }

    /// Opens the device to train on, the first of several: with autodiff, and sure of its number format.
    ///
    /// # Errors
    /// See [`RunConfig::open_devices`].
    pub fn open_device(&self) -> Result<Device> {
        self.open(self.first_device())
    }

    /// Opens all devices to train on.
    ///
    /// # Errors
    /// See [`DeviceChoice::open`]; a device does not compute in the configured number format, or is named twice. Replicas may
    /// share a GPU.
    pub fn open_devices(&self) -> Result<Vec<Device>> {
        let mut seen: Vec<DeviceChoice> = Vec::new();
        for choice in self.devices() {
            let is = choice.resolve();
            if self.parallel.replicas > 1 && matches!(is, DeviceChoice::Cuda(_) | DeviceChoice::Vulkan(_)) {
                continue;
            }
            // The whole CPU beside a share of it is the same cores twice.
            let whole = |choice: &DeviceChoice| matches!(choice, DeviceChoice::Auto | DeviceChoice::Cpu);
            if let Some(twin) =
                seen.iter().find(|seen| **seen == is || (seen.is_cpu() && is.is_cpu() && (whole(seen) || whole(&is))))
            {
                let of_cpu = if is.is_cpu() { "; shares of the CPU's cores are cpu:0, cpu:1, …" } else { "" };
                let also = if twin.to_string() == choice.to_string() { String::new() } else { format!(" (as {twin})") };
                return Err(Error::usage(format!(
                    "--devices: {choice} is named twice{also}; name each device once{of_cpu}"
                )));
            }
            seen.push(is);
        }
        self.devices().iter().map(|choice| self.open(choice)).collect()
    }

    /// Number of each local module's device among [`Self::devices`], as `parallel.place` says or by predicted work.
    ///
    /// # Errors
    /// The network cannot be cut as the configuration says.
    pub fn places(&self, num_classes: usize) -> Result<Vec<usize>> {
        match self.parallel.place.as_slice() {
            [] => place::of(&self.spec(), num_classes, self.devices().len()),
            place => Ok(place.to_vec()),
        }
    }

    /// Fewest local modules that this run can have: one for each device, and two where they work beside each other.
    pub fn fewest_modules(&self) -> usize {
        let devices = if self.parallel.replicas > 1 { 1 } else { self.devices().len() };
        devices.max(if self.train.schedule == ScheduleKind::Async { 2 } else { 1 })
    }

    /// Most networks whose tensors are in the memory of one device.
    pub fn networks_on_one(&self) -> usize {
        if self.parallel.replicas == 1 || self.first_device().is_cpu() {
            return self.parallel.replicas;
        }
        let devices: Vec<DeviceChoice> = self.devices().iter().map(DeviceChoice::resolve).collect();
        devices.iter().map(|device| devices.iter().filter(|other| *other == device).count()).max().unwrap_or(1)
    }

    fn open(&self, choice: &DeviceChoice) -> Result<Device> {
        let token = match (choice, self.parallel.token_file.as_os_str().is_empty()) {
            (DeviceChoice::Remote(_), false) => Some(read_token(&self.parallel.token_file)?),
            _ => None,
        };
        let device = choice.open_with(token.as_deref())?;
        let on_cpu = choice.is_cpu();
        if self.train.precision == Precision::Bf16 && (on_cpu || !device.supports_dtype(FloatDType::BF16)) {
            let name = if on_cpu { "cpu".to_string() } else { choice.resolve().to_string() };
            return Err(Error::usage(format!(
                "train.precision = bf16: {name} does not train in bfloat16; --precision f32 works everywhere, at twice the \
                 memory"
            )));
        }
        Ok(device.autodiff())
    }

    /// Workers on other machines, of those.
    pub fn remote_devices(&self) -> impl Iterator<Item = &RemoteAddress> {
        self.devices().iter().filter_map(|choice| match choice {
            DeviceChoice::Remote(address) => Some(address),
            _ => None,
        })
    }

    /// Threads of each worker, or replica; 0: all share the program's. Shares of the CPU have the same number of cores each,
    /// and so have the modules on one.
    pub fn threads_of_worker(&self) -> usize {
        let shares = self.devices().iter().filter(|choice| matches!(choice, DeviceChoice::CpuShare(_))).count();
        let on_one = if self.parallel.replicas > 1 { 1 } else { self.local.num_modules.div_ceil(self.devices().len()) };
        match (self.train.worker_threads, shares) {
            (0, 1..) => (std::thread::available_parallelism().map_or(1, usize::from) / shares / on_one).max(1),
            (threads, _) => threads,
        }
    }

    pub(super) fn check_parallel(&self) -> Checked {
        let (parallel, k) = (&self.parallel, self.local.num_modules);
        at_least(1, "parallel.replicas", parallel.replicas)?;
        if parallel.replicas > 1 {
            return self.check_replicas();
        }
        let message = "there is one replica alone; say --replicas N, or --set parallel.sync_bn=false";
        ensure(!parallel.sync_bn, "parallel.sync_bn", parallel.sync_bn, message)?;
        let devices = parallel.devices.len();
        let message = format!(
            "{} for {}; name {k} at most, or cut into as many modules with --local-k {devices}",
            counted(devices, "device"),
            counted(k, "local module")
        );
        ensure(devices <= k, "parallel.devices", format!("[{}]", listed(&parallel.devices)), message)?;
        let place = &parallel.place;
        if place.is_empty() {
            return Ok(());
        }
        let said = format!("{place:?}");
        let (named, modules) = (counted(place.len(), "device"), counted(k, "local module"));
        let message = format!("names {named} for {modules}; name one for each");
        ensure(place.len() == k, "parallel.place", &said, message)?;
        let known = self.devices();
        match place.iter().find(|&&device| device >= known.len()) {
            Some(device) => Err(problem(
                "parallel.place",
                said,
                format!(
                    "there is no device number {device}; they are 0 to {} ({}); set --place to those, or name more with --devices",
                    known.len() - 1,
                    listed(known)
                ),
            )),
            None => Ok(()),
        }
    }

    fn check_replicas(&self) -> Checked {
        let (train, replicas, devices) = (&self.train, self.parallel.replicas, self.devices());
        let is = |ok: bool, message: String| ensure(ok, "parallel.replicas", replicas, message);
        let named = if devices.len() == 1 { "1 is".to_string() } else { format!("{} are", devices.len()) };
        is(
            devices.len() == replicas,
            format!(
                "each needs a device, and {named} named ({}); name {replicas} with --devices, such as \
                 cuda:0,cuda:1 or, for shares of the CPU's cores, cpu:0,cpu:1",
                listed(devices)
            ),
        )?;
        is(
            train.schedule == ScheduleKind::Sequential,
            "replicas train by the sequential schedule alone; leave out --schedule, or --replicas".into(),
        )?;
        is(self.parallel.place.is_empty(), "every replica is on one device; leave out --place".into())?;
        let parts = train.micro_batches;
        is(parts == 1, format!("train.micro_batches = {parts} is for one device; use 1, and a smaller --batch-size"))
    }
}

fn listed(choices: &[DeviceChoice]) -> String {
    choices.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DatasetKind, defaults_for};

    fn with(devices: &[&str], place: &[usize]) -> RunConfig {
        let mut config = defaults_for(DatasetKind::Synthetic);
        config.parallel.devices = devices.iter().map(|text| text.parse().unwrap()).collect();
        config.parallel.place = place.to_vec();
        config
    }

    #[test]
    fn a_device_is_named_once() {
        assert_eq!(with(&["cpu:0", "cpu:1"], &[]).open_devices().unwrap().len(), 2);
        for twice in [&["cpu", "cpu"], &["cpu:1", "cpu:1"], &["cpu", "cpu:0"]] {
            let message = with(twice, &[]).open_devices().unwrap_err().to_string();
            assert!(message.contains("is named twice"), "{message}");
        }
    }

    #[test]
    fn replicas_have_a_device_each() {
        let mut config = with(&["cpu:0", "cpu:1"], &[]);
        config.parallel.replicas = 3;
        let message = config.check().unwrap_err().to_string();
        assert!(message.contains("parallel.replicas = 3: "), "{message}");
        config.parallel.replicas = 2;
        config.check().unwrap();
        config.train.schedule = ScheduleKind::Async;
        assert!(config.check().is_err());
    }

    #[test]
    fn replicas_may_share_a_gpu() {
        for (devices, on_one) in [
            (&["cuda:0", "cuda:1"][..], 1),
            (&["cuda:0", "cuda:0"], 2),
            (&["cuda:0", "cuda:1", "cuda:1"], 2),
            (&["cpu:0", "cpu:1"], 2),
        ] {
            let mut config = with(devices, &[]);
            config.parallel.replicas = devices.len();
            assert_eq!(config.networks_on_one(), on_one, "{devices:?}");
        }
        assert_eq!(with(&["cuda:0", "cuda:1"], &[]).networks_on_one(), 1);
    }

    #[test]
    fn devices_and_places_fit_the_modules() {
        let message = |devices: &[&str], place: &[usize]| with(devices, place).check().unwrap_err().to_string();
        assert!(message(&["cpu:0", "cpu:1", "cpu:2"], &[]).contains("3 devices for 2 local modules"));
        assert!(message(&["cpu:0", "cpu:1"], &[0]).contains("names 1 device for 2 local modules"));
        assert!(message(&["cpu:0", "cpu:1"], &[0, 2]).contains("(cpu:0, cpu:1)"));
        with(&["cpu:0", "cpu:1"], &[1, 0]).check().unwrap();
    }
}
