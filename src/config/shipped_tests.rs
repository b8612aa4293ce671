//! The files of `configs/`: each is complete, and what its head says.
//!
//! `INFOSEG_WRITE_CONFIGS=1 cargo test --release --lib shipped` writes them anew, and `configs/reference.md`, after a key or its
//! explanation has changed.

use super::defaults::flatten;
use super::reference::markdown;
use super::{Backbone, Cuts, DatasetKind, Flag, Layers, Method, RunConfig, TaskLoss, TrainArgs};
use clap::Parser;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// What a line of a head begins with that says how the file is made.
const MADE_BY: &str = "# made by:  ";
/// What the line of a head begins with that says that the file is a default.
const DEFAULT_OF: &str = "# This file is the default of --dataset ";
const COLUMNS: usize = 120;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: TrainArgs,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("configs")
}

fn files() -> Vec<PathBuf> {
    let list =
        |folder: PathBuf| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let mut files = [list(folder()), list(folder().join("classification"))].concat();
    files.retain(|path| path.extension().is_some_and(|of| of == "toml"));
    files.sort();
    files
}

/// The head's lines but for how the file is made, and that.
fn head(text: &str) -> (Vec<&str>, Option<String>) {
    let head: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
    let made = head.iter().position(|line| line.starts_with(MADE_BY)).unwrap_or(head.len());
    let line = |line: &&str| line.strip_prefix(MADE_BY).unwrap_or(&line[1..]).trim_end_matches('\\').trim().to_string();
    let command = head[made..].iter().map(line).collect::<Vec<_>>().join(" ");
    (head[..made].to_vec(), (!command.is_empty()).then_some(command))
}

/// What a shell makes of this line: words, some of them between single quotes.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quoted, mut open) = (Vec::new(), false, false);
    let mut word = String::new();
    for letter in line.chars() {
        match letter {
            '\'' => (quoted, open) = (!quoted, true),
            ' ' if !quoted => {
                if open {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            letter => {
                word.push(letter);
                open = true;
            }
        }
    }
    if open {
        words.push(word);
    }
    words
}

/// The configuration that `segtrain` prints with these arguments.
fn made(command: &str) -> RunConfig {
    let words = words(command);
    let (first, last) = (&words[0], &words[words.len() - 1]);
    assert!(first == "segtrain" && last == "--print-config", "{command}");
    Command::parse_from(&words).args.layers().unwrap().load().unwrap()
}

fn leaves(config: &RunConfig) -> BTreeMap<String, Value> {
    let mut leaves = BTreeMap::new();
    flatten("", Table::try_from(config).unwrap(), &mut |key, value| drop(leaves.insert(key, value)));
    leaves
}

/// The shortest command that makes this configuration of its dataset's default, key by key.
fn command_of(config: &RunConfig) -> String {
    let command = |set: &[String]| {
        let set: String = set.iter().map(|word| format!(" --set {word}")).collect();
        format!("segtrain --dataset {}{set} --print-config", config.data.dataset.name())
    };
    let wanted = leaves(config);
    let mut set: Vec<String> = Vec::new();
    loop {
        let made = leaves(&made(&command(&set)));
        let differs: Vec<_> = wanted.iter().filter(|(key, value)| made[*key] != **value).collect();
        if differs.is_empty() {
            break;
        }
        set.extend(differs.into_iter().map(|(key, value)| {
            let plain = match value {
                Value::String(text) if !text.is_empty() => text.clone(),
                value => value.to_string(),
            };
            let word = format!("{key}={plain}");
            if word.contains([' ', '"', '[']) { format!("'{word}'") } else { word }
        }));
    }
    // What follows from another key need not be said.
    for index in (0..set.len()).rev() {
        let without = [&set[..index], &set[index + 1..]].concat();
        if leaves(&made(&command(&without))) == wanted {
            set = without;
        }
    }
    command(&set)
}

/// A command over several lines of a head.
fn lines_of(command: &str) -> String {
    let mut lines = vec![MADE_BY.to_string()];
    let indent = format!("#{}", " ".repeat(MADE_BY.len() - 1));
    for part in command.split(" --") {
        let part = if part.starts_with("segtrain") { part.to_string() } else { format!("--{part}") };
        let line = lines.last_mut().unwrap();
        if line.len() + 1 + part.len() + 2 > COLUMNS {
            *line += " \\";
            lines.push(format!("{indent}{part}"));
        } else {
            *line += if line.ends_with("  ") { "" } else { " " };
            *line += &part;
        }
    }
    lines.join("\n")
}

#[test]
fn every_file_is_complete_and_what_its_head_says() {
    let write = std::env::var_os("INFOSEG_WRITE_CONFIGS").is_some();
    for path in files() {
        let text = std::fs::read_to_string(&path).unwrap();
        let (said, mut command) = head(&text);
        if write {
            command = Some(command_of(&RunConfig::load_file(&path).unwrap()));
        }
        // A default is what it says itself; the test is that it is complete and commented as its keys are.
        let default = said.iter().find_map(|line| line.strip_prefix(DEFAULT_OF)).map(ToString::to_string);
        let is_default = default.is_some();
        if let Some(default) = default {
            let dataset = default.trim_end_matches('.').split(' ').next().unwrap_or_default();
            command = Some(format!("segtrain --dataset {dataset} --print-config"));
        }
        let name = path.display();
        for word in ["# command:", "# hardware:"] {
            assert!(said.iter().any(|line| line.starts_with(word)), "{name}: {word}");
        }
        let command = command.unwrap_or_else(|| panic!("{name}: {MADE_BY}"));
        let config = made(&command);
        assert_eq!(command_of(&config), command, "{name}: the shortest command");
        let made_by = format!("\n{}", lines_of(&command));
        let made_by = if is_default { String::new() } else { made_by };
        let whole = format!("{}{made_by}\n\n{}", said.join("\n"), config.to_commented_toml());
        if write {
            std::fs::write(&path, &whole).unwrap();
        }
        assert!(std::fs::read_to_string(&path).unwrap() == whole, "{name} is not what `{command}` prints");
    }
}

#[test]
fn the_reference_of_keys_is_what_their_comments_say() {
    let path = folder().join("reference.md");
    if std::env::var_os("INFOSEG_WRITE_CONFIGS").is_some() {
        std::fs::write(&path, markdown()).unwrap();
    }
    assert!(std::fs::read_to_string(&path).unwrap() == markdown(), "configs/reference.md is not current");
}

/// `configs/<dataset>-<network>-<e2e, dgl-k<K> or k<K>>-<size>[-bs<batch> or -60k].toml`, and those whose names say what they are for.
#[test]
fn every_shipped_configuration_is_what_its_name_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|of| of != "toml") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_string();
        let config = RunConfig::load_file(&path).unwrap();
        count += 1;
        match name.as_str() {
            "demo" => assert_eq!(config.data.dataset, DatasetKind::Synthetic),
            "camvid-cpu" | "camvid-native-cpu" => {
                assert_eq!((config.model.backbone, config.model.width), (Backbone::Resnet18, 0.5));
            }
            "folder" => assert_eq!((config.data.dataset, config.local.cuts), (DatasetKind::Folder, Cuts::Auto)),
            _ => {
                let mut parts = name.split('-');
                let mut next = || parts.next().unwrap_or_default();
                assert_eq!((next(), config.data.dataset), ("cityscapes", DatasetKind::Cityscapes), "{name}");
                assert_eq!((next(), config.model.backbone), ("r101", Backbone::Resnet101), "{name}");
                let method = next();
                let k = match method {
                    "e2e" => 1,
                    "dgl" => next().strip_prefix('k').unwrap().parse().unwrap(),
                    k => k.strip_prefix('k').unwrap().parse().unwrap(),
                };
                assert_eq!(config.local.num_modules, k, "{name}");
                let size = next();
                assert_eq!(size, config.train.resolution.to_string(), "{name}");
                let rest = next();
                let batch = rest.strip_prefix("bs").map(|batch| batch.parse().unwrap());
                assert_eq!(config.train.batch_size, batch.unwrap_or(if size == "1024x2048" { 2 } else { 8 }), "{name}");
                let steps = match (rest, size) {
                    ("60k", _) => 60_000,
                    (_, "1024x2048") => 160_000, // as many images as the paper's
                    _ => 40_000,
                };
                assert_eq!(config.train.steps, steps, "{name}");
                // The linear rule from batch 8, lr 0.01.
                assert!((config.optim.lr - 0.01 * config.train.batch_size as f64 / 8.0).abs() < 1e-12, "{name}");
                let (expected, weight) = match method {
                    "e2e" => (Method::E2e, config.local.recon_weight[0]),
                    "dgl" => (Method::Dgl, 0.0),
                    _ => (Method::Infopro, if size == "512x1024" { 1.5 } else { 2.0 }),
                };
                assert_eq!(config.local.method, expected, "{name}");
                if k == 2 {
                    assert_eq!(config.local.cuts, Cuts::After(vec!["layer3.12".into()]), "{name}: the paper's cut");
                }
                assert_eq!(config.local.recon_weight, [weight; 2], "{name}");
            }
        }
    }
    assert_eq!(count, 11);
}

