//! `segbench step`: seconds and memory of training steps on a made-up batch, so that neither dataset nor loader counts.
//!
//! Each configuration is a process of its own: its peak is its own.

use super::child;
use super::local::Row;
use crate::config::{Flag, Layers, Method, Precision, RunConfig, TaskLoss};
use crate::local::cost::{Costs, StepCost};
use crate::local::cut;
use crate::local::{LocalNetwork, Targets};
use crate::memory;
use crate::rng::mix;
use crate::size::Resolution;
use crate::{Error, Result};
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, StandardNormal};
use serde::{Deserialize, Serialize};
use std::time::Instant;
use toml::Value;

/// What is measured: every method at every K and size.
pub struct Plan {
    /// What all have in common.
    pub common: Layers,
    /// Methods; K = 1 is end-to-end training whatever they are, and measured once.
    pub methods: Vec<Row>,
    /// Numbers of local modules.
    pub ks: Vec<usize>,
    /// Crop sizes; the configuration's where there are none.
    pub resolutions: Vec<Resolution>,
    /// Steps of each process. The first, where there are more, is not measured: it meets fresh memory.
    pub steps: usize,
}

/// What came out for one configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Always `infoseg`.
    pub program: String,
    /// Number of local modules.
    pub k: usize,
    /// Name of the method.
    pub method: Method,
    /// T of its local losses.
    pub task_loss: TaskLoss,
    /// The last block of each module but the last.
    pub cuts: Vec<String>,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Images of a step.
    pub batch: usize,
    /// Number format of activations.
    pub precision: Precision,
    /// Where it was computed.
    pub device: String,
    /// Threads of the CPU.
    pub threads: usize,
    /// Seconds of each step.
    pub seconds: Vec<f64>,
    /// Median of the steps behind the first.
    pub seconds_per_step: f64,
    /// Multiplications and additions of a step, in 10¹²: forward, and twice as many backward.
    pub teraflop: f64,
    /// What the device does of them in a second in a matrix product of 2048³, in 10⁹.
    pub matmul_gigaflops: f64,
    /// See [`memory::peak_bytes`].
    pub peak_bytes: Option<u64>,
    /// What of that was predicted: on a GPU the tensors alone.
    pub predicted_bytes: u64,
    /// Most bytes on the heap.
    pub heap_bytes: u64,
    /// Each module's loss at the last step.
    pub losses: Vec<f32>,
}

impl Measured {
    fn title(&self) -> &'static str {
        Row::ALL.into_iter().find(|row| row.method() == (self.method, self.task_loss)).map_or("", Row::title)
    }
}

impl Plan {
    /// Measures one after the other, and tells each as it is done.
    ///
    /// # Errors
    /// A configuration that cannot be, a process that fails.
    pub fn measure(&self, mut tell: impl FnMut(&Measured) -> Result<()>) -> Result<Vec<Measured>> {
        let mut configs = Vec::new();
        let sizes: Vec<Option<Resolution>> = match self.resolutions.as_slice() {
            [] => vec![None],
            sizes => sizes.iter().copied().map(Some).collect(),
        };
        for size in sizes {
            let mut rows: Vec<(Row, usize)> = Vec::new();
            for &k in &self.ks {
                match k {
                    1 => rows.push((Row::E2e, 1)),
                    _ => rows.extend(self.methods.iter().filter(|row| **row != Row::E2e).map(|row| (*row, k))),
                }
            }
            for (row, k) in rows {
                configs.push(configured(&self.common, row, k, size)?);
            }
        }
        let mut all = Vec::new();
        for config in configs {
            let steps = self.steps.to_string();
            let measured: Measured = child::run("step-once", &config, &["--bench-steps", &steps])?;
            tell(&measured)?;
            all.push(measured);
        }
        Ok(all)
    }
}

fn configured(common: &Layers, row: Row, k: usize, size: Option<Resolution>) -> Result<RunConfig> {
    let mut layers = common.clone();
    layers.flags.push(Flag { name: "--ks", key: "local.num_modules", value: Value::Integer(k as i64) });
    if let Some(size) = size {
        layers.flags.push(Flag {
            name: "--resolutions",
            key: "train.resolution",
            value: Value::String(size.to_string()),
        });
    }
    layers.flags.extend(row.flags());
    layers.load()
}

/// A batch of noise, and what the network is to make of it: nine in ten labels are a class, the others are ignored.
pub(super) fn batch(config: &RunConfig, num_classes: usize, device: &Device) -> (Tensor<4>, Targets) {
    let (size, batch) = (config.train.resolution, config.train.batch_size);
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    let pixels = batch * size.height * size.width;
    let input: Vec<f32> = (0..3 * pixels).map(|_| StandardNormal.sample(&mut rng)).collect();
    let labels = if config.data.dataset.task().is_dense() { pixels } else { batch };
    let label = (0..labels)
        .map(|_| if labels > batch && rng.random_bool(0.1) { 255 } else { rng.random_range(0..num_classes) as u16 })
        .collect();
    let input = Tensor::from_data(TensorData::new(input, [batch, 3, size.height, size.width]), device);
    let targets = Targets::new(&input, config.data.dataset.normalization(), label, device);
    (input, targets)
}

