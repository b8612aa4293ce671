//! The first step on a GPU: it compiles kernels and measures which are the fastest, for minutes on a GPU that is new to this program.

use crate::local::{LocalModule, Mark};
use crate::text::duration;
use std::time::{Duration, Instant};

/// A step that takes no longer is not told of: its kernels are known.
const QUIET: Duration = Duration::from_secs(5);

/// How far a first step has come.
pub struct FirstStep {
    /// Names of each module's blocks.
    blocks: Vec<Vec<String>>,
    /// Marks that were passed, of all.
    passed: usize,
    marks: usize,
    started: Instant,
    told: Option<Instant>,
    /// Between two words of it.
    interval: Duration,
}

impl FirstStep {
    /// Progress of a first step of `modules` with this number of micro-batches; texts are at least `interval` apart.
    pub fn new(modules: &[LocalModule], micro_batches: usize, interval: Duration) -> Self {
        let blocks: Vec<_> = modules.iter().map(|module| module.block_names.clone()).collect();
        // Each block forward and backward and the heads, of each part, and the update.
        let marks = blocks.iter().map(|blocks| micro_batches * (2 * blocks.len() + 1) + 1).sum();
        Self { blocks, passed: 0, marks, started: Instant::now(), told: None, interval }
    }

    /// A mark was passed: what there is to say of it, from time to time.
    pub fn mark(&mut self, module: usize, mark: Mark) -> Option<String> {
        let place = match mark {
            Mark::Start | Mark::AuxHead => return None,
            Mark::Forward(block) => format!("{} forward", self.blocks[module][block]),
            Mark::Backward(block) => format!("{} backward", self.blocks[module][block]),
            Mark::Heads => "heads".into(),
            Mark::Updated => "update".into(),
        };
        self.passed += 1;
        let waits = match self.told {
            None => self.started.elapsed() < QUIET,
            Some(told) => told.elapsed() < self.interval,
        };
        if waits {
            return None;
        }
        self.told = Some(Instant::now());
        let share = 100 * self.passed.min(self.marks) / self.marks;
        let seconds = duration(self.started.elapsed().as_secs_f64());
        let modules = self.blocks.len();
        Some(format!(
            "compiling, and tuning kernels for this GPU (first run only): {share} % of the first step after {seconds} (module {} \
             of {modules}, {place})",
            module + 1
        ))
    }

    /// What there is to say when it is done.
    pub fn end(self) -> Option<String> {
        let took = self.started.elapsed();
        (took >= QUIET).then(|| {
            let seconds = duration(took.as_secs_f64());
            format!("the first step took {seconds}: what was tuned in it is kept in cubecl's cache for later runs of these shapes")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_first_step_says_how_far_it_is() {
        let mut step = FirstStep {
            blocks: vec![vec!["stem".into(), "layer1.0".into()]],
            passed: 0,
            marks: 6,
            started: Instant::now(),
            told: None,
            interval: Duration::ZERO,
        };
        assert_eq!(step.mark(0, Mark::Forward(0)), None, "it may be a short one");
        step.started -= QUIET;
        assert_eq!(step.mark(0, Mark::Start), None);
        let text = step.mark(0, Mark::Forward(1)).unwrap();
        assert!(
            text.contains(" 33 %") && text.contains("layer1.0 forward") && text.contains("module 1 of 1"),
            "{text}"
        );
        step.interval = Duration::from_secs(60);
        assert_eq!(step.mark(0, Mark::Heads), None, "it was told just now");
        assert!(step.end().is_some());
    }
}
