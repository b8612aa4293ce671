//! Batches, made ahead of time on worker threads.
//!
//! Sample number `n` of a run is image `permutation(n / len)[n % len]`, cropped with the random numbers of
//! `(seed, n / len, picture)`. So every value of every batch follows from the seed and the step: neither the number of
//! workers nor a resumed run changes one.

use super::augment::TrainSample;
use super::keyed::keyed_rng;
use super::training_set::TrainingSet;
use crate::size::Resolution;
use crate::{Error, Result};
use burn::tensor::TensorData;
use rand::seq::SliceRandom;
use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Batches that workers may be ahead of the one last handed out.
const BATCHES_AHEAD: u64 = 2;

/// Input of one training step.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Normalised images. Shape: `[batch, 3, height, width]`, flat.
    pub input: Vec<f32>,
    /// Class indices, [`IGNORE_INDEX`](crate::task::IGNORE_INDEX) ignored: `[batch, height, width]`, flat; for
    /// classification one for each image: `[batch]`.
    pub label: Vec<u16>,
    /// Number of images.
    pub batch: usize,
    /// Height of the crops.
    pub height: usize,
    /// Width of the crops.
    pub width: usize,
}

impl Batch {
    /// Its images alone, `[batch, 3, height, width]`.
    pub fn into_input(self) -> TensorData {
        TensorData::new(self.input, [self.batch, 3, self.height, self.width])
    }
}

/// An endless row of batches.
///
/// ```
/// use infoseg::config::{DatasetKind, defaults_for};
/// use infoseg::data::{self, loader::Loader, training_set::TrainingSet};
///
/// let config = defaults_for(DatasetKind::Synthetic);
/// let train = data::open(&config.data, "train")?;
/// let normalization = config.data.dataset.normalization();
/// let crops = TrainingSet::new(train, &config.augment, config.train.resolution, normalization);
/// let batch = Loader::new(crops, 2, 1, 1, 0).next()?;
/// assert_eq!(batch.input.len(), 2 * 3 * batch.height * batch.width);
/// # Ok::<(), infoseg::Error>(())
/// ```
pub struct Loader {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    batch_size: usize,
    crop: Resolution,
}

/// Makes the crop of image `index` in `epoch`.
type Make = dyn Fn(u64, usize) -> Result<TrainSample> + Send + Sync;

struct Shared {
    state: Mutex<State>,
    /// Workers wait here for room.
    room: Condvar,
    /// The consumer waits here for samples.
    done: Condvar,
    make: Box<Make>,
    len: u64,
    seed: u64,
    batch_size: u64,
    /// Samples after which the same ones come again.
    period: u64,
}

struct State {
    /// Number of the sample that the next free worker takes.
    next_sample: u64,
    /// Number of the batch that [`Loader::next`] hands out next.
    next_batch: u64,
    /// Finished samples that wait for their batch.
    finished: BTreeMap<u64, Result<TrainSample>>,
    /// The epoch last drawn from, with its order of images.
    epoch: Option<(u64, Arc<Vec<u32>>)>,
    stop: bool,
}

impl Loader {
    /// Starts `workers` threads (at least one) that make batches of `batch_size` training images.
    ///
    /// With `first_step = s` the first batch is the one that an uninterrupted run sees at step `s` (0-based).
    pub fn new(
        pictures: impl Into<Arc<TrainingSet>>,
        batch_size: usize,
        seed: u64,
        workers: usize,
        first_step: usize,
    ) -> Self {
        Self::cycled(pictures, batch_size, seed, workers, first_step, usize::MAX / batch_size.max(1))
    }

    /// The same, but the batch of every step is that of `step % period`.
    pub fn cycled(
        pictures: impl Into<Arc<TrainingSet>>,
        batch_size: usize,
        seed: u64,
        workers: usize,
        first_step: usize,
        period: usize,
    ) -> Self {
        let pictures = pictures.into();
        let (len, crop) = (pictures.len(), pictures.crop());
        let make = move |epoch: u64, index: usize| pictures.sample(seed, epoch, index);
        Self::start(Box::new(make), len, crop, batch_size, seed, workers, first_step, period)
    }

