//! Ctrl-C and SIGTERM: finish the step, save, say how to go on. A second Ctrl-C leaves at once, and so does SIGTERM where
//! the step takes longer than the sender may wait.

use super::say;
use crate::train::Stop;
use crate::{Error, Result};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Exit code of a run that was interrupted and saved: 128 + SIGINT, as shells expect.
pub const EXIT_CODE: u8 = 130;

/// Exit code of a run that SIGTERM ended in the middle of a step: 128 + SIGTERM.
#[cfg(unix)]
const TERMINATED: i32 = 143;

/// Batch systems send SIGTERM, and SIGKILL five seconds later.
#[cfg(unix)]
const GRACE: std::time::Duration = std::time::Duration::from_millis(4500);

/// What there is to go on from.
type Left = Box<dyn Fn() -> String + Send>;

static STOP: OnceLock<Stop> = OnceLock::new();
static LEFT: Mutex<Option<Left>> = Mutex::new(None);

/// The process's one request to stop, which the signals make.
pub fn stop() -> Stop {
    STOP.get_or_init(Stop::default).clone()
}

/// Installs the handlers, unless they are. `left` says what there is to go on from, should a step have to be given up.
///
/// # Errors
/// The operating system refused it.
pub fn install(left: impl Fn() -> String + Send + 'static) -> Result<Stop> {
    let before = LEFT.lock().unwrap_or_else(PoisonError::into_inner).replace(Box::new(left));
    if before.is_some() {
        return Ok(stop());
    }
    stop().set_last_resort(|reason| {
        say(format_args!("segtrain: {reason}"));
        std::process::exit(1);
    });
    let refused = |error: &dyn std::fmt::Display| Error::run(format!("Ctrl-C cannot be handled: {error}"));
    ctrlc::set_handler(|| {
        if stop().request() {
            say("stopped at once, in the middle of a step: what was not saved is lost");
            std::process::exit(i32::from(EXIT_CODE));
        }
    })
    .map_err(|error| refused(&error))?;
    on_termination().map_err(|error| refused(&error))?;
    Ok(stop())
}

#[cfg(unix)]
fn on_termination() -> std::io::Result<()> {
    use signal_hook::consts::SIGTERM;
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM])?;
    let wait = move || {
        if signals.forever().next().is_some() {
            stop().request();
            std::thread::sleep(GRACE);
            let left = LEFT.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|left| left());
            say(format_args!("segtrain: told to stop, and the step is not done yet; {}", left.unwrap_or_default()));
            std::process::exit(TERMINATED);
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).map(drop)
}

#[cfg(not(unix))]
fn on_termination() -> std::io::Result<()> {
    Ok(())
}
