//! `segbench scaling`: images a second on more devices, predicted from what one thread of this machine does, and checked
//! where this machine can.

use super::step::{batch, median};
use crate::config::RunConfig;
use crate::local::cost::Costs;
use crate::local::pipeline::{Job, Workers};
use crate::local::{LocalNetwork, Mark, Targets, cut};
use crate::ops;
use crate::rng::mix;
use crate::{Error, Result};
use burn::tensor::Tensor;
use serde::Serialize;
use std::fmt::Write as _;
use std::time::Instant;

/// What a module takes, and hands on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ModuleLoad {
    /// Seconds of a step, on one device.
    pub seconds: f64,
    /// Bytes that go to the next module, with image and label; 0 of the last.
    pub handed_on: u64,
    /// Bytes of its gradients.
    pub gradients: u64,
}

/// How fast devices are connected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// Bytes a second in each direction.
    pub bandwidth: f64,
}

/// Images a second for a number of devices.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Predicted {
    /// Number of devices.
    pub devices: usize,
    /// One module after another, on one device whatever their number.
    pub sequential: f64,
    /// Modules spread over devices, all at work at once.
    pub asynchronous: f64,
    /// A whole network on each device, gradients averaged per module while the next is at work.
    pub data_parallel: f64,
}

/// What was measured, and what follows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scaling {
    /// Images of a step.
    pub batch: usize,
    /// In order.
    pub modules: Vec<ModuleLoad>,
    /// For each number of devices.
    pub predicted: Vec<Predicted>,
    /// Images a second of one thread, one module after another.
    pub measured_sequential: f64,
    /// Images a second with one thread for each module, all at once.
    pub measured_async: f64,
    /// What was predicted for that.
    pub predicted_async: f64,
}

/// Seconds between two devices for the busiest of them, modules in order on `devices` devices: the least there can be.
fn pipeline_interval(modules: &[ModuleLoad], devices: usize, link: Link) -> f64 {
    let last = modules.len() - 1;
    // best[d][i]: interval of the modules from i on, on d + 1 devices.
    let transfer = |module: usize| if module < last { modules[module].handed_on as f64 / link.bandwidth } else { 0.0 };
    let load = |from: usize, to: usize| modules[from..=to].iter().map(|module| module.seconds).sum::<f64>();
    let mut best: Vec<f64> = (0..modules.len()).map(|from| load(from, last)).collect();
    for _ in 1..devices.min(modules.len()) {
        best = (0..modules.len())
            .map(|from| {
                let split = |to: usize| load(from, to).max(transfer(to)).max(best[to + 1]);
                (from..last).map(split).fold(best[from], f64::min)
            })
            .collect();
    }
    best[0]
}

/// Seconds of a step of `devices` replicas: a ring carries each module's gradients while the next module is at work.
fn replica_interval(modules: &[ModuleLoad], devices: usize, link: Link) -> f64 {
    let share = 2.0 * (devices - 1) as f64 / devices as f64;
    let (mut computed, mut averaged) = (0.0, 0.0_f64);
    for module in modules {
        computed += module.seconds;
        averaged = averaged.max(computed) + share * module.gradients as f64 / link.bandwidth;
    }
    averaged.max(computed)
}

/// Predicts for a number of devices.
pub fn predict(modules: &[ModuleLoad], batch: usize, devices: usize, link: Link) -> Predicted {
    let images = batch as f64;
    let alone: f64 = modules.iter().map(|module| module.seconds).sum();
    Predicted {
        devices,
        sequential: images / alone,
        asynchronous: images / pipeline_interval(modules, devices, link),
        data_parallel: images * devices as f64 / replica_interval(modules, devices, link),
    }
}

