//! What makes local learning local, on a network small enough to train in a test.

use super::config::{Cuts, Precision, TaskLoss};
use super::method::Method;
use super::pipeline::{Job, Work, Workers};
use super::{LocalNetwork, Targets};
use crate::config::{RunConfig, defaults_for};
use crate::data::config::DatasetKind;
use crate::data::normalize::Normalization;
use crate::eval::Predictor;
use crate::net::{Init, Pass};
use crate::ops;
use crate::rng::mix;
use crate::size::Resolution;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Distribution, Tensor};

const CLASSES: usize = 4;

pub(super) fn tiny(num_modules: usize) -> RunConfig {
    let mut config = defaults_for(DatasetKind::Synthetic);
    config.model.width = 0.1;
    config.model.atrous_rates = vec![1, 2];
    config.model.aspp_channels = 8;
    config.model.aux_channels = 8;
    config.local.head_channels = 8;
    config.local.decoder_channels = vec![8, 6, 4];
    config.local.num_modules = num_modules;
    config.local.contrast_samples = 64;
    config.train.resolution = Resolution { height: 32, width: 48 };
    config
}

fn device() -> Device {
    Device::flex().autodiff()
}

/// Two images whose left half is class 1, right half class 2, with an ignored stripe.
fn batch() -> (Tensor<4>, Targets) {
    batch_of(2)
}

/// The same of so many images; each has another share of ignored pixels.
pub(super) fn batch_of(pictures: usize) -> (Tensor<4>, Targets) {
    let (height, width) = (32, 48);
    let device = device();
    device.seed(7);
    let input = Tensor::random([pictures, 3, height, width], Distribution::Normal(0.0, 1.0), &device);
    let label = (0..pictures * height * width).map(|i| match i % width {
        0..24 => 1,
        24..30 => 255,
        30..48 if pictures > 2 && i / (height * width) == 1 => 255,
        _ => 2,
    });
    let targets = Targets::new(&input, Normalization::IMAGENET, label.collect(), &device);
    (input, targets)
}

/// Every weight and statistic of a module, in order.
pub(super) fn weights<M: Module>(module: &M) -> Vec<f32> {
    struct Collect(Vec<f32>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().iter::<f32>());
        }
    }
    let mut collect = Collect(Vec::new());
    module.visit(&mut collect);
    collect.0
}

fn trained(config: &RunConfig, steps: u64) -> LocalNetwork {
    let mut network = LocalNetwork::new(&config.spec(), CLASSES, &device()).unwrap();
    let (input, targets) = batch();
    for step in 0..steps {
        network.train_step(input.clone(), &targets, 0.05, mix(config.seed, step)).unwrap();
    }
    network
}

#[test]
fn no_gradient_crosses_a_cut() {
    let config = tiny(2);
    let mut perturbed = tiny(2);
    perturbed.model.aux_weight = 3.0; // only the last module's loss knows it
    let (plain, perturbed) = (trained(&config, 2), trained(&perturbed, 2));
    assert_eq!(weights(plain.modules[0].net()), weights(perturbed.modules[0].net()), "module 1 is bit-identical");
    assert_ne!(weights(plain.modules[1].net()), weights(perturbed.modules[1].net()), "module 2 did change");
}

