//! One local module: its blocks, its heads, its optimizer, and the one door to train it.

use super::config::LocalConfig;
use super::heads::{LocalHead, ReconDecoder};
use super::mark::{Mark, Watch};
use super::pooled::Features;
use super::sgd::sgd;
use super::spec::Spec;
use crate::data::normalize::Normalization;
use crate::net::{Block, FcnHead, Init, Pass, Replica};
use crate::task::Task;
use crate::{Error, Result, memory, ops};
use burn::backend::StreamId;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor, TensorData};
use std::ops::Range;

/// What every module of a step learns from.
pub struct Targets {
    /// The image in `[0, 1]`: `[batch, 3, height, width]`.
    pub image: Tensor<4>,
    /// Class indices; what is none is ignored: `[batch, height, width]`, for classification `[batch, 1, 1]`.
    pub label: Tensor<3, Int>,
    /// The same on the host, flattened.
    pub label_host: Vec<u16>,
    /// The image's `[height, width]`.
    pub size: [usize; 2],
}

impl Targets {
    /// From an input `[batch, 3, height, width]`, how it was normalised, and its label, flattened: a class for each pixel or
    /// one for each image.
    pub fn new(input: &Tensor<4>, normalization: Normalization, label_host: Vec<u16>, device: &Device) -> Self {
        let [batch, _, height, width] = input.dims();
        let of_label = if label_host.len() == batch { [batch, 1, 1] } else { [batch, height, width] };
        let ids: Vec<i32> = label_host.iter().map(|&id| i32::from(id)).collect();
        let colours = |values: [f32; 3]| {
            let values = values.map(|value| value / 255.0).to_vec();
            Tensor::<4>::from_data(TensorData::new(values, [1, 3, 1, 1]), device)
        };
        Self {
            image: (input.clone() * colours(normalization.std) + colours(normalization.mean)).clamp(0.0, 1.0),
            label: Tensor::from_data(TensorData::new(ids, of_label), device),
            label_host,
            size: [height, width],
        }
    }

    /// Moves the targets to another device; the image only `with_image`.
    pub(super) fn on(&self, device: &Device, with_image: bool) -> Self {
        let image = self.image.clone();
        Self {
            image: if with_image { ops::moved(image, device) } else { image },
            label: ops::moved(self.label.clone(), device),
            label_host: self.label_host.clone(),
            size: self.size,
        }
    }

    /// The targets of these images alone.
    pub(crate) fn part(&self, pictures: Range<usize>) -> Self {
        let [batch, ..] = self.label.dims();
        let each = self.label_host.len() / batch;
        Self {
            image: self.image.clone().slice([pictures.clone()]),
            label: self.label.clone().slice([pictures.clone()]),
            label_host: self.label_host[pictures.start * each..pictures.end * each].to_vec(),
            size: self.size,
        }
    }
}

/// The losses of one module at one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Losses {
    /// R, before its weight; `None` where nothing is reconstructed.
    pub reconstruction: Option<f32>,
    /// T, before its weight; for the last module the decode head's loss plus the weighted auxiliary one.
    pub task: f32,
    /// What was minimised.
    pub total: f32,
}

/// The heads that a module trains with.
#[derive(Module, Debug)]
pub(super) enum Heads {
    Local(LocalHeads),
    Task(TaskHeads),
}

#[derive(Module, Debug)]
pub(super) struct LocalHeads {
    pub recon_decoder: Option<ReconDecoder>,
    pub local_head: LocalHead,
}

/// The last module's: the decode head is its last block; the auxiliary head reads block `after` of the module.
#[derive(Module, Debug)]
pub(super) struct TaskHeads {
    pub aux_head: Option<FcnHead>,
    pub after: usize,
}

/// Everything of a module that has weights.
#[derive(Module, Debug)]
pub struct ModuleNet {
    pub(super) blocks: Vec<Block>,
    pub(super) heads: Heads,
}

