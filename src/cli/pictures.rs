//! How far a command is with a number of images: a bar at a terminal, a line every ten seconds elsewhere.

use super::say;
use crate::text::{counted, duration};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Between two lines.
const EVERY: Duration = Duration::from_secs(10);

/// Progress over images, written to stderr. May be told from several threads.
pub struct Pictures {
    program: &'static str,
    bar: ProgressBar,
    terminal: bool,
    started: Instant,
    said: Mutex<Instant>,
}

impl Pictures {
    /// The progress of `program`, which has begun with the first of `total` images.
    pub fn new(program: &'static str, total: usize) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total as u64), target);
        let style = ProgressStyle::with_template("{bar:24.cyan/blue} {pos}/{len} pictures · {msg}ETA {eta}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"));
        bar.enable_steady_tick(Duration::from_millis(500));
        if !terminal && total > 0 {
            say(format_args!("{program}: {}", counted(total, "picture")));
        }
        let now = Instant::now();
        Self { program, bar, terminal, started: now, said: Mutex::new(now) }
    }

    /// One more image of `total` is done; `note` (such as the score so far) is shown beside.
    pub fn one_more(&self, total: usize, note: &str) {
        self.bar.set_length(total as u64);
        self.bar.inc(1);
        let done = self.bar.position() as usize;
        let separator = if note.is_empty() { "" } else { " · " };
        if self.terminal {
            self.bar.set_message(format!("{note}{separator}"));
            return;
        }
        let Ok(mut said) = self.said.lock() else { return };
        if said.elapsed() < EVERY || done >= total {
            return;
        }
        *said = Instant::now();
        let left = self.started.elapsed().as_secs_f64() / done as f64 * (total - done) as f64;
        say(format_args!("{}: {done}/{total} pictures · {note}{separator}ETA {}", self.program, duration(left)));
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
