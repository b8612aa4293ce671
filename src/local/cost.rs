//! What a training step will hold in memory, before any tensor exists.
//!
//! All of it follows from shapes: what each block and head keeps for its backward, and the gradients that are there while it
//! goes backward ([`Footprint`]), in the order in which [`super::step`] goes. On a GPU the same tensors exist, and its driver takes its
//! share. Not counted are a dataset that is held in memory, and the scoring of whole images
//! that are larger than the crops.

use super::config::TaskLoss;
use super::cut;
use super::heads::{decoder_footprint, head_footprint};
use super::spec::{Execution, Spec};
use crate::device::DeviceChoice;
use crate::net::{FeatureShape, Footprint};
use crate::{Error, Result};
use std::ops::Range;

/// The program itself, its threads, and what the allocator keeps between blocks.
const PROCESS: u64 = 48 << 20;
/// What CUDA takes for itself: its context, and the kernels. On an H200 a process had 550 to 600 MiB beside its pools.
const CONTEXT: u64 = 600 << 20;
/// Most bytes of the partial sums of a weight's gradient, which a GPU with tensor cores makes; each module that is at work has some.
const PARTIAL_SUMS: usize = 64 << 20;
/// Parts of such a sum that a small network is taken to need.
const MOST_PARTS: usize = 16;
/// Share by which a prediction may be short: on a CPU, and of tensors that share the pages of a GPU's pool.
const MARGINS: [f64; 2] = [0.05, 0.16];
/// What the allocator keeps between blocks for each thread that works for itself.
const WORKER: u64 = 32 << 20;
/// Bytes of a float32 value, and of a label on a device.
const VALUE: usize = size_of::<f32>();
/// Batches that are ready or under way while a step is made.
const LOADED_BATCHES: usize = 3;
/// Most places at which a network is tried to be cut.
const MOST_PLACES: usize = 64;
/// Square matrices of samples that the contrastive loss holds at once.
const CONTRASTS: usize = 5;

/// What a module will hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleCost {
    /// Bytes that each block leaves for its backward.
    pub kept: Vec<u64>,
    /// Most bytes at once: activations, gradients, and its input and output.
    pub peak: u64,
}

/// What a step will hold.
#[derive(Debug, Clone, PartialEq)]
pub struct StepCost {
    /// Blocks of each module.
    pub ranges: Vec<Range<usize>>,
    /// One entry for each module.
    pub modules: Vec<ModuleCost>,
    /// There whatever module is at work: weights, momentum, images and labels, batches under way.
    pub fixed: u64,
    /// Bytes of the largest tensor of activations.
    pub largest: u64,
    /// Whole networks that share this memory.
    pub copies: u64,
    /// Batches on their way between modules that are at work at once; `None` where they go one after another.
    pub waiting: Option<u64>,
    /// Beside tensors: the process itself, on CUDA the driver's share of the GPU.
    pub beside: u64,
    /// Beside the tensors of each module that is at work for itself.
    pub worker: u64,
    /// Share by which all of it may be short.
    pub margin: f64,
}

impl StepCost {
    /// Most bytes at once.
    pub fn peak(&self) -> u64 {
        self.beside + self.tensors()
    }

    /// Most bytes of tensors at once: what the memory pools of a GPU hold.
    pub fn tensors(&self) -> u64 {
        let peaks = self.modules.iter().map(|module| module.peak);
        let at_work = match self.waiting {
            None => peaks.max().unwrap_or(0),
            Some(waiting) => waiting + peaks.map(|peak| peak + self.worker).sum::<u64>(),
        };
        self.copies * (self.fixed + at_work)
    }
}

struct BlockCost {
    name: String,
    input: FeatureShape,
    block: Footprint,
    /// The task head and the decoder of a local module that ends with this block.
    head: Footprint,
    decoder: Footprint,
}

/// What the parts of a network cost.
pub struct Costs {
    blocks: Vec<BlockCost>,
    /// The auxiliary head, and the block that it reads.
    aux: Option<(usize, Footprint)>,
    picture: FeatureShape,
    spec: Spec,
}

