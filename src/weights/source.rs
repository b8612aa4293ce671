//! The files of a checkpoint: one, or the parts that an index names (`model.safetensors.index.json`).

use super::nesting::Nesting;
use super::{Weights, pytorch, safetensors};
use crate::files::plain_cause;
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// What a checkpoint's files hold.
#[derive(Debug)]
pub struct Source {
    /// The network's tensors, without the way to them.
    pub weights: Weights,
    /// Text entries of a safetensors file's header.
    pub header: HashMap<String, String>,
    /// The way to them.
    pub nesting: Nesting,
}

impl Source {
    /// Reads a file, or all parts of which it is the index; the content decides, not the name.
    ///
    /// # Errors
    /// A file that is missing or damaged, one part of several, an index without its parts.
    pub fn read(path: &Path) -> Result<Self> {
        let index = Index::of(path)?;
        let mut parts = Vec::new();
        match &index {
            Some(index) => {
                for file in index.files(path)? {
                    let mut part = Part::open(&path.with_file_name(file))?;
                    part.retain(|name| index.weight_map.get(name).is_none_or(|place| place == file));
                    parts.push(part);
                }
            }
            None => {
                refuse_part(path)?;
                parts.push(Part::open(path)?);
            }
        }
        let names: Vec<&str> = parts.iter().flat_map(Part::names).collect();
        let (nesting, found) = Nesting::find(&names);
        let (mut weights, mut header) = (Weights::default(), HashMap::new());
        for part in parts {
            match part {
                Part::Pytorch(file) => weights.tensors.extend(file.read(&found)?.tensors),
                Part::Safetensors(tensors, entries) => {
                    let named = |(name, data)| Some((found.get(&name)?.clone(), data));
                    weights.tensors.extend(tensors.tensors.into_iter().filter_map(named));
                    header.extend(entries);
                }
            }
        }
        Ok(Self { weights, header, nesting })
    }
}

/// One file. PyTorch's may hold far more than the network, so its tensors are read once they are chosen.
enum Part {
    Pytorch(pytorch::File),
    Safetensors(Weights, HashMap<String, String>),
}

impl Part {
    fn open(path: &Path) -> Result<Self> {
        if is_safetensors(path) {
            let (weights, header) = safetensors::read(path)?;
            return Ok(Self::Safetensors(weights, header));
        }
        Ok(Self::Pytorch(pytorch::File::open(path)?))
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::Pytorch(file) => Box::new(file.tensors.keys().map(String::as_str)),
            Self::Safetensors(weights, _) => Box::new(weights.tensors.keys().map(String::as_str)),
        }
    }

    fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        match self {
            Self::Pytorch(file) => file.tensors.retain(|name, _| wanted(name)),
            Self::Safetensors(weights, _) => weights.tensors.retain(|name, _| wanted(name)),
        }
    }
}

/// Eight bytes of length, then a JSON object.
fn is_safetensors(path: &Path) -> bool {
    let mut start = [0; 9];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    path.extension().is_some_and(|extension| extension == "safetensors") || (read.is_ok() && start[8] == b'{')
}

/// Which file each tensor is in.
#[derive(serde::Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Index {
    /// `None` for a file that is none.
    fn of(path: &Path) -> Result<Option<Self>> {
        let is_json = path.extension().is_some_and(|extension| extension == "json");
        let mut start = [0];
        let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
        if !is_json && (read.is_err() || start[0] != b'{') {
            return Ok(None);
        }
        let file =
            fs::File::open(path).map_err(|e| Error::file(path, format!("cannot be read: {}", plain_cause(&e))))?;
        match serde_json::from_reader(BufReader::new(file)) {
            Ok(index) => Ok(Some(index)),
            Err(cause) if is_json => Err(Error::file(
                path,
                format!(
                    "is no index of files with weights ({cause}); name an index (model.safetensors.index.json) or the \
                     file that holds the weights"
                ),
            )),
            Err(_) => Ok(None), // a length may begin like JSON, too
        }
    }

    /// The parts' names, all of which are there.
    fn files(&self, path: &Path) -> Result<BTreeSet<&String>> {
        let files: BTreeSet<&String> = self.weight_map.values().collect();
        let is_missing = |file: &&&String| !path.with_file_name(file).is_file();
        let missing: Vec<String> = files.iter().filter(is_missing).map(|file| file.to_string()).collect();
        if missing.is_empty() {
            return Ok(files);
        }
        Err(Error::file(
            path,
            format!(
                "is the index of {} files, and {} not beside it; put them all into its folder",
                files.len(),
                are(&missing)
            ),
        ))
    }
}

/// Refuses a file that is one part of several, which alone would pass for a network with holes.
fn refuse_part(path: &Path) -> Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Ok(());
    };
    if !path.is_file() {
        return Ok(());
    }
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let beside = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut indices: Vec<PathBuf> = beside.filter(|path| path.to_string_lossy().ends_with(".index.json")).collect();
    indices.sort();
    for index in indices {
        let Ok(Some(Index { weight_map })) = Index::of(&index) else { continue };
        let files: BTreeSet<&String> = weight_map.values().collect();
        if files.len() > 1 && files.iter().any(|file| *file == name) {
            let others = files.into_iter().filter(|file| *file != name).cloned().collect();
            return Err(alone(path, others, &index.file_name().unwrap_or_default().to_string_lossy()));
        }
    }
    match numbered(name) {
        Some((others, index)) if !others.is_empty() => Err(alone(path, others, &index)),
        _ => Ok(()),
    }
}

/// The other parts and the index of `model-00001-of-00003.safetensors`, by its name.
fn numbered(name: &str) -> Option<(Vec<String>, String)> {
    let (left, right) = name.rsplit_once("-of-")?;
    let (base, number) = left.rsplit_once('-')?;
    let (count, extension) = right.split_once('.')?;
    let (number, digits, count) = (number.parse::<usize>().ok()?, count.len(), count.parse::<usize>().ok()?);
    if !(1..=count.min(10_000)).contains(&number) {
        return None;
    }
    let part = |i: usize| format!("{base}-{i:0digits$}-of-{count:0digits$}.{extension}");
    let others = (1..=count.min(10_000)).filter(|&i| i != number).map(part).collect();
    Some((others, format!("{base}.{extension}.index.json")))
}

fn alone(path: &Path, others: Vec<String>, index: &str) -> Error {
    let total = others.len() + 1;
    let (there, missing): (Vec<String>, Vec<String>) =
        others.into_iter().partition(|other| path.with_file_name(other).is_file());
    let rest = match missing.is_empty() {
        true => format!("the rest is in {}", listed(&there)),
        false => format!("{} not beside it", are(&missing)),
    };
    let remedy = match (missing.is_empty(), path.with_file_name(index).is_file()) {
        (true, true) => format!("name their index {index}, which reads them all"),
        (true, false) => format!("put their index {index} into its folder, too, and name that"),
        (false, true) => format!("put all parts into its folder and name their index {index}"),
        (false, false) => format!("put all parts and their index {index} into its folder and name the index"),
    };
    Error::file(path, format!("is one of {total} parts of a checkpoint, and {rest}; {remedy}"))
}

/// `a, b, c and 4 more`
fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(3);
    let shown = names[..names.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

fn are(names: &[String]) -> String {
    format!("{} {}", listed(names), if names.len() == 1 { "is" } else { "are" })
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
