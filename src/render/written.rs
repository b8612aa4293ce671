//! The files of an evaluation: its report, plots, and of classification the most confident mistakes.

use super::mistakes::{Mistake, mistakes};
use super::{plots, save_png};
use crate::eval::report::{Report, Scored};
use crate::eval::{Classification, ClassificationReport, Counted, Evaluation};
use crate::files::{make_folder, plain_cause};
use crate::text::counted as number_of;
use crate::{Error, Result};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Writes what there is to see of an evaluation into a folder.
///
/// # Errors
/// See [`write_segmentation`] and [`write_classification`].
pub fn write(counted: &Counted, folder: &Path, scored: Scored) -> Result<()> {
    match counted {
        Counted::Segmentation(evaluation) => write_segmentation(evaluation, folder, scored, &[]).map(drop),
        Counted::Classification(counted) => write_classification(counted, folder, scored, usize::MAX).map(drop),
    }
}

/// Writes `report.json`, `plots/class_iou.png` and `plots/confusion.png` into a folder, with the mIoU of several protocols in
/// the report, of which this evaluation is the first's; returns the report.
///
/// # Errors
/// A file that cannot be written; no labelled pixel in the whole split.
pub fn write_segmentation(
    evaluation: &Evaluation,
    folder: &Path,
    scored: Scored,
    protocols: &[(&str, f64)],
) -> Result<Report> {
    let scores = evaluation.scores();
    if scores.miou.is_nan() {
        return Err(Error::run(format!(
            "none of {} has a labelled pixel: nothing to score",
            number_of(evaluation.images, "picture")
        )));
    }
    let plot_folder = folder.join("plots");
    make_folder(&plot_folder)?;
    let mut report = evaluation.report();
    report.protocols = protocols.iter().map(|(name, miou)| ((*name).to_string(), (*miou).into())).collect();
    report.scored = Some(scored);
    report.write(folder.join("report.json"))?;
    plots::class_iou_bars(plot_folder.join("class_iou.png"), evaluation.classes(), &scores.class_iou, scores.miou)?;
    plots::confusion_heatmap(plot_folder.join("confusion.png"), &evaluation.confusion)?;
    Ok(report)
}

/// Writes `report.json`, `plots/accuracy.png`, `plots/confusion.png` and, where there are mistakes to show, `mistakes.png` with
/// no more than so many of them; without, a `mistakes.png` of an earlier evaluation is removed. Returns the paths of what was
/// written.
///
/// # Errors
/// A file that cannot be written; no image was counted.
pub fn write_classification(
    counted: &Classification,
    folder: &Path,
    scored: Scored,
    most_mistakes: usize,
) -> Result<Vec<PathBuf>> {
    if counted.images() == 0 {
        return Err(Error::run("there is no picture: nothing to score"));
    }
    let plot_folder = folder.join("plots");
    make_folder(&plot_folder)?;
    let report = folder.join("report.json");
    let (accuracy, confusion) = (plot_folder.join("accuracy.png"), plot_folder.join("confusion.png"));
    ClassificationReport { scored: Some(scored), ..counted.report() }.write(&report)?;
    plots::accuracy_plot(&accuracy, counted.class_names(), &counted.per_class_accuracy(), 1.0 - counted.top1_error())?;
    plots::class_confusion(&confusion, counted.class_names(), counted.confusion())?;
    let mut written = vec![report, accuracy, confusion];
    written.extend(write_mistakes(counted, folder.join("mistakes.png"), most_mistakes)?);
    Ok(written)
}

fn write_mistakes(counted: &Classification, path: PathBuf, most: usize) -> Result<Option<PathBuf>> {
    if counted.mistakes().next().is_none() || most == 0 {
        return match std::fs::remove_file(&path) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => {
                Err(Error::file(path, format!("cannot be removed: {}", plain_cause(&cause))))
            }
            _ => Ok(None),
        };
    }
    let shown: Vec<Mistake> = counted
        .mistake_pictures()
        .take(most)
        .map(|(verdict, picture)| Mistake {
            picture: picture.view(),
            truth: &counted.class_names()[usize::from(verdict.truth)],
            predicted: &counted.class_names()[usize::from(verdict.top[0])],
            confidence: verdict.confidence,
        })
        .collect();
    save_png(&path, &mistakes(&shown)?)?;
    Ok(Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::classification::tests::{grey, names, verdict};

    fn scored() -> Scored {
        let data = crate::config::defaults_for(crate::config::DatasetKind::SyntheticDigits).data;
        let classes = crate::task::ClassSet::numbered("digits", &names(3));
        Scored::new(&data, "test", &classes, &crate::eval::TestTime::default(), None)
    }

    #[test]
    fn nothing_counted_is_nothing_to_score() {
        let none = Classification::new(&names(2), 0);
        let error = write_classification(&none, Path::new("/no/such"), scored(), 0).unwrap_err().to_string();
        assert!(error.contains("nothing to score"), "{error}");
    }

    #[test]
    fn what_is_written_is_listed_and_old_mistakes_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut all = Classification::new(&names(3), 2);
        all.add(verdict("a", 0, 1, 0.9), grey).unwrap();
        let written = write_classification(&all, folder.path(), scored(), 9).unwrap();
        let expected = ["report.json", "plots/accuracy.png", "plots/confusion.png", "mistakes.png"];
        assert_eq!(written, expected.map(|name| folder.path().join(name)));
        assert!(written.iter().all(|path| path.is_file()));

        let mut right = Classification::new(&names(3), 2);
        right.add(verdict("a", 0, 0, 0.9), grey).unwrap();
        assert_eq!(write_classification(&right, folder.path(), scored(), 9).unwrap().len(), 3);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "report.json and plots");
    }
}