    fn start(
        make: Box<Make>,
        len: usize,
        crop: Resolution,
        batch_size: usize,
        seed: u64,
        workers: usize,
        first_step: usize,
        period: usize,
    ) -> Self {
        let batch_size = batch_size.max(1);
        let state = State {
            next_sample: (first_step * batch_size) as u64,
            next_batch: first_step as u64,
            finished: BTreeMap::new(),
            epoch: None,
            stop: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            room: Condvar::new(),
            done: Condvar::new(),
            make,
            len: len as u64,
            seed,
            batch_size: batch_size as u64,
            period: (period.max(1) * batch_size) as u64,
        });
        let wanted = if len == 0 { 0 } else { workers.max(1) };
        let mut workers = Vec::new();
        for _ in 0..wanted {
            let worker = Arc::clone(&shared);
            match thread::Builder::new().name("loader".into()).spawn(move || worker.work()) {
                Ok(handle) => workers.push(handle),
                Err(_) => break, // Those that run do the same work; `next` complains where none does.
            }
        }
        Self { shared, workers, batch_size, crop }
    }

    /// The next batch; waits for it where it is not there yet.
    ///
    /// # Errors
    /// The first of the batch's images that could not be made says why. The batch after it is the next one then.
    #[allow(clippy::should_implement_trait)] // An iterator that never ends and may fail fits no `for`.
    pub fn next(&mut self) -> Result<Batch> {
        if self.shared.len == 0 {
            return Err(Error::run("there is no picture to train on"));
        }
        if self.workers.is_empty() {
            return Err(Error::run("the system starts no loader thread; raise its limit on threads (ulimit -u)"));
        }
        let samples = self.take_samples();
        let (height, width) = (self.crop.height, self.crop.width);
        let mut batch = Batch { input: Vec::new(), label: Vec::new(), batch: self.batch_size, height, width };
        for (i, sample) in samples.into_iter().enumerate() {
            let TrainSample { input, label } = sample?;
            if i == 0 {
                // A batch of one, usual for large crops, is moved and not copied.
                (batch.input, batch.label) = (input, label);
                batch.input.reserve_exact((self.batch_size - 1) * 3 * height * width);
                batch.label.reserve_exact((self.batch_size - 1) * batch.label.len());
            } else {
                batch.input.extend_from_slice(&input);
                batch.label.extend_from_slice(&label);
            }
        }
        Ok(batch)
    }

    fn take_samples(&mut self) -> Vec<Result<TrainSample>> {
        let mut state = self.shared.lock();
        let first = state.next_batch * self.shared.batch_size;
        let numbers = first..first + self.shared.batch_size;
        while !numbers.clone().all(|n| state.finished.contains_key(&n)) {
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.next_batch += 1;
        let samples = numbers.filter_map(|n| state.finished.remove(&n)).collect();
        drop(state);
        self.shared.room.notify_all();
        samples
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.room.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches its own panics; there is nothing to learn from joining it.
            let _ = worker.join();
        }
    }
}

impl Shared {
    /// No code panics while it holds the lock, so a poisoned one would still be whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some((n, order)) = self.take_number() {
            let of = n % self.period;
            let (epoch, index) = (of / self.len, order[(of % self.len) as usize] as usize);
            let sample = catch_unwind(AssertUnwindSafe(|| (self.make)(epoch, index)))
                .unwrap_or_else(|panic| Err(panicked(panic.as_ref(), index)));
            self.lock().finished.insert(n, sample);
            self.done.notify_all();
        }
    }

    /// Waits for room and takes the next sample, with the order of its epoch; `None` when the loader is dropped.
    fn take_number(&self) -> Option<(u64, Arc<Vec<u32>>)> {
        let mut state = self.lock();
        while !state.stop && state.next_sample >= (state.next_batch + BATCHES_AHEAD) * self.batch_size {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stop {
            return None;
        }
        let n = state.next_sample;
        state.next_sample += 1;
        let epoch = n % self.period / self.len;
        let order = match &state.epoch {
            Some((known, order)) if *known == epoch => Arc::clone(order),
            _ => {
                let order = Arc::new(permutation(self.len, self.seed, epoch));
                state.epoch = Some((epoch, Arc::clone(&order)));
                order
            }
        };
        Some((n, order))
    }
}

/// The order of `len` images in `epoch`.
fn permutation(len: u64, seed: u64, epoch: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..len as u32).collect();
    order.shuffle(&mut keyed_rng([seed, epoch, len], *b"shuffle\0"));
    order
}

/// What a panic while image `index` was read is to the person.
pub(crate) fn panicked(panic: &(dyn Any + Send), index: usize) -> Error {
    let what = panic
        .downcast_ref::<&str>()
        .map(|text| text.to_string())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_string());
    Error::run(format!("the loader broke on picture number {index} ({what}); this is a bug in infoseg"))
}

#[cfg(test)]
#[path = "loader_tests.rs"]
mod tests;
