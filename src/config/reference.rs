//! Every key with its explanation, which is its doc comment: in written configurations and in `configs/reference.md`.

use super::{
    AugmentConfig, Backbone, Crop, DataConfig, DatasetKind, DecodeHead, DecoderKind, LocalConfig, LocalHeadKind,
    LrScheduleKind, Method, ModelConfig, OptimConfig, ParallelConfig, Precision, RunConfig, ScheduleKind, Stem,
    TaskLoss, TrainConfig, defaults_for,
};
use clap::ValueEnum;
use documented::DocumentedFields;
use std::fmt::Write as _;
use toml_edit::Value;

/// Columns of a written configuration.
const WIDTH: usize = 118;

/// A key of the configuration.
pub struct Key {
    /// Its section; empty for the keys above all sections.
    pub section: &'static str,
    /// Its name in the section.
    pub name: &'static str,
    /// Its explanation.
    pub docs: String,
    /// The words that it can be, each with its explanation, where it is one of some.
    pub choices: Vec<(String, String)>,
}

impl Key {
    /// Dotted, such as `local.num_modules`.
    pub fn path(&self) -> String {
        if self.section.is_empty() { self.name.to_string() } else { format!("{}.{}", self.section, self.name) }
    }

    fn new(section: &'static str, name: &'static str, docs: &'static str) -> Self {
        let docs = docs.split_whitespace().collect::<Vec<_>>().join(" ");
        Self { section, name, docs, choices: choices(section, name) }
    }
}

/// Every key, in the order of a written configuration: those above all sections, then section by section.
pub fn keys() -> Vec<Key> {
    let top = fields::<RunConfig>().filter(|(name, _)| section_keys(name).is_empty());
    let mut keys: Vec<Key> = top.map(|(name, docs)| Key::new("", name, docs)).collect();
    for (section, _) in fields::<RunConfig>() {
        keys.extend(section_keys(section).into_iter().map(|(name, docs)| Key::new(section, name, docs)));
    }
    keys
}

fn fields<T: DocumentedFields>() -> impl Iterator<Item = (&'static str, &'static str)> {
    T::FIELD_NAMES.iter().zip(T::FIELD_DOCS.iter()).map(|(name, docs)| (*name, *docs))
}

fn section_keys(section: &str) -> Vec<(&'static str, &'static str)> {
    match section {
        "data" => fields::<DataConfig>().collect(),
        "augment" => fields::<AugmentConfig>().collect(),
        "model" => fields::<ModelConfig>().collect(),
        "local" => fields::<LocalConfig>().collect(),
        "optim" => fields::<OptimConfig>().collect(),
        "train" => fields::<TrainConfig>().collect(),
        "parallel" => fields::<ParallelConfig>().collect(),
        _ => Vec::new(),
    }
}

fn choices(section: &str, name: &str) -> Vec<(String, String)> {
    match (section, name) {
        ("data", "dataset") => words::<DatasetKind>(),
        ("augment", "crop") => words::<Crop>(),
        ("model", "backbone") => words::<Backbone>(),
        ("model", "stem") => words::<Stem>(),
        ("model", "decode_head") => words::<DecodeHead>(),
        ("local", "method") => words::<Method>(),
        ("local", "task_loss") => words::<TaskLoss>(),
        ("local", "head") => words::<LocalHeadKind>(),
        ("local", "decoder") => words::<DecoderKind>(),
        ("optim", "schedule") => words::<LrScheduleKind>(),
        ("train", "schedule") => words::<ScheduleKind>(),
        ("train", "precision") => words::<Precision>(),
        _ => Vec::new(),
    }
}

fn words<T: ValueEnum>() -> Vec<(String, String)> {
    let values = T::value_variants().iter().filter_map(T::to_possible_value);
    values
        .map(|value| (value.get_name().to_string(), value.get_help().map(ToString::to_string).unwrap_or_default()))
        .collect()
}

