//! `segbench memory`: where the bytes of a training step are, as predicted and as they were.

use super::step::{batch, comparable};
use crate::Result;
use crate::config::{RunConfig, ScheduleKind};
use crate::local::cost::{Costs, StepCost};
use crate::local::{LocalNetwork, Mark, cut};
use crate::memory::counting::{self, Recorder};
use crate::memory::{self, human};
use crate::render::plots::{Stretch, memory_plot};
use crate::rng::mix;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;

/// A figure as it was predicted, and as it was.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bytes {
    /// From shapes alone.
    pub predicted: u64,
    /// `None` where the device does not tell.
    pub measured: Option<u64>,
}

/// A block of a module.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BlockBytes {
    /// Such as `layer3.12`.
    pub name: String,
    /// What it leaves for its backward.
    pub kept: Bytes,
}

/// A module.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModuleBytes {
    /// In order.
    pub blocks: Vec<BlockBytes>,
    /// Most at once above what is there whatever module is at work.
    pub peak: Bytes,
}

/// A whole step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepBytes {
    /// What was measured.
    pub title: String,
    /// In order.
    pub modules: Vec<ModuleBytes>,
    /// Peak of the whole process.
    pub peak: Bytes,
    /// Seconds and bytes in use over the step.
    #[serde(skip)]
    timeline: Vec<(f64, usize)>,
    #[serde(skip)]
    stretches: Vec<Stretch>,
}

/// Makes two steps on a made-up batch and watches the second, which has its momentum.
///
/// # Errors
/// The device cannot be had; a configuration that cannot be cut.
pub fn measure(config: &RunConfig) -> Result<StepBytes> {
    let mut config = config.clone();
    config.train.schedule = ScheduleKind::Sequential; // a module's share can be told while it is at work alone
    let config = &config;
    let num_classes = config.num_classes_expected();
    let costs = Costs::of(&config.spec(), num_classes);
    let ranges = cut::module_ranges_of(&config.spec(), num_classes)?;
    let predicted = costs.step(&ranges, config.spec().execution, false);
    drop(costs);

    let device = config.open_device()?;
    let mut network = LocalNetwork::new(&config.spec(), num_classes, &device)?;
    let (input, targets) = batch(config, num_classes, &device);
    let (lr, seed) = (config.optim.lr, config.seed);
    network.train_step(input.clone(), &targets, lr, mix(seed, 0))?;

    let mut measured = Measured::default();
    let recorder = Recorder::start();
    let begin = recorder.now();
    let at_rest = memory::live_bytes(&device);
    // Input is cloned, not copied: what is there before is what is there whatever module is at work.
    network.train_step_watched(input.clone(), &targets, lr, mix(seed, 1), &mut |module, mark| {
        measured.note(module, mark, memory::live_bytes(&device), recorder.now() - begin);
    })?;
    let on_cpu = device.memory_pool_usage().is_none();
    let heap: Vec<(f64, usize)> = recorder.stop().into_iter().map(|(time, bytes)| (time - begin, bytes)).collect();
    // A GPU's memory is known at the marks alone.
    let timeline = if on_cpu { heap } else { std::mem::take(&mut measured.points) };
    let peak = Bytes { predicted: comparable(&predicted, &device), measured: memory::peak_bytes(&device) };
    Ok(measured.report(config, &network, predicted, timeline, at_rest, on_cpu, peak))
}

/// Readings of one step.
#[derive(Default)]
struct Measured {
    /// Bytes that came with each block, by module.
    kept: Vec<Vec<u64>>,
    /// Most bytes while each module was at work.
    peaks: Vec<u64>,
    stretches: Vec<Stretch>,
    /// Seconds and bytes in use at each mark.
    points: Vec<(f64, usize)>,
    last: u64,
}

impl Measured {
    fn note(&mut self, module: usize, mark: Mark, live: u64, now: f64) {
        match mark {
            Mark::Start => {
                counting::reset_peak();
                self.kept.push(Vec::new());
                self.stretches.push(Stretch { name: format!("module {}", module + 1), time: [now, now] });
            }
            // Micro-batches come to each block again; the first is measured.
            Mark::Forward(block) if self.kept[module].len() == block => {
                self.kept[module].push(live.saturating_sub(self.last));
            }
            Mark::Updated => {
                self.peaks.push(counting::peak() as u64);
                if let Some(stretch) = self.stretches.last_mut() {
                    stretch.time[1] = now;
                }
            }
            Mark::Forward(_) | Mark::AuxHead | Mark::Heads | Mark::Backward(_) => {}
        }
        self.points.push((now, live as usize));
        self.last = live;
    }

    fn report(
        self,
        config: &RunConfig,
        network: &LocalNetwork,
        predicted: StepCost,
        timeline: Vec<(f64, usize)>,
        at_rest: u64,
        on_cpu: bool,
        whole: Bytes,
    ) -> StepBytes {
        let modules = network
            .modules
            .iter()
            .zip(&predicted.modules)
            .zip(self.kept.iter().zip(&self.peaks))
            .map(|((module, predicted), (kept, peak))| ModuleBytes {
                blocks: (module.block_names.iter().zip(&predicted.kept).zip(kept))
                    .map(|((name, &predicted), &measured)| {
                        let kept = Bytes { predicted, measured: Some(measured) };
                        BlockBytes { name: name.clone(), kept }
                    })
                    .collect(),
                peak: Bytes { predicted: predicted.peak, measured: on_cpu.then(|| peak.saturating_sub(at_rest)) },
            })
            .collect();
        let train = &config.train;
        let title = format!(
            "{}, K = {}, {}, batch {}{}{}, {}",
            config.model.backbone.name(),
            network.modules.len(),
            train.resolution,
            train.batch_size,
            if train.micro_batches > 1 { format!(" in {} parts", train.micro_batches) } else { String::new() },
            if train.recompute { ", recomputed" } else { "" },
            config.first_device().resolve(),
        );
        StepBytes { title, modules, peak: whole, timeline, stretches: self.stretches }
    }
}

impl StepBytes {
    /// As a table a person reads.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{}\n\n{:<8}{:<14}{:>14}{:>14}{:>8}\n",
            self.title, "module", "block", "predicted", "measured", "ratio"
        );
        let mut line = |module: &str, block: &str, bytes: Bytes| {
            let measured = bytes.measured.map_or("-".into(), human);
            let ratio = bytes
                .measured
                .filter(|&bytes| bytes > 0)
                .map_or("-".into(), |measured| format!("{:.2}", bytes.predicted as f64 / measured as f64));
            let _ = writeln!(text, "{module:<8}{block:<14}{:>14}{measured:>14}{ratio:>8}", human(bytes.predicted));
        };
        for (index, module) in self.modules.iter().enumerate() {
            let number = (index + 1).to_string();
            for block in &module.blocks {
                line(&number, &block.name, block.kept);
            }
            line(&number, "peak", module.peak);
        }
        line("step", "peak", self.peak);
        text += "\nblocks: bytes kept for the backward pass; peak of a module: activations, gradients, input and output;\n\
                 peak of the step: the whole process on a CPU, the device's pools on a GPU\n";
        text
    }

    /// Draws bytes in use over the step.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn plot(&self, path: &Path) -> Result<()> {
        memory_plot(path, &self.timeline, &self.stretches)
    }
}
