//! Scores of predictions that another program has made, found and counted as the official Cityscapes evaluator does.
//!
//! Source: `cityscapesscripts/evaluation/evalPixelLevelSemanticLabeling.py`.

use super::Evaluation;
use super::scores::Confusion;
use crate::data::cityscapes::{self, Truth, instances_of, same_size};
use crate::data::config::{DataConfig, DatasetKind};
use crate::data::id_png::load_ids;
use crate::data::masks::MaskFormat;
use crate::data::pairs::Pair;
use crate::data::{class_file, folder};
use crate::folders::search;
use crate::task::ClassSet;
use crate::task::class_set::{ClassFile, IdTable, MasksAre};
use crate::{Error, Result};
use ndarray::Array2;
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Scores of predictions, and what looks wrong about them without being an error.
#[derive(Debug)]
pub struct ScoredPredictions {
    /// The scores.
    pub evaluation: Evaluation,
    /// A sentence about the predictions as a whole.
    pub remark: Option<String>,
}

/// Compares the predictions in `predictions` with the labels of `split`, on all cores; `on_picture` is called with the
/// number of images when one is done.
///
/// # Errors
/// A folder that is missing; images with no prediction or with several; files that cannot be decoded, hold values that
/// the class set does not list or differ in size.
pub fn score_predictions(
    predictions: &Path,
    config: &DataConfig,
    split: &str,
    on_picture: impl Fn(usize) + Sync,
) -> Result<ScoredPredictions> {
    let ClassFile { classes, layout } = class_file(config)?;
    let classes = Arc::new(classes);
    let (pairs, masks_are) = match config.dataset {
        DatasetKind::Folder => {
            let listing = folder::list(&config.root, split, &folder::Layout::find(&config.root, &layout)?)?;
            listing.problems.into_iter().next().map_or(Ok(()), Err)?;
            let predicted = matched_exactly(&listing.pairs, split, predictions, layout.masks_are)?;
            let truths = listing.pairs.into_iter().map(|pair| Truth { name: pair.name, label: pair.label });
            (truths.zip(predicted).collect::<Vec<_>>(), layout.masks_are)
        }
        _ => {
            let truths = cityscapes::truths(&config.root, split)?;
            let pairs = matched(&truths, predictions)?;
            (pairs.into_iter().map(|(truth, path)| (truth.clone(), path)).collect(), MasksAre::Ids)
        }
    };
    let reader = Reader {
        truth: MaskFormat::of(Arc::clone(&classes), &layout),
        table: IdTable::of(&classes),
        columns: Confusion::columns(&classes),
        masks_are,
        with_instances: config.dataset == DatasetKind::Cityscapes,
    };
    let scored: Vec<Result<(Evaluation, Vec<bool>)>> = pairs
        .par_iter()
        .map(|(truth, prediction)| {
            let scored = reader.score(truth, prediction, &classes);
            on_picture(pairs.len());
            scored
        })
        .collect();
    // Sums of fractions depend on their order, and so does which mistake is reported first.
    let mut sum = Evaluation::new(Arc::clone(&classes));
    let mut ids = vec![false; HELD];
    for scored in scored {
        let (evaluation, held) = scored?;
        sum.merge(&evaluation);
        ids.iter_mut().zip(held).for_each(|(any, held)| *any |= held);
    }
    let remark = looks_like_indices(&classes, &ids, &sum);
    Ok(ScoredPredictions { evaluation: sum, remark })
}

/// Predictions saved as class indices score near 0 as ids on disk.
fn looks_like_indices(classes: &ClassSet, held: &[bool], scored: &Evaluation) -> Option<String> {
    let ids = || (0..).zip(held).filter(|(id, held)| **held && *id != 255).map(|(id, _)| id);
    let all_indices = ids().all(|id: u16| usize::from(id) < classes.len());
    // Ids on disk of predictions are those of classes; indices mostly are not.
    let no_class = ids().any(|id| !classes.classes.iter().any(|class| class.ids.contains(&id)));
    let poor = scored.scores().pixel_accuracy < 0.5;
    (all_indices && no_class && poor).then(|| {
        format!(
            "the predicted ids are all below {0}: they look like train ids (0 to {1}), and are scored as ids on disk of {2}; \
             save them as label ids, such as with `segpredict --format label-ids`",
            classes.len(),
            classes.len() - 1,
            classes.name
        )
    })
}