/// Makes the steps, in this process.
///
/// # Errors
/// The device cannot be had; a loss is not finite.
pub fn measure(config: &RunConfig, steps: usize) -> Result<Measured> {
    let device = config.open_device()?;
    let num_classes = config.num_classes_expected();
    let mut network = LocalNetwork::new(&config.spec(), num_classes, &device)?; // its steps are the sequential schedule's
    let (input, targets) = batch(config, num_classes, &device);
    let (mut seconds, mut losses) = (Vec::new(), Vec::new());
    for step in 0..steps {
        let start = Instant::now();
        let made = network.train_step(input.clone(), &targets, config.optim.lr, mix(config.seed, step as u64))?;
        device.sync().map_err(|e| Error::run(format!("the device does not answer: {e}")))?;
        seconds.push(start.elapsed().as_secs_f64());
        losses = made.iter().map(|losses| losses.total).collect();
    }
    let (peak_bytes, heap_bytes) = (memory::peak_bytes(&device), memory::counting::peak() as u64);
    let last = |names: &[String]| names.last().cloned().unwrap_or_default();
    let others = &network.modules[..network.modules.len() - 1];
    Ok(Measured {
        program: "infoseg".into(),
        k: network.modules.len(),
        method: config.local.method,
        task_loss: config.local.task_loss,
        cuts: others.iter().map(|module| last(&module.block_names)).collect(),
        height: config.train.resolution.height,
        width: config.train.resolution.width,
        batch: config.train.batch_size,
        precision: config.train.precision,
        device: config.first_device().resolve().to_string(),
        threads: rayon::current_num_threads(),
        teraflop: teraflop(config, num_classes)?,
        matmul_gigaflops: matmul_gigaflops(&device)?,
        seconds_per_step: median(if seconds.len() > 1 { &seconds[1..] } else { &seconds }),
        seconds,
        peak_bytes,
        predicted_bytes: predicted(config, num_classes, &device)?,
        heap_bytes,
        losses,
    })
}

/// Most bytes of such a step: there is no loader.
fn predicted(config: &RunConfig, num_classes: usize, device: &Device) -> Result<u64> {
    let ranges = cut::module_ranges_of(&config.spec(), num_classes)?;
    Ok(comparable(&Costs::of(&config.spec(), num_classes).step(&ranges, config.spec().execution, false), device))
}

/// What of a prediction [`memory::peak_bytes`] measures.
pub(super) fn comparable(cost: &StepCost, device: &Device) -> u64 {
    if memory::has_pools(device) { cost.tensors() } else { cost.peak() }
}

/// Arithmetic of a step, whose backward takes twice its forward; blocks that are recomputed go forward twice.
fn teraflop(config: &RunConfig, num_classes: usize) -> Result<f64> {
    let costs = Costs::of(&config.spec(), num_classes);
    let macs = costs.macs(&cut::module_ranges_of(&config.spec(), num_classes)?);
    let again = if config.train.recompute { costs.macs_of_blocks() } else { 0 };
    Ok((2 * (3 * macs + again) * config.train.batch_size) as f64 / 1e12)
}

fn matmul_gigaflops(device: &Device) -> Result<f64> {
    const SIDE: usize = 2048;
    let device = device.clone().without_autodiff();
    let matrix = || Tensor::<2>::random([SIDE, SIDE], Distribution::Normal(0.0, 1.0), &device);
    let (a, b) = (matrix(), matrix());
    let mut seconds = Vec::new();
    for _ in 0..4 {
        let start = Instant::now();
        let product = a.clone().matmul(b.clone());
        device.sync().map_err(|e| Error::run(format!("the device does not answer: {e}")))?;
        seconds.push(start.elapsed().as_secs_f64());
        drop(product);
    }
    Ok(2.0 * (SIDE as f64).powi(3) / median(&seconds[1..]) / 1e9)
}

pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n.is_multiple_of(2) => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
        n => sorted[n / 2],
    }
}

/// The table: ratios to the first row of the same size, then what they are of.
pub fn table(all: &[Measured]) -> String {
    let mut text = String::from(
        "| size | batch | K | method | memory | time | MiB | s/step | TFLOP | of matmul's rate |\n|---|---:|---:|---|---:|---:|---:|---:|---:|---:|\n",
    );
    for row in all {
        let first = all.iter().find(|first| (first.height, first.width) == (row.height, row.width)).unwrap_or(row);
        let memory = match (row.peak_bytes, first.peak_bytes) {
            (Some(bytes), Some(of)) => (format!("{:.2} ×", bytes as f64 / of as f64), format!("{}", bytes >> 20)),
            _ => ("-".into(), "-".into()),
        };
        text += &format!(
            "| {}x{} | {} | {} | {} | {} | {:.2} × | {} | {:.3} | {:.2} | {:.0} % |\n",
            row.height,
            row.width,
            row.batch,
            row.k,
            row.title(),
            memory.0,
            row.seconds_per_step / first.seconds_per_step,
            memory.1,
            row.seconds_per_step,
            row.teraflop,
            1e5 * row.teraflop / row.seconds_per_step / row.matmul_gigaflops,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
