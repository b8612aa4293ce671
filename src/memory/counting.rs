//! A global allocator that counts: bytes on the heap now, at most, and over time.
//!
//! It is the system's allocator with four counters around it. Blocks below a page are not counted: they are many and
//! come to nothing beside tensors. Where training has said what to say ([`on_exhaustion`]), a block that cannot be had
//! ends the process with that sentence, which is more than the kernel's killer or an abort tell.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::time::Instant;

/// Smallest block that is counted.
const COUNTED: usize = 4 << 10;
/// Smallest block whose coming and going is an event of the timeline.
const RECORDED: usize = 64 << 10;
/// Events that a timeline holds; what comes later is left out.
const EVENTS: usize = 1 << 18;
/// Smallest block that is asked for in large pages: it is worth the page's rest, and spares thousands of page faults.
#[cfg(target_os = "linux")]
const LARGE: usize = 4 << 20;

/// The system's allocator, counting. A program that wants it makes it its own:
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: infoseg::memory::counting::Counting = infoseg::memory::counting::Counting;
/// # fn main() {}
/// ```
pub struct Counting;

#[cfg(test)]
#[global_allocator]
static ALLOCATOR: Counting = Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);
static LAST_WORDS: AtomicPtr<ExhaustionAdvice> = AtomicPtr::new(std::ptr::null_mut());
static RECORDING: AtomicBool = AtomicBool::new(false);
static TIMELINE: OnceLock<Timeline> = OnceLock::new();

/// Bytes on the heap.
pub fn live() -> usize {
    LIVE.load(Relaxed)
}

/// The most bytes that have been on the heap since the process began, or since [`reset_peak`].
pub fn peak() -> usize {
    PEAK.load(Relaxed)
}

/// Begins a new peak at what is on the heap now.
pub fn reset_peak() {
    PEAK.store(live(), Relaxed);
}

/// What is said when memory has run out: made up before, for then there is none to make it up in.
#[derive(Debug)]
pub struct ExhaustionAdvice {
    /// What would have fitted into so many bytes, the preferred first.
    pub advice: Vec<(u64, String)>,
    /// Said where nothing would have.
    pub otherwise: String,
}

impl ExhaustionAdvice {
    /// What to say where `bytes` could be had.
    pub fn about(&self, bytes: u64) -> &str {
        let fits = |(needs, _): &&(u64, String)| *needs <= bytes;
        self.advice.iter().find(fits).map_or(self.otherwise.as_str(), |(_, sentence)| sentence.as_str())
    }
}

/// From now on, a block that the system refuses, or that takes the heap above `limit` bytes, ends the process with one of
/// these sentences on stderr and exit code 1. The first call holds.
pub fn on_exhaustion(limit: Option<u64>, words: ExhaustionAdvice) {
    // Another thread may be reading the words of the run before: they are never freed.
    LAST_WORDS.store(Box::leak(Box::new(words)), Release);
    LIMIT.store(limit.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX), Relaxed);
}

/// What [`on_exhaustion`] was told to say where `bytes` could be had.
pub fn exhaustion_advice(bytes: u64) -> Option<&'static str> {
    // SAFETY: null, or a box that is never freed.
    unsafe { LAST_WORDS.load(Acquire).as_ref() }.map(|words| words.about(bytes))
}

struct Timeline {
    start: Instant,
    used: AtomicUsize,
    /// Nanoseconds since `start`, and bytes on the heap.
    events: Vec<(AtomicU64, AtomicUsize)>,
}

/// Records bytes on the heap over time while it is there. One at a time: a second begins anew.
pub struct Recorder(());

impl Recorder {
    /// Begins.
    pub fn start() -> Self {
        let timeline = TIMELINE.get_or_init(|| Timeline {
            start: Instant::now(),
            used: AtomicUsize::new(0),
            events: (0..EVENTS).map(|_| (AtomicU64::new(0), AtomicUsize::new(0))).collect(),
        });
        timeline.used.store(0, Relaxed);
        RECORDING.store(true, Relaxed);
        Self(())
    }

    /// Ends: seconds since the first recording began, and bytes, in order.
    pub fn stop(self) -> Vec<(f64, usize)> {
        RECORDING.store(false, Relaxed);
        let Some(timeline) = TIMELINE.get() else { return Vec::new() };
        let used = timeline.used.load(Relaxed).min(EVENTS);
        let read = |(nanos, bytes): &(AtomicU64, AtomicUsize)| (nanos.load(Relaxed) as f64 / 1e9, bytes.load(Relaxed));
        let mut events: Vec<_> = timeline.events[..used].iter().map(read).collect();
        events.sort_by(|a, b| a.0.total_cmp(&b.0));
        events
    }

