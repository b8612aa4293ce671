//! Default of the dataset → file → `--set` → flags, merged key by key so that an error names who said it.

use super::{DatasetKind, RunConfig, paper};
use crate::files::plain_cause;
use crate::text::counted;
use crate::{Error, Result};
use clap::ValueEnum;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Default of synthetic runs; its comments are the ones of every saved configuration.
pub(super) const DEMO: &str = include_str!("../../configs/demo.toml");
const FOLDER: &str = include_str!("../../configs/folder.toml");
const CITYSCAPES: &str = include_str!("../../configs/cityscapes-r101-k2-1024x2048.toml");
const CIFAR: &str = include_str!("../../configs/classification/cifar10.toml");
const SVHN: &str = include_str!("../../configs/classification/svhn.toml");
const STL10: &str = include_str!("../../configs/classification/stl10.toml");
const IMAGENET: &str = include_str!("../../configs/classification/imagenet.toml");
const DIGITS: &str = include_str!("../../configs/classification/digits.toml");

/// One command-line flag that stands for a configuration key.
#[derive(Debug, Clone)]
pub struct Flag {
    /// The flag as typed, such as `--local-k`.
    pub name: &'static str,
    /// Dotted key it sets, such as `local.num_modules`.
    pub key: &'static str,
    /// Its value.
    pub value: Value,
}

/// Everything that may say something about the configuration, from weak to strong.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// `--config FILE`. A file may leave keys out; they come from the dataset's default.
    pub file: Option<PathBuf>,
    /// `--set KEY=VALUE`: dotted key, TOML literal (or a bare string where it is none).
    pub set: Vec<String>,
    /// The other flags.
    pub flags: Vec<Flag>,
}

/// The weakest layer of the command line. What was typed there is never let go in silence.
const TYPED: u8 = 2;

/// One thing said: by whom, about which key, what.
#[derive(Debug)]
struct Setting {
    /// Strength: 1 file, 2 `--set` ([`TYPED`]), 3 flag. The default is 0.
    layer: u8,
    /// For error messages: file, `--set KEY=VALUE` or flag.
    source: String,
    key: String,
    value: Value,
}

/// The built-in configuration that runs on this dataset start from.
pub fn defaults_for(dataset: DatasetKind) -> RunConfig {
    default_table(dataset).try_into().expect("the built-in configurations are tested")
}

/// The dataset's own default over the demo's, which has every key.
fn default_table(dataset: DatasetKind) -> Table {
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
    let mut table = parsed(DEMO);
    let mut put = |key: String, value: Value| {
        let place = place_of(&mut table, &key).expect("the demo has every key");
        *place = value;
    };
    flatten("", parsed(text), &mut put);
    put("data.dataset".into(), Value::String(dataset.name()));
    table
}

fn place_of<'a>(table: &'a mut Table, key: &str) -> Option<&'a mut Value> {
    match key.split_once('.') {
        Some((section, name)) => table.get_mut(section)?.as_table_mut()?.get_mut(name),
        None => table.get_mut(key).filter(|value| !value.is_table()),
    }
}

impl RunConfig {
    /// Reads and checks a configuration file; keys it leaves out come from its dataset's default.
    ///
    /// # Errors
    /// The file cannot be read, holds an unknown key or a value that cannot be; the message names file and key.
    pub fn load_file(path: &Path) -> Result<Self> {
        Layers { file: Some(path.to_path_buf()), ..Layers::default() }.load()
    }
}

impl Layers {
    /// Merges the layers into one checked configuration.
    ///
    /// Some keys follow others that were said more strongly: `method = "e2e"` makes K 1, and a list of cuts goes back
    /// to `"auto"` where K or the backbone it was written for was changed from above. Cuts typed with `--set` stay.
    ///
    /// # Errors
    /// Unknown keys, values of the wrong kind, values that cannot be; the message names file or flag, key and remedy.
    pub fn load(&self) -> Result<RunConfig> {
        Ok(self.load_with_note()?.0)
    }

    /// [`Layers::load`], with a line about what the user may not expect, to be printed once the configuration is used.
    ///
    /// # Errors
    /// See [`Layers::load`].
    pub fn load_with_note(&self) -> Result<(RunConfig, Option<String>)> {
        let settings = self.settings()?;
        // The last word decides which default the other keys start from.
        let dataset = match settings.iter().rev().find(|setting| setting.key == "data.dataset") {
            // A wrong name is reported below like any other wrong value.
            Some(Setting { value: Value::String(name), .. }) => {
                DatasetKind::from_str(name, false).unwrap_or(DatasetKind::Synthetic)
            }
            _ => DatasetKind::Synthetic,
        };
        let mut merged = Merged::new(dataset);
        for setting in settings {
            merged.apply(setting)?;
        }
        merged.reconcile()?;
        merged.follow_length()?;
        merged.follow_paper()?;
        let config = merged.config()?;
        match config.first_problem() {
            Ok(()) => Ok((config, merged.note)),
            Err(problem) => {
                let source = merged.source_of(problem.key).map(|source| format!("{source}: ")).unwrap_or_default();
                Err(Error::usage(format!("{source}{}", problem.message)))
            }
        }
    }

