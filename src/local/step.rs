//! One training pass of a module.
//!
//! Every block and every head has a tape of its own. Going backward, a block's tape is gone before the block before it
//! begins, and a head's before anything else does: what two of them keep never adds up. With recomputation a block has
//! no tape at all until its turn to go backward; until then its input alone is kept.

use super::config::TaskLoss;
use super::loss;
use super::mark::{Mark, Watch};
use super::module::{Heads, LocalModule, Losses, ModuleNet, Targets, TaskHeads};
use crate::net::{Block, Pass, Replica};
use crate::ops;
use crate::rng::mix;
use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Gradients, Tensor};
use std::ops::Range;

/// What a block leaves for its backward.
enum SavedForBackward {
    /// Its input, and its output with the tape between them.
    Tape(Tensor<4>, Tensor<4>),
    /// Its input.
    Input(Tensor<4>),
}

/// Losses of a pass `[1]`, off the tape.
pub(super) struct Terms {
    reconstruction: Option<Tensor<1>>,
    task: Tensor<1>,
    total: Tensor<1>,
}

impl Terms {
    fn plus(self, other: Self) -> Self {
        Self {
            reconstruction: self.reconstruction.zip(other.reconstruction).map(|(a, b)| a + b),
            task: self.task + other.task,
            total: self.total + other.total,
        }
    }

    /// Reads all of them from the device in one transfer, for which everything before them has to be computed.
    pub(super) fn read(self) -> Losses {
        let has_reconstruction = self.reconstruction.is_some();
        let losses = [Some(self.total), Some(self.task), self.reconstruction].into_iter().flatten().collect();
        let values: Vec<f32> = Tensor::cat(losses, 0).into_data().iter::<f32>().collect();
        Losses { total: values[0], task: values[1], reconstruction: has_reconstruction.then(|| values[2]) }
    }
}

/// Share of a micro-batch, or of a replica's part, in its batch's losses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    /// Weight of what is averaged over images.
    pictures: f64,
    /// Weight of what is averaged over labelled pixels.
    labelled: f64,
}

impl LocalModule {
    /// A training step without its update: detached output, losses, and what the optimizer would step along. Running
    /// statistics do move.
    pub fn backward(&self, features: Tensor<4>, targets: &Targets, seed: u64) -> (Tensor<4>, Losses, GradientsParams) {
        let (output, terms, gradients) = self.backward_watched(features, targets, seed, None, &mut |_| ());
        (output, terms.read(), gradients)
    }

    /// The losses are still on the device.
    pub(super) fn backward_watched(
        &self,
        features: Tensor<4>,
        targets: &Targets,
        seed: u64,
        share: Option<Share>,
        watch: Watch,
    ) -> (Tensor<4>, Terms, GradientsParams) {
        let features = ops::moved(features, &self.device);
        let elsewhere = (targets.image.device() != self.device).then(|| targets.on(&self.device, self.reconstructs()));
        let targets = elsewhere.as_ref().unwrap_or(targets);
        let [batch, ..] = features.dims();
        let gradients = GradientsAccumulator::new();
        let replica = &self.replica;
        let mut step = Step { module: self, gradients, seed: mix(seed, 0), watch, replica };
        (step.watch)(Mark::Start);
        if let Some(share) = share {
            let (output, terms) = step.pass(features, targets, share);
            return (output, terms, step.gradients.grads());
        }
        if self.micro_batches <= 1 || batch == 1 {
            let (output, terms) = step.pass(features, targets, Share { pictures: 1.0, labelled: 1.0 });
            return (output, terms, step.gradients.grads());
        }
        let mut outputs = Vec::new();
        let mut sum: Option<Terms> = None;
        for (number, range) in parts(batch, self.micro_batches).enumerate() {
            step.seed = mix(seed, number as u64);
            let share = self.share(&targets.label_host, range.clone(), batch);
            let (output, terms) = step.pass(features.clone().slice([range.clone()]), &targets.part(range), share);
            outputs.push(output);
            sum = Some(match sum {
                None => terms,
                Some(sum) => sum.plus(terms),
            });
        }
        drop(features);
        let terms = sum.expect("a batch has pictures");
        (Tensor::cat(outputs, 0), terms, step.gradients.grads())
    }