/// A small network with its own loss and optimizer. Nothing that it does reaches another module but its detached output.
pub struct LocalModule {
    /// Position in the network, from 0.
    pub index: usize,
    /// Names of its blocks.
    pub block_names: Vec<String>,
    /// Number of its device among those of the run.
    pub device_number: usize,
    /// Where it computes.
    pub(super) device: Device,
    // Taken out while the optimizer rebuilds it; always there between calls.
    net: Option<ModuleNet>,
    optimizer: ModuleOptimizer,
    pub(super) recon_weight: f64,
    pub(super) task_weight: f64,
    pub(super) aux_weight: f64,
    pub(super) num_classes: usize,
    /// What it learns.
    pub(super) task: &'static dyn Task,
    pub(super) local: LocalConfig,
    pub(super) recompute: bool,
    pub(super) micro_batches: usize,
    /// Where it is one of several that make a batch together.
    pub(super) replica: Replica,
    /// Queue of a GPU for a thread that works for this module alone. A GPU has memory pools for each queue, and a new thread would
    /// have a new one.
    stream: StreamId,
    /// Bytes of the largest tensor of a step.
    pub(super) largest: u64,
    /// Whether its first step is behind it.
    settled: bool,
}

/// What a module is made of, before its heads are.
pub(super) struct Parts {
    pub index: usize,
    pub block_names: Vec<String>,
    pub blocks: Vec<Block>,
    /// The last block's output.
    pub features: Features,
    /// For the last module: the auxiliary head, and the block of this module that it reads.
    pub aux_head: Option<(FcnHead, usize)>,
}

impl LocalModule {
    pub(super) fn new(init: &mut Init, parts: Parts, spec: &Spec, num_classes: usize) -> Self {
        let Parts { index, block_names, blocks, features, aux_head } = parts;
        let local = spec.local.clone();
        let is_last = index + 1 == local.num_modules;
        let recon_weight = local.recon_weight_of(index, local.num_modules);
        let heads = if is_last {
            let (aux_head, after) = aux_head.map_or((None, 0), |(head, after)| (Some(head), after));
            Heads::Task(TaskHeads { aux_head, after })
        } else {
            let recon_decoder = (recon_weight > 0.0).then(|| ReconDecoder::new(init, features.shape.channels, &local));
            let local_head = LocalHead::new(init, features, &local, num_classes, spec.model.dropout);
            Heads::Local(LocalHeads { recon_decoder, local_head })
        };
        Self {
            index,
            block_names,
            device_number: 0,
            device: init.device().clone(),
            net: Some(ModuleNet { blocks, heads }),
            optimizer: sgd(&spec.optim),
            recon_weight,
            task_weight: local.task_weight_of(index, local.num_modules),
            aux_weight: spec.model.aux_weight,
            num_classes,
            task: spec.task.task(),
            local,
            recompute: spec.execution.recompute,
            micro_batches: spec.execution.micro_batches,
            replica: Replica::default(),
            stream: StreamId::allocate(),
            largest: 0,
            settled: false,
        }
    }

    /// Blocks, heads and their weights.
    pub fn net(&self) -> &ModuleNet {
        self.net.as_ref().expect("the network is only away while the optimizer has it")
    }

    /// One training step: forward, local loss, backward, update. The module's activations and gradients are gone when it
    /// returns.
    ///
    /// `features` are the module before's detached output (for the first, the input `[batch, 3, height, width]`); returns
    /// this module's, detached. `seed` draws dropout and contrastive samples.
    ///
    /// # Errors
    /// A loss that is not finite; the module's weights have then been moved along gradients that are not either.
    pub fn train_step(
        &mut self,
        features: Tensor<4>,
        targets: &Targets,
        lr: f64,
        seed: u64,
    ) -> Result<(Tensor<4>, Losses)> {
        self.train_step_watched(features, targets, lr, seed, &mut |_| ())
    }

    pub(super) fn train_step_watched(
        &mut self,
        features: Tensor<4>,
        targets: &Targets,
        lr: f64,
        seed: u64,
        watch: Watch,
    ) -> Result<(Tensor<4>, Losses)> {
        let (output, terms, gradients) = self.backward_watched(features, targets, seed, None, watch);
        // Asked for before the losses are, a GPU goes on from the gradients without a pause.
        self.update(lr, gradients);
        watch(Mark::Updated);
        let losses = terms.read();
        self.check_loss(&losses, lr)?;
        Ok((output, losses))
    }