/// Ids that are looked at one by one: those of 8 bits, and all others as one.
const HELD: usize = 257;

struct Reader {
    truth: MaskFormat,
    table: IdTable,
    columns: Vec<u16>,
    masks_are: MasksAre,
    with_instances: bool,
}

impl Reader {
    /// The scores of one image, and which ids its prediction holds.
    fn score(&self, truth: &Truth, prediction: &Path, classes: &Arc<ClassSet>) -> Result<(Evaluation, Vec<bool>)> {
        let label = self.truth.read(&truth.label)?;
        let mut evaluation = Evaluation::new(Arc::clone(classes));
        evaluation.images = 1;
        let mut held = vec![false; HELD];
        let columns = match self.masks_are {
            MasksAre::Ids => {
                let pred = load_ids(prediction)?;
                self.check(prediction, &pred)?;
                pred.iter().for_each(|id| held[usize::from(*id).min(HELD - 1)] = true);
                if self.with_instances
                    && let Some(instances) = instances_of(&truth.label, label.dim(), classes)?
                {
                    same_size((prediction, pred.dim()), "truth", (&truth.label, label.dim()))?;
                    evaluation.instances.add(&instances, &pred);
                    evaluation.images_with_instances = 1;
                }
                pred.mapv(|id| self.columns[usize::from(id)])
            }
            // What is no class goes into the last column.
            MasksAre::Colors => {
                let void = (classes.len() + classes.groups.len()) as u16;
                self.truth.read(prediction)?.mapv(|class| class.min(void))
            }
        };
        same_size((prediction, columns.dim()), "truth", (&truth.label, label.dim()))?;
        let flat = |array: Array2<u16>| array.iter().copied().collect::<Vec<u16>>();
        evaluation.confusion.add_columns(&flat(label), &flat(columns));
        Ok((evaluation, held))
    }

    /// Refuses ids that the class set does not list: they would be scored as missed in silence.
    fn check(&self, path: &Path, pred: &Array2<u16>) -> Result<()> {
        if pred.iter().fold(true, |all, id| all & self.table.lists(*id)) {
            return Ok(());
        }
        // The sentence about it is that of masks.
        self.truth.read(path).map(drop)
    }
}

/// A prediction for every image by its name: `NAME.png`, or the name with the end that `segpredict` gives it, or the name
/// of the mask. Names may leave out the folders if every image is still told apart.
fn matched_exactly(pairs: &[Pair], split: &str, folder: &Path, masks_are: MasksAre) -> Result<Vec<PathBuf>> {
    check_folder(folder)?;
    let below =
        |path: &Path| path.strip_prefix(folder).unwrap_or(path).with_extension("").to_string_lossy().into_owned();
    let by_stem: HashMap<String, PathBuf> = pngs(folder)?.into_iter().map(|(_, path)| (below(&path), path)).collect();
    let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut counts: HashMap<String, usize> = HashMap::new();
    let short_names = |pair: &Pair| {
        let base = pair.name.rsplit('/').next().unwrap_or_default().to_string();
        std::collections::BTreeSet::from([base, stem(&pair.image), stem(&pair.label)])
    };
    for name in pairs.iter().flat_map(&short_names) {
        *counts.entry(name).or_insert(0) += 1;
    }
    let end = if masks_are == MasksAre::Colors { "_color" } else { "_labelIds" };
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for pair in pairs {
        let mut names = vec![pair.name.clone(), format!("{split}/{}", pair.name)];
        names.extend(short_names(pair).into_iter().filter(|name| counts[name] == 1));
        let stems = names.iter().flat_map(|name| [format!("{name}{end}"), name.clone()]);
        match stems.into_iter().find_map(|stem| by_stem.get(&stem)) {
            Some(path) => found.push(path.clone()),
            None => missing.push(&pair.name),
        }
    }
    if let Some(first) = missing.first() {
        let others = by_stem.values().min().map(|path| path.strip_prefix(folder).unwrap_or(path).display().to_string());
        let others = match (by_stem.len(), others) {
            (number, Some(one)) => format!("{number} PNG files are there, such as {one}"),
            (_, None) => "no PNG file is there".to_string(),
        };
        let format = end.trim_start_matches('_').replace("labelIds", "label-ids");
        return Err(Error::file(
            folder,
            format!(
                "no prediction of {} of {} images; the first is {first}: expected {first}{end}.png or {first}.png ({others}); \
                 write them with `segpredict --format {format}`",
                missing.len(),
                pairs.len()
            ),
        ));
    }
    Ok(found)
}