#[test]
fn one_module_is_end_to_end_training() {
    let mut config = tiny(1);
    config.model.dropout = 0.0;
    config.optim.momentum = 0.0;
    config.optim.weight_decay = 0.0;
    let lr = 0.05;
    let (input, targets) = batch();

    let mut local = LocalNetwork::new(&config.spec(), CLASSES, &device()).unwrap();
    local.train_step(input.clone(), &targets, lr, 1).unwrap();

    // The same network by hand: forward, both losses, backward, gradient descent.
    let device = device();
    let network = config.spec().task.task().network(&mut Init::new(config.seed, &device), &config.model, CLASSES);
    let (aux_head, after) = network.aux_head.unwrap();
    let pass = Pass::training(1);
    let (mut x, mut aux_logits) = (input, None);
    for named in &network.blocks {
        x = named.block.forward(x, &pass);
        if named.name == after {
            aux_logits = Some(aux_head.forward(x.clone(), &pass));
        }
    }
    let decode_loss = ops::upsample_cross_entropy(x, targets.label.clone(), false);
    let aux_loss = ops::upsample_cross_entropy(aux_logits.unwrap(), targets.label, false);
    let grads = (decode_loss + aux_loss * config.model.aux_weight).backward();

    struct Descend<'a>(&'a burn::tensor::Gradients, f64, Vec<f32>);
    impl ModuleVisitor for Descend<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            let stepped = match value.grad(self.0) {
                Some(grad) => value.without_autodiff() - grad * self.1,
                None => value.without_autodiff(), // running statistics
            };
            self.2.extend(stepped.into_data().iter::<f32>());
        }
    }
    let mut by_hand = Descend(&grads, lr, Vec::new());
    network.blocks.iter().for_each(|named| named.block.visit(&mut by_hand));
    aux_head.visit(&mut by_hand);
    // A block's three consumers add their gradients in another order.
    let local = weights(local.modules[0].net());
    assert_eq!(local.len(), by_hand.2.len());
    assert!(local.iter().zip(&by_hand.2).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[test]
fn cutting_a_network_does_not_change_what_it_computes() {
    let image = ndarray::Array3::from_shape_fn((32, 48, 3), |(y, x, c)| (y * 5 + x * 3 + c * 40) as u8);
    let logits = |num_modules| {
        let network = LocalNetwork::new(&tiny(num_modules).spec(), CLASSES, &device()).unwrap();
        Predictor::of(&network, &device()).logits(&image).into_data()
    };
    let whole = logits(1);
    for num_modules in [2, 3, 10] {
        logits(num_modules).assert_eq(&whole, true);
    }
}

#[test]
fn every_method_and_task_loss_learns() {
    for method in [Method::E2e, Method::Infopro, Method::Dgl, Method::Greedy] {
        for task_loss in [TaskLoss::Softmax, TaskLoss::Contrast] {
            let mut config = tiny(if method == Method::E2e { 1 } else { 3 });
            config.local.method = method;
            config.local.task_loss = task_loss;
            let mut network = LocalNetwork::new(&config.spec(), CLASSES, &device()).unwrap();
            let (input, targets) = batch();
            let mut step = |seed| network.train_step(input.clone(), &targets, 0.05, seed).expect("the loss is finite");
            let first = step(0);
            for seed in 1..25 {
                step(seed);
            }
            let last = step(25);
            for (module, (first, last)) in first.iter().zip(&last).enumerate() {
                let reconstructs = method == Method::Infopro && module + 1 < config.local.num_modules;
                assert_eq!(first.reconstruction.is_some(), reconstructs, "{method:?}, module {module}");
                assert!(
                    last.total < 0.9 * first.total,
                    "{method:?} {task_loss:?}, module {module}: {} after {}",
                    last.total,
                    first.total
                );
            }
        }
    }
}

#[test]
fn the_total_is_the_weighted_sum_of_its_terms() {
    let mut config = tiny(3);
    config.local.recon_weight = [2.0, 0.5];
    config.local.task_weight = [0.25, 3.0];
    let mut network = LocalNetwork::new(&config.spec(), CLASSES, &device()).unwrap();
    let (input, targets) = batch();
    let losses = network.train_step(input, &targets, 0.05, 0).unwrap();
    for (losses, [recon, task]) in losses.iter().zip([[2.0, 0.25], [0.5, 3.0], [0.0, 1.0]]) {
        let total = recon * losses.reconstruction.unwrap_or(0.0) + task * losses.task;
        assert!((losses.total - total).abs() < 1e-4 * total, "{losses:?}");
    }
}

#[test]
fn cuts_by_name_and_k_out_of_reach() {
    let mut config = tiny(2);
    config.local.cuts = Cuts::After(vec!["layer1.1".into()]);
    let network = LocalNetwork::new(&config.spec(), CLASSES, &device()).unwrap();
    assert_eq!(network.modules[0].block_names, ["stem", "layer1.0", "layer1.1"]);
    assert_eq!(network.modules[1].block_names.first().unwrap(), "layer2.0");
    let error = LocalNetwork::new(&tiny(11).spec(), CLASSES, &device()).err().unwrap().to_string();
    assert!(error.contains("local.num_modules = 11: "), "{error}");
}

#[test]
fn saved_and_loaded_networks_go_on_alike() {
    let config = tiny(2);
    let folder = tempfile::tempdir().unwrap();
    let mut network = trained(&config, 2);
    network.save(folder.path()).unwrap();
    let mut loaded = LocalNetwork::new(&config.spec(), CLASSES, &device()).unwrap();
    loaded.load(folder.path(), true).unwrap();
    let (input, targets) = batch();
    for network in [&mut network, &mut loaded] {
        network.train_step(input.clone(), &targets, 0.05, 99).unwrap();
    }
    for (a, b) in network.modules.iter().zip(&loaded.modules) {
        assert_eq!(weights(a.net()), weights(b.net()));
    }
}

/// A batch of two equal halves, of whose labels the second has fewer: BatchNorm's statistics are a half's.
fn twins() -> (Tensor<4>, Targets) {
    let (input, targets) = batch();
    let input = input.repeat(&[2, 1, 1, 1]);
    let mut label = targets.label_host.repeat(2);
    let half = label.len() / 2;
    label[half..half + 900].fill(255);
    let targets = Targets::new(&input, Normalization::IMAGENET, label, &device());
    (input, targets)
}

#[test]
fn recomputed_blocks_have_the_same_gradients_and_statistics() {
    for num_modules in [1, 3] {
        let config = tiny(num_modules); // with dropout
        assert!(config.model.dropout > 0.0);
        let plain = trained(&config, 3);
        let mut recomputed = config.clone();
        recomputed.train.recompute = true;
        let recomputed = trained(&recomputed, 3);
        for (a, b) in plain.modules.iter().zip(&recomputed.modules) {
            assert_eq!(weights(a.net()), weights(b.net()), "K = {num_modules}, module {}", a.index + 1);
        }
    }
}

#[test]
fn gradients_of_micro_batches_add_up() {
    let (input, targets) = twins();
    for task_loss in [TaskLoss::Softmax, TaskLoss::Contrast] {
        let mut config = tiny(2);
        config.model.dropout = 0.0;
        config.local.task_loss = task_loss;
        let first_step = |parts| {
            config.train.micro_batches = parts;
            let network = LocalNetwork::new(&config.spec(), CLASSES, &device()).unwrap();
            let mut features = input.clone();
            let mut results = Vec::new();
            for module in &network.modules {
                let (output, losses, gradients) = module.backward(features, &targets, 5);
                results.push((output.clone().into_data(), losses, module.named_gradients(&gradients).tensors));
                features = output;
            }
            results
        };
        let mut first_step = first_step;
        let (whole, parts) = (first_step(1), first_step(2));
        for (index, (whole, parts)) in whole.iter().zip(&parts).enumerate() {
            whole.0.assert_approx_eq::<f32>(&parts.0, burn::tensor::Tolerance::absolute(1e-4));
            // Contrasted are samples of pixels, which differ.
            if task_loss == TaskLoss::Contrast && index == 0 {
                continue;
            }
            assert!((whole.1.total - parts.1.total).abs() < 1e-4, "{:?} {:?}", whole.1, parts.1);
            for (name, gradient) in &whole.2 {
                let scale = gradient.iter::<f32>().fold(0f32, |most, value| most.max(value.abs()));
                let far = gradient
                    .iter::<f32>()
                    .zip(parts.2[name].iter::<f32>())
                    .any(|(a, b)| (a - b).abs() > 2e-3 * scale + 1e-6);
                assert!(!far, "{name}");
            }
        }
    }
}

#[test]
fn a_part_without_labelled_pixels_and_recomputed_parts_train() {
    let (input, mut targets) = batch();
    let half = targets.label_host.len() / 2;
    targets.label_host[half..].fill(255);
    let targets = Targets::new(&input, Normalization::IMAGENET, targets.label_host, &device());
    let losses = |recompute| {
        let mut config = tiny(2);
        (config.train.micro_batches, config.train.recompute) = (2, recompute);
        let mut network = LocalNetwork::new(&config.spec(), CLASSES, &device()).unwrap();
        let losses = network.train_step(input.clone(), &targets, 0.05, 3).unwrap();
        (losses, network.modules.iter().map(|module| weights(module.net())).collect::<Vec<_>>())
    };
    let (plain, recomputed) = (losses(false), losses(true));
    assert!(plain.0.iter().all(|losses| losses.task.is_finite() && losses.task > 0.0), "{:?}", plain.0);
    assert_eq!(plain, recomputed);
}

#[test]
fn a_step_tells_where_it_has_come_to() {
    let mut network = LocalNetwork::new(&tiny(2).spec(), CLASSES, &device()).unwrap();
    let (input, targets) = batch();
    let mut marks = Vec::new();
    network.train_step_watched(input, &targets, 0.05, 0, &mut |module, mark| marks.push((module, mark))).unwrap();
    let first = network.modules[0].block_names.len();
    let (forward, backward) = (0..first, (0..first).rev());
    let expected = std::iter::once(super::Mark::Start)
        .chain(forward.map(super::Mark::Forward))
        .chain([super::Mark::Heads])
        .chain(backward.map(super::Mark::Backward))
        .chain([super::Mark::Updated]);
    assert_eq!(
        marks.iter().filter(|(module, _)| *module == 0).map(|(_, mark)| *mark).collect::<Vec<_>>(),
        expected.collect::<Vec<_>>()
    );
    assert!(marks.contains(&(1, super::Mark::AuxHead)));
}

#[test]
fn losses_in_bfloat16_follow_those_in_float32() {
    let losses = |precision| {
        let mut config = tiny(2);
        config.train.precision = precision;
        let mut network = LocalNetwork::new(&config.spec(), CLASSES, &device()).unwrap();
        let (input, targets) = batch();
        let mut step = |seed| network.train_step(input.clone(), &targets, 0.002, seed).unwrap();
        (0..200)
            .map(|seed| step(seed).iter().map(|losses| f64::from(losses.total)).collect())
            .collect::<Vec<Vec<f64>>>()
    };
    let (single, half) = (losses(Precision::F32), losses(Precision::Bf16));
    assert_ne!(single, half, "it does compute in another format");
    for module in 0..2 {
        let mean = |steps: &[Vec<f64>]| steps.iter().map(|losses| losses[module]).sum::<f64>() / steps.len() as f64;
        let (single, half) = (mean(&single), mean(&half));
        assert!((half / single - 1.0).abs() < 0.02, "module {module}: {half} for {single}");
    }
}

#[test]
fn modules_that_work_at_once_learn_what_they_learn_one_after_another() {
    let config = tiny(3);
    let sequential = trained(&config, 5);
    let (input, targets) = batch();
    for (queue_depth, threads) in [(0, 0), (1, 1), (4, 0)] {
        let mut network = LocalNetwork::new(&config.spec(), CLASSES, &device()).unwrap();
        let jobs = (0..5).map(|step| Job {
            step,
            input: input.clone(),
            targets: targets.part(0..2),
            lr: 0.05,
            seed: mix(config.seed, step as u64),
        });
        let mut steps = Vec::new();
        let told = |step, works: &[Work]| {
            assert_eq!(works.len(), 3);
            assert!(works.iter().all(|work| work.queued <= queue_depth + 1 && (0.0..=1.0).contains(&work.busy)));
            // Before each module may wait a queue, and one batch is on its way.
            assert!(works[2].staleness <= 2 * (queue_depth + 2), "{works:?}");
            steps.push(step);
            Ok(())
        };
        network.train_pipelined(Workers { queue_depth, threads }, jobs, told).unwrap();
        assert_eq!(steps, [0, 1, 2, 3, 4], "each step once, in order");
        for (a, b) in sequential.modules.iter().zip(&network.modules) {
            assert_eq!(weights(a.net()), weights(b.net()), "depth {queue_depth}, module {}", a.index + 1);
        }
    }
}

#[test]
fn a_worker_that_fails_stops_the_others() {
    let mut network = LocalNetwork::new(&tiny(3).spec(), CLASSES, &device()).unwrap();
    let (input, targets) = batch();
    let jobs = (0..50).map(|step| Job {
        step,
        input: if step == 2 { input.clone() * f32::NAN } else { input.clone() },
        targets: targets.part(0..2),
        lr: 0.05,
        seed: 0,
    });
    let mut told = 0;
    let workers = Workers { queue_depth: 1, threads: 0 };
    let failed = network.train_pipelined(workers, jobs, |_, _| {
        told += 1;
        Ok(())
    });
    let error = failed.unwrap_err().to_string();
    assert!(error.contains("local module 1 of 3: the loss is NaN") && told <= 2, "{error}, {told} steps");
}
