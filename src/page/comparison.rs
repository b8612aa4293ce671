//! The page of several runs on the same images.

use super::about::About;
use super::curves::{Chart, Points, chart};
use super::shown::Shown;
use super::table::{self, Class};
use super::template::{Page, write};
use crate::Result;
use crate::eval::Compared;
use crate::eval::scores::Scores;
use serde::Serialize;
use std::path::{Path, PathBuf};

#[derive(Serialize)]
struct Comparison<'a> {
    images: usize,
    dataset: &'a str,
    split: &'a str,
    runs: Vec<Run<'a>>,
    classes: Vec<Row<'a>>,
    shown: usize,
}

#[derive(Serialize)]
struct Run<'a> {
    about: &'a About,
    name: &'a str,
    miou: f64,
    miou_present: f64,
    pixel_accuracy: f64,
}

/// A class, and its IoU in each run.
#[derive(Serialize)]
struct Row<'a> {
    class: &'a Class,
    scores: Vec<Score>,
}

#[derive(Serialize)]
struct Score {
    iou: Option<f64>,
    /// What it is above the first run's; `None` of the first.
    gain: Option<f64>,
}

#[derive(Serialize)]
struct Data<'a> {
    classes: &'a [Class],
    charts: Vec<Chart>,
    preds: &'a [String],
    pictures: &'a [Shown],
}

/// Writes `index.html` into a folder, which is made where it is missing; returns its path. Runs of the same name get their
/// place added.
///
/// # Errors
/// The file cannot be written.
///
/// # Panics
/// Unless there is a run, and an evaluation of each.
pub fn comparison_page(folder: &Path, runs: &[About], compared: &Compared, pictures: &[Shown]) -> Result<PathBuf> {
    assert!(!runs.is_empty() && runs.len() == compared.evaluations.len(), "an evaluation of each run");
    let names = names(runs);
    let tables: Vec<Vec<Class>> = compared.evaluations.iter().map(|of_run| table::classes(&of_run.confusion)).collect();
    let scores = |class: &Class| -> Vec<Score> {
        let score = |(index, table): (usize, &Vec<Class>)| {
            let iou = table[class.id].iou;
            Score { iou, gain: iou.zip(class.iou).filter(|_| index > 0).map(|(iou, first)| iou - first) }
        };
        tables.iter().enumerate().map(score).collect()
    };
    let scored = runs.iter().zip(&names).zip(&compared.evaluations).map(|((about, name), evaluation)| {
        let Scores { miou, miou_present, pixel_accuracy, .. } = evaluation.scores();
        Run { about, name, miou, miou_present, pixel_accuracy }
    });
    let page = Comparison {
        images: compared.differing.len(),
        dataset: &runs[0].dataset,
        split: &runs[0].split,
        runs: scored.collect(),
        classes: tables[0].iter().map(|class| Row { class, scores: scores(class) }).collect(),
        shown: pictures.len(),
    };
    let data = Data { classes: &tables[0], charts: charts(runs, &names), preds: &names, pictures };
    write(folder, Page::Comparison, &page, &data)
}

fn names(runs: &[About]) -> Vec<String> {
    let same = |name: &str| runs.iter().filter(|run| run.name == name).count() > 1;
    let name = |(index, run): (usize, &About)| match same(&run.name) {
        true => format!("{} ({})", run.name, index + 1),
        false => run.name.clone(),
    };
    runs.iter().enumerate().map(name).collect()
}

/// mIoU, and the loss of the last module, which has the network's own loss whatever the others learn from.
fn charts(runs: &[About], names: &[String]) -> Vec<Chart> {
    let line = |of: &dyn Fn(&About) -> Option<Points>| -> Vec<(String, Points)> {
        runs.iter().zip(names).map(|(run, name)| (name.clone(), of(run).unwrap_or_default())).collect()
    };
    let find = |run: &About, marks: bool| run.charts.iter().find(|chart| chart.marks == marks).cloned();
    let loss = line(&|run| find(run, false)?.lines.pop().map(|line| line.points));
    let miou = line(&|run| find(run, true)?.lines.into_iter().next().map(|line| line.points));
    let charts = [
        chart("mIoU over classes in truth or prediction", "mIoU (%)", true, miou),
        chart("loss of the last module, auxiliary head included where it has one", "loss (nats)", false, loss),
    ];
    charts.into_iter().filter(|chart| chart.lines.iter().any(|line| !line.points.is_empty())).collect()
}
