//! The paper's cuts and loss weights, network by network (its tables 8 and 9, and the reference's `configs.py`).

use super::{Backbone, Cuts, Dataset, RunConfig, Task, TaskLoss};

/// A cut after `(stage, block)`: `(2, 8)` is `layer2.8`, `(0, 0)` the stem.
type After = (usize, usize);

/// The blocks after which the paper cuts this network, where it says so for this K.
pub fn cuts(config: &RunConfig) -> Option<Vec<String>> {
    let (backbone, dataset, k) = (config.model.backbone, config.data.dataset, config.local.num_modules);
    let cuts = match (dataset.task(), &config.local.cuts) {
        (_, Cuts::After(_)) => None,
        (Task::Segmentation, _) => segmentation(backbone, k),
        (Task::Classification, _) if !backbone.is_cifar() => imagenet(backbone, k),
        (Task::Classification, Cuts::Auto) => even(backbone, k),
        (Task::Classification, Cuts::Balanced) => balanced(backbone, dataset, k),
    }?;
    Some(cuts.iter().map(name).collect())
}

fn name(&(stage, block): &After) -> String {
    if stage == 0 { "stem".into() } else { format!("layer{stage}.{block}") }
}

const fn segmentation(backbone: Backbone, k: usize) -> Option<&'static [After]> {
    match (backbone, k) {
        (Backbone::Resnet101, 2) => Some(&[(3, 12)]),
        _ => None,
    }
}

const fn imagenet(backbone: Backbone, k: usize) -> Option<&'static [After]> {
    match (backbone, k) {
        (Backbone::Resnet101, 2) => Some(&[(2, 0)]),
        (Backbone::Resnet152, 2) => Some(&[(2, 5)]),
        (Backbone::Resnext101, 2) => Some(&[(2, 2)]),
        _ => None,
    }
}

/// The same number of layers in each module.
const fn even(backbone: Backbone, k: usize) -> Option<&'static [After]> {
    match (backbone, k) {
        (Backbone::Resnet32, 2) => Some(&[(2, 1)]),
        (Backbone::Resnet32, 3) => Some(&[(1, 4), (2, 4)]),
        (Backbone::Resnet32, 4) => Some(&[(1, 2), (2, 1), (3, 0)]),
        (Backbone::Resnet32, 8) => Some(&[(1, 0), (1, 2), (1, 4), (2, 1), (2, 3), (3, 0), (3, 2)]),
        #[rustfmt::skip]
        (Backbone::Resnet32, 16) => Some(&[
            (0, 0), (1, 0), (1, 1), (1, 2), (1, 3), (1, 4), (2, 0), (2, 1), (2, 2), (2, 3), (2, 4), (3, 0), (3, 1), (3, 2),
            (3, 3),
        ]),
        (Backbone::Resnet110, 2) => Some(&[(2, 8)]),
        (Backbone::Resnet110, 3) => Some(&[(1, 17), (2, 17)]),
        (Backbone::Resnet110, 4) => Some(&[(1, 11), (2, 7), (3, 3)]),
        (Backbone::Resnet110, 8) => Some(&[(1, 4), (1, 11), (2, 0), (2, 7), (2, 14), (3, 3), (3, 10)]),
        #[rustfmt::skip]
        (Backbone::Resnet110, 16) => Some(&[
            (1, 1), (1, 4), (1, 7), (1, 10), (1, 13), (1, 16), (2, 1), (2, 4), (2, 7), (2, 11), (2, 15), (3, 1), (3, 5),
            (3, 9), (3, 13),
        ]),
        _ => None,
    }
}

/// InfoPro*: the same memory in each module.
const fn balanced(backbone: Backbone, dataset: Dataset, k: usize) -> Option<&'static [After]> {
    match (backbone, dataset, k) {
        (Backbone::Resnet110, Dataset::Cifar10 | Dataset::Stl10, 2) => Some(&[(1, 14)]),
        (Backbone::Resnet110, Dataset::Cifar10, 3) => Some(&[(1, 9), (2, 2)]),
        (Backbone::Resnet110, Dataset::Stl10, 3) => Some(&[(1, 8), (2, 1)]),
        (Backbone::Resnet110, Dataset::Cifar10 | Dataset::Stl10, 4) => Some(&[(1, 6), (1, 14), (2, 8)]),
        _ => None,
    }
}