impl RunConfig {
    /// This configuration as TOML, every key under its comment. [`RunConfig::load_file`] reads back the same values.
    pub fn to_commented_toml(&self) -> String {
        let values = toml::Table::try_from(self).expect("a configuration that came from TOML can be written as TOML");
        let mut text = String::new();
        let mut section = "";
        for key in keys() {
            if key.section != section {
                section = key.section;
                let (_, docs) = fields::<RunConfig>().find(|(name, _)| *name == section).unwrap_or_default();
                text += &format!("\n# {docs}\n[{section}]\n");
            }
            comment(&mut text, &key);
            let table = values.get(section).and_then(toml::Value::as_table).unwrap_or(&values);
            let value = edit_value(&table[key.name], section == "augment");
            let _ = writeln!(text, "{} = {value}", key.name);
        }
        text
    }
}

/// Writes a key's explanation as comments; choices without help share one line.
fn comment(text: &mut String, key: &Key) {
    wrap(text, "# ", &key.docs.replace('`', ""));
    if key.choices.iter().all(|(_, help)| help.is_empty()) {
        let words: Vec<&str> = key.choices.iter().map(|(word, _)| word.as_str()).collect();
        if !words.is_empty() {
            wrap(text, "#   ", &words.join(" | "));
        }
        return;
    }
    for (word, help) in &key.choices {
        wrap(text, "#   ", &format!("{word}: {}", help.replace('`', "")));
    }
}

fn wrap(text: &mut String, indent: &str, words: &str) {
    let mut line = String::new();
    for word in words.split_whitespace() {
        if !line.is_empty() && indent.len() + line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(text, "{indent}{line}");
            line.clear();
        }
        line += if line.is_empty() { "" } else { " " };
        line += word;
    }
    let _ = writeln!(text, "{indent}{line}");
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

/// Every key, its value in the demo and its explanation, as Markdown.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Keys of the configuration\n\n`segtrain --print-config` prints the same explanations above the values of a run. The \
         defaults here are those of `--dataset synthetic`; each dataset has its own ([configs/](.)).\n",
    );
    let demo = toml::Table::try_from(defaults_for(DatasetKind::Synthetic)).expect("a configuration is TOML");
    let mut section = None;
    for key in keys() {
        if section != Some(key.section) {
            section = Some(key.section);
            let heading =
                if key.section.is_empty() { "Above all sections".into() } else { format!("`[{}]`", key.section) };
            let _ = write!(text, "\n## {heading}\n\n| key | default | |\n|---|---|---|\n");
        }
        let table = demo.get(key.section).and_then(toml::Value::as_table).unwrap_or(&demo);
        let value = edit_value(&table[key.name], key.section == "augment");
        let mut docs = key.docs.replace('|', "\\|");
        for (word, help) in &key.choices {
            let colon = if help.is_empty() { "" } else { ": " };
            let _ = write!(docs, "<br>`{word}`{colon}{}", help.replace('|', "\\|"));
        }
        let _ = writeln!(text, "| `{}` | `{}` | {docs} |", key.name, value.to_string().trim());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Cuts, DeviceChoice};

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
    fn every_key_is_explained_once() {
        let table = toml::Table::try_from(defaults_for(DatasetKind::Synthetic)).unwrap();
        let mut written: Vec<String> = Vec::new();
        for (name, value) in &table {
            match value {
                toml::Value::Table(section) => written.extend(section.keys().map(|key| format!("{name}.{key}"))),
                _ => written.push(name.clone()),
            }
        }
        let mut explained: Vec<String> = keys().iter().map(Key::path).collect();
        assert!(keys().iter().all(|key| !key.docs.is_empty()));
        written.sort();
        explained.sort();
        assert_eq!(explained, written);
    }

    #[test]
    fn choices_are_those_that_are_read() {
        for key in keys() {
            for (word, _) in &key.choices {
                let mut table = toml::Table::try_from(defaults_for(DatasetKind::Synthetic)).unwrap();
                table[key.section][key.name] = toml::Value::String(word.clone());
                assert!(table.try_into::<RunConfig>().is_ok(), "{} = {word}", key.path());
            }
        }
    }

    #[test]
    fn no_line_is_too_long() {
        let text = defaults_for(DatasetKind::Cityscapes).to_commented_toml();
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH + 2), "{text}");
    }
}
