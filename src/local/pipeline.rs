//! The asynchronous schedule: every module is a worker, and batches go from one to the next through bounded queues.
//!
//! Module k trains on batch t while module k + 1 trains on batch t − 1. A module's output is computed by the weights that
//! it has before it learns from that batch, in the sequential schedule as well: so each module meets the same features in
//! the same order, and the numbers are the same at any depth of the queues. What differs is time, and how far the last
//! module is behind the first.

use super::module::{LocalModule, Losses, Targets};
use super::network::{LocalNetwork, in_precision};
use crate::rng::mix;
use crate::{Error, Result};
use burn::tensor::Tensor;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;
use std::time::Instant;

/// How workers work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workers {
    /// Batches that may wait before each module but the first. At 0 a module hands its batch over when the next is free.
    pub queue_depth: usize,
    /// Threads of each worker's own pool on a CPU; 0: all share the program's.
    pub threads: usize,
}

/// A batch to train on.
pub struct Job {
    /// Counted from 0.
    pub step: usize,
    /// `[batch, 3, height, width]`
    pub input: Tensor<4>,
    /// What every module learns from.
    pub targets: Targets,
    /// Learning rate.
    pub lr: f64,
    /// The step's own.
    pub seed: u64,
}

/// What one worker did with one batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// The module's losses.
    pub losses: Losses,
    /// Batches that waited before it when it took this one, this one left out.
    pub queued: usize,
    /// Batches that the first module had begun more than it: what an update of the first is ahead by.
    pub staleness: usize,
    /// Share of its time since the batch before in which it worked, in 0..=1.
    pub busy: f64,
}

/// A batch on its way.
struct ModuleInput {
    step: usize,
    features: Tensor<4>,
    targets: Arc<Targets>,
    lr: f64,
    seed: u64,
}

/// Batches in each queue.
struct Queues(Vec<AtomicUsize>);

/// Batches that each module has begun.
struct StepsStarted(Vec<AtomicUsize>);

/// A batch that went through a module.
struct Report {
    step: usize,
    module: usize,
    work: Result<Work>,
}

impl LocalNetwork {
    /// Trains on every job with all modules at once; each batch trains each module exactly once, in order. `tell` gets the
    /// work of all modules on a step when the last has done it. Returns when every batch that was begun is done: all
    /// modules have then made the same steps.
    ///
    /// # Errors
    /// The first of a loss that is not finite, a worker that cannot start, and what `tell` returns.
    pub fn train_pipelined(
        &mut self,
        workers: Workers,
        jobs: impl Iterator<Item = Job>,
        mut tell: impl FnMut(usize, &[Work]) -> Result<()>,
    ) -> Result<()> {
        let modules = self.modules.len();
        let counters = || (0..modules).map(|_| AtomicUsize::new(0)).collect();
        let (queues, begun) = (Queues(counters()), StepsStarted(counters()));
        let (reports_in, reports) = mpsc::channel();
        let precision = self.precision;
        thread::scope(|scope| {
            let (first, mut incoming) = mpsc::sync_channel(workers.queue_depth);
            let mut threads = Vec::with_capacity(modules);
            for module in &mut self.modules {
                let (outgoing, next) = mpsc::sync_channel(workers.queue_depth);
                let outgoing = (module.index + 1 < modules).then_some(outgoing);
                let worker = Worker {
                    module,
                    incoming: std::mem::replace(&mut incoming, next),
                    outgoing,
                    reports: reports_in.clone(),
                    queues: &queues,
                    begun: &begun,
                };
                let name = format!("module {}", worker.module.index + 1);
                let thread = thread::Builder::new().name(name).spawn_scoped(scope, move || worker.run(workers.threads));
                threads.push(thread.map_err(|cause| Error::run(format!("cannot start a worker: {cause}")))?);
            }
            drop((reports_in, incoming));
            let mut steps = Steps { modules, open: Vec::new() };
            let mut outcome = Ok(());
            for Job { step, input, targets, lr, seed } in jobs {
                let features = in_precision(input, precision);
                let parcel = ModuleInput { step, features, targets: Arc::new(targets), lr, seed };
                queues.0[0].fetch_add(1, SeqCst);
                // Refused where the first worker is gone: the reports say why.
                let gone = first.send(parcel).is_err();
                outcome = steps.take(reports.try_iter(), &mut tell);
                if gone || outcome.is_err() {
                    break;
                }
            }
            drop(first); // no more batches: workers end one after the other
            let rest = steps.take(reports.iter(), &mut tell);
            for thread in threads {
                if let Err(panic) = thread.join() {
                    resume_unwind(panic);
                }
            }
            outcome.and(rest)
        })
    }
}

