//! The report of a classification: `report.json`, and a table for the terminal.

use super::classification::Classification;
use super::json::{self, Named, named, nan_if_null};
use super::report::{Scored, percent};
use crate::Result;
use crate::text::counted;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::fmt::{self, Display, Formatter, Write as _};
use std::path::Path;

/// Up to so many classes the table has a line for each.
const LISTED: usize = 40;
/// With more classes it shows so many of the best and of the worst; the number of confusions is always this one.
const SHOWN: usize = 10;

/// Result of the evaluation of a classification, as written to `report.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClassificationReport {
    /// Top-1 error in 0..=1, see [`Classification::top1_error`]; null if there was no image.
    #[serde(deserialize_with = "nan_if_null")]
    pub top1: f64,
    /// Top-5 error in 0..=1, see [`Classification::top5_error`]; null if there was no image.
    #[serde(deserialize_with = "nan_if_null")]
    pub top5: f64,
    /// Share of images whose best class is right: 1 - `top1`.
    #[serde(deserialize_with = "nan_if_null")]
    pub accuracy: f64,
    /// Class name → share of its images that are recognised, null where it has none; in order of classes.
    pub classes: Named,
    /// Number of images, `confusion[truth][prediction]`.
    pub confusion: Vec<Vec<u64>>,
    /// Images evaluated.
    pub images: usize,
    /// What was scored; absent in older reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scored: Option<Scored>,
}

impl Classification {
    /// Its scores, as a report has them.
    pub fn report(&self) -> ClassificationReport {
        ClassificationReport::new(self)
    }
}

impl ClassificationReport {
    /// The scores of what has been counted.
    pub fn new(counted: &Classification) -> Self {
        let top1 = counted.top1_error();
        Self {
            top1,
            top5: counted.top5_error(),
            accuracy: 1.0 - top1,
            classes: named(counted.class_names().iter().map(String::as_str), &counted.per_class_accuracy()),
            confusion: counted.confusion().outer_iter().map(|row| row.to_vec()).collect(),
            images: counted.images(),
            scored: None,
        }
    }

    /// Writes the report as JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        json::write(path, self)
    }

    /// Reads a `report.json`.
    ///
    /// # Errors
    /// The file cannot be read or is no report.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        json::read(path, "a report of a classification")
    }

    /// Table for the terminal: accuracy of each class and its number of images (of more than 40 classes the ten best and
    /// the ten worst), then the most frequent confusions, then the errors.
    pub fn table(&self) -> String {
        let classes = self.class_lines();
        let confusions = self.confusion_lines();
        let names = classes.iter().flatten().map(|line| &line.0).chain(confusions.iter().map(|line| &line.0));
        let width = names.map(|name| name.chars().count()).max().unwrap_or(0).max(17) + 2;
        let mut table = format!("{:<width$}{:>10}{:>10}\n", "class", "accuracy %", "pictures");
        for line in classes {
            let _ = match line {
                Some((name, accuracy, pictures)) => {
                    writeln!(table, "{name:<width$}{:>10}{pictures:>10}", percent(accuracy))
                }
                None => writeln!(table, "…"),
            };
        }
        if !confusions.is_empty() {
            let _ = writeln!(table, "{:<width$}{:>10}{:>10}", "truth → predicted", "of truth %", "pictures");
        }
        for (pair, share, pictures) in confusions {
            let _ = writeln!(table, "{pair:<width$}{:>10}{pictures:>10}", percent(Some(share)));
        }
        let images = counted(self.images, "picture");
        let _ = writeln!(table, "{:<width$}{:>10}  of {images}", "top-1 error %", percent(Some(self.top1)));
        let _ = writeln!(table, "{:<width$}{:>10}", "top-5 error %", percent(Some(self.top5)));
        table
    }

    /// Name, accuracy and number of images of the classes to show; `None` for those left out.
    fn class_lines(&self) -> Vec<Option<(String, Option<f64>, u64)>> {
        let pictures = |class: usize| self.confusion.get(class).map_or(0, |row| row.iter().sum());
        let lines: Vec<_> = (self.classes.iter().enumerate())
            .map(|(class, (name, accuracy))| (cut(name, 48), accuracy.as_f64(), pictures(class)))
            .collect();
        if lines.len() <= LISTED {
            return lines.into_iter().map(Some).collect();
        }
        let mut ranked: Vec<_> = lines.into_iter().filter(|(_, accuracy, _)| accuracy.is_some()).collect();
        ranked.sort_by(|a, b| b.1.unwrap_or(f64::NAN).total_cmp(&a.1.unwrap_or(f64::NAN)));
        if ranked.len() <= 2 * SHOWN {
            return ranked.into_iter().map(Some).collect();
        }
        let worst = ranked.split_off(ranked.len() - SHOWN);
        ranked.truncate(SHOWN);
        ranked.into_iter().map(Some).chain([None]).chain(worst.into_iter().map(Some)).collect()
    }

    /// The most frequent confusions: names, share of the true class's images, and their number.
    fn confusion_lines(&self) -> Vec<(String, f64, u64)> {
        let names: Vec<&String> = self.classes.keys().collect();
        let name = |class: usize| names.get(class).map_or("?".to_string(), |name| cut(name, 24));
        let mut wrong: Vec<(u64, usize, usize)> = Vec::new();
        for (truth, row) in self.confusion.iter().enumerate() {
            let of_row = row.iter().enumerate().filter(|(predicted, count)| *predicted != truth && **count > 0);
            wrong.extend(of_row.map(|(predicted, count)| (*count, truth, predicted)));
        }
        wrong.sort_by_key(|(count, truth, predicted)| (Reverse(*count), *truth, *predicted));
        wrong.truncate(SHOWN);
        let line = |(count, truth, predicted): (u64, usize, usize)| {
            let share = count as f64 / self.confusion[truth].iter().sum::<u64>() as f64;
            (format!("{} → {}", name(truth), name(predicted)), share, count)
        };
        wrong.into_iter().map(line).collect()
    }
}

