//! Messages of the library for the user. They go to the `log` crate under one target: the library itself
//! prints nothing, and the programs show them on stderr.

use std::fmt::Display;

/// Target of the log records.
pub const TARGET: &str = "infoseg";

/// Reports a sentence.
pub(crate) fn say(line: impl Display) {
    log::info!(target: TARGET, "{line}");
}
