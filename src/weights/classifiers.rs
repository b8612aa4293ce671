//! Classifiers of a network that is fine-tuned on other classes: `--pretrained FILE --init-classes MAP.toml`.

use super::Weights;
use crate::files::plain_cause;
use crate::task::ClassSet;
use crate::text::plain_toml;
use crate::{Error, Result};
use burn::tensor::TensorData;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Which class of the file each class of the data starts from: a TOML file of `"old name" = "new name"`. Where the file
/// names no classes, an old name is a class index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassMap {
    path: PathBuf,
    names: BTreeMap<String, String>,
}

impl ClassMap {
    /// Reads a map.
    ///
    /// # Errors
    /// A file that cannot be read or is no such map; a new name twice.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| Error::file(path, format!("cannot be read: {}", plain_cause(&cause))))?;
        let names: BTreeMap<String, String> = toml::from_str(&text).map_err(|cause| {
            let cause = plain_toml(cause.message());
            Error::file(path, format!("{cause}; write lines such as \"old name\" = \"new name\""))
        })?;
        let mut seen = BTreeMap::new();
        for (old, new) in &names {
            if let Some(first) = seen.insert(new, old) {
                let message = format!("\"{new}\" starts from \"{first}\" and from \"{old}\"; keep one of the two");
                return Err(Error::file(path, message));
            }
        }
        Ok(Self { path: path.to_path_buf(), names })
    }

    /// Indices of old and new classes.
    fn pairs(&self, old: &[String], new: &[String]) -> Result<Vec<[usize; 2]>> {
        let find = |name: &String, names: &[String], whose: &str| {
            names.iter().position(|known| known == name).ok_or_else(|| {
                let some = names.iter().take(6).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                let more = if names.len() > 6 { ", …" } else { "" };
                Error::file(&self.path, format!("\"{name}\" is no class of {whose}; its classes are {some}{more}"))
            })
        };
        let pair = |(from, to): (&String, &String)| {
            Ok([find(from, old, "the file with the weights")?, find(to, new, "the data")?])
        };
        self.names.iter().map(pair).collect()
    }
}

/// The classes of a network that weights are loaded into.
#[derive(Debug, Clone, Copy)]
pub struct NewClasses<'a> {
    /// The classes.
    pub classes: &'a ClassSet,
    /// Where they start from.
    pub map: Option<&'a ClassMap>,
}

/// Makes the classifiers among `weights` fit the new classes: rows of mapped classes are taken over, and all others stay
/// as they are in `known`, the network's own. Returns a sentence about it where the classes are others.
///
/// # Errors
/// A map that names a class that is not there.
pub(super) fn fit(
    weights: &mut Weights,
    known: &Weights,
    own: Option<&ClassSet>,
    new: NewClasses,
) -> Result<Option<String>> {
    let Some(theirs) = weights.tensors.get("head.classifier.weight").and_then(|data| data.shape().first().copied())
    else {
        return Ok(None);
    };
    let own = own.filter(|own| own.len() == theirs);
    let ours = new.classes.len();
    let same = own.map_or(theirs == ours, |own| own.first_difference(new.classes).is_none());
    if same && new.map.is_none() {
        return Ok(None);
    }
    let old = own.map_or_else(|| (0..theirs).map(|index| index.to_string()).collect(), ClassSet::names);
    let names = new.classes.names();
    let pairs = new.map.map_or_else(|| Ok(Vec::new()), |map| map.pairs(&old, &names))?;
    let is_classifier = |name: &str| name.ends_with("classifier.weight") || name.ends_with("classifier.bias");
    let tensors: Vec<String> = weights.tensors.keys().filter(|name| is_classifier(name)).cloned().collect();
    for name in tensors {
        let Some(fresh) = known.tensors.get(&name) else { continue };
        let given = &weights.tensors[&name];
        // Embeddings of the contrastive loss have no row for a class.
        if given.shape().first() != Some(&theirs) || fresh.shape().first() != Some(&ours) {
            continue;
        }
        weights.tensors.insert(name.clone(), with_rows(fresh, given, &pairs));
    }
    let whose = own.map_or_else(
        || format!("{theirs} classes without names"),
        |own| {
            let name = |name: Option<&str>| name.map_or("none".to_string(), |name| format!("`{name}`"));
            let differs = own.first_difference(new.classes).map_or_else(String::new, |(index, theirs, ours)| {
                format!("; class {index} is {} there and {} here", name(theirs), name(ours))
            });
            format!("{}{differs}", own.describe())
        },
    );
    Ok(Some(match pairs.len() {
        0 => format!(
            "the file has other classes ({whose}) than this network ({ours}): the classifiers start anew; --init-classes \
             MAP.toml carries classes over"
        ),
        carried => {
            let shown = pairs.iter().take(6).map(|[from, to]| format!("{} from {}", names[*to], old[*from]));
            format!(
                "{carried} of {ours} classes start from those of the file ({}{}), the others anew",
                shown.collect::<Vec<_>>().join(", "),
                if carried > 6 { ", …" } else { "" }
            )
        }
    }))
}

