//! What a checkpoint did for a network, in words.

use super::nesting::Nesting;
use super::{Mapping, Naming};
use std::fmt;
use std::path::PathBuf;

/// What a checkpoint did for a network. Its text is one line for the person at the terminal.
#[derive(Debug)]
pub struct Report {
    pub(super) path: PathBuf,
    pub(super) naming: Naming,
    pub(super) nesting: Nesting,
    /// Under the file's names where it has one for the tensor, else under ours.
    pub mapping: Mapping,
    /// Classes of the file and of the network, where they are not as many.
    pub classes: Option<[usize; 2]>,
    /// What became of the classifiers, where the classes are others.
    pub of_classes: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mapping { loaded, missing, unexpected, misshapen } = &self.mapping;
        write!(f, "{} ({} naming): {} tensors loaded", self.path.display(), self.naming, loaded.len())?;
        list(f, "not in the file", missing)?;
        list(f, "of no use here", unexpected)?;
        let misshapen: Vec<String> =
            misshapen.iter().map(|(name, ours, given)| format!("{name} {given:?} instead of {ours:?}")).collect();
        list(f, "of another shape", &misshapen)?;
        if let Some([theirs, ours]) = self.classes {
            write!(
                f,
                "; the file has {theirs} classes and this network {ours}: its classifier stays as drawn at random"
            )?;
        }
        if let Some(said) = &self.of_classes {
            write!(f, "; {said}")?;
        }
        write!(f, "{}", self.nesting)
    }
}

fn list(f: &mut fmt::Formatter<'_>, what: &str, names: &[String]) -> fmt::Result {
    if names.is_empty() {
        return Ok(());
    }
    let shown = names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    let more = if names.len() > 3 { ", …" } else { "" };
    write!(f, "; {} {what} ({shown}{more})", names.len())
}