    pub(super) fn share(&self, labels: &[u16], pictures: Range<usize>, batch: usize) -> Share {
        let each = labels.len() / batch;
        let labelled = |labels: &[u16]| labels.iter().filter(|&&label| usize::from(label) < self.num_classes).count();
        let (part, all) = (labelled(&labels[pictures.start * each..pictures.end * each]), labelled(labels));
        let of_classification = pictures.len() as f64 / batch as f64;
        let of_labelled = if all == 0 { of_classification } else { part as f64 / all as f64 };
        // The contrastive loss is of a sample of pixels, as many from each micro-batch.
        let labelled = if self.local.task_loss == TaskLoss::Contrast { of_classification } else { of_labelled };
        Share { pictures: of_classification, labelled: if self.is_last() { of_labelled } else { labelled } }
    }

    fn contrast(&self, embeddings: Tensor<4>, targets: &Targets, seed: u64) -> Tensor<1> {
        let [_, _, h, w] = embeddings.dims();
        let shape = targets.label.dims();
        // In classification every image takes part.
        let samples = if [h, w] == [1, 1] { targets.label_host.len() } else { self.local.contrast_samples };
        let sample = loss::sample_pixels(&targets.label_host, self.num_classes, shape, [h, w], samples, seed);
        loss::contrast(embeddings, &sample, self.local.contrast_temperature)
    }
}

/// `0..batch` in so many parts, as even as can be.
fn parts(batch: usize, number: usize) -> impl Iterator<Item = Range<usize>> {
    let number = number.min(batch);
    (0..number).map(move |part| part * batch / number..(part + 1) * batch / number)
}

/// A step under way.
struct Step<'a, 'w> {
    module: &'a LocalModule,
    gradients: GradientsAccumulator<ModuleNet>,
    seed: u64,
    watch: Watch<'w>,
    replica: &'a Replica,
}

/// Positions of the heads, for their share of randomness; blocks have their own index.
const AUX_HEAD: u64 = 1 << 32;
const LOCAL_HEAD: u64 = AUX_HEAD + 1;
const DECODER: u64 = AUX_HEAD + 2;

impl Step<'_, '_> {
    /// Dropout is drawn for each block and head by itself, so that one that goes forward again draws the same.
    fn randomness(&self, position: u64) -> u64 {
        mix(self.seed, position)
    }

    fn training(&self, position: u64) -> Pass {
        Pass::training(self.randomness(position)).of(self.replica)
    }

    /// Forward and backward of a batch, or of a part of one: detached output and losses.
    fn pass(&mut self, features: Tensor<4>, targets: &Targets, share: Share) -> (Tensor<4>, Terms) {
        let net = self.module.net();
        let mut x = features.detach();
        let mut kept = Vec::with_capacity(net.blocks.len());
        let mut aux = None;
        for (i, block) in net.blocks.iter().enumerate() {
            let (output, of_block) = self.forward(i, block, x);
            kept.push(of_block);
            x = output;
            (self.watch)(Mark::Forward(i));
            if let Heads::Task(TaskHeads { aux_head: Some(aux_head), after }) = &net.heads
                && *after == i
            {
                let pass = self.training(AUX_HEAD);
                let (weight, task) = (self.module.aux_weight, self.module.task);
                aux = Some(self.beside(&x, weight, share.labelled, |x| {
                    task.loss(aux_head.forward(x, &pass), targets.label.clone(), false)
                }));
                (self.watch)(Mark::AuxHead);
            }
        }
        let (mut aux_loss, mut aux_gradient) = aux.unzip();
        let (terms, gradient) = self.heads(&x, targets, share, aux_loss.take());
        (self.watch)(Mark::Heads);
        let mut gradient = Some(gradient);
        for (i, of_block) in kept.into_iter().enumerate().rev() {
            let mut above = gradient.take().expect("every block but the first has a gradient at its input");
            if let Heads::Task(TaskHeads { after, .. }) = &net.heads
                && *after == i
                && let Some(beside) = aux_gradient.take()
            {
                above = above + beside;
            }
            gradient = self.backward(i, &net.blocks[i], of_block, above);
            (self.watch)(Mark::Backward(i));
        }
        (x, terms)
    }