/// `fresh` with some of its rows replaced by those of `given`; as it is where the rows are of other shapes.
fn with_rows(fresh: &TensorData, given: &TensorData, pairs: &[[usize; 2]]) -> TensorData {
    let shape = fresh.shape().to_vec();
    let row: usize = shape[1..].iter().product();
    let (Ok(mut values), Ok(rows)) = (fresh.try_to_vec::<f32>(), given.try_to_vec::<f32>()) else {
        return fresh.clone();
    };
    if given.shape()[1..] == shape[1..] {
        for [from, to] in pairs {
            values[to * row..][..row].copy_from_slice(&rows[from * row..][..row]);
        }
    }
    TensorData::new(values, shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> ClassSet {
        ClassSet::numbered("set", &names.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    fn weights(rows: usize, first: f32) -> Weights {
        let data = |columns: usize| {
            let values: Vec<f32> = (0..rows * columns).map(|i| first + i as f32).collect();
            if columns == 1 { TensorData::new(values, [rows]) } else { TensorData::new(values, [rows, columns, 1, 1]) }
        };
        let names = ["head.classifier.weight", "head.classifier.bias", "aux_head.classifier.weight", "stem.weight"];
        let tensors = names.map(|name| (name.to_string(), data(if name.ends_with("bias") { 1 } else { 2 })));
        Weights { tensors: tensors.into_iter().collect() }
    }

    fn map(text: &str) -> Result<ClassMap> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.toml");
        std::fs::write(&path, text).unwrap();
        ClassMap::read(&path)
    }

    fn values(weights: &Weights, name: &str) -> Vec<f32> {
        weights.tensors[name].try_to_vec().unwrap()
    }

    #[test]
    fn rows_of_mapped_classes_carry_over_and_others_stay_fresh() {
        let (own, new) = (set(&["road", "car", "sky"]), set(&["sky", "tree"]));
        let (mut given, known) = (weights(3, 0.0), weights(2, 100.0));
        let map = map("sky = \"sky\"\n").unwrap();
        let said = fit(&mut given, &known, Some(&own), NewClasses { classes: &new, map: Some(&map) }).unwrap().unwrap();
        assert_eq!(values(&given, "head.classifier.weight"), [4.0, 5.0, 102.0, 103.0]);
        assert_eq!(values(&given, "head.classifier.bias"), [2.0, 101.0]);
        assert_eq!(values(&given, "aux_head.classifier.weight"), [4.0, 5.0, 102.0, 103.0]);
        assert_eq!(values(&given, "stem.weight").len(), 6, "what is no classifier is left alone");
        assert!(said.contains("1 of 2 classes") && said.contains("sky from sky"), "{said}");
    }

    #[test]
    fn as_many_classes_of_other_names_start_anew_and_the_same_names_do_not() {
        let (own, new) = (set(&["road", "car"]), set(&["cat", "dog"]));
        let known = weights(2, 100.0);
        let target = |classes| NewClasses { classes, map: None };
        let mut given = weights(2, 0.0);
        assert!(fit(&mut given, &known, Some(&own), target(&own)).unwrap().is_none());
        assert!(fit(&mut given, &known, None, target(&new)).unwrap().is_none(), "without names as many are the same");
        assert_eq!(given.tensors, weights(2, 0.0).tensors);
        let said = fit(&mut given, &known, Some(&own), target(&new)).unwrap().unwrap();
        assert!(said.contains("road, car") && said.contains("--init-classes"), "{said}");
        assert_eq!(values(&given, "head.classifier.bias"), [100.0, 101.0]);
    }

    #[test]
    fn indices_name_classes_of_files_without_names() {
        let new = set(&["cat", "dog"]);
        let (mut given, known) = (weights(3, 0.0), weights(2, 100.0));
        let map = map("2 = \"dog\"\n").unwrap();
        fit(&mut given, &known, None, NewClasses { classes: &new, map: Some(&map) }).unwrap();
        assert_eq!(values(&given, "head.classifier.bias"), [100.0, 2.0]);
    }

    #[test]
    fn a_class_that_is_not_there_is_named() {
        let new = set(&["cat", "dog"]);
        for (text, tokens) in
            [("bus = \"dog\"", ["map.toml", "\"bus\"", "`0`"]), ("1 = \"bird\"", ["map.toml", "\"bird\"", "`cat`"])]
        {
            let map = map(text).unwrap();
            let target = NewClasses { classes: &new, map: Some(&map) };
            let error = fit(&mut weights(3, 0.0), &weights(2, 1.0), None, target).unwrap_err().to_string();
            tokens.iter().for_each(|token| assert!(error.contains(token), "{error}"));
        }
        let error = map("a = \"dog\"\nb = \"dog\"").unwrap_err().to_string();
        assert!(error.contains("\"dog\"") && error.contains("\"a\"") && error.contains("\"b\""), "{error}");
        assert!(map("a = 1").unwrap_err().to_string().contains("old name"));
    }
}
