//! A configuration written out with the comments of `configs/demo.toml`.

use super::RunConfig;
use super::layers::DEMO;
use toml_edit::{DocumentMut, Item, Value};

impl RunConfig {
    /// This configuration as TOML, every key under its comment. [`RunConfig::load_file`] reads back the same values.
    pub fn to_commented_toml(&self) -> String {
        // The first paragraph is about the demo, not about the keys.
        let (_, template) = DEMO.split_once("\n\n").expect("demo.toml starts with a paragraph of its own");
        let mut document: DocumentMut = template.parse().expect("demo.toml is TOML");
        let values = toml::Table::try_from(self).expect("a configuration that came from TOML can be written as TOML");
        for (key, value) in values {
            match value {
                toml::Value::Table(section) => {
                    for (name, value) in section {
                        put(&mut document[&key][&name], &value, key == "augment");
                    }
                }
                value => put(&mut document[&key], &value, false),
            }
        }
        document.to_string()
    }
}

/// Replaces a value and keeps the white space and comments around it.
fn put(item: &mut Item, value: &toml::Value, single: bool) {
    let mut new = edit_value(value, single);
    if let Some(old) = item.as_value() {
        *new.decor_mut() = old.decor().clone();
    }
    *item = Item::Value(new);
}

/// `single`: the number is an `f32` in the configuration, and 0.1 is to be written as 0.1, not 0.10000000149011612.
fn edit_value(value: &toml::Value, single: bool) -> Value {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) if single => (*number as f32).to_string().parse().unwrap_or(*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(flag) => (*flag).into(),
        toml::Value::Array(list) => Value::Array(list.iter().map(|value| edit_value(value, single)).collect()),
        toml::Value::Datetime(_) | toml::Value::Table(_) => unreachable!("the configuration has no such value"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Cuts, DatasetKind, defaults_for};
    use crate::device::DeviceChoice;

    #[test]
    fn a_saved_configuration_reads_back_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let mut config = defaults_for(DatasetKind::Synthetic);
        config.device = DeviceChoice::Cuda(1);
        config.data.dataset = DatasetKind::Cityscapes;
        config.data.root = r#"/data/with "quotes" and # signs"#.into();
        config.augment.scale = [0.1, 1.0 / 3.0];
        config.local.cuts = Cuts::After(vec!["layer3.12".into()]);
        config.optim.lr = 1.0 / 3.0;
        config.optim.weight_decay = 1e-300;
        config.train.steps = 160_000;
        let text = config.to_commented_toml();
        std::fs::write(&path, &text).unwrap();
        assert_eq!(RunConfig::load_file(&path).unwrap(), config, "{text}");
        assert!(text.contains("scale = [0.1, 0.33333334]"), "{text}");
    }

    #[test]
    fn a_saved_configuration_keeps_the_comments_but_not_the_demo_s() {
        let text = defaults_for(DatasetKind::Cityscapes).to_commented_toml();
        assert!(text.starts_with("# Seeds weights"), "{text}");
        let count = |text: &str| text.lines().filter(|line| line.starts_with('#')).count();
        assert_eq!(count(&text), count(DEMO) - 4);
        assert!(text.contains("# K: number of gradient-isolated local modules"), "{text}");
        assert!(!text.contains("cargo run"), "{text}");
    }
}
