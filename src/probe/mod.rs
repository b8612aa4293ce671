//! How much each block of a trained network knows: the paper's estimates of I(h, x) and I(h, y).
//!
//! Neither can be computed. The paper estimates them by what can be learned from the features h of a frozen network: I(h, x)
//! by how well a decoder that is trained afresh draws the image x, I(h, y) by how well a classifier that is trained
//! afresh tells the label y. All of them are of one design, whatever the block (`nets`), see the same images in the same
//! order, and are scored on the validation split (`score`). One pass of the frozen network trains the probes of all
//! blocks: its features are never stored.

pub(crate) mod nets;
pub mod report;
pub(crate) mod score;

use crate::config::{RunConfig, defaults_for};
use crate::data::Dataset;
use crate::data::loader::Loader;
use crate::data::training_set::TrainingSet;
use crate::local::{Targets, cut};
use crate::net::{Block, FeatureShape, Init, Pass};
use crate::render::drawn::evenly;
use crate::rng::mix;
use crate::train::checkpoint::Checkpoint;
use crate::{Error, Result};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor};
use nets::Probe;
use std::f64::consts::PI;

/// How probes are trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Training steps of each probe.
    pub steps: usize,
    /// Images of a step.
    pub batch_size: usize,
    /// Learning rate of Adam at the start; it falls to 0 along a cosine.
    pub lr: f64,
    /// Draws initial weights, crops and order; the same for every run.
    pub seed: u64,
    /// Threads that make batches.
    pub workers: usize,
    /// Validation images that are scored at most.
    pub pictures: usize,
    /// Blocks that are probed at most, evenly chosen, the first and the last among them.
    pub blocks: usize,
}

/// A frozen network with a probe behind some of its blocks.
pub struct Probed {
    blocks: Vec<Probing>,
    device: Device,
    num_classes: usize,
}

/// A block of the network, and what is probed behind it.
struct Probing {
    block: Block,
    name: String,
    ends_module: bool,
    probe: Option<(Probe, ModuleOptimizer)>,
}

impl Probed {
    /// The network of a checkpoint, with fresh probes.
    ///
    /// # Errors
    /// The checkpoint does not fit its configuration.
    pub fn new(checkpoint: &Checkpoint, config: &RunConfig, device: &Device, settings: &Settings) -> Result<Self> {
        let num_classes = checkpoint.num_classes();
        let trained = checkpoint.network(config, device)?;
        let picture = config.spec().image();
        let blank = config.spec().blank(num_classes);
        let shapes: Vec<FeatureShape> = cut::features(&blank, picture).iter().map(|features| features.shape).collect();
        let frozen = device.clone().without_autodiff();
        let mut blocks = Vec::new();
        for module in &trained.modules {
            let of_module = module.blocks_for_evaluation(&frozen);
            let last = of_module.len() - 1;
            for (i, (block, name)) in of_module.into_iter().zip(&module.block_names).enumerate() {
                let ends_module = i == last && !module.is_last();
                blocks.push(Probing { block, name: name.clone(), ends_module, probe: None });
            }
        }
        blocks.pop(); // the head, whose outputs are scores
        let decoder = defaults_for(config.data.dataset).local;
        let learning = device.clone().autodiff();
        for index in evenly(blocks.len(), settings.blocks) {
            let mut init = Init::new(mix(settings.seed, index as u64), &learning);
            let task = config.data.dataset.task();
            let probe = Probe::new(&mut init, task, shapes[index], picture, &decoder, num_classes);
            blocks[index].probe = Some((probe, AdamConfig::new().init()));
        }
        Ok(Self { blocks, device: frozen, num_classes })
    }

    /// Trains every probe on the training split; `on_step` hears of each step that is done.
    ///
    /// # Errors
    /// An image that cannot be read.
    pub fn train(
        &mut self,
        train: Box<dyn Dataset>,
        config: &RunConfig,
        settings: &Settings,
        mut on_step: impl FnMut(usize),
    ) -> Result<()> {
        let normalization = config.data.dataset.normalization();
        let pictures = TrainingSet::new(train, &config.augment, config.train.resolution, normalization);
        let mut loader = Loader::new(pictures, settings.batch_size, settings.seed, settings.workers, 0);
        for step in 0..settings.steps {
            let mut batch = loader.next()?;
            let label = std::mem::take(&mut batch.label);
            let input = Tensor::from_data(batch.into_input(), &self.device);
            let learning = self.device.clone().autodiff();
            let targets = Targets::new(&input.clone().autodiff(), normalization, label, &learning);
            let lr = settings.lr * (1.0 + (PI * step as f64 / settings.steps as f64).cos()) / 2.0;
            let seed = mix(settings.seed, step as u64);
            self.forward(input, |probing, features| {
                let Some((probe, mut optimizer)) = probing.probe.take() else { return Ok(()) };
                let loss = probe.loss(features.clone().autodiff(), &targets, &Pass::training(seed));
                let gradients = GradientsParams::from_grads(loss.backward(), &probe);
                probing.probe = Some((optimizer.step(lr, probe, gradients), optimizer));
                Ok(())
            })?;
            on_step(step + 1);
        }
        Ok(())
    }

    /// Takes a batch through the network, and calls `probe` with the features behind each probed block.
    fn forward(
        &mut self,
        input: Tensor<4>,
        mut probe: impl FnMut(&mut Probing, &Tensor<4>) -> Result<()>,
    ) -> Result<()> {
        let mut x = input;
        for probing in &mut self.blocks {
            x = probing.block.forward(x, &Pass::evaluation());
            if probing.probe.is_some() {
                probe(probing, &x)?;
            }
        }
        Ok(())
    }
}

/// Says so where two runs cannot be set side by side.
///
/// # Errors
/// They were trained on different datasets, or for another size of image.
pub fn check_alike(first: (&str, &RunConfig), other: (&str, &RunConfig)) -> Result<()> {
    let of = |config: &RunConfig| (config.data.dataset, config.train.resolution);
    let ((dataset, size), (other_dataset, other_size)) = (of(first.1), of(other.1));
    if (dataset, size) == (other_dataset, other_size) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "{} was trained on {} at {other_size}, {} on {} at {size}; probe them one by one",
        other.0,
        other_dataset.name(),
        first.0,
        dataset.name()
    )))
}
