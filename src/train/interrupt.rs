//! Ctrl-C and SIGTERM: finish the step, save, say how to go on. A second Ctrl-C leaves at once, and so does SIGTERM where
//! the step takes longer than whoever sent it may wait.

use crate::cli::say;
use crate::{Error, Result};
use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Exit code of a run that was interrupted and saved: 128 + SIGINT, as shells expect.
pub const EXIT_CODE: u8 = 130;

/// Exit code of a run that SIGTERM ended in the middle of a step: 128 + SIGTERM.
#[cfg(unix)]
const TERMINATED: i32 = 143;

/// Batch systems send SIGTERM, and SIGKILL five seconds later.
#[cfg(unix)]
const GRACE: std::time::Duration = std::time::Duration::from_millis(4500);

/// Installs the handlers; once a process. `left` says what there is to go on from, should a step have to be given up.
///
/// # Errors
/// The operating system refused it.
pub fn install(left: impl Fn() -> String + Send + 'static) -> Result<()> {
    let refused = |error: &dyn std::fmt::Display| Error::run(format!("Ctrl-C cannot be handled: {error}"));
    ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(EXIT_CODE));
        }
    })
    .map_err(|error| refused(&error))?;
    on_termination(left).map_err(|error| refused(&error))
}

#[cfg(unix)]
fn on_termination(left: impl Fn() -> String + Send + 'static) -> std::io::Result<()> {
    use signal_hook::consts::SIGTERM;
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM])?;
    let wait = move || {
        if signals.forever().next().is_some() {
            REQUESTED.store(true, Ordering::SeqCst);
            std::thread::sleep(GRACE);
            say(format_args!("segtrain: told to stop, and the step is not done yet; {}", left()));
            std::process::exit(TERMINATED);
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).map(drop)
}

#[cfg(not(unix))]
fn on_termination(left: impl Fn() -> String + Send + 'static) -> std::io::Result<()> {
    drop(left);
    Ok(())
}

/// Whether somebody asked to stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
