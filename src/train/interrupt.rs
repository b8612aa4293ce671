//! Ctrl-C and SIGTERM: finish the step, save, say how to go on. A second Ctrl-C leaves at once.

use crate::{Error, Result};
use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Exit code of a run that was interrupted and saved: 128 + SIGINT, as shells expect.
pub const EXIT_CODE: u8 = 130;

/// Installs the handler; once a process.
///
/// # Errors
/// The operating system refused it.
pub fn install() -> Result<()> {
    ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(EXIT_CODE));
        }
    })
    .map_err(|error| Error::run(format!("Ctrl-C cannot be handled: {error}")))
}

/// Whether somebody asked to stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
