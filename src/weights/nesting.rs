//! Where in a file the network is. Training programs put it under keys (`state_dict`, `model`, …), beside a moving average
//! of it or an optimizer, and wrap it.
//!
//! The keys are not listed: a network is where its first block is, whatever the path to it is called.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What PyTorch's wrappers put into a path, at its start or inside: data parallelism, `torch.compile`, sharding,
/// checkpointing, Lightning's strategies. No network that we know has these names itself.
const WRAPPERS: [&str; 6] =
    ["module", "_orig_mod", "_fsdp_wrapped_module", "_fpw_module", "_checkpoint_wrapped_module", "_forward_module"];

/// A tensor of every network that we know: under the name of torchvision and mmsegmentation, and under ours.
const FIRST_BLOCK: [&str; 2] = ["layer1.0.conv1.weight", "layer1.0.body.0.conv.weight"];

/// How a moving average of the weights is called in words.
const EMA: &str = "EMA";

/// Words in the keys of averages.
const AVERAGED: [&str; 7] = ["ema", "swa", "averaged", "teacher", "momentum", "target", "encoder_k"];

/// The way to the network in a file, and what else is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nesting {
    /// Keys, each with a dot behind it, without wrappers; empty where the file itself is the network.
    root: String,
    /// Keys of what is not taken, but for optimizers.
    beside: BTreeSet<String>,
}

impl Nesting {
    /// Finds the network among a file's names. Also returns the names of its tensors, without the way to it by those of the
    /// file.
    ///
    /// Where there are several networks, it is one that is no moving average, then the one of most tensors, then that of
    /// the shortest key.
    pub fn find(names: &[&str]) -> (Self, BTreeMap<String, String>) {
        let mut bare: BTreeMap<String, &str> = names.iter().map(|name| (without_wrappers(name), *name)).collect();
        if bare.len() < names.len() {
            // Two would have one name, so these are no wrappers.
            bare = names.iter().map(|name| (name.to_string(), *name)).collect();
        }
        let mut counts: BTreeMap<&str, usize> = roots(&bare).into_iter().map(|root| (root, 0)).collect();
        let roots: Vec<&str> = counts.keys().copied().collect();
        let owner = |name: &str| {
            let owners = roots.iter().copied().filter(|root| name.starts_with(root));
            owners.max_by_key(|root| root.len())
        };
        for root in bare.keys().filter_map(|name| owner(name)) {
            *counts.entry(root).or_default() += 1;
        }
        let rank = |(root, count): &(&str, usize)| (average(root).is_some(), Reverse(*count), root.len());
        let root = counts.iter().map(|(root, count)| (*root, *count)).min_by_key(rank).map_or("", |(root, _)| root);
        let mut beside = BTreeSet::new();
        let mut found = BTreeMap::new();
        for (name, theirs) in &bare {
            let inside = name.strip_prefix(root).filter(|_| owner(name).is_none_or(|owner| owner == root));
            match inside.filter(|name| average(first_key(name)) != Some(EMA)) {
                Some(name) => {
                    found.insert(theirs.to_string(), name.to_string());
                }
                None => beside.extend(key_beside(root, name)),
            }
        }
        (Self { root: root.to_string(), beside }, found)
    }
}

impl fmt::Display for Nesting {
    /// Empty, or to be put behind a sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.root.strip_suffix('.') {
            Some(root) => write!(f, "; taken from {}", labelled(root))?,
            None if !self.beside.is_empty() => write!(f, "; taken from the top of the file")?,
            None => return Ok(()),
        }
        if self.beside.is_empty() {
            return Ok(());
        }
        // Averages first: they may be what was wanted.
        let mut keys: Vec<&String> = self.beside.iter().collect();
        keys.sort_by_key(|key| average(key).is_none());
        let shown: Vec<String> = keys.iter().take(3).map(|key| labelled(key)).collect();
        let more = if keys.len() > 3 { ", …" } else { "" };
        write!(f, "; not taken: {}{more}", shown.join(", "))
    }
}

fn without_wrappers(name: &str) -> String {
    let steps: Vec<&str> = name.split('.').filter(|step| !WRAPPERS.contains(step)).collect();
    steps.join(".")
}

/// Ways to what may be a network.
fn roots<'a>(bare: &'a BTreeMap<String, &str>) -> BTreeSet<&'a str> {
    let before = |name: &'a str, tensor: &str| {
        let start = name.strip_suffix(tensor)?;
        let root = start.strip_suffix("backbone.").unwrap_or(start);
        Some([root, start].into_iter().find(|start| start.is_empty() || start.ends_with('.')))?
    };
    let names = || bare.keys().filter(|name| !is_of_optimizer(name));
    let whole: BTreeSet<&str> =
        names().flat_map(|name| FIRST_BLOCK.iter().filter_map(|tensor| before(name, tensor))).collect();
    if !whole.is_empty() {
        return whole;
    }
    // Only a part of one: by the first convolution, but not by that of some block.
    let has_norm = |name: &str| bare.contains_key(&name.replace("conv1.weight", "bn1.weight"));
    let in_block = |root: &&str| root.split('.').any(|step| step.parse::<usize>().is_ok());
    let parts = names().filter(|name| has_norm(name)).filter_map(|name| before(name, "conv1.weight"));
    parts.filter(|root| !in_block(root)).min_by_key(|root| root.len()).into_iter().collect()
}

/// The key beside the way to the network under which a tensor is; `None` for an optimizer's.
fn key_beside(root: &str, name: &str) -> Option<String> {
    let common = root.split_terminator('.').zip(name.split('.')).take_while(|(a, b)| a == b).count();
    let key = name.split('.').take(common + 1).collect::<Vec<_>>().join(".");
    if is_of_optimizer(&key) { None } else { Some(key) }
}

fn first_key(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

fn is_of_optimizer(path: &str) -> bool {
    words(path).any(|word| word.starts_with("optim"))
}

fn words(path: &str) -> impl Iterator<Item = String> {
    path.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase)
}

/// What kind of average the weights under a path are, if any.
fn average(path: &str) -> Option<&'static str> {
    if words(path).any(|word| word.starts_with("ema") || word.ends_with("ema")) {
        return Some(EMA);
    }
    let averaged = words(path).chain(path.split('.').map(str::to_string)).any(|word| AVERAGED.contains(&word.as_str()));
    averaged.then_some("averaged")
}

fn labelled(key: &str) -> String {
    average(key).map_or_else(|| key.to_string(), |kind| format!("{key} ({kind})"))
}

#[cfg(test)]
#[path = "nesting_tests.rs"]
mod tests;
