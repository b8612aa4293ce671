//! The configuration under construction: which layer said what, and the keys that follow others.

use super::defaults::{default_table, defaults_for, flatten, place_of};
use super::{Cuts, DatasetKind, RunConfig, paper};
use crate::text::{counted, plain_toml};
use crate::{Error, Result};
use std::collections::HashMap;
use toml::{Table, Value};

/// The weakest layer of the command line. What was typed there is never let go in silence.
pub(super) const TYPED: u8 = 2;

/// One thing said: by whom, about which key, what.
#[derive(Debug)]
pub(super) struct Setting {
    /// Strength: 1 file, 2 `--set` ([`TYPED`]), 3 flag. The default is 0.
    pub layer: u8,
    /// For error messages: file, `--set KEY=VALUE` or flag.
    pub source: String,
    pub key: String,
    pub value: Value,
}

/// Keys that follow others unless they are said: the run's length, the method, the network and K.
const FOLLOWERS: [&str; 4] = ["local.task_loss", "optim.warmup_steps", "local.recon_weight", "local.task_weight"];

/// The configuration under construction.
#[derive(Clone)]
pub(super) struct Merged {
    /// Whose default it starts from.
    dataset: DatasetKind,
    table: Table,
    /// Who had the last word on a key, and how strongly.
    said: HashMap<String, (u8, String)>,
    /// Strongest layer that changed the backbone from what the layers below it said.
    backbone_changed: u8,
    /// A remark on the configuration, to be printed once it is accepted.
    pub note: Option<String>,
}

impl Merged {
    pub fn new(dataset: DatasetKind) -> Self {
        Self { dataset, table: default_table(dataset), said: HashMap::new(), backbone_changed: 0, note: None }
    }

    fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        place_of(&mut self.table, key)
    }

    pub fn apply(&mut self, setting: Setting) -> Result<()> {
        let Setting { layer, source, key, value } = setting;
        let Some(place) = self.get_mut(&key) else {
            return Err(Error::usage(format!("{source}: {}", unknown_key(&key))));
        };
        // `--set train.out=5` means the folder, not the number.
        let value = if layer == 2 && place.is_str() && !value.is_array() { text_of(value) } else { value };
        let before = std::mem::replace(place, value.clone());
        // Reading the whole configuration after each key costs microseconds and pins the blame on this one.
        if let Err(error) = self.table.clone().try_into::<RunConfig>() {
            let message = plain_toml(error.message());
            return Err(Error::usage(format!("{source}: {key} = {value}: {message}")));
        }
        if key == "model.backbone" && before != value {
            self.backbone_changed = layer;
        }
        self.said.insert(key, (layer, source));
        Ok(())
    }

    /// A file may write out what follows from its other keys, as complete ones do. Such a key still follows, should a flag
    /// change what it follows from.
    pub fn forget_what_follows(&mut self) {
        let mut defaults = default_table(self.dataset);
        for key in FOLLOWERS {
            let mut without = self.clone();
            without.said.remove(key);
            let Some(default) = place_of(&mut defaults, key).cloned() else { continue };
            without.put(key, default.clone());
            // An error of the file is reported later, when the whole configuration is checked.
            let follows = without.follow_length().and_then(|()| without.follow_paper());
            if follows.is_ok() && without.get_mut(key) == self.get_mut(key) {
                self.said.remove(key);
                self.put(key, default);
            }
        }
    }

    fn layer_of(&self, key: &str) -> u8 {
        self.said.get(key).map_or(0, |(layer, _)| *layer)
    }

    pub fn source_of(&self, key: &str) -> Option<&str> {
        self.said.get(key).map(|(_, source)| source.as_str())
    }

    /// Lets weakly said keys follow strongly said ones.
    pub fn reconcile(&mut self) -> Result<()> {
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
            Cuts::Auto | Cuts::Balanced => return Ok(()),
            Cuts::After(blocks) => blocks.len(),
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
    pub fn follow_length(&mut self) -> Result<()> {
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
    pub fn follow_paper(&mut self) -> Result<()> {
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

    pub fn config(&self) -> Result<RunConfig> {
        self.table.clone().try_into().map_err(|error| Error::usage(plain_toml(error.message())))
    }
}

fn text_of(value: Value) -> Value {
    match value {
        Value::String(_) => value,
        other => Value::String(other.to_string()),
    }
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
