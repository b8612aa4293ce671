//! One process at a time trains in a run folder.

use crate::files::plain_cause;
use crate::{Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

/// Name of the file that is locked; it stays, and says nothing once its process is gone.
pub const NAME: &str = ".lock";

/// A run folder that is ours until this is dropped, or the process ends, however it does.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// Takes a run folder.
    ///
    /// # Errors
    /// Another process has it; the folder cannot be written to.
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(|cause| Error::file(&path, plain_cause(&cause)))?;
        match file.try_lock() {
            Ok(()) => {
                // Only for the message to others.
                let _ =
                    file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", std::process::id()));
                Ok(Self { _file: file })
            }
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let _ = file.read_to_string(&mut owner);
                let process = match owner.trim() {
                    "" => String::new(),
                    id => format!(" (process {id})"),
                };
                Err(Error::file(
                    folder,
                    format!(
                        "another segtrain is training in this run folder{process}; wait for it, or name another with --out"
                    ),
                ))
            }
            // Some network file systems have no locks; they are no reason not to train.
            Err(TryLockError::Error(_)) => Ok(Self { _file: file }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_process_s_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let lock = RunLock::take(folder.path()).unwrap();
        let message = RunLock::take(folder.path()).unwrap_err().to_string();
        assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
        drop(lock);
        RunLock::take(folder.path()).unwrap();
    }
}
