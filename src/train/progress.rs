//! What a person sees while a run trains: a bar at a terminal, a line at each logged step elsewhere.

use super::metrics::{ModuleLine, StepLine};
use crate::cli::{duration, say};
use crate::memory;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Progress of a run, written to stderr.
pub struct Progress {
    lines: MultiProgress,
    bar: ProgressBar,
    /// Of the asynchronous schedule, one a module.
    workers: Vec<ProgressBar>,
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
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let lines = MultiProgress::with_draw_target(target);
        let bar = lines.add(ProgressBar::new(total_steps as u64));
        let style = ProgressStyle::with_template("{bar:24.cyan/blue} step {pos}/{len} · {msg} · ETA {eta}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"));
        bar.set_position(first_step as u64);
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { lines, bar, workers: Vec::new(), terminal, total_steps, batch_size, first_step, started: Instant::now() }
    }

    /// A step is done; `logged` says whether it is one to write a line for.
    pub fn step(&mut self, line: &StepLine, logged: bool) {
        let seconds = self.started.elapsed().as_secs_f64();
        let done = line.step - self.first_step;
        let losses: Vec<String> =
            line.losses.iter().map(|module| format!("loss {} {:.3}", module.module, module.total)).collect();
        let mut message = format!("{} · lr {:.2e}", losses.join(" · "), line.lr);
        message += &format!(" · {:.1} images/s", (done * self.batch_size) as f64 / seconds.max(1e-9));
        if let Some(bytes) = line.peak_memory_bytes {
            message += &format!(" · {}", memory::human(bytes));
        }
        let workers: Vec<String> = line.losses.iter().filter_map(worker).collect();
        if self.terminal {
            self.show_workers(&workers);
            self.bar.set_message(message);
            self.bar.set_position(line.step as u64);
        } else if logged {
            let left = seconds / done.max(1) as f64 * (self.total_steps - line.step) as f64;
            let eta = duration(left);
            say(format_args!("step {}/{} · {message} · ETA {eta}", line.step, self.total_steps));
            workers.iter().for_each(say);
        }
    }

    /// A line for each worker below the bar.
    fn show_workers(&mut self, workers: &[String]) {
        while self.workers.len() < workers.len() {
            let line = self.lines.add(ProgressBar::new_spinner());
            line.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
            self.workers.push(line);
        }
        for (line, worker) in self.workers.iter().zip(workers) {
            line.set_message(worker.clone());
        }
    }

    /// An evaluation is under way: `done` of `pictures`.
    pub fn evaluating(&self, done: usize, pictures: usize) {
        if self.terminal {
            self.bar.set_message(format!("evaluating {done}/{pictures}"));
        }
    }

    /// How far the first step is; see [`Self::interval`].
    pub fn tuning(&self, text: String) {
        if self.terminal {
            self.bar.set_message(text);
        } else {
            say(text);
        }
    }

    /// Between two words of what takes long: a terminal shows them in place.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(if self.terminal { 1 } else { 15 })
    }

    /// Features are written to disk: `done` of `batches`.
    pub fn storing(&self, done: usize, batches: usize) {
        if self.terminal {
            self.bar.set_message(format!("storing features {done}/{batches}"));
        }
    }

    /// Says something without disturbing the bar.
    pub fn say(&self, text: &str) {
        if self.terminal {
            self.lines.suspend(|| say(text));
        } else {
            say(text);
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.workers.iter().for_each(ProgressBar::finish_and_clear);
        self.bar.finish_and_clear();
    }
}

/// `module 2: busy 63 %, 1 waiting, 1 behind module 1`, of the asynchronous schedule.
fn worker(line: &ModuleLine) -> Option<String> {
    let worker = line.worker?;
    let busy = 100.0 * worker.busy;
    let mut text = format!("  module {}: busy {busy:.0} %, {} waiting", line.module, worker.queued);
    if line.module > 1 {
        text += &format!(", {} behind module 1", worker.staleness);
    }
    Some(text)
}