    /// Moves the weights along these gradients.
    pub(super) fn update(&mut self, lr: f64, gradients: GradientsParams) {
        let net = self.net.take().expect("the network is only away while the optimizer has it");
        let optimizer = &mut self.optimizer;
        if self.settled {
            self.net = Some(optimizer.step(lr, net, gradients));
            return;
        }
        self.net = Some(memory::lasting(&self.device, || optimizer.step(lr, net, gradients))); // momentum is new
        memory::give_back(&self.device); // pages of candidates that tuning tried
        self.settled = true;
    }

    /// Where a thread works that has this module, or the network that begins with it, to itself.
    pub(super) fn own_stream(&self) -> OwnStream {
        let largest = if self.settled { 0 } else { self.largest };
        OwnStream { stream: self.stream, device: self.device.clone(), largest }
    }

    pub(super) fn check_loss(&self, losses: &Losses, lr: f64) -> Result<()> {
        if !losses.total.is_finite() {
            return Err(Error::Loss(format!(
                "local module {} of {}: the loss is {} (reconstruction {}, task {}); lower optim.lr (now {lr:.2e}) or \
                 raise optim.warmup_steps",
                self.index + 1,
                self.local.num_modules,
                losses.total,
                losses.reconstruction.map_or("none".into(), |loss| loss.to_string()),
                losses.task,
            )));
        }
        Ok(())
    }

    /// Moves it to another device. An optimizer's state follows at the next step.
    pub(super) fn move_to(&mut self, device: &Device) {
        if self.device != *device {
            let between = ops::is_remote(&self.device) && ops::is_remote(device);
            // Two workers need not see each other.
            let here = |net: ModuleNet| if between { net.fork(&Device::flex().autodiff()) } else { net };
            self.net = self.net.take().map(|net| here(net).fork(device));
            self.device = device.clone();
        }
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Whether the network ends with it.
    pub fn is_last(&self) -> bool {
        self.index + 1 == self.local.num_modules
    }

    /// Whether it learns to draw the image.
    pub(super) fn reconstructs(&self) -> bool {
        matches!(&self.net().heads, Heads::Local(LocalHeads { recon_decoder: Some(_), .. }))
    }

    /// Whether this is the last module and trains the auxiliary head.
    pub fn has_aux_head(&self) -> bool {
        matches!(&self.net().heads, Heads::Task(TaskHeads { aux_head: Some(_), .. }))
    }

    /// Its blocks as they are now, to compute features with on its own device.
    pub fn frozen(&self) -> Frozen {
        Frozen { blocks: self.blocks_for_evaluation(&self.device), device: self.device.clone().without_autodiff() }
    }

    /// The blocks for evaluation on a device: outside autodiff, where it is the module's sharing its weights as they are now.
    pub fn blocks_for_evaluation(&self, device: &Device) -> Vec<Block> {
        let blocks = self.net().blocks.valid();
        if self.device == *device {
            return blocks;
        }
        let between = ops::is_remote(&self.device) && ops::is_remote(device);
        let blocks = if between { blocks.fork(&Device::flex()) } else { blocks };
        blocks.fork(&device.clone().without_autodiff())
    }

    pub(crate) fn state(&self) -> (&ModuleNet, &ModuleOptimizer) {
        (self.net(), &self.optimizer)
    }

    pub(crate) fn state_mut(&mut self) -> (&mut Option<ModuleNet>, &mut ModuleOptimizer) {
        (&mut self.net, &mut self.optimizer)
    }
}

/// The queue of a GPU for one thread, and the memory pools that go with it.
pub(super) struct OwnStream {
    stream: StreamId,
    device: Device,
    /// Bytes of the largest tensor that the pools have not met.
    largest: u64,
}

impl OwnStream {
    /// Does `work` there; other threads may read what it wrote when this returns.
    pub fn executes(self, work: impl FnOnce()) {
        self.stream.executes(|| {
            memory::reserve(&self.device, self.largest);
            work();
            ops::settle(&self.device);
        });
    }
}

/// A module that does not learn any more.
pub struct Frozen {
    blocks: Vec<Block>,
    device: Device,
}

impl Frozen {
    /// Features `[batch, channels, height, width]` to features, by running statistics and without dropout.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        let features = ops::moved(features.without_autodiff(), &self.device);
        self.blocks.iter().fold(features, |x, block| block.forward(x, &Pass::evaluation()))
    }
}