    /// Seconds on the timeline's clock.
    pub fn now(&self) -> f64 {
        TIMELINE.get().map_or(0.0, |timeline| timeline.start.elapsed().as_secs_f64())
    }
}

fn came(size: usize) {
    if size < COUNTED {
        return;
    }
    let live = LIVE.fetch_add(size, Relaxed) + size;
    if live > PEAK.load(Relaxed) {
        PEAK.fetch_max(live, Relaxed);
    }
    record(size, live);
}

fn went(size: usize) {
    if size >= COUNTED {
        let live = LIVE.fetch_sub(size, Relaxed) - size;
        record(size, live);
    }
}

fn record(size: usize, live: usize) {
    if size < RECORDED || !RECORDING.load(Relaxed) {
        return;
    }
    if let Some(timeline) = TIMELINE.get()
        && let Some((nanos, bytes)) = timeline.events.get(timeline.used.fetch_add(1, Relaxed))
    {
        nanos.store(timeline.start.elapsed().as_nanos() as u64, Relaxed);
        bytes.store(live, Relaxed);
    }
}

/// Says the last words, if there are any, and leaves. It must not allocate.
fn give_up() {
    static SAID: AtomicBool = AtomicBool::new(false); // another thread may run out at the same time
    if let Some(sentence) = exhaustion_advice(peak() as u64) {
        while SAID.swap(true, Relaxed) {
            std::thread::sleep(std::time::Duration::from_secs(1)); // the other is leaving
        }
        let mut stderr = std::io::stderr();
        let _ = stderr.write_all(sentence.as_bytes());
        let _ = stderr.write_all(b"\n");
        // Without destructors and handlers, which may want memory. Checkpoints are renamed into place when complete.
        #[cfg(unix)]
        // SAFETY: takes no memory and does not return.
        unsafe {
            libc::_exit(1)
        };
        #[cfg(not(unix))]
        std::process::exit(1);
    }
}

fn check_room(size: usize) {
    if size >= COUNTED && LIVE.load(Relaxed).saturating_add(size) > LIMIT.load(Relaxed) {
        give_up();
    }
}

/// Asks for large pages below a large block.
fn prefer_large_pages(_block: *mut u8, _size: usize) {
    #[cfg(target_os = "linux")]
    if _size >= LARGE {
        const PAGE: usize = 4096;
        let start = (_block as usize).next_multiple_of(PAGE);
        let end = (_block as usize + _size) / PAGE * PAGE;
        // SAFETY: whole pages of a block that is ours; the call is advice, and a refusal changes nothing.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
    }
}

// SAFETY: every call is the system allocator's own; nothing but counters is added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check_room(layout.size());
        let block = unsafe { System.alloc(layout) };
        self.counted(block, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check_room(layout.size());
        let block = unsafe { System.alloc_zeroed(layout) };
        self.counted(block, layout.size())
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        went(layout.size());
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        check_room(new_size.saturating_sub(layout.size()));
        let moved = unsafe { System.realloc(block, layout, new_size) };
        if moved.is_null() {
            give_up();
            return moved;
        }
        went(layout.size());
        came(new_size);
        moved
    }
}

impl Counting {
    fn counted(&self, block: *mut u8, size: usize) -> *mut u8 {
        if block.is_null() {
            give_up();
        } else {
            prefer_large_pages(block, size);
            came(size);
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other tests allocate meanwhile, but not this much.
    const BIG: usize = 1 << 30;

    #[test]
    fn the_preferred_of_what_fits_is_advised() {
        let advice = vec![(50, "fifty".to_string()), (20, "twenty".into()), (30, "thirty".into())];
        let words = ExhaustionAdvice { advice, otherwise: "nothing".into() };
        assert_eq!([60, 40, 25, 10].map(|bytes| words.about(bytes)), ["fifty", "twenty", "twenty", "nothing"]);
    }

    #[test]
    fn a_block_is_counted_while_it_lives() {
        let before = live();
        let block = vec![0u8; BIG]; // never touched: the system gives no memory for it
        assert!(live() >= before.saturating_sub(BIG / 2) + BIG, "{} after {before}", live());
        assert!(peak() >= BIG);
        drop(block);
        assert!(live() < before + BIG / 2);
    }
}