    /// A block's detached output, and what is kept of it.
    fn forward(&self, i: usize, block: &Block, x: Tensor<4>) -> (Tensor<4>, SavedForBackward) {
        if self.module.recompute {
            let pass = Pass::rehearsal(self.randomness(i as u64)).of(self.replica);
            let output = block.valid().forward(x.clone().without_autodiff(), &pass);
            return (output.autodiff(), SavedForBackward::Input(x));
        }
        let (input, output) = self.taped(i, block, x);
        (output.clone().detach(), SavedForBackward::Tape(input, output))
    }

    /// A block's input and output with the tape between them. What comes before the module needs no gradient.
    fn taped(&self, i: usize, block: &Block, x: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let input = if i > 0 { x.require_grad() } else { x };
        let output = block.forward(input.clone(), &self.training(i as u64));
        (input, output)
    }

    /// From the gradient of a block's output to that of its input; `None` of the module's first block.
    fn backward(&mut self, i: usize, block: &Block, kept: SavedForBackward, gradient: Tensor<4>) -> Option<Tensor<4>> {
        let (input, output) = match kept {
            SavedForBackward::Tape(input, output) => (input, output),
            SavedForBackward::Input(x) => self.taped(i, block, x),
        };
        let mut gradients = ops::with_gradient(output, gradient).backward();
        let before = input.grad_remove(&mut gradients);
        self.collect(gradients, block);
        before
    }

    /// A head that reads `x`: its loss `[1]`, off the tape and unweighted, and its weighted loss's gradient at `x`.
    fn beside(
        &mut self,
        x: &Tensor<4>,
        weight: f64,
        share: f64,
        loss: impl FnOnce(Tensor<4>) -> Tensor<1>,
    ) -> (Tensor<1>, Tensor<4>) {
        let x = x.clone().require_grad();
        let loss = loss(x.clone()) * share;
        let value = loss.clone().detach();
        let mut gradients = (loss * weight).backward();
        let gradient = x.grad_remove(&mut gradients).expect("a head's loss depends on its features");
        self.collect(gradients, &self.module.net().heads);
        (value, gradient)
    }

    /// All losses but the auxiliary one, which is handed in, and their gradient at the module's output.
    fn heads(&mut self, x: &Tensor<4>, targets: &Targets, share: Share, aux: Option<Tensor<1>>) -> (Terms, Tensor<4>) {
        let module = self.module;
        let heads = match &module.net().heads {
            Heads::Task(_) => {
                let (decode, gradient) =
                    self.beside(x, 1.0, share.labelled, |x| module.task.loss(x, targets.label.clone(), false));
                let task = aux.map_or(decode.clone(), |aux| decode + aux * module.aux_weight);
                return (Terms { reconstruction: None, total: task.clone(), task }, gradient);
            }
            Heads::Local(heads) => heads,
        };
        let (seed, pass) = (self.randomness(LOCAL_HEAD), self.training(LOCAL_HEAD));
        let (task, mut gradient) = self.beside(x, module.task_weight, share.labelled, |x| {
            let scores = heads.local_head.forward(x, &pass);
            match module.local.task_loss {
                TaskLoss::Softmax => module.task.loss(scores, targets.label.clone(), true),
                TaskLoss::Contrast => module.contrast(scores, targets, seed),
            }
        });
        let weighted = task.clone() * module.task_weight;
        let Some(decoder) = &heads.recon_decoder else {
            return (Terms { reconstruction: None, task, total: weighted }, gradient);
        };
        let pass = self.training(DECODER);
        let (reconstruction, of_decoder) = self.beside(x, module.recon_weight, share.pictures, |x| {
            ops::bce_with_logits(decoder.forward(x, targets.size, &pass), targets.image.clone())
        });
        gradient = gradient + of_decoder;
        let total = reconstruction.clone() * module.recon_weight + weighted;
        (Terms { reconstruction: Some(reconstruction), task, total }, gradient)
    }

    /// Adds the gradients of a part of the network.
    fn collect(&mut self, mut gradients: Gradients, part: &impl Module) {
        let gradients = GradientsParams::from_module(&mut gradients, part);
        self.gradients.accumulate(self.module.net(), gradients);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_batch() {
        assert_eq!(parts(5, 2).collect::<Vec<_>>(), [0..2, 2..5]);
        assert_eq!(parts(2, 4).collect::<Vec<_>>(), [0..1, 1..2]);
        assert_eq!(parts(6, 3).collect::<Vec<_>>(), [0..2, 2..4, 4..6]);
    }
}