/// Measures `steps` steps on one thread, module by module, then as many with a thread for each module, and predicts.
///
/// # Errors
/// The device cannot be had; a loss is not finite.
pub fn measure(config: &RunConfig, devices: &[usize], link: Link, steps: usize) -> Result<Scaling> {
    let num_classes = config.num_classes_expected();
    let device = config.open_device()?;
    let mut network = LocalNetwork::new(&config.spec(), num_classes, &device)?;
    let (input, targets) = batch(config, num_classes, &device);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.map_err(|cause| Error::run(format!("cannot start a thread: {cause}")))?;

    let mut seconds = vec![Vec::new(); network.modules.len()];
    let (mut begin, mut sequential) = (Instant::now(), Vec::new());
    pool.install(|| {
        for step in 0..=steps {
            let start = Instant::now();
            network.train_step_watched(input.clone(), &targets, 0.0, mix(0, step as u64), &mut |module, mark| {
                match mark {
                    Mark::Start => begin = Instant::now(),
                    Mark::Updated => {
                        ops::settle(&device);
                        seconds[module].push(begin.elapsed().as_secs_f64());
                    }
                    _ => {}
                }
            })?;
            sequential.push(start.elapsed().as_secs_f64());
        }
        Ok::<(), Error>(())
    })?;
    let seconds: Vec<f64> = seconds.iter().map(|all| median(&all[1..])).collect();

    let mut done = Vec::new();
    let jobs = (0..=steps + 1).map(|step| job(step, &input, &targets));
    network.train_pipelined(Workers { queue_depth: 1, threads: 1 }, jobs, |_, _| {
        done.push(Instant::now());
        Ok(())
    })?;
    // From one step's end to another's: filling the pipeline is no part of a long run.
    let interval = done[steps + 1].duration_since(done[1]).as_secs_f64() / steps as f64;

    let modules = loads(config, num_classes, &seconds)?;
    let images = config.train.batch_size as f64;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // Within a machine features are handed on by reference.
    let here = predict(&modules, config.train.batch_size, cores, Link { bandwidth: f64::INFINITY });
    Ok(Scaling {
        batch: config.train.batch_size,
        predicted: devices.iter().map(|&devices| predict(&modules, config.train.batch_size, devices, link)).collect(),
        modules,
        measured_sequential: images / median(&sequential[1..]),
        measured_async: images / interval,
        predicted_async: here.asynchronous,
    })
}

fn job(step: usize, input: &Tensor<4>, targets: &Targets) -> Job {
    let batch = input.dims()[0];
    Job { step, input: input.clone(), targets: targets.part(0..batch), lr: 0.0, seed: mix(0, step as u64) }
}

fn loads(config: &RunConfig, num_classes: usize, seconds: &[f64]) -> Result<Vec<ModuleLoad>> {
    let ranges = cut::module_ranges_of(&config.spec(), num_classes)?;
    let traffic = Costs::of(&config.spec(), num_classes).traffic(&ranges);
    let loads = seconds.iter().zip(traffic);
    Ok(loads.map(|(&seconds, (handed_on, gradients))| ModuleLoad { seconds, handed_on, gradients }).collect())
}

impl Scaling {
    /// As a person reads it.
    pub fn text(&self) -> String {
        let mut text = String::from(
            "| module | seconds on one thread | MiB handed on | MiB of gradients |\n|---:|---:|---:|---:|\n",
        );
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        for (index, module) in self.modules.iter().enumerate() {
            let (out, gradients) = (mib(module.handed_on), mib(module.gradients));
            let _ = writeln!(text, "| {} | {:.3} | {out:.1} | {gradients:.1} |", index + 1, module.seconds);
        }
        text += "\nimages a second, predicted:\n\n| devices | sequential | async | data parallel |\n|---:|---:|---:|---:|\n";
        for row in &self.predicted {
            let Predicted { devices, sequential, asynchronous, data_parallel } = row;
            let _ = writeln!(text, "| {devices} | {sequential:.3} | {asynchronous:.3} | {data_parallel:.3} |");
        }
        let _ = writeln!(
            text,
            "\nhere: {:.3} images/s one after another on one thread, {:.3} with a thread for each module: {:.2} ×\n\
             (predicted: {:.3}, {:.2} ×)",
            self.measured_sequential,
            self.measured_async,
            self.measured_async / self.measured_sequential,
            self.predicted_async,
            self.predicted_async / self.measured_sequential,
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(seconds: f64, handed_on: u64, gradients: u64) -> ModuleLoad {
        ModuleLoad { seconds, handed_on, gradients }
    }

    #[test]
    fn the_busiest_device_or_the_busiest_link_sets_the_pace() {
        let modules = [module(1.0, 100, 0), module(2.0, 400, 0), module(3.0, 0, 0)];
        let fast = Link { bandwidth: 1e9 };
        let pace = |devices, link| pipeline_interval(&modules, devices, link);
        assert_eq!([1, 2, 3, 9].map(|devices| pace(devices, fast)), [6.0, 3.0, 3.0, 3.0]);
        // 400 bytes at 100 a second behind the second module; cut behind the first it is 5 seconds of work.
        assert!((pace(2, Link { bandwidth: 100.0 }) - 4.0).abs() < 1e-6);
        assert!((pace(2, Link { bandwidth: 10.0 }) - 6.0).abs() < 1e-6, "one device is faster than a slow link");
    }

    #[test]
    fn gradients_travel_while_the_next_module_works() {
        let modules = [module(1.0, 0, 100), module(1.0, 0, 100)];
        let link = Link { bandwidth: 100.0 };
        assert_eq!(replica_interval(&modules, 1, link), 2.0);
        // A ring of two moves each gradient once: the first module's while the second works, the second's after it.
        assert_eq!(replica_interval(&modules, 2, link), 3.0);
        assert_eq!(predict(&modules, 4, 2, link).data_parallel, 8.0 / 3.0);
    }
}