/// `configs/classification/<dataset>-<network>-<row>.toml`, and the defaults of datasets.
#[test]
fn every_row_of_the_paper_s_classification_tables_is_what_its_name_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/classification");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_string();
        for k in [None, Some(4), Some(8)] {
            if k.is_some() && (name.contains("e2e") || name.contains("imagenet")) {
                continue;
            }
            let k_flag = k.map(|k| Flag { name: "--local-k", key: "local.num_modules", value: Value::Integer(k) });
            let flags: Vec<Flag> = k_flag.into_iter().collect();
            let config = Layers { file: Some(path.clone()), flags, ..Layers::default() }.load().unwrap();
            let network = config.model.backbone.name();
            let mut parts = name.split('-');
            let dataset = parts.next().unwrap();
            if parts.next().is_none() || name.ends_with("-cpu") {
                continue; // a default, or one that says what it is for
            }
            assert_eq!(config.data.dataset.name(), dataset, "{name}");
            assert_eq!(network.split('-').next(), name.split('-').nth(1), "{name}");
            let local = &config.local;
            let row = match (local.method, local.task_loss, &local.cuts) {
                (Method::E2e, ..) => "e2e",
                (Method::Greedy, ..) => "greedy",
                (Method::Dgl, ..) => "dgl",
                (_, _, Cuts::Balanced) => "infopro-balanced",
                _ if dataset == "imagenet" => "infopro-k2",
                (_, TaskLoss::Softmax, _) => "infopro-softmax",
                (_, TaskLoss::Contrast, _) => "infopro-contrast",
            };
            assert!(name.ends_with(row), "{name} is {row}");
            assert_eq!(local.num_modules, if row == "e2e" { 1 } else { k.unwrap_or(2) as usize }, "{name}");
        }
        count += 1;
    }
    assert_eq!(count, 39);
}
