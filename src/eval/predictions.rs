//! Scores of label ids that somebody has predicted already, found and counted as the official evaluator does.
//!
//! Source: `cityscapesscripts/evaluation/evalPixelLevelSemanticLabeling.py`.

use super::Evaluation;
use crate::data::cityscapes::{Truth, instances_of, same_size, truths};
use crate::data::id_png::load_label_ids;
use crate::folders::search;
use crate::{Error, Result};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// Compares the predictions in `folder` with the label ids of `split` under `root`, on all cores; `on_picture` is told
/// the number of pictures there are when one is done.
///
/// # Errors
/// A folder that is missing; pictures with no prediction or with several; files that cannot be decoded, hold ids that
/// do not exist or differ in size.
pub fn score_predictions(
    folder: &Path,
    root: &Path,
    split: &str,
    on_picture: impl Fn(usize) + Sync,
) -> Result<Evaluation> {
    let truths = truths(root, split)?;
    let pairs = matched(&truths, folder)?;
    let scored: Vec<Result<Evaluation>> = pairs
        .par_iter()
        .map(|(truth, prediction)| {
            let evaluation = score(truth, prediction);
            on_picture(pairs.len());
            evaluation
        })
        .collect();
    // Sums of fractions depend on their order, and so does which mistake is told first.
    let mut sum = Evaluation::default();
    for evaluation in scored {
        sum.merge(&evaluation?);
    }
    Ok(sum)
}

fn score(truth: &Truth, prediction: &Path) -> Result<Evaluation> {
    let pred = load_label_ids(prediction)?;
    let label = load_label_ids(&truth.label)?;
    same_size((prediction, pred.dim()), "truth", (&truth.label, label.dim()))?;
    let mut evaluation = Evaluation { images: 1, ..Evaluation::default() };
    evaluation.confusion.add_label_ids(label.as_slice().unwrap_or(&[]), pred.as_slice().unwrap_or(&[]));
    if let Some(instances) = instances_of(&truth.label, label.dim())? {
        evaluation.instances.add(&instances, &pred);
        evaluation.images_with_instances = 1;
    }
    Ok(evaluation)
}

/// A prediction for every truth: a file anywhere in `folder` whose name starts with that of the truth and ends in
/// `.png`.
fn matched<'a>(truths: &'a [Truth], folder: &Path) -> Result<Vec<(&'a Truth, PathBuf)>> {
    if !folder.exists() {
        return Err(Error::file(
            folder,
            "no such folder; give the one with the predicted label ids with --predictions",
        ));
    }
    if !folder.is_dir() {
        return Err(Error::file(folder, "is a file; give the folder with the predicted label ids with --predictions"));
    }
    let is_png = |name: &str, _| name.to_ascii_lowercase().ends_with(".png");
    let named =
        |below: PathBuf| (below.file_name().unwrap_or_default().to_string_lossy().into_owned(), folder.join(below));
    let mut found: Vec<(String, PathBuf)> = search(folder, &is_png)?.into_iter().map(named).collect();
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
    if let Some(first) = missing.first() {
        let message = format!(
            "no prediction of {} of {} pictures; the first is {first}: expected one file {first}*.png in it",
            missing.len(),
            truths.len()
        );
        return Err(Error::file(folder, message));
    }
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
    use std::fs;
    use tempfile::TempDir;

    fn folder_with(files: &[&str]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

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
    fn none_or_several_are_told() {
        let truths = [truth("a_000001_000019"), truth("b_000001_000019"), truth("c_000001_000019")];
        let complaint = |files: &[&str]| matched(&truths, folder_with(files).path()).unwrap_err().to_string();
        let message = complaint(&["a_000001_000019.png"]);
        assert!(message.contains("no prediction of 2 of 3 pictures; the first is b_000001_000019"), "{message}");
        let message = complaint(&["a_000001_000019_x.png", "sub/a_000001_000019_y.png"]);
        assert!(message.contains("_x.png: ") && message.contains("_y.png is a prediction of a_000001"), "{message}");
        let all = ["a_000001_000019.png", "b_000001_000019.png", "c_000001_000019_labelTrainIds.png"];
        assert!(complaint(&all).contains("holds train ids by its name"));
        let message = matched(&truths, Path::new("/nowhere")).unwrap_err().to_string();
        assert!(message.starts_with("/nowhere: no such folder"), "{message}");
    }
}
