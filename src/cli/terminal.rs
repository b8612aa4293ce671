//! Progress of a run on stderr: a bar at a terminal, a line at each logged step elsewhere.

use super::{duration, interrupt, say};
use crate::train::metrics::{ModuleLine, StepLine};
use crate::train::{Observer, left_of};
use crate::{Result, memory};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

/// Shows a run on stderr, and lets Ctrl-C and SIGTERM end it.
pub struct Terminal {
    lines: MultiProgress,
    bar: ProgressBar,
    /// One bar for each module under the asynchronous schedule; otherwise none.
    workers: Vec<ProgressBar>,
    terminal: bool,
    total_steps: usize,
    batch_size: usize,
    first_step: usize,
    started: Instant,
}

impl Default for Terminal {
    fn default() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let lines = MultiProgress::with_draw_target(target);
        Self {
            lines,
            bar: ProgressBar::hidden(),
            workers: Vec::new(),
            terminal,
            total_steps: 0,
            batch_size: 0,
            first_step: 0,
            started: Instant::now(),
        }
    }
}

impl Observer for Terminal {
    fn started(&mut self, run: &Path, total_steps: usize, first_step: usize, batch_size: usize) -> Result<()> {
        let run = run.to_path_buf();
        interrupt::install(move || left_of(&run))?;
        (self.total_steps, self.first_step, self.batch_size) = (total_steps, first_step, batch_size);
        self.started = Instant::now();
        let bar = self.lines.add(ProgressBar::new(total_steps as u64));
        let style = ProgressStyle::with_template("{bar:24.cyan/blue} step {pos}/{len} · {msg} · ETA {eta}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"));
        bar.set_position(first_step as u64);
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_millis(500));
        self.bar = bar;
        Ok(())
    }

    fn step(&mut self, line: &StepLine, logged: bool) {
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

    fn evaluating(&mut self, done: usize, pictures: usize) {
        if self.terminal {
            self.bar.set_message(format!("evaluating {done}/{pictures}"));
        }
    }

    fn tuning(&mut self, text: &str) {
        if self.terminal {
            self.bar.set_message(text.to_string());
        } else {
            say(text);
        }
    }

    /// A terminal shows them in place.
    fn interval(&self) -> Duration {
        Duration::from_secs(if self.terminal { 1 } else { 15 })
    }

    fn storing(&mut self, done: usize, batches: usize) {
        if self.terminal {
            self.bar.set_message(format!("storing features {done}/{batches}"));
        }
    }

    fn message(&mut self, text: &str) {
        if self.terminal {
            self.lines.suspend(|| say(text));
        } else {
            say(text);
        }
    }

    fn finished(&mut self) {
        self.workers.iter().for_each(ProgressBar::finish_and_clear);
        self.bar.finish_and_clear();
    }
}

impl Terminal {
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
