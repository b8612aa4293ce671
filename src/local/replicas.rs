//! Data parallelism: a whole network on each of several devices, each on its part of the batch.
//!
//! A module's gradients are handed in as soon as its backward is done, and its weights move when the sum over all replicas
//! is there, which is looked at after the next module's turn: no replica waits for a slower one meanwhile. Shares
//! of the losses add up to the whole batch's (see [`super::step`]), so that gradients are added, not averaged: with BatchNorm's
//! statistics in common the replicas are one network on the whole batch.

use super::module::{Losses, ModuleNet};
use super::network::{LocalNetwork, in_precision};
use super::pipeline::{Job, pool};
use crate::net::Replica;
use crate::ops::{Abandoned, Pending, Rank};
use crate::rng::mix;
use crate::{Error, Result, ops};
use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::distributed::{CollectiveTensor, ReduceOperation, all_reduce};
use burn::tensor::{Device, Tensor, TensorData};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;

/// How replicas work together.
#[derive(Debug, Clone)]
pub struct Replicated {
    /// Whether BatchNorm's statistics are those of all replicas' batches.
    pub sync_bn: bool,
    /// Threads of each replica's own pool on a CPU; 0: all share the program's.
    pub threads: usize,
    /// Devices that add gradients up among themselves, by the framework's own collective; empty: through the host.
    pub collective: Vec<Device>,
}

/// Trains replicas of one network on every job, each on as many of its images; all end with the same weights. `tell` gets
/// the losses of the whole batch.
///
/// # Errors
/// The first of a loss that is not finite, a thread that cannot start, and what `tell` returns.
pub fn train(
    replicas: Vec<&mut LocalNetwork>,
    together: &Replicated,
    jobs: impl Iterator<Item = Job>,
    mut tell: impl FnMut(usize, &[Losses]) -> Result<()>,
) -> Result<()> {
    let ranks = Rank::group(replicas.len());
    let number = replicas.len();
    thread::scope(|scope| {
        let (reports_in, reports) = mpsc::channel::<Report>();
        let mut inboxes = Vec::with_capacity(number);
        let mut threads = Vec::with_capacity(number);
        for (index, (network, rank)) in replicas.into_iter().zip(ranks).enumerate() {
            let (inbox, incoming) = mpsc::sync_channel::<Arc<Job>>(1);
            inboxes.push(inbox);
            let reports = reports_in.clone();
            let work = move || {
                // However it ends, no other replica waits for it any more.
                let _leaving = Leaving(rank.clone(), reports.clone());
                let mut worker = Worker { network, rank, index, together };
                let stream = worker.network.modules[0].own_stream();
                let work = || {
                    stream.executes(|| {
                        for job in incoming {
                            let made = worker.step(&job);
                            let failed = made.is_err();
                            if reports.send(Some(made)).is_err() || failed {
                                return;
                            }
                        }
                    });
                };
                match pool(together.threads) {
                    Ok(Some(pool)) => pool.install(work),
                    Ok(None) => work(),
                    Err(error) => drop(reports.send(Some(Err(error)))),
                }
            };
            let thread = thread::Builder::new().name(format!("replica {}", index + 1)).spawn_scoped(scope, work);
            threads.push(thread.map_err(|cause| Error::run(format!("cannot start a replica: {cause}")))?);
        }
        drop(reports_in);
        let mut outcome = Ok(());
        'jobs: for job in jobs {
            let (step, job) = (job.step, Arc::new(job));
            for inbox in &inboxes {
                // Refused where the replica is gone: the reports say why.
                let _ = inbox.send(Arc::clone(&job));
            }
            drop(job);
            let mut sum: Option<Vec<Losses>> = None;
            for _ in 0..number {
                match reports.recv() {
                    Ok(Some(Ok(losses))) => sum = Some(sum.map_or(losses.clone(), |sum| added(&sum, &losses))),
                    Ok(Some(Err(error))) => {
                        outcome = Err(error);
                        break 'jobs;
                    }
                    // One has left without a word: it panicked, or gave up because of another, whose words may come yet.
                    Ok(None) | Err(_) => break 'jobs,
                }
            }
            outcome = sum.map_or(Ok(()), |losses| tell(step, &losses));
            if outcome.is_err() {
                break;
            }
        }
        drop(inboxes);
        for panic in threads.into_iter().filter_map(|thread| thread.join().err()) {
            // One that gave up because of another is not the one to tell of.
            if !panic.is::<Abandoned>() {
                resume_unwind(panic);
            }
        }
        outcome.and_then(|()| reports.try_iter().flatten().find_map(Result::err).map_or(Ok(()), Err))
    })
}

