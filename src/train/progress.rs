//! What a person sees while a run trains: a bar at a terminal, a line at each logged step elsewhere.

use super::metrics::StepLine;
use crate::cli::{duration, say};
use crate::memory;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Progress of a run, written to stderr.
pub struct Progress {
    bar: ProgressBar,
    terminal: bool,
    total_steps: usize,
    batch_size: usize,
    first_step: usize,
    started: Instant,
}

impl Progress {
    /// Of a run of `total_steps` that begins after `first_step`.
    pub fn new(total_steps: usize, first_step: usize, batch_size: usize) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(
            Some(total_steps as u64),
            if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
        );
        let style = ProgressStyle::with_template("{bar:24.cyan/blue} step {pos}/{len} · {msg} · ETA {eta}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"));
        bar.set_position(first_step as u64);
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { bar, terminal, total_steps, batch_size, first_step, started: Instant::now() }
    }

    /// A step is done; `logged` says whether it is one to write a line for.
    pub fn step(&self, line: &StepLine, logged: bool) {
        let seconds = self.started.elapsed().as_secs_f64();
        let done = line.step - self.first_step;
        let losses: Vec<String> =
            line.losses.iter().map(|module| format!("loss {} {:.3}", module.module, module.total)).collect();
        let mut message = format!("{} · lr {:.2e}", losses.join(" · "), line.lr);
        message += &format!(" · {:.1} images/s", (done * self.batch_size) as f64 / seconds.max(1e-9));
        if let Some(bytes) = line.peak_memory_bytes {
            message += &format!(" · {}", memory::human(bytes));
        }
        if self.terminal {
            self.bar.set_message(message);
            self.bar.set_position(line.step as u64);
        } else if logged {
            let left = seconds / done.max(1) as f64 * (self.total_steps - line.step) as f64;
            let eta = duration(left);
            say(format_args!("step {}/{} · {message} · ETA {eta}", line.step, self.total_steps));
        }
    }

    /// An evaluation is under way: `done` of `pictures`.
    pub fn evaluating(&self, done: usize, pictures: usize) {
        if self.terminal {
            self.bar.set_message(format!("evaluating {done}/{pictures}"));
        }
    }

    /// Says something without disturbing the bar.
    pub fn say(&self, text: &str) {
        if self.terminal {
            self.bar.suspend(|| say(text));
        } else {
            say(text);
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
