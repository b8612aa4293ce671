//! The paper's cuts and loss weights, network by network (its tables 8 and 9, and the reference's `configs.py`).

use super::{Backbone, Cuts, DatasetKind, RunConfig, TaskLoss};
use crate::task::TaskKind;

/// A cut after `(stage, block)`: `(2, 8)` is `layer2.8`, `(0, 0)` the stem.
type After = (usize, usize);

/// The blocks after which the paper cuts this network, where it says so for this K.
pub fn cuts(config: &RunConfig) -> Option<Vec<String>> {
    let (backbone, dataset, k) = (config.model.backbone, config.data.dataset, config.local.num_modules);
    let cuts = match (dataset.task(), &config.local.cuts) {
        (_, Cuts::After(_)) => None,
        (TaskKind::Segmentation, _) => segmentation(backbone, k),
        (TaskKind::Classification, _) if !backbone.is_cifar() => imagenet(backbone, k),
        (TaskKind::Classification, Cuts::Auto) => even(backbone, k),
        (TaskKind::Classification, Cuts::Balanced) => balanced(backbone, dataset, k),
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
const fn balanced(backbone: Backbone, dataset: DatasetKind, k: usize) -> Option<&'static [After]> {
    match (backbone, dataset, k) {
        (Backbone::Resnet110, DatasetKind::Cifar10 | DatasetKind::Stl10, 2) => Some(&[(1, 14)]),
        (Backbone::Resnet110, DatasetKind::Cifar10, 3) => Some(&[(1, 9), (2, 2)]),
        (Backbone::Resnet110, DatasetKind::Stl10, 3) => Some(&[(1, 8), (2, 1)]),
        (Backbone::Resnet110, DatasetKind::Cifar10 | DatasetKind::Stl10, 4) => Some(&[(1, 6), (1, 14), (2, 8)]),
        _ => None,
    }
}

/// λ1 and λ2, each of the first and the (K−1)-th local module.
pub type Weights = ([f64; 2], [f64; 2]);

/// The paper's weights for this network and K, where it says so: of InfoPro with the contrastive loss.
pub fn weights(config: &RunConfig) -> Option<Weights> {
    let (backbone, k) = (config.model.backbone, config.local.num_modules);
    let is_balanced = config.local.cuts == Cuts::Balanced;
    if !config.local.method.traits().reconstructs {
        return None;
    }
    let weights = match (backbone, config.data.dataset, k) {
        (Backbone::Resnet101 | Backbone::Resnext101, DatasetKind::Imagenet, 2) => ([5.0; 2], [0.75; 2]),
        (Backbone::Resnet152, DatasetKind::Imagenet, 2) => ([5.0; 2], [1.0; 2]),
        _ if config.local.task_loss != TaskLoss::Contrast => return None,
        (Backbone::Resnet32, DatasetKind::Cifar10, 2) if !is_balanced => ([5.0, 0.0], [1.0, 0.0]),
        (Backbone::Resnet32, DatasetKind::Cifar10, 4) if !is_balanced => ([6.0, 1.0], [0.0, 2.0]),
        (Backbone::Resnet32, DatasetKind::Cifar10, 8) if !is_balanced => ([5.0, 0.0], [0.0, 2.0]),
        (Backbone::Resnet32, DatasetKind::Cifar10, 16) if !is_balanced => ([5.0, 0.2], [0.05, 0.5]),
        (Backbone::Resnet110, dataset, k) if is_balanced => balanced_weights(dataset, k)?,
        (Backbone::Resnet110, dataset, k) => even_weights(dataset, k)?,
        _ => return None,
    };
    Some(weights)
}

const fn even_weights(dataset: DatasetKind, k: usize) -> Option<Weights> {
    match (dataset, k) {
        (DatasetKind::Cifar10, 2) => Some(([5.0, 0.0], [0.5, 0.0])),
        (DatasetKind::Cifar10, 4) => Some(([1.0, 0.0], [0.0, 1.0])),
        (DatasetKind::Cifar10, 8) => Some(([5.0, 0.0], [0.0, 1.0])),
        (DatasetKind::Cifar10, 16) => Some(([5.0, 0.5], [0.0, 1.0])),
        (DatasetKind::Stl10, 2) => Some(([10.0, 0.0], [1.0, 0.0])),
        (DatasetKind::Stl10, 4) => Some(([20.0, 5.0], [0.2, 2.0])),
        (DatasetKind::Stl10, 8) => Some(([20.0, 5.0], [0.2, 1.0])),
        (DatasetKind::Stl10, 16) => Some(([20.0, 10.0], [0.5, 0.1])),
        (DatasetKind::Svhn, 2) => Some(([1.0, 0.0], [0.1, 0.0])),
        (DatasetKind::Svhn, 4) => Some(([5.0, 0.5], [0.0, 1.0])),
        (DatasetKind::Svhn, 8) => Some(([5.0, 0.5], [0.0, 2.0])),
        (DatasetKind::Svhn, 16) => Some(([5.0, 0.5], [0.2, 1.0])),
        _ => None,
    }
}

const fn balanced_weights(dataset: DatasetKind, k: usize) -> Option<Weights> {
    match (dataset, k) {
        (DatasetKind::Cifar10, 2) => Some(([5.0, 0.0], [0.1, 0.0])),
        (DatasetKind::Cifar10, 3 | 4) => Some(([5.0, 5.0], [0.0, 0.1])),
        (DatasetKind::Stl10, 2) => Some(([20.0, 0.0], [1.0, 0.0])),
        (DatasetKind::Stl10, 3) => Some(([20.0, 5.0], [0.5, 2.0])),
        (DatasetKind::Stl10, 4) => Some(([20.0, 10.0], [0.5, 1.0])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Method;
    use crate::config::defaults_for;
    use crate::net::resnet;

    fn config(backbone: Backbone, dataset: DatasetKind, k: usize, cuts: Cuts) -> RunConfig {
        let mut config = defaults_for(dataset);
        config.model.backbone = backbone;
        (config.local.num_modules, config.local.cuts) = (k, cuts);
        (config.local.method, config.local.task_loss) = (Method::Infopro, TaskLoss::Contrast);
        config
    }

    #[test]
    fn cuts_are_the_paper_s() {
        let cuts_of = |backbone, dataset, k, cuts| super::cuts(&config(backbone, dataset, k, cuts));
        let cut = |backbone, dataset, k, cuts| cuts_of(backbone, dataset, k, cuts).map(|cuts| cuts.join(" "));
        let (cifar, stl) = (DatasetKind::Cifar10, DatasetKind::Stl10);
        assert_eq!(cut(Backbone::Resnet101, DatasetKind::Cityscapes, 2, Cuts::Auto).as_deref(), Some("layer3.12"));
        assert_eq!(cut(Backbone::Resnet101, DatasetKind::Imagenet, 2, Cuts::Auto).as_deref(), Some("layer2.0"));
        assert_eq!(cut(Backbone::Resnext101, DatasetKind::Imagenet, 2, Cuts::Auto).as_deref(), Some("layer2.2"));
        assert_eq!(cut(Backbone::Resnet32, cifar, 4, Cuts::Auto).as_deref(), Some("layer1.2 layer2.1 layer3.0"));
        assert_eq!(cut(Backbone::Resnet110, cifar, 3, Cuts::Balanced).as_deref(), Some("layer1.9 layer2.2"));
        assert_eq!(cut(Backbone::Resnet110, stl, 3, Cuts::Balanced).as_deref(), Some("layer1.8 layer2.1"));
        assert_eq!(cut(Backbone::Resnet110, DatasetKind::Svhn, 2, Cuts::Balanced), None);
        assert_eq!(cut(Backbone::Resnet20, cifar, 2, Cuts::Auto), None);
        // Every one names K − 1 blocks that are there, in order.
        for (backbone, ks) in [(Backbone::Resnet32, [2, 3, 4, 8, 16]), (Backbone::Resnet110, [2, 3, 4, 8, 16])] {
            let blocks = resnet::layout(backbone).unwrap().counts[0];
            for k in ks {
                let cuts = cuts_of(backbone, cifar, k, Cuts::Auto).unwrap();
                let place = |name: &String| match name.strip_prefix("layer").map(|name| name.split_once('.').unwrap()) {
                    None => 0,
                    Some((stage, block)) => {
                        let (stage, block): (usize, usize) = (stage.parse().unwrap(), block.parse().unwrap());
                        assert!((1..=3).contains(&stage) && block < blocks, "{name}");
                        1 + (stage - 1) * blocks + block
                    }
                };
                assert_eq!(cuts.len(), k - 1);
                assert!(cuts.iter().map(place).collect::<Vec<_>>().is_sorted_by(|a, b| a < b), "{cuts:?}");
            }
        }
    }

    #[test]
    fn weights_are_the_paper_s() {
        let (resnet32, resnet110) = (Backbone::Resnet32, Backbone::Resnet110);
        for (backbone, dataset, k, cuts, expected) in [
            (resnet32, DatasetKind::Cifar10, 4, Cuts::Auto, Some(([6.0, 1.0], [0.0, 2.0]))),
            (resnet32, DatasetKind::Cifar10, 16, Cuts::Auto, Some(([5.0, 0.2], [0.05, 0.5]))),
            (resnet110, DatasetKind::Cifar10, 16, Cuts::Auto, Some(([5.0, 0.5], [0.0, 1.0]))),
            (resnet110, DatasetKind::Cifar10, 2, Cuts::Balanced, Some(([5.0, 0.0], [0.1, 0.0]))),
            (resnet110, DatasetKind::Stl10, 16, Cuts::Auto, Some(([20.0, 10.0], [0.5, 0.1]))),
            (resnet110, DatasetKind::Stl10, 4, Cuts::Balanced, Some(([20.0, 10.0], [0.5, 1.0]))),
            (resnet110, DatasetKind::Svhn, 8, Cuts::Auto, Some(([5.0, 0.5], [0.0, 2.0]))),
            (Backbone::Resnet152, DatasetKind::Imagenet, 2, Cuts::Auto, Some(([5.0; 2], [1.0; 2]))),
            (resnet32, DatasetKind::Cifar10, 3, Cuts::Auto, None),
            (Backbone::Resnet20, DatasetKind::Cifar10, 2, Cuts::Auto, None),
        ] {
            let mut config = config(backbone, dataset, k, cuts);
            assert_eq!(weights(&config), expected, "{backbone:?} {dataset:?} {k}");
            config.local.method = Method::Dgl;
            assert_eq!(weights(&config), None, "they are InfoPro's");
        }
    }
}