fn added(a: &[Losses], b: &[Losses]) -> Vec<Losses> {
    let add = |(a, b): (&Losses, &Losses)| Losses {
        reconstruction: a.reconstruction.zip(b.reconstruction).map(|(a, b)| a + b),
        task: a.task + b.task,
        total: a.total + b.total,
    };
    a.iter().zip(b).map(add).collect()
}

/// What a replica has to say of a step; `None` once it has left.
type Report = Option<Result<Vec<Losses>>>;

/// Tells the other replicas, and the reader of the reports, that a replica leaves.
struct Leaving(Rank, Sender<Report>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.abandon();
        let _ = self.1.send(None);
    }
}

struct Worker<'a> {
    network: &'a mut LocalNetwork,
    rank: Rank,
    index: usize,
    together: &'a Replicated,
}

impl Worker<'_> {
    fn step(&mut self, job: &Job) -> Result<Vec<Losses>> {
        let [batch, ..] = job.input.dims();
        let number = self.rank.number();
        let part = self.index * batch / number..(self.index + 1) * batch / number;
        let device = self.network.modules[0].device().clone();
        let input = ops::moved(job.input.clone().slice([part.clone()]), &device);
        let mut features = in_precision(input, self.network.precision);
        let targets = job.targets.part(part.clone()).on(&device, true);
        let sync = (self.together.sync_bn && number > 1).then(|| self.rank.clone());
        let replica = Replica { others: [part.start, batch - part.end], sync };
        let mut losses = Vec::with_capacity(self.network.modules.len());
        let mut waiting: Option<(usize, Summing)> = None;
        for index in 0..self.network.modules.len() {
            let module = &mut self.network.modules[index];
            module.replica = replica.clone();
            let share = module.share(&job.targets.label_host, part.clone(), batch);
            let seed = mix(job.seed, index as u64);
            let (output, own, gradients) = module.backward_watched(features, &targets, seed, Some(share), &mut |_| ());
            let own = own.read();
            self.agree(own.total.is_finite());
            let module = &self.network.modules[index];
            module.check_loss(&own, job.lr)?;
            let summing = self.begin(index, gradients);
            // The module before has had this one's whole turn to be summed in.
            if let Some((before, summing)) = waiting.replace((index, summing)) {
                self.finish(before, summing, job.lr);
            }
            features = output;
            losses.push(own);
        }
        if let Some((last, summing)) = waiting {
            self.finish(last, summing, job.lr);
        }
        Ok(losses)
    }

    /// Before a sum among devices, which no replica can leave once others have begun it: all losses are to be finite.
    fn agree(&self, finite: bool) {
        if !self.together.collective.is_empty() && self.rank.sum(vec![f32::from(u8::from(!finite))])[0] > 0.0 && finite
        {
            resume_unwind(Box::new(Abandoned));
        }
    }

    fn begin(&self, module: usize, gradients: GradientsParams) -> Summing {
        let net = self.network.modules[module].net();
        if self.together.collective.is_empty() {
            let mut flat = Flatten { gradients: &gradients, values: Vec::new() };
            net.visit(&mut flat);
            return Summing::Host(self.rank.begin_sum(flat.values), gradients);
        }
        let mut reduce = Reduce { gradients, devices: &self.together.collective, begun: Vec::new() };
        net.visit(&mut reduce);
        Summing::Devices(reduce.begun)
    }

    fn finish(&mut self, module: usize, summing: Summing, lr: f64) {
        let net: &ModuleNet = self.network.modules[module].net();
        let gradients = match summing {
            Summing::Host(pending, own) => {
                let mut unflatten = Unflatten { own, values: &pending.wait(), at: 0, sums: GradientsParams::new() };
                net.visit(&mut unflatten);
                unflatten.sums
            }
            Summing::Devices(begun) => {
                let mut resolve = Resolve { begun, sums: GradientsParams::new() };
                net.visit(&mut resolve);
                resolve.sums
            }
        };
        self.network.modules[module].update(lr, gradients);
    }
}

/// Gradients of a module on their way to the sum over all replicas.
enum Summing {
    Host(Pending, GradientsParams),
    Devices(Vec<(ParamId, CollectiveTensor<1>)>),
}

/// All gradients of a module in the order of its parameters, which is the same in every replica.
struct Flatten<'a> {
    gradients: &'a GradientsParams,
    values: Vec<f32>,
}

impl ModuleVisitor for Flatten<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.values.extend(gradient.into_data().iter::<f32>());
        }
    }
}

struct Unflatten<'a> {
    own: GradientsParams,
    values: &'a [f32],
    at: usize,
    sums: GradientsParams,
}