/// Steps that some modules have made and others not yet.
struct Steps {
    modules: usize,
    open: Vec<(usize, Vec<Option<Work>>)>,
}

impl Steps {
    /// Takes reports as they come, and tells of every step that is whole now. Steps end in order.
    fn take(
        &mut self,
        reports: impl Iterator<Item = Report>,
        tell: &mut impl FnMut(usize, &[Work]) -> Result<()>,
    ) -> Result<()> {
        let mut failed = None;
        for Report { step, module, work } in reports {
            let work = match work {
                Ok(work) => work,
                // Steps that the others still end are told all the same.
                Err(error) => {
                    failed = failed.or(Some(error));
                    continue;
                }
            };
            let index = match self.open.iter().position(|(open, _)| *open == step) {
                Some(index) => index,
                None => {
                    self.open.push((step, vec![None; self.modules]));
                    self.open.len() - 1
                }
            };
            self.open[index].1[module] = Some(work);
            if let Some(all) = self.open[index].1.iter().copied().collect::<Option<Vec<Work>>>() {
                let (step, _) = self.open.remove(index);
                tell(step, &all)?;
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

/// A pool of so many threads; 0: none, the program's is meant.
pub(super) fn pool(threads: usize) -> Result<Option<rayon::ThreadPool>> {
    if threads == 0 {
        return Ok(None);
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map(Some).map_err(|cause| Error::run(format!("cannot start the threads of a worker: {cause}")))
}

struct Worker<'a> {
    module: &'a mut LocalModule,
    incoming: Receiver<ModuleInput>,
    /// `None` of the last module.
    outgoing: Option<SyncSender<ModuleInput>>,
    reports: Sender<Report>,
    queues: &'a Queues,
    begun: &'a StepsStarted,
}

impl Worker<'_> {
    /// Works until there are no more batches, in a pool of so many threads of its own; 0: the program's.
    fn run(self, threads: usize) {
        let (module, reports) = (self.module.index, self.reports.clone());
        match pool(threads) {
            Ok(Some(pool)) => pool.install(|| self.work()),
            Ok(None) => self.work(),
            Err(error) => drop(reports.send(Report { step: 0, module, work: Err(error) })),
        }
    }

    fn work(self) {
        self.module.own_stream().executes(|| self.work_on_stream());
    }

    fn work_on_stream(self) {
        let Self { module, incoming, outgoing, reports, queues, begun } = self;
        let index = module.index;
        let mut idle_since = Instant::now();
        for ModuleInput { step, features, targets, lr, seed } in incoming {
            let taken = Instant::now();
            let queued = queues.0[index].fetch_sub(1, SeqCst) - 1;
            let own = begun.0[index].fetch_add(1, SeqCst) + 1;
            let staleness = begun.0[0].load(SeqCst).saturating_sub(own);
            let result = module.train_step(features, &targets, lr, mix(seed, index as u64));
            let idle = taken.duration_since(idle_since).as_secs_f64();
            let worked = taken.elapsed().as_secs_f64();
            idle_since = Instant::now();
            let (work, output) = match result {
                Ok((output, losses)) => {
                    let busy = worked / (idle + worked).max(1e-9);
                    (Ok(Work { losses, queued, staleness, busy }), Some(output))
                }
                Err(error) => (Err(error), None),
            };
            // The receiver is gone where another module has failed.
            let heard = reports.send(Report { step, module: index, work }).is_ok();
            let Some(features) = output.filter(|_| heard) else { return };
            if let Some(outgoing) = &outgoing {
                queues.0[index + 1].fetch_add(1, SeqCst);
                // What waits for the next module to be free counts as idle.
                if outgoing.send(ModuleInput { step, features, targets, lr, seed }).is_err() {
                    return;
                }
            }
        }
    }
}
