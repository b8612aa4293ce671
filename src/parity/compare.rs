//! How far results are apart.

use super::Tensors;
use burn::tensor::TensorData;
use std::collections::BTreeMap;

/// What an error is an error of; a column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Outputs,
    Losses,
    Gradients,
    Statistics,
    /// Weights and running statistics after training steps.
    Weights,
    /// What those steps changed: a weight hardly moves in three, and would hide a wrong optimizer.
    Updates,
}

const COLUMNS: [(Kind, &str); 6] = [
    (Kind::Outputs, "outputs"),
    (Kind::Losses, "losses"),
    (Kind::Gradients, "gradients"),
    (Kind::Statistics, "running statistics"),
    (Kind::Weights, "weights after 3 steps"),
    (Kind::Updates, "their updates"),
];

/// Largest error allowed to each kind.
pub struct Tolerances {
    /// Outputs, losses, statistics and weights.
    values: f64,
    gradients: f64,
    /// PyTorch's own float32 updates are up to 7e-4 from its float64 ones: no other program can be held to less than that.
    updates: f64,
}

impl Tolerances {
    pub const PYTORCH: Self = Self { values: 1e-4, gradients: 1e-3, updates: 3e-3 };
    #[cfg(feature = "cube")]
    pub const VULKAN: Self = Self { values: 1e-4, gradients: 1e-4, updates: 3e-3 };
    #[cfg(feature = "cube")]
    pub const CUDA: Self = Self { values: 1e-3, gradients: 1e-3, updates: 3e-2 };

    fn of(&self, kind: Kind) -> f64 {
        match kind {
            Kind::Outputs | Kind::Losses | Kind::Statistics | Kind::Weights => self.values,
            Kind::Gradients => self.gradients,
            Kind::Updates => self.updates,
        }
    }
}

/// The kind of a result by its name in a fixture.
fn kind_of(name: &str) -> Kind {
    let in_folder = |folder: &str| name.split('/').rev().skip(1).any(|part| part == folder);
    match name {
        _ if in_folder("loss") => Kind::Losses,
        _ if in_folder("gradient") => Kind::Gradients,
        _ if in_folder("statistics") => Kind::Statistics,
        _ if in_folder("after") => Kind::Weights,
        _ => Kind::Outputs,
    }
}

/// The largest difference of two tensors, relative to the largest magnitude in the one that is right; absolute where that
/// one is all zero.
pub fn relative_error(ours: &TensorData, right: &TensorData) -> f64 {
    assert_eq!(ours.shape(), right.shape());
    let difference = ours.iter::<f64>().zip(right.iter::<f64>()).map(|(a, b)| (a - b).abs());
    // `f64::max` would pass over a NaN.
    let largest = difference.fold(0.0, |max: f64, d| if d.is_nan() { f64::INFINITY } else { max.max(d) });
    match right.iter::<f64>().fold(0.0, |max: f64, value| max.max(value.abs())) {
        0.0 => largest,
        scale => largest / scale,
    }
}

fn difference(a: &TensorData, b: &TensorData) -> TensorData {
    let values: Vec<f32> = a.iter::<f32>().zip(b.iter::<f32>()).map(|(a, b)| a - b).collect();
    TensorData::new(values, a.shape().clone())
}

/// Largest error of each kind, and the tensor it is in.
type Worst = BTreeMap<Kind, (f64, String)>;

/// Largest errors, row by row.
pub struct Table {
    rows: Vec<(String, Worst)>,
}

impl Table {
    pub fn new() -> Self {
        Self { rows: Vec::new() }
    }

    /// Compares all of `ours` with what is `right`, and demands that no result of `right` is missing in ours. `right` also
    /// holds inputs, and the weights before training in the folder `weights/`.
    pub fn add(&mut self, row: &str, ours: &Tensors, right: &Tensors) {
        let mut worst = Worst::new();
        let mut note = |kind, error: f64, name: &str| {
            let entry = worst.entry(kind).or_insert((0.0, String::new()));
            if error >= entry.0 {
                *entry = (error, name.to_string());
            }
        };
        for (name, ours) in ours {
            let right_one = right.get(name).unwrap_or_else(|| panic!("{row}: there is no {name} to compare with"));
            let kind = kind_of(name);
            note(kind, relative_error(ours, right_one), name);
            let start = name.strip_prefix("after/").and_then(|name| right.get(&format!("weights/{name}")));
            if let Some(start) = start {
                note(Kind::Updates, relative_error(&difference(ours, start), &difference(right_one, start)), name);
            }
        }
        for name in right.keys() {
            let is_result = name
                .split('/')
                .any(|part| ["output", "loss", "gradient", "statistics", "after", "evaluation"].contains(&part));
            assert!(!is_result || ours.contains_key(name), "{row}: {name} was not computed");
        }
        self.rows.push((row.to_string(), worst));
    }

    /// Prints the table and fails where an error is too large.
    pub fn finish(self, title: &str, tolerances: &Tolerances) {
        let names: Vec<&str> = COLUMNS.iter().map(|(_, name)| *name).collect();
        let mut text = format!("\n{title}\n\n| | {} |\n|---{}|\n", names.join(" | "), "|---".repeat(COLUMNS.len()));
        let mut too_large = Vec::new();
        for (row, worst) in &self.rows {
            let cells =
                COLUMNS.map(|(kind, _)| worst.get(&kind).map_or(String::new(), |(error, _)| format!("{error:.0e}")));
            text += &format!("| {row} | {} |\n", cells.join(" | "));
            for (kind, (error, name)) in worst {
                let tolerance = tolerances.of(*kind);
                if *error > tolerance {
                    too_large.push(format!("{row}: {kind:?}: {name} is {error:.1e} off, more than {tolerance:.0e}"));
                }
            }
        }
        println!("{text}");
        assert!(too_large.is_empty(), "{}", too_large.join("\n"));
    }
}
