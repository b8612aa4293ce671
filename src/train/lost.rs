//! A worker of another machine that is gone: the run ends within seconds, with what is left of it.

use super::observer::Stop;
use super::words::left_of;
use crate::device::{RemoteAddress, still_answers};
use crate::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// Characters of burn's words about a failure.
const SAID: usize = 200;
/// Between two looks whether workers are there.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What a run has to end by itself, once a worker is gone, before it is ended.
const GRACE: Duration = Duration::from_secs(2);

/// Does `work`, on these workers among others. Where one of them is gone, burn's panic about it becomes an error; where burn
/// waits for it forever, [`Stop`]'s last resort gets the same words.
///
/// # Errors
/// Those of `work`; a worker that is gone.
pub fn guarded<T>(remotes: &[RemoteAddress], run: &Path, stop: &Stop, work: impl FnOnce() -> Result<T>) -> Result<T> {
    if remotes.is_empty() {
        return work();
    }
    let watch = Watch::start(remotes.to_vec(), run.to_path_buf(), stop.clone());
    let outcome = catch_unwind(AssertUnwindSafe(work));
    drop(watch);
    match outcome {
        Ok(outcome) => outcome,
        Err(panic) => match cause(remotes, panic.as_ref()) {
            Some(cause) => Err(explained(run, &cause)),
            None => resume_unwind(panic),
        },
    }
}

/// Why a run on workers panicked, where it is for one of them.
fn cause(remotes: &[RemoteAddress], panic: &(dyn std::any::Any + Send)) -> Option<String> {
    let gone = remotes.iter().find_map(|remote| Some(format!("{remote}: {}", remote.answers().err()?)));
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    let of_remote = |text: &str| {
        let text = text.to_lowercase();
        ["remote", "service call failed", "session", "websocket", "reading data"].iter().any(|word| text.contains(word))
    };
    gone.or_else(|| {
        let names: Vec<String> = remotes.iter().map(ToString::to_string).collect();
        text.filter(|text| of_remote(text)).map(|text| {
            let said: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SAID).collect();
            format!("{}: a worker failed, or the connection to it ({said})", names.join(", "))
        })
    })
}

fn explained(run: &Path, cause: &str) -> Error {
    Error::run(format!("{cause}; {}; other workers are named with --devices", left_of(run)))
}

struct Watch {
    over: Arc<AtomicBool>,
}

impl Watch {
    fn start(remotes: Vec<RemoteAddress>, run: PathBuf, stop: Stop) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let watch = move || {
            // Where each answers now: a name that is asked for again may take its time.
            let there: Vec<_> = remotes.iter().filter_map(|remote| Some((remote, remote.answers().ok()?))).collect();
            while !is_over.load(SeqCst) {
                thread::sleep(LOOK_EVERY);
                // Twice, for a network may lose a packet.
                let gone = there.iter().find(|(_, address)| !still_answers(*address) && !still_answers(*address));
                let Some((gone, _)) = gone else { continue };
                thread::sleep(GRACE);
                if !is_over.load(SeqCst) {
                    let cause = format!("{gone}: the worker does not answer any more");
                    return stop.give_up(&explained(&run, &cause).to_string());
                }
            }
        };
        // Without it a worker's end is still seen wherever its connection is closed.
        let _ = thread::Builder::new().name("watch".into()).spawn(watch);
        Self { over }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, SeqCst);
    }
}
