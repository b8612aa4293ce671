//! What every binary does around its own work: report errors once, in words, with the right exit code.

use crate::Result;
use std::process::ExitCode;

/// Runs `main` and turns its error into `<program>: <sentence>` on stderr and an exit code: 2 for usage, 1 for a failed
/// run. A panic is a bug of ours; the person gets a sentence, not a backtrace.
pub fn run(program: &str, main: impl FnOnce() -> Result<ExitCode> + std::panic::UnwindSafe) -> ExitCode {
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        std::panic::set_hook(Box::new(|_| {}));
    }
    match std::panic::catch_unwind(main) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            eprintln!("{program}: {error}");
            ExitCode::from(error.exit_code())
        }
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            eprintln!(
                "{program}: internal error: {}; this is a bug of infoseg (RUST_BACKTRACE=1 shows where)",
                text.unwrap_or("unknown")
            );
            ExitCode::FAILURE
        }
    }
}
