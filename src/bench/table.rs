//! The paper's table: a row a method, a column a K.

use crate::Result;
use crate::files::write_atomic;
use crate::render::plots::{MethodCurve, MethodPoint, method_plot};
use serde::Serialize;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// One method at one K.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Cell {
    /// Number of local modules.
    pub k: usize,
    /// Score of each seed, in percent.
    pub scores: Vec<f64>,
    /// What the most expensive module keeps for its backward, for a batch: computed from the shapes.
    pub activation_bytes: u64,
    /// Largest peak memory of its processes: measured.
    pub peak_bytes: u64,
}

impl Cell {
    /// Mean over seeds.
    pub fn mean(&self) -> f64 {
        self.scores.iter().sum::<f64>() / self.scores.len() as f64
    }

    /// Standard deviation over seeds (n − 1); 0 of one.
    pub fn std(&self) -> f64 {
        if self.scores.len() < 2 {
            return 0.0;
        }
        let mean = self.mean();
        let sum: f64 = self.scores.iter().map(|score| (score - mean).powi(2)).sum();
        (sum / (self.scores.len() - 1) as f64).sqrt()
    }
}

/// Methods and their cells, in order.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Table {
    /// What was trained.
    pub title: String,
    /// Whether scores are test errors (less is better), or mIoU.
    pub is_error: bool,
    /// Name of the method, and its cells.
    pub rows: Vec<(String, Vec<Cell>)>,
}

impl Table {
    /// Every K that occurs, rising.
    fn ks(&self) -> Vec<usize> {
        let mut ks: Vec<usize> = self.rows.iter().flat_map(|(_, cells)| cells.iter().map(|cell| cell.k)).collect();
        ks.sort_unstable();
        ks.dedup();
        ks
    }

    fn score(&self) -> &'static str {
        if self.is_error { "test error" } else { "mIoU" }
    }

    /// As Markdown, readable as it is.
    pub fn markdown(&self) -> String {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let mut text = format!("{}\n", self.title);
        let seeds = self.rows.iter().flat_map(|(_, cells)| cells).map(|cell| cell.scores.len()).max().unwrap_or(0);
        let deviation =
            if seeds > 1 { format!(", mean ± standard deviation of {seeds} seeds") } else { String::new() };
        self.part(&mut text, &format!("{} in %{deviation}", self.score()), &|cell| {
            if seeds > 1 { format!("{:.2} ± {:.2}", cell.mean(), cell.std()) } else { format!("{:.2}", cell.mean()) }
        });
        self.part(&mut text, "MiB kept for the backward pass by the dearest module (computed)", &|cell| {
            format!("{:.1}", mib(cell.activation_bytes))
        });
        self.part(&mut text, "peak memory of the process in MiB (measured)", &|cell| {
            if cell.peak_bytes == 0 { "not known".into() } else { format!("{:.0}", mib(cell.peak_bytes)) }
        });
        text
    }

    fn part(&self, text: &mut String, title: &str, value: &dyn Fn(&Cell) -> String) {
        let ks = self.ks();
        let heads: Vec<String> = ks.iter().map(|k| format!("K = {k}")).collect();
        let _ = writeln!(text, "\n{title}:\n");
        let _ = writeln!(
            text,
            "| {:<20} | {} |",
            "method",
            heads.iter().map(|k| format!("{k:>14}")).collect::<Vec<_>>().join(" | ")
        );
        let _ = writeln!(text, "|-{}-|{}", "-".repeat(20), format!("-{}:|", "-".repeat(14)).repeat(ks.len()));
        for (name, cells) in &self.rows {
            let values = ks.iter().map(|k| cells.iter().find(|cell| cell.k == *k).map_or(String::new(), value));
            let values: Vec<String> = values.map(|value| format!("{value:>14}")).collect();
            let _ = writeln!(text, "| {name:<20} | {} |", values.join(" | "));
        }
    }

    /// Writes `table.md`, `results.json` and `methods.png`; returns their paths.
    ///
    /// # Errors
    /// One of them cannot be written.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let paths: Vec<PathBuf> = ["table.md", "results.json", "methods.png"].map(|name| folder.join(name)).to_vec();
        write_atomic(&paths[0], |file| file.write_all(self.markdown().as_bytes()))?;
        let json = serde_json::to_string_pretty(self).expect("numbers and names");
        write_atomic(&paths[1], |file| writeln!(file, "{json}"))?;
        let curves: Vec<MethodCurve> = self
            .rows
            .iter()
            .map(|(name, cells)| {
                let mut points: Vec<MethodPoint> = cells
                    .iter()
                    .map(|cell| MethodPoint {
                        k: cell.k,
                        mean: cell.mean(),
                        std: cell.std(),
                        mebibytes: cell.activation_bytes as f64 / f64::from(1 << 20),
                    })
                    .collect();
                points.sort_by_key(|point| point.k);
                MethodCurve { name: name.clone(), points }
            })
            .collect();
        method_plot(&paths[2], &format!("{} (%)", self.score()), &curves)?;
        Ok(paths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(k: usize, scores: &[f64]) -> Cell {
        Cell { k, scores: scores.to_vec(), activation_bytes: 3 << 19, peak_bytes: 100 << 20 }
    }

    #[test]
    fn mean_and_deviation_by_hand() {
        let cell = cell(2, &[10.0, 12.0, 14.0]);
        assert_eq!((cell.mean(), cell.std()), (12.0, 2.0));
        assert_eq!(super::Cell { scores: vec![7.0], ..cell }.std(), 0.0);
    }

    #[test]
    fn a_table_has_a_row_a_method_and_a_column_a_k() {
        let rows = vec![
            ("end-to-end".to_string(), vec![cell(1, &[30.0, 32.0])]),
            ("DGL".to_string(), vec![cell(4, &[40.0, 40.0]), cell(2, &[35.0, 36.0])]),
        ];
        let table = Table { title: "resnet20 on cifar10".into(), is_error: true, rows };
        let text = table.markdown();
        let lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect();
        assert!(lines.contains(&vec!["method", "K = 1", "K = 2", "K = 4"]), "{text}");
        assert!(lines.contains(&vec!["end-to-end", "31.00 ± 1.41"]), "{text}");
        assert!(lines.contains(&vec!["DGL", "35.50 ± 0.71", "40.00 ± 0.00"]), "{text}");
        assert!(lines.contains(&vec!["DGL", "1.5", "1.5"]), "{text}");
        let folder = tempfile::tempdir().unwrap();
        for path in table.write(folder.path()).unwrap() {
            assert!(path.metadata().unwrap().len() > 0);
        }
    }
}
