//! What every binary does around its own work: read the command line, report errors once, in words, with the right exit
//! code, and never mind a reader that has gone away.

pub mod interrupt;
mod pictures;
pub mod terminal;

pub use crate::text::{counted, duration};
pub use pictures::Pictures;

use crate::train::exhaustion;
use crate::{Error, Result, messages};
use clap::error::ErrorKind;
use std::fmt::Display;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// Parses the command line, runs `main` on it and turns an error into `<program>: <sentence>` on stderr and an exit
/// code: 2 for usage, 1 for a failed run. A panic is a bug of ours, unless a device has no memory left. Either is one
/// sentence; the backtrace of a bug is printed with `RUST_BACKTRACE`.
pub fn run<Args: clap::Parser>(program: &str, main: impl FnOnce(Args) -> Result<ExitCode>) -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(mistake) if is_help(&mistake) => {
            let _ = mistake.print();
            return ExitCode::from(if mistake.use_stderr() { 2 } else { 0 });
        }
        Err(mistake) => {
            say(format_args!("{program}: {}; see `{program} --help`", sentence(&mistake)));
            return ExitCode::from(2);
        }
    };
    show_messages();
    exhaustion::silence(std::env::var_os("RUST_BACKTRACE").is_some());
    let outcome = match catch_unwind(AssertUnwindSafe(|| main(args))) {
        Err(panic) => exhaustion::explained(panic.as_ref(), || 0).map(Err).ok_or(panic),
        done => done,
    };
    match outcome {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            say(format_args!("{program}: {error}"));
            ExitCode::from(error.exit_code())
        }
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            say(format_args!(
                "{program}: internal error: {}; this is a bug of infoseg (RUST_BACKTRACE=1 shows where)",
                text.unwrap_or("unknown")
            ));
            ExitCode::FAILURE
        }
    }
}

/// Shows what the library says on stderr, one line each. Other crates' records are left out.
fn show_messages() {
    struct Stderr;
    impl log::Log for Stderr {
        fn enabled(&self, metadata: &log::Metadata) -> bool {
            metadata.target() == messages::TARGET
        }

        fn log(&self, record: &log::Record) {
            if self.enabled(record.metadata()) {
                say(record.args());
            }
        }

        fn flush(&self) {}
    }
    // Only the first logger of a process counts; a second one is refused, which does no harm.
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
}

/// To stdout. A reader that has gone away, such as `head`, is no failure.
///
/// # Errors
/// It cannot be written for another reason, such as a full disk.
pub fn print(text: impl Display) -> Result<()> {
    let mut stdout = io::stdout();
    match write!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::run(format!("cannot write to standard output: {cause}")))
        }
        _ => Ok(()),
    }
}

/// A line to stderr. Unlike `eprintln!` it does not panic where stderr is closed: a run of days outlives its terminal.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn is_help(mistake: &clap::Error) -> bool {
    !mistake.use_stderr() || mistake.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
}

/// What clap spreads over several lines, as one sentence.
fn sentence(mistake: &clap::Error) -> String {
    let text = mistake.render().to_string();
    let mut sentence = String::new();
    for line in text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:")) {
        let line = line.trim_start_matches("error: ").trim_start_matches("tip: ");
        if line.is_empty() || line.starts_with("For more information") {
            continue;
        }
        sentence += match () {
            () if sentence.is_empty() => "",
            () if sentence.ends_with(':') || line.starts_with('[') => " ",
            () => "; ",
        };
        sentence += line;
    }
    sentence
        .replace("invalid digit found in string", "expected a whole number")
        .replace("number too large to fit in target type", "expected a smaller number")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser, Debug)]
    struct Args {
        run: String,
        #[arg(long, value_parser = ["resnet18", "resnet50"])]
        backbone: Option<String>,
        #[arg(long)]
        steps: Option<u32>,
    }

    #[test]
    fn a_mistake_on_the_command_line_is_one_sentence() {
        for (line, expected) in [
            ("x", "the following required arguments were not provided: <RUN>"),
            ("x r --stebs 3", "unexpected argument '--stebs' found; a similar argument exists: '--steps'"),
            ("x r --steps n", "invalid value 'n' for '--steps <STEPS>': expected a whole number"),
            (
                "x r --backbone resnet19",
                "invalid value 'resnet19' for '--backbone <BACKBONE>' [possible values: resnet18, resnet50]; a similar \
                 value exists: 'resnet18'",
            ),
        ] {
            assert_eq!(sentence(&Args::try_parse_from(line.split(' ')).unwrap_err()), expected);
        }
    }
}