fn complain(folder: &Path, missing: &[&String], of: usize) -> Result<()> {
    let Some(first) = missing.first() else { return Ok(()) };
    let message = format!(
        "no prediction of {} of {of} pictures; the first is {first}: expected one file {first}*.png in it",
        missing.len()
    );
    Err(Error::file(folder, message))
}

fn check_folder(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Err(Error::file(
            folder,
            "no such folder; give the one with the predicted label ids with --predictions",
        ));
    }
    if !folder.is_dir() {
        return Err(Error::file(folder, "is a file; give the folder with the predicted label ids with --predictions"));
    }
    Ok(())
}

/// Names and paths of all PNG files in a folder and below.
fn pngs(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let is_png = |name: &str, _| name.to_ascii_lowercase().ends_with(".png");
    let named =
        |below: PathBuf| (below.file_name().unwrap_or_default().to_string_lossy().into_owned(), folder.join(below));
    Ok(search(folder, &is_png)?.into_iter().map(named).collect())
}

/// A prediction for every truth: a file anywhere in `folder` whose name starts with that of the truth and ends in
/// `.png`.
fn matched<'a>(truths: &'a [Truth], folder: &Path) -> Result<Vec<(&'a Truth, PathBuf)>> {
    check_folder(folder)?;
    let mut found = pngs(folder)?;
    found.sort();
    let mut pairs = Vec::new();
    let mut missing = Vec::new();
    for truth in truths {
        let first = found.partition_point(|(name, _)| *name < truth.name);
        let mut candidates = found[first..].iter().take_while(|(name, _)| name.starts_with(&truth.name));
        match (candidates.next(), candidates.next()) {
            (None, _) => missing.push(&truth.name),
            (Some((_, path)), None) => pairs.push((truth, path.clone())),
            (Some((_, path)), Some((_, other))) => {
                let message = format!(
                    "{} is a prediction of {} too; keep the one with the label ids",
                    other.display(),
                    truth.name
                );
                return Err(Error::file(path, message));
            }
        }
    }
    complain(folder, &missing, truths.len())?;
    for (_, path) in &pairs {
        if path.is_dir() {
            return Err(Error::file(path, "is a folder; expected a PNG file of label ids"));
        }
        // Its ids would all be label ids too, and the scores of no use.
        if path.to_string_lossy().to_ascii_lowercase().ends_with("labeltrainids.png") {
            return Err(Error::file(path, "holds train ids by its name; expected label ids"));
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folders::folder_with;

    fn truth(name: &str) -> Truth {
        Truth { name: name.into(), label: PathBuf::new() }
    }

    #[test]
    fn a_prediction_is_found_by_the_start_of_its_name_wherever_it_is() {
        let truths = [truth("a_000001_000019"), truth("b_000001_000019")];
        let files = ["x/y/a_000001_000019_labelIds.png", "b_000001_000019.png", "a_000001_000019.txt", "c.png"];
        let folder = folder_with(&files);
        let pairs = matched(&truths, folder.path()).unwrap();
        let paths: Vec<_> = pairs.iter().map(|(_, path)| path.strip_prefix(folder.path()).unwrap()).collect();
        assert_eq!(paths, [Path::new(files[0]), Path::new(files[1])]);
    }

    #[cfg(unix)]
    #[test]
    fn suffixes_are_known_in_any_case_and_links_are_followed_once() {
        let folder = folder_with(&["x/a_000001_000019_labelIds.PNG", "y/b_000001_000019_labelTrainIds.PNG"]);
        std::os::unix::fs::symlink("..", folder.path().join("x/up")).unwrap();
        std::os::unix::fs::symlink("x", folder.path().join("same")).unwrap();
        let truths = [truth("a_000001_000019"), truth("b_000001_000019")];
        let pairs = matched(&truths[..1], folder.path()).unwrap();
        assert_eq!(pairs[0].1, folder.path().join("x/a_000001_000019_labelIds.PNG"));
        let message = matched(&truths, folder.path()).unwrap_err().to_string();
        assert!(message.contains("holds train ids by its name"), "{message}");
    }

    #[test]
    fn class_indices_are_recognised_and_ids_of_classes_are_not() {
        let mut set = ClassSet::numbered("mine", &["a".to_string(), "b".to_string(), "c".to_string()]);
        set.classes.iter_mut().zip(1..).for_each(|(class, id)| class.ids = vec![id]);
        let mut scored = Evaluation::new(Arc::new(set.clone()));
        scored.confusion.add(&[0, 0, 0], &[1, 1, 2]);
        let held = |ids: &[usize]| (0..HELD).map(|id| ids.contains(&id)).collect::<Vec<bool>>();
        assert!(looks_like_indices(&set, &held(&[0, 1, 2]), &scored).is_some());
        for ids in [&[1, 2][..], &[1, 2, 3], &[2, 256], &[]] {
            assert!(looks_like_indices(&set, &held(ids), &scored).is_none(), "{ids:?}");
        }
    }

    #[test]
    fn predictions_of_a_folder_are_found_by_name_and_others_are_named() {
        let pair = |name: &str| Pair {
            name: name.into(),
            image: format!("i/{name}.jpg").into(),
            label: format!("m/{name}.png").into(),
        };
        let pairs = [pair("x/1"), pair("2")];
        let folder = folder_with(&["val/x/1_labelIds.png", "2.png", "2_color.png"]);
        let found = matched_exactly(&pairs, "val", folder.path(), MasksAre::Ids).unwrap();
        assert_eq!(found, ["val/x/1_labelIds.png", "2.png"].map(|name| folder.path().join(name)));
        let pairs = [pair("x/1"), pair("y/1")];
        let folder = folder_with(&["1.png"]);
        let message = matched_exactly(&pairs, "val", folder.path(), MasksAre::Ids).unwrap_err().to_string();
        for token in ["x/1_labelIds.png", "1.png", "--format label-ids"] {
            assert!(message.contains(token), "{message}");
        }
    }

    #[test]
    fn none_or_several_are_told() {
        let truths = [truth("a_000001_000019"), truth("b_000001_000019"), truth("c_000001_000019")];
        let complaint = |files: &[&str]| matched(&truths, folder_with(files).path()).unwrap_err().to_string();
        let message = complaint(&["a_000001_000019.png"]);
        assert!(message.contains("2 of 3 ") && message.contains("b_000001_000019"), "{message}");
        let message = complaint(&["a_000001_000019_x.png", "sub/a_000001_000019_y.png"]);
        assert!(message.contains("_x.png: ") && message.contains("_y.png is a prediction of a_000001"), "{message}");
        let all = ["a_000001_000019.png", "b_000001_000019.png", "c_000001_000019_labelTrainIds.png"];
        assert!(complaint(&all).contains("holds train ids by its name"));
        let message = matched(&truths, Path::new("/nowhere")).unwrap_err().to_string();
        assert!(message.starts_with("/nowhere: no such folder"), "{message}");
    }
}
