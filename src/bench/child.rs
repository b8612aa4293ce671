//! A measurement in a process of its own.

use crate::config::RunConfig;
use crate::files::{plain_cause, write_atomic};
use crate::{Error, Result};
use serde::de::DeserializeOwned;
use std::io::Write;
use std::process::{Command, Stdio};

/// Runs `segbench <command> --config <this configuration> <args>` and reads the one line of JSON that it prints.
///
/// # Errors
/// What the process said on its last line, where it failed.
pub fn run<T: DeserializeOwned>(command: &str, config: &RunConfig, args: &[&str]) -> Result<T> {
    let failed = |what: &str| Error::run(format!("a measurement failed: {what}"));
    let folder = tempfile::tempdir().map_err(|e| failed(&plain_cause(&e)))?;
    let file = folder.path().join("config.toml");
    write_atomic(&file, |file| file.write_all(config.to_commented_toml().as_bytes()))?;
    let program = std::env::current_exe().map_err(|e| failed(&plain_cause(&e)))?;
    let done = Command::new(program)
        .arg(command)
        .arg("--config")
        .arg(&file)
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(|e| failed(&plain_cause(&e)))?;
    let said = String::from_utf8_lossy(&done.stderr);
    if !done.status.success() {
        if done.status.code().is_none() {
            return Err(failed(
                "the system ended it, perhaps for want of memory: more modules, or a smaller --resolution or --batch-size, need less",
            ));
        }
        let last = said.lines().last().unwrap_or("it said nothing");
        return Err(failed(last.strip_prefix("segbench: ").unwrap_or(last)));
    }
    serde_json::from_slice(&done.stdout).map_err(|e| failed(&format!("it printed no result ({e})")))
}
