//! The one error type: a sentence with the cause, the file or flag, and what to do.

use std::path::{Path, PathBuf};

/// Result of everything a user can make fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in words for the person at the terminal.
///
/// Binaries print it once as `<program>: <message>` and leave with [`Error::exit_code`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line or the configuration asks for something that cannot be (exit code 2).
    #[error("{0}")]
    Usage(String),
    /// A file or folder is missing, unreadable or not what it should be (exit code 1).
    #[error("{}: {message}", path.display())]
    File {
        /// The file or folder at fault.
        path: PathBuf,
        /// What is wrong with it and what would do.
        message: String,
    },
    /// A loss that is not finite (exit code 1).
    #[error("{0}")]
    Loss(String),
    /// The run itself failed (exit code 1).
    #[error("{0}")]
    Run(String),
}

impl Error {
    /// A mistake on the command line or in the configuration.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// A problem with one file or folder.
    pub fn file(path: impl AsRef<Path>, message: impl Into<String>) -> Self {
        Self::File { path: path.as_ref().to_path_buf(), message: message.into() }
    }

    /// A failure of the run itself.
    pub fn run(message: impl Into<String>) -> Self {
        Self::Run(message.into())
    }

    /// Exit code of the process: 2 for usage, 1 for a failed run.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::File { .. } | Self::Loss(_) | Self::Run(_) => 1,
        }
    }
}
