//! `probe.json`, and the same as a table.

use super::Settings;
use super::score::{BlockScore, Scored};
use crate::Result;
use crate::eval::json;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

/// A run's name and what its probes can tell.
#[derive(Debug, Clone)]
pub struct ProbedRun {
    /// Such as `InfoPro, K = 4`.
    pub name: String,
    /// Steps that the checkpoint was trained for.
    pub steps: usize,
    /// The probes'.
    pub scored: Scored,
}

/// Writes the numbers of all runs, in full or not at all.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: impl AsRef<Path>, runs: &[ProbedRun], settings: &Settings) -> Result<()> {
    let block = |block: &BlockScore| {
        let mut value = json!({
            "block": block.name,
            "ends_module": block.ends_module,
            "reconstruction_error": block.reconstruction_error,
            "reconstruction_loss": block.reconstruction_loss,
            "accuracy": block.accuracy,
        });
        if let Some(miou) = block.miou {
            value["miou"] = miou.into();
        }
        value
    };
    let runs: Vec<Value> = runs
        .iter()
        .map(|run| {
            let baseline = run.scored.baseline;
            json!({
                "run": run.name,
                "steps": run.steps,
                "pictures": run.scored.pictures,
                "without_features": {
                    "reconstruction_error": baseline.reconstruction_error,
                    "accuracy": baseline.accuracy,
                    "miou": baseline.miou,
                },
                "blocks": run.scored.blocks.iter().map(block).collect::<Vec<_>>(),
            })
        })
        .collect();
    let probes =
        json!({ "steps": settings.steps, "batch_size": settings.batch_size, "lr": settings.lr, "seed": settings.seed });
    json::write(path, &json!({ "probes": probes, "runs": runs }))
}

/// A line a block, for one run: RMSE in grey levels (less of it is more I(h, x)), what is right and mIoU in percent (more is
/// more I(h, y)). Below them says so where probes have learned nothing.
pub fn table(run: &ProbedRun) -> String {
    let Scored { blocks, baseline, .. } = &run.scored;
    let segmentation = baseline.miou.is_some();
    let names = blocks.iter().map(|block| block.name.len()).chain(["without features".len()]).max().unwrap_or(0);
    let mut text = format!("{}\n{:names$}   picture, RMSE   ", run.name, "block");
    text += if segmentation { "pixels right    mIoU\n" } else { "   pictures right\n" };
    let mut line = |name: &str, error: f64, accuracy: f64, miou: Option<f64>, note: &str| {
        let width = if segmentation { 10 } else { 15 };
        let _ = write!(text, "{name:names$}   {error:>13.1}   {:>width$.2} %", 100.0 * accuracy);
        if let Some(miou) = miou {
            let _ = write!(text, "   {:>5.2}", 100.0 * miou);
        }
        text += note;
        text.push('\n');
    };
    for block in blocks {
        let note = if block.ends_module { "   a module ends" } else { "" };
        line(&block.name, block.reconstruction_error, block.accuracy, block.miou, note);
    }
    line("without features", baseline.reconstruction_error, baseline.accuracy, baseline.miou, "");
    let behind = blocks.iter().filter(|block| {
        block.reconstruction_error > baseline.reconstruction_error || block.accuracy < baseline.accuracy
    });
    match behind.count() {
        0 => {}
        some => {
            let _ = writeln!(
                text,
                "{some} of {} blocks: a probe knows less than one without features would; it has not learned enough (--steps) \
                 or too fast (--lr)",
                blocks.len()
            );
        }
    }
    text
}