/// The name, or so many letters of it with an ellipsis as the last.
fn cut(name: &str, letters: usize) -> String {
    if name.chars().count() <= letters {
        return name.to_string();
    }
    let kept: String = name.chars().take(letters - 1).collect();
    format!("{}…", kept.trim_end())
}

impl Display for ClassificationReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.table())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::Verdict;
    use ndarray::Array3;

    /// Images of `(truth, prediction)`.
    fn of(classes: usize, pairs: &[(u16, u16)]) -> ClassificationReport {
        let names: Vec<String> = (0..classes).map(|class| format!("c{class}")).collect();
        let mut all = Classification::new(&names, 0);
        for &(truth, predicted) in pairs {
            let verdict = Verdict { name: "a".into(), truth, top: vec![predicted], confidence: 1.0 };
            all.add(verdict, || Ok(Array3::zeros((1, 1, 3)))).unwrap();
        }
        all.report()
    }

    #[test]
    fn a_report_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let report = of(3, &[(0, 0), (0, 1), (1, 1), (1, 1)]);
        report.write(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("{\n  \"top1\": 0.25,\n  \"top5\": 0.25,\n  \"accuracy\": 0.75,\n"), "{text}");
        assert!(text.contains("\n    \"c0\": 0.5,\n    \"c1\": 1.0,\n    \"c2\": null\n"), "{text}");
        assert!(text.contains("\n    [1, 1, 0],\n    [0, 2, 0],\n    [0, 0, 0]\n"), "{text}");
        let read = ClassificationReport::read(&path).unwrap();
        assert_eq!((read.top1, read.images, read.table()), (0.25, 4, report.table()));
        std::fs::write(&path, "{}").unwrap();
        let message = ClassificationReport::read(&path).unwrap_err().to_string();
        assert!(message.contains("report.json: ") && message.contains("missing field"), "{message}");
    }

    #[test]
    fn the_table_lines_up() {
        let table = of(3, &[(0, 0), (0, 1), (0, 1), (1, 0), (1, 1), (1, 1)]).to_string();
        let expected = [
            "class              accuracy %  pictures",
            "c0                      33.33         3",
            "c1                      66.67         3",
            "c2                          -         0",
            "truth → predicted  of truth %  pictures",
            "c0 → c1                 66.67         2",
            "c1 → c0                 33.33         1",
            "top-1 error %           50.00  of 6 pictures",
            "top-5 error %           50.00",
        ];
        assert_eq!(table.lines().collect::<Vec<_>>(), expected);
        let empty = of(2, &[]).table();
        assert!(empty.ends_with("top-5 error %               -\n"), "{empty}");
        assert_eq!(cut("great white shark", 7), "great…");
    }

    #[test]
    fn of_many_classes_the_best_and_the_worst_are_shown() {
        // Class c has c right and 100 - c wrong images; class 100 has none.
        let pairs = (0..100).flat_map(|class| (0..100).map(move |n| (class, if n < class { class } else { 100 })));
        let report = of(101, &pairs.collect::<Vec<_>>());
        let table = report.table();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 1 + 10 + 1 + 10 + 1 + 10 + 2);
        assert!(lines[1].starts_with("c99 ") && lines[10].starts_with("c90 "), "{table}");
        assert!(lines[11] == "…" && lines[12].starts_with("c9 ") && lines[21].starts_with("c0 "), "{table}");
        assert!(lines[23].starts_with("c0 → c100 "), "{table}");
    }

    #[test]
    fn a_report_with_a_broken_matrix_can_be_shown() {
        let mut report = of(2, &[(0, 1)]);
        report.confusion = vec![vec![1, 2, 3]];
        report.classes.clear();
        assert!(report.table().contains("? → ?"));
    }
}