/// λ1 and λ2, each of the first and the (K−1)-th local module.
pub type Weights = ([f64; 2], [f64; 2]);

/// The paper's weights for this network and K, where it says so: of InfoPro with the contrastive loss.
pub fn weights(config: &RunConfig) -> Option<Weights> {
    let (backbone, k) = (config.model.backbone, config.local.num_modules);
    let is_balanced = config.local.cuts == Cuts::Balanced;
    let weights = match (backbone, config.data.dataset, k) {
        (Backbone::Resnet101 | Backbone::Resnext101, Dataset::Imagenet, 2) => ([5.0; 2], [0.75; 2]),
        (Backbone::Resnet152, Dataset::Imagenet, 2) => ([5.0; 2], [1.0; 2]),
        _ if config.local.task_loss != TaskLoss::Contrast => return None,
        (Backbone::Resnet32, Dataset::Cifar10, 2) if !is_balanced => ([5.0, 0.0], [1.0, 0.0]),
        (Backbone::Resnet32, Dataset::Cifar10, 4) if !is_balanced => ([6.0, 1.0], [0.0, 2.0]),
        (Backbone::Resnet32, Dataset::Cifar10, 8) if !is_balanced => ([5.0, 0.0], [0.0, 2.0]),
        (Backbone::Resnet32, Dataset::Cifar10, 16) if !is_balanced => ([5.0, 0.2], [0.05, 0.5]),
        (Backbone::Resnet110, dataset, k) if is_balanced => balanced_weights(dataset, k)?,
        (Backbone::Resnet110, dataset, k) => even_weights(dataset, k)?,
        _ => return None,
    };
    Some(weights)
}

const fn even_weights(dataset: Dataset, k: usize) -> Option<Weights> {
    match (dataset, k) {
        (Dataset::Cifar10, 2) => Some(([5.0, 0.0], [0.5, 0.0])),
        (Dataset::Cifar10, 4) => Some(([1.0, 0.0], [0.0, 1.0])),
        (Dataset::Cifar10, 8) => Some(([5.0, 0.0], [0.0, 1.0])),
        (Dataset::Cifar10, 16) => Some(([5.0, 0.5], [0.0, 1.0])),
        (Dataset::Stl10, 2) => Some(([10.0, 0.0], [1.0, 0.0])),
        (Dataset::Stl10, 4) => Some(([20.0, 5.0], [0.2, 2.0])),
        (Dataset::Stl10, 8) => Some(([20.0, 5.0], [0.2, 1.0])),
        (Dataset::Stl10, 16) => Some(([20.0, 10.0], [0.5, 0.1])),
        (Dataset::Svhn, 2) => Some(([1.0, 0.0], [0.1, 0.0])),
        (Dataset::Svhn, 4) => Some(([5.0, 0.5], [0.0, 1.0])),
        (Dataset::Svhn, 8) => Some(([5.0, 0.5], [0.0, 2.0])),
        (Dataset::Svhn, 16) => Some(([5.0, 0.5], [0.2, 1.0])),
        _ => None,
    }
}

const fn balanced_weights(dataset: Dataset, k: usize) -> Option<Weights> {
    match (dataset, k) {
        (Dataset::Cifar10, 2) => Some(([5.0, 0.0], [0.1, 0.0])),
        (Dataset::Cifar10, 3 | 4) => Some(([5.0, 5.0], [0.0, 0.1])),
        (Dataset::Stl10, 2) => Some(([20.0, 0.0], [1.0, 0.0])),
        (Dataset::Stl10, 3) => Some(([20.0, 5.0], [0.5, 2.0])),
        (Dataset::Stl10, 4) => Some(([20.0, 10.0], [0.5, 1.0])),
        _ => None,
    }
}
