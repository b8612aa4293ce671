//! Curves of a page, from the log of a run.

use crate::Result;
use crate::render::palette::line_color;
use crate::train::metrics::{Line, LoggedScores, Metrics};
use serde::Serialize;
use std::path::Path;

/// A line has no more points than a screen can show.
const MOST_POINTS: usize = 400;

/// Axes with lines on them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chart {
    /// What it shows.
    pub title: &'static str,
    /// Vertical axis, with its unit; the horizontal one is training steps.
    pub axis: &'static str,
    /// Whether points are marked: those of few evaluations.
    pub marks: bool,
    /// In order of the legend.
    pub lines: Vec<Curve>,
}

/// `(step, value)`, in order of steps.
pub(super) type Points = Vec<(usize, f64)>;

/// A line of a chart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve {
    /// In the legend.
    pub name: String,
    /// `#rrggbb`
    pub color: String,
    /// `(step, value)`
    pub points: Vec<(usize, f64)>,
}

/// Charts of the run in this folder: the loss of each module, and the scores; none where nothing was logged.
///
/// # Errors
/// The log is there and cannot be read.
pub(super) fn of_run(run: &Path) -> Result<Vec<Chart>> {
    let log = run.join("metrics.jsonl");
    if !log.exists() {
        return Ok(Vec::new());
    }
    Ok(of_log(&Metrics::read(&log)?))
}

fn of_log(lines: &[Line]) -> Vec<Chart> {
    let steps = || lines.iter().filter_map(|line| if let Line::Step(line) = line { Some(line) } else { None });
    let count = steps().flat_map(|line| &line.losses).map(|loss| loss.module).max().unwrap_or(0);
    let module = |module: usize| {
        // Where modules learn one by one, a line is of one of them.
        let of = |line: &crate::train::metrics::StepLine| {
            let loss = line.losses.iter().find(|loss| loss.module == module)?;
            Some((line.step, f64::from(loss.total)))
        };
        (format!("module {module}"), steps().filter_map(of).collect())
    };
    let losses = (1..=count).map(module).collect();
    let mut scores: Vec<(String, Points)> = Vec::new();
    let (mut title, mut axis) = ("mIoU", "mIoU (%)");
    for line in lines {
        let Line::Evaluation(line) = line else { continue };
        let both = match line.scores {
            LoggedScores::Pixels { miou, miou_present, .. } => {
                [("classes in truth or prediction", miou), ("classes in truth", miou_present)]
            }
            LoggedScores::Pictures { top1, top5 } => {
                (title, axis) = ("test error", "test error (%)");
                [("top-1 error", top1), ("top-5 error", top5)]
            }
        };
        for (name, score) in both {
            let Some(score) = score else { continue };
            let index = scores.iter().position(|(there, _)| there == name).unwrap_or_else(|| {
                scores.push((name.to_string(), Vec::new()));
                scores.len() - 1
            });
            scores[index].1.push((line.step, 100.0 * score));
        }
    }
    let charts = [chart("loss of each module", "λ1·R + λ2·T (nats)", false, losses), chart(title, axis, true, scores)];
    charts.into_iter().filter(|chart| chart.lines.iter().any(|line| !line.points.is_empty())).collect()
}

/// Lines in the palette's colors; of more points than can be seen, means of neighbours.
pub(super) fn chart(title: &'static str, axis: &'static str, marks: bool, lines: Vec<(String, Points)>) -> Chart {
    let count = lines.len();
    let curve = |(index, (name, points)): (usize, (String, Points))| {
        let color = line_color(index, count);
        Curve { name, color: format!("#{:02x}{:02x}{:02x}", color.0, color.1, color.2), points: thinned(points) }
    };
    Chart { title, axis, marks, lines: lines.into_iter().enumerate().map(curve).collect() }
}

fn thinned(points: Points) -> Points {
    let points: Vec<_> = points.into_iter().filter(|(_, value)| value.is_finite()).collect();
    let bucket = points.len().div_ceil(MOST_POINTS).max(1);
    let mean = |near: &[(usize, f64)]| {
        (near[near.len() / 2].0, near.iter().map(|(_, value)| value).sum::<f64>() / near.len() as f64)
    };
    points.chunks(bucket).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(text: &str) -> Vec<Line> {
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn each_module_has_a_line_and_each_score() {
        let lines = log(concat!(
            r#"{"step":5,"lr":0.1,"losses":[{"module":1,"reconstruction":0.5,"task":2.0,"total":2.5},"#,
            r#"{"module":2,"reconstruction":null,"task":3.0,"total":3.0}],"seconds":1.0,"peak_memory_bytes":null}"#,
            "\n",
            r#"{"step":5,"miou":0.25,"miou_present":null,"pixel_accuracy":0.5,"seconds":2.0}"#,
        ));
        let [losses, scores] = &of_log(&lines)[..] else { panic!("two charts") };
        assert_eq!(losses.lines.iter().map(|line| line.points[0].1).collect::<Vec<_>>(), [2.5, 3.0]);
        assert_eq!((losses.lines[1].name.as_str(), losses.lines[0].color.as_str()), ("module 2", "#0072b2"));
        assert_eq!((scores.axis, scores.lines.len(), scores.lines[0].points[0]), ("mIoU (%)", 1, (5, 25.0)));
        assert!(of_log(&[]).is_empty());
    }

    #[test]
    fn long_lines_are_thinned_by_means() {
        let line = thinned((1..=1000).map(|step| (step, 1.0)).chain([(1001, f64::NAN)]).collect());
        assert!(line.len() <= MOST_POINTS && line.iter().all(|(_, value)| *value == 1.0));
    }
}
