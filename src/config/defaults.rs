//! The configurations that runs start from: files of `configs/`, one for each dataset.

use super::{DatasetKind, RunConfig, paper};
use toml::{Table, Value};

/// Default of synthetic runs.
const DEMO: &str = include_str!("../../configs/demo.toml");
const FOLDER: &str = include_str!("../../configs/folder.toml");
const CITYSCAPES: &str = include_str!("../../configs/cityscapes-r101-k2-1024x2048.toml");
const CIFAR: &str = include_str!("../../configs/classification/cifar10.toml");
const SVHN: &str = include_str!("../../configs/classification/svhn.toml");
const STL10: &str = include_str!("../../configs/classification/stl10.toml");
const IMAGENET: &str = include_str!("../../configs/classification/imagenet.toml");
const DIGITS: &str = include_str!("../../configs/classification/digits.toml");

/// The built-in configuration that runs on this dataset start from.
pub fn defaults_for(dataset: DatasetKind) -> RunConfig {
    default_table(dataset).try_into().expect("the built-in configurations are tested")
}

/// The dataset's own default over the demo's, which has every key.
pub(super) fn default_table(dataset: DatasetKind) -> Table {
    let text = match dataset {
        DatasetKind::Synthetic => DEMO,
        DatasetKind::Cityscapes => CITYSCAPES,
        DatasetKind::Folder => FOLDER,
        DatasetKind::Cifar10 | DatasetKind::Cifar100 => CIFAR,
        DatasetKind::Svhn => SVHN,
        DatasetKind::Stl10 => STL10,
        DatasetKind::Imagenet => IMAGENET,
        DatasetKind::SyntheticDigits => DIGITS,
    };
    let parsed = |text: &str| text.parse::<Table>().expect("the built-in configurations are tested");
    let mut demo = parsed(DEMO);
    let mut table = demo.clone();
    let mut put = |key: String, value: Value| {
        let place = place_of(&mut table, &key).expect("the demo has every key");
        *place = value;
    };
    flatten("", parsed(text), &mut put);
    put("data.dataset".into(), Value::String(dataset.name()));
    // Loss weights that are the paper's for the default network and K are no default for others.
    let config: RunConfig = table.clone().try_into().expect("the built-in configurations are tested");
    if Some((config.local.recon_weight, config.local.task_weight)) == paper::weights(&config) {
        for key in ["local.recon_weight", "local.task_weight"] {
            let of_demo = place_of(&mut demo, key).cloned().expect("the demo has every key");
            *place_of(&mut table, key).expect("the demo has every key") = of_demo;
        }
    }
    table
}

pub(super) fn place_of<'a>(table: &'a mut Table, key: &str) -> Option<&'a mut Value> {
    match key.split_once('.') {
        Some((section, name)) => table.get_mut(section)?.as_table_mut()?.get_mut(name),
        None => table.get_mut(key).filter(|value| !value.is_table()),
    }
}

/// Calls `say` with every leaf of the table under its dotted key.
pub(super) fn flatten(prefix: &str, table: Table, say: &mut impl FnMut(String, Value)) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value {
            Value::Table(table) => flatten(&key, table, say),
            value => say(key, value),
        }
    }
}