impl ModuleVisitor for Unflatten<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(own) = self.own.remove::<D>(param.id) {
            let dims = own.dims();
            let values = self.values[self.at..self.at + dims.iter().product::<usize>()].to_vec();
            self.at += values.len();
            self.sums.register(param.id, Tensor::<D>::from_data(TensorData::new(values, dims), &own.device()));
        }
    }
}

struct Reduce<'a> {
    gradients: GradientsParams,
    devices: &'a [Device],
    begun: Vec<(ParamId, CollectiveTensor<1>)>,
}

impl ModuleVisitor for Reduce<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            let number = gradient.dims().iter().product::<usize>();
            let sum = all_reduce(gradient.reshape([number]), ReduceOperation::Sum, self.devices.to_vec());
            self.begun.push((param.id, sum));
        }
    }
}

struct Resolve {
    begun: Vec<(ParamId, CollectiveTensor<1>)>,
    sums: GradientsParams,
}

impl ModuleVisitor for Resolve {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(at) = self.begun.iter().position(|(id, _)| *id == param.id) {
            let (id, sum) = self.begun.swap_remove(at);
            self.sums.register(id, sum.resolve().reshape(param.dims()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::tests::{batch_of, tiny, weights};

    fn trained(replicas: usize, batch: usize, sync_bn: bool) -> (Vec<Vec<f32>>, Vec<f32>) {
        let mut config = tiny(2);
        config.model.dropout = 0.3;
        let device = Device::flex().autodiff();
        let new = || LocalNetwork::new(&config.spec(), 4, &device).unwrap();
        let mut networks: Vec<LocalNetwork> = (0..replicas).map(|_| new()).collect();
        let jobs = (0..3).map(|step| {
            let (input, targets) = batch_of(batch);
            Job { step, input, targets, lr: 0.05, seed: step as u64 }
        });
        let together = Replicated { sync_bn, threads: 1, collective: Vec::new() };
        let mut totals = Vec::new();
        let tell = |_: usize, losses: &[Losses]| {
            totals.extend(losses.iter().map(|losses| losses.total));
            Ok(())
        };
        train(networks.iter_mut().collect(), &together, jobs, tell).unwrap();
        let weights = |network: &LocalNetwork| network.modules.iter().flat_map(|m| weights(m.net())).collect();
        (networks.iter().map(weights).collect(), totals)
    }

    fn furthest(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn replicas_are_one_network_on_the_whole_batch() {
        let (one, losses) = trained(1, 4, true);
        for number in [2, 4] {
            let (many, summed) = trained(number, 4, true);
            assert!(many.iter().all(|weights| *weights == many[0]), "all replicas have the same weights");
            let off = furthest(&one[0], &many[0]);
            assert!(off < 1e-5, "{number} replicas: a weight or statistic is off by {off}");
            assert!(furthest(&losses, &summed) < 1e-5);
        }
        let (apart, _) = trained(2, 4, false);
        assert!(furthest(&one[0], &apart[0]) > 1e-4, "without SyncBN each has statistics of its own");
    }

    #[test]
    fn a_replica_that_panics_after_the_others_are_done_is_not_waited_for() {
        let device = Device::flex().autodiff();
        // The second has one class more, and so looks for more sums than there are: while it moves its weights.
        let mut networks: Vec<LocalNetwork> =
            [4, 5].map(|classes| LocalNetwork::new(&tiny(2).spec(), classes, &device).unwrap()).into();
        let jobs = (0..3).map(|step| {
            let (input, targets) = batch_of(2);
            Job { step, input, targets, lr: 0.05, seed: 0 }
        });
        let together = Replicated { sync_bn: false, threads: 1, collective: Vec::new() };
        let trained = || train(networks.iter_mut().collect(), &together, jobs, |_, _| Ok(()));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(trained)).is_err());
    }

    #[test]
    fn a_replica_s_failure_ends_all() {
        let device = Device::flex().autodiff();
        let mut networks: Vec<LocalNetwork> =
            (0..2).map(|_| LocalNetwork::new(&tiny(2).spec(), 4, &device).unwrap()).collect();
        let jobs = (0..30).map(|step| {
            let (input, targets) = batch_of(2);
            Job { step, input, targets, lr: 1e30, seed: 0 }
        });
        let together = Replicated { sync_bn: true, threads: 1, collective: Vec::new() };
        let error = train(networks.iter_mut().collect(), &together, jobs, |_, _| Ok(())).unwrap_err().to_string();
        assert!(error.contains("lower optim.lr"), "{error}");
    }
}