    fn settings(&self) -> Result<Vec<Setting>> {
        let mut settings = Vec::new();
        if let Some(path) = &self.file {
            let table = read_table(path)?;
            let source = path.display().to_string();
            flatten("", table, &mut |key, value| {
                settings.push(Setting { layer: 1, source: source.clone(), key, value });
            });
        }
        for text in &self.set {
            let (key, value) = parse_set(text)?;
            settings.push(Setting { layer: 2, source: format!("--set {text}"), key, value });
        }
        for Flag { name, key, value } in &self.flags {
            let (source, key) = ((*name).to_string(), (*key).to_string());
            settings.push(Setting { layer: 3, source, key, value: value.clone() });
        }
        Ok(settings)
    }
}

fn read_table(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::file(path, "no such configuration file"),
        std::io::ErrorKind::InvalidData => Error::file(path, "is not a text file; a TOML configuration is expected"),
        _ => Error::file(path, format!("cannot be read: {}", plain_cause(&error))),
    })?;
    text.parse::<Table>().map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let message = error.message().trim().replace('\n', "; ");
        Error::usage(format!("{}: line {line} is not TOML: {message}", path.display()))
    })
}

fn parse_set(text: &str) -> Result<(String, Value)> {
    let Some((key, value)) = text.split_once('=').filter(|(key, _)| !key.trim().is_empty()) else {
        return Err(Error::usage(format!("--set {text}: write KEY=VALUE, such as --set optim.lr=0.02")));
    };
    let literal = format!("value = {value}").parse::<Table>().ok().filter(|table| table.len() == 1);
    let parsed = literal.and_then(|mut table| table.remove("value"));
    Ok((key.trim().to_string(), parsed.unwrap_or_else(|| Value::String(value.trim().to_string()))))
}

/// Calls `say` with every leaf of the table under its dotted key.
fn flatten(prefix: &str, table: Table, say: &mut impl FnMut(String, Value)) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value {
            Value::Table(table) => flatten(&key, table, say),
            value => say(key, value),
        }
    }
}

/// The configuration under construction.
struct Merged {
    table: Table,
    /// Who had the last word on a key, and how strongly.
    said: HashMap<String, (u8, String)>,
    /// Strongest layer that changed the backbone from what the layers below it said.
    backbone_changed: u8,
    /// What the person is to know of the configuration, once it is accepted.
    note: Option<String>,
}

impl Merged {
    fn new(dataset: DatasetKind) -> Self {
        Self { table: default_table(dataset), said: HashMap::new(), backbone_changed: 0, note: None }
    }

    fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        place_of(&mut self.table, key)
    }

    fn apply(&mut self, setting: Setting) -> Result<()> {
        let Setting { layer, source, key, value } = setting;
        let Some(place) = self.get_mut(&key) else {
            return Err(Error::usage(format!("{source}: {}", unknown_key(&key))));
        };
        // `--set train.out=5` means the folder, not the number.
        let value = if layer == 2 && place.is_str() && !value.is_array() { text_of(value) } else { value };
        let before = std::mem::replace(place, value.clone());
        // Reading the whole configuration after each key costs microseconds and pins the blame on this one.
        if let Err(error) = self.table.clone().try_into::<RunConfig>() {
            let message = plain(error.message());
            return Err(Error::usage(format!("{source}: {key} = {value}: {message}")));
        }
        if key == "model.backbone" && before != value {
            self.backbone_changed = layer;
        }
        self.said.insert(key, (layer, source));
        Ok(())
    }

    fn layer_of(&self, key: &str) -> u8 {
        self.said.get(key).map_or(0, |(layer, _)| *layer)
    }

    fn source_of(&self, key: &str) -> Option<&str> {
        self.said.get(key).map(|(_, source)| source.as_str())
    }

    /// Lets weakly said keys follow strongly said ones.
    fn reconcile(&mut self) -> Result<()> {
        let config = self.config()?;
        let (method, k, cuts) =
            (self.layer_of("local.method"), self.layer_of("local.num_modules"), self.layer_of("local.cuts"));
        if config.local.method.traits().is_end_to_end && config.local.num_modules > 1 {
            if k >= method {
                let (k_source, method_source) = (self.source_of("local.num_modules"), self.source_of("local.method"));
                return Err(Error::usage(format!(
                    "{}: {} local modules, but method e2e ({}) is end-to-end training, which has one; drop one of \
                     the two, or use method infopro",
                    k_source.unwrap_or("default"),
                    config.local.num_modules,
                    method_source.unwrap_or("default"),
                )));
            }
            self.put("local.num_modules", Value::Integer(1));
            if cuts < method.min(TYPED) {
                self.put("local.cuts", Value::String("auto".into()));
            }
        }
        let named = match &config.local.cuts {
            super::Cuts::Auto | super::Cuts::Balanced => return Ok(()),
            super::Cuts::After(blocks) => blocks.len(),
        };
        let outnumbered = k > cuts && named + 1 != config.local.num_modules;
        if cuts < TYPED && (outnumbered || self.backbone_changed > cuts) {
            // End-to-end has no cuts to miss; others were thought about by who wrote the file.
            if cuts > 0 && config.local.num_modules > 1 && !config.local.method.traits().is_end_to_end {
                let cause = match outnumbered {
                    true => format!(
                        "cuts into {}, not into {}",
                        counted(named + 1, "local module"),
                        config.local.num_modules
                    ),
                    false => "cuts another backbone".into(),
                };
                let source = self.source_of("local.cuts").unwrap_or("the file");
                self.note = Some(format!("{source} {cause}: the cuts are chosen automatically"));
            }
            self.put("local.cuts", Value::String("auto".into()));
        }
        Ok(())
    }

    /// Where the run's length was chosen but the warm-up was not, the warm-up keeps its share of the run.
    fn follow_length(&mut self) -> Result<()> {
        let config = self.config()?;
        if self.layer_of("train.steps") > 0 && self.layer_of("optim.warmup_steps") == 0 {
            let default = defaults_for(config.data.dataset);
            let warmup = default.optim.warmup_steps * config.train.steps / default.train.steps;
            self.put("optim.warmup_steps", Value::Integer(warmup as i64));
        }
        Ok(())
    }

    /// In classification, unset values follow the method: dgl and greedy have the paper's cross-entropy, InfoPro its
    /// loss weights for this network and K, where it has some.
    fn follow_paper(&mut self) -> Result<()> {
        let config = self.config()?;
        if config.data.dataset.task().is_dense() {
            return Ok(());
        }
        if let Some(task_loss) = config.local.method.traits().default_task_loss
            && self.layer_of("local.task_loss") == 0
        {
            self.put("local.task_loss", Value::try_from(task_loss).expect("a name"));
        }
        if let Some((recon, task)) = paper::weights(&config) {
            for (key, weights) in [("local.recon_weight", recon), ("local.task_weight", task)] {
                if self.layer_of(key) == 0 {
                    self.put(key, Value::from(weights.to_vec()));
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, key: &str, value: Value) {
        if let Some(place) = self.get_mut(key) {
            *place = value;
        }
    }

    fn config(&self) -> Result<RunConfig> {
        self.table.clone().try_into().map_err(|error| Error::usage(plain(error.message())))
    }
}

fn text_of(value: Value) -> Value {
    match value {
        Value::String(_) => value,
        other => Value::String(other.to_string()),
    }
}

/// serde's message in the reader's words.
fn plain(message: &str) -> String {
    let mut message = message.trim().replace('\n', "; ");
    for (technical, words) in [
        ("expected usize", "expected a whole number, 0 or more"),
        ("expected u64", "expected a whole number, 0 or more"),
        ("expected f32", "expected a number"),
        ("expected f64", "expected a number"),
        ("expected a sequence", "expected a list such as [1, 2]"),
        ("expected a boolean", "expected true or false"),
        ("expected path string", "expected a path in quotes"),
        ("expected a string", "expected text in quotes"),
    ] {
        message = message.replace(technical, words);
    }
    message
}

fn unknown_key(key: &str) -> String {
    let defaults = default_table(DatasetKind::Synthetic);
    if defaults.get(key).is_some_and(Value::is_table) {
        return format!(
            "`{key}` is a section of keys; name one of them, such as `{key}.{}`",
            first_key(&defaults, key)
        );
    }
    let mut known = Vec::new();
    flatten("", defaults, &mut |key, _| known.push(key));
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_string();
    let initials = |key: &str| last(key).split('_').filter_map(|word| word.chars().next()).collect::<String>();
    let likeness = |other: &String| {
        // `learning_rate` is spelled unlike `lr`, but is what it stands for.
        if initials(key) == last(other) || initials(other) == last(key) {
            return 1.0;
        }
        let whole = strsim::normalized_damerau_levenshtein(key, other);
        whole.max(strsim::normalized_damerau_levenshtein(&last(key), &last(other)))
    };
    let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest {
        Some(nearest) => format!("unknown key `{key}`; the nearest known key is `{nearest}`"),
        None => format!("unknown key `{key}`"),
    }
}

fn first_key(table: &Table, section: &str) -> String {
    let keys = table.get(section).and_then(Value::as_table).and_then(|section| section.keys().next());
    keys.cloned().unwrap_or_default()
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