impl Costs {
    /// Costs of this network, for `num_classes` classes.
    pub fn of(spec: &Spec, num_classes: usize) -> Self {
        let network = spec.blank(num_classes);
        let picture = spec.image();
        let features = cut::features(&network, picture);
        let mut input = picture;
        let mut blocks = Vec::new();
        for (named, features) in network.blocks.iter().zip(features) {
            let block = named.block.footprint(input);
            blocks.push(BlockCost {
                name: named.name.clone(),
                input,
                block,
                head: head_footprint(&spec.local, features, num_classes),
                decoder: decoder_footprint(&spec.local, block.output, picture),
            });
            input = block.output;
        }
        let aux = network.aux_head.and_then(|(head, after)| {
            let index = blocks.iter().position(|block| block.name == after)?;
            Some((index, head.footprint(blocks[index].block.output)))
        });
        Self { blocks, aux, picture, spec: spec.clone() }
    }

    /// Names of the blocks, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.blocks.iter().map(|block| block.name.as_str())
    }

    /// Multiply-adds of a step's forward for one image, heads included. Its backward has twice as many.
    pub fn macs(&self, ranges: &[Range<usize>]) -> usize {
        self.macs_of_modules(ranges).iter().sum()
    }

    /// The same of each module.
    pub fn macs_of_modules(&self, ranges: &[Range<usize>]) -> Vec<usize> {
        let of_module = |(module, range): (usize, &Range<usize>)| {
            let blocks = self.blocks[range.clone()].iter().map(|block| block.block.macs).sum::<usize>();
            blocks + self.heads(module, ranges).map(|head| head.macs).sum::<usize>()
        };
        ranges.iter().enumerate().map(of_module).collect()
    }

    /// The same of the blocks alone.
    pub fn macs_of_blocks(&self) -> usize {
        self.blocks.iter().map(|block| block.block.macs).sum()
    }

    /// The heads of a module, in the order in which they are made.
    fn heads(&self, module: usize, ranges: &[Range<usize>]) -> impl Iterator<Item = Footprint> {
        let range = &ranges[module];
        let is_last = range.end == self.blocks.len();
        let local = &self.spec.local;
        let reconstructs = !is_last && local.recon_weight_of(module, ranges.len()) > 0.0;
        let end = &self.blocks[range.end - 1];
        let aux = self.aux.filter(|(after, _)| is_last && range.contains(after)).map(|(_, head)| head);
        let task = (!is_last).then_some(end.head);
        [aux, task, reconstructs.then_some(end.decoder)].into_iter().flatten()
    }

    /// What module `module` of a network cut into `ranges` will hold.
    fn module(&self, module: usize, ranges: &[Range<usize>], execution: Execution) -> ModuleCost {
        let range = &ranges[module];
        let blocks = &self.blocks[range.clone()];
        let batch = self.spec.batch_size;
        let micro_batches = execution.micro_batches.clamp(1, batch);
        let part = batch.div_ceil(micro_batches);
        let activation = self.spec.precision.bytes();
        let of_part = |values: usize| (values * part * activation) as u64;
        let of_batch = |values: usize| (values * batch * activation) as u64;

        let kept =
            |block: &BlockCost| of_part(if execution.recompute { block.block.output.len() } else { block.block.kept });
        let output = blocks[blocks.len() - 1].block.output;
        let parameters = |footprint: &Footprint| (footprint.parameters * VALUE) as u64;
        let heads: Vec<Footprint> = self.heads(module, ranges).collect();
        let is_last = range.end == self.blocks.len();
        let aux = self.aux.filter(|(after, _)| is_last && range.contains(after)).map(|(after, _)| after - range.start);

        // Forward, with the heads where they come.
        let (mut peak, mut held) = (0, 0);
        // All of them wait for those of the later micro-batches.
        let all = blocks.iter().map(|block| &block.block).chain(&heads).map(parameters).sum();
        let mut gradients: u64 = if micro_batches > 1 { all } else { 0 };
        for (i, block) in blocks.iter().enumerate() {
            held += kept(block);
            peak = peak.max(held);
            if aux == Some(i) {
                peak = peak.max(held + of_part(heads[0].kept + heads[0].working));
                held += of_part(block.block.output.len()); // its gradient
                gradients += parameters(&heads[0]);
            }
        }
        for (i, head) in heads.iter().skip(usize::from(aux.is_some())).enumerate() {
            // The task head's gradient waits while the decoder is at work.
            let waiting = if i > 0 { of_part(output.len()) } else { 0 };
            let contrast = if !is_last && i == 0 { self.contrast(part) } else { 0 };
            peak = peak.max(held + gradients + waiting + contrast + of_part(head.kept + head.working));
            gradients += parameters(head);
        }
        // Backward. A block's `working` counts the gradient that it begins with.
        for (i, block) in blocks.iter().enumerate().rev() {
            let again = if execution.recompute { of_part(block.block.kept) } else { 0 };
            let returned = if i + 1 < blocks.len() { of_part(output.len()) } else { 0 };
            if aux == Some(i) {
                held -= of_part(block.block.output.len());
            }
            gradients += parameters(&block.block);
            peak = peak.max(held + gradients + again + returned + of_part(block.block.working));
            held -= kept(block);
        }
        let before = if range.start > 0 { of_batch(blocks[0].input.len()) } else { 0 };
        let parts = match micro_batches {
            1 => 0,
            // The part's input, and outputs of the parts before it.
            _ => of_part(blocks[0].input.len()) + of_batch(output.len()),
        };
        ModuleCost { kept: blocks.iter().map(kept).collect(), peak: before + parts + peak }
    }

    /// What a step will hold. `loading`: whether batches come from a loader.
    pub fn step(&self, ranges: &[Range<usize>], execution: Execution, loading: bool) -> StepCost {
        let weights: usize = self.blocks.iter().map(|block| block.block.parameters).sum::<usize>()
            + (0..ranges.len())
                .map(|m| self.heads(m, ranges).map(|head| head.parameters).sum::<usize>())
                .sum::<usize>();
        let states = if self.spec.optim.momentum > 0.0 { 2 } else { 1 };
        let (pixels, labels) = (self.spec.batch_size * self.picture.pixels(), self.labels());
        let targets = self.targets();
        let device = self.spec.device.resolve();
        // Batches that wait are not on a GPU.
        let loaded = if loading && device.is_cpu() {
            LOADED_BATCHES * (3 * pixels * VALUE + labels * size_of::<u16>())
        } else {
            0
        };
        let at_work = if execution.queues.is_some() { ranges.len() } else { 1 };
        let partial_sums = if matches!(device, DeviceChoice::Cuda(_)) {
            at_work * PARTIAL_SUMS.min(MOST_PARTS * weights * VALUE)
        } else {
            0
        };
        StepCost {
            modules: (0..ranges.len()).map(|module| self.module(module, ranges, execution)).collect(),
            ranges: ranges.to_vec(),
            copies: self.spec.copies as u64,
            beside: if matches!(device, DeviceChoice::Cuda(_)) { CONTEXT } else { PROCESS },
            worker: if device.is_cpu() { WORKER } else { 0 },
            margin: MARGINS[usize::from(!device.is_cpu())],
            waiting: execution.queues.map(|depth| self.waiting(ranges, depth)),
            fixed: (states * weights * VALUE + targets + loaded + partial_sums) as u64,
            largest: self.largest(ranges, execution),
        }
    }

    /// Bytes of the largest tensor of activations of a step.
    fn largest(&self, ranges: &[Range<usize>], execution: Execution) -> u64 {
        let batch = self.spec.batch_size;
        let part = batch.div_ceil(execution.micro_batches.clamp(1, batch));
        let blocks = self.blocks.iter().map(|block| block.block.largest);
        let heads = (0..ranges.len()).flat_map(|module| self.heads(module, ranges).map(|head| head.largest));
        let values = blocks.chain(heads).max().unwrap_or(0);
        (values * part * self.spec.precision.bytes()) as u64
    }

    /// Bytes that the contrastive loss of this number of images holds.
    fn contrast(&self, pictures: usize) -> u64 {
        let samples = match self.spec.local.task_loss {
            TaskLoss::Softmax => 0,
            TaskLoss::Contrast => self.spec.task.task().contrasted(pictures, self.spec.local.contrast_samples),
        };
        (CONTRASTS * samples * samples * VALUE) as u64
    }

    /// Bytes of a batch's input, image and label.
    fn targets(&self) -> usize {
        let pixels = self.spec.batch_size * self.picture.pixels();
        // Input and image in float32, labels as device integers and as they are on the host.
        2 * 3 * pixels * VALUE + self.labels() * (VALUE + size_of::<u16>())
    }

    fn labels(&self) -> usize {
        let [height, width] = self.spec.task.task().label_size([self.picture.height, self.picture.width]);
        self.spec.batch_size * height * width
    }

    /// Bytes of a batch's features behind these blocks.
    fn features(&self, range: &Range<usize>) -> usize {
        self.blocks[range.end - 1].block.output.len() * self.spec.batch_size * self.spec.precision.bytes()
    }

    /// Bytes of batches between modules: features, and the image and label that go with them.
    fn waiting(&self, ranges: &[Range<usize>], depth: usize) -> u64 {
        let targets = self.targets();
        // One that a module is about to hand over beside those that wait; its output is counted with the module.
        let between =
            ranges[..ranges.len() - 1].iter().map(|range| depth * self.features(range) + (depth + 1) * targets);
        between.sum::<usize>() as u64 + (depth * targets) as u64
    }

    /// Bytes that each module hands on with every batch (features, image and label; none of the last), and bytes of its
    /// gradients.
    pub fn traffic(&self, ranges: &[Range<usize>]) -> Vec<(u64, u64)> {
        let of_module = |(module, range): (usize, &Range<usize>)| {
            let is_last = range.end == self.blocks.len();
            let handed_on = if is_last { 0 } else { self.features(range) + self.targets() };
            let blocks = self.blocks[range.clone()].iter().map(|block| block.block.parameters).sum::<usize>();
            let heads = self.heads(module, ranges).map(|head| head.parameters).sum::<usize>();
            (handed_on as u64, ((blocks + heads) * VALUE) as u64)
        };
        ranges.iter().enumerate().map(of_module).collect()
    }

    /// What every possible module will hold: `[i][j]` is one that is made of the blocks `i..=j`, of a network that ends
    /// elsewhere where `j` is not its last block.
    pub fn of_modules(&self, execution: Execution) -> Vec<Vec<u64>> {
        let n = self.blocks.len();
        let stride = n.div_ceil(MOST_PLACES);
        // A module's λ1 depends on its position; that a decoder is there does not, but for weights that reach 0.
        let cost = |i: usize, j: usize| match j {
            _ if j < i => 0,
            // In very deep networks not every place is tried.
            _ if j + 1 < n && !(j + 1).is_multiple_of(stride) => u64::MAX / 4,
            _ if i > 0 && !i.is_multiple_of(stride) => u64::MAX / 4,
            _ if j + 1 == n && i == 0 => self.module(0, std::slice::from_ref(&(0..n)), execution).peak,
            _ if j + 1 == n => self.module(1, &[0..i, i..n], execution).peak,
            _ => self.module(0, &[i..j + 1, j + 1..n], execution).peak,
        };
        (0..n).map(|i| (0..n).map(|j| cost(i, j)).collect()).collect()
    }

    /// The cuts into `k` modules whose most expensive is cheapest, as the blocks of each; `modules` are [`Costs::of_modules`].
    ///
    /// # Errors
    /// There are fewer blocks than modules.
    pub fn balanced(&self, k: usize, modules: &[Vec<u64>]) -> Result<Vec<Range<usize>>> {
        let n = self.blocks.len();
        if k > n {
            return Err(Error::usage(format!("this network has {n} blocks and cannot be cut into {k} modules")));
        }
        Ok(cut::ranges(&cut::balanced(modules, k), n))
    }
}
