//! Sums over replicas: every replica hands in as many values, and gets the sum.

use std::collections::HashMap;
use std::fmt;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// One of several replicas that compute the same at the same time, each on a thread of its own, and make sums in the same
/// order. Sums are made through the host's memory, in the order of the replicas: the same on all, and the same each time.
#[derive(Clone)]
pub struct Rank {
    group: Arc<Group>,
    rank: usize,
    /// Sums that this replica has asked for.
    asked: Arc<AtomicU64>,
}

impl fmt::Debug for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "replica {} of {}", self.rank + 1, self.number())
    }
}

struct Group {
    number: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    open: HashMap<u64, Sum>,
    broken: bool,
}

struct Sum {
    parts: Vec<Option<Arc<Vec<f32>>>>,
    fetched: usize,
}

/// What a replica panics with where another one has failed: the other's failure is the one to tell.
pub struct Abandoned;

/// A sum that was asked for and may not be there yet.
#[must_use]
pub struct Pending {
    ticket: u64,
    rank: Rank,
}

impl Rank {
    /// The ranks of `number` replicas, in order.
    pub fn group(number: usize) -> Vec<Self> {
        let group = Arc::new(Group { number, state: Mutex::default(), changed: Condvar::new() });
        (0..number).map(|rank| Self { group: Arc::clone(&group), rank, asked: Arc::default() }).collect()
    }

    /// Number of replicas.
    pub fn number(&self) -> usize {
        self.group.number
    }

    /// Hands values in, and does not wait for the others.
    pub fn begin_sum(&self, values: Vec<f32>) -> Pending {
        let ticket = self.asked.fetch_add(1, Relaxed);
        let mut state = self.group.lock();
        let sum = state.open.entry(ticket).or_insert_with(|| Sum { parts: vec![None; self.group.number], fetched: 0 });
        sum.parts[self.rank] = Some(Arc::new(values));
        drop(state);
        self.group.changed.notify_all();
        Pending { ticket, rank: self.clone() }
    }

    /// The sum of all replicas' values; waits for theirs.
    ///
    /// # Panics
    /// With [`Abandoned`] where another replica has failed.
    pub fn sum(&self, values: Vec<f32>) -> Vec<f32> {
        self.begin_sum(values).wait()
    }

    /// Ends the waiting of all: this replica will hand in nothing more.
    pub fn abandon(&self) {
        self.group.lock().broken = true;
        self.group.changed.notify_all();
    }
}

impl Group {
    /// Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// See [`Rank::sum`].
    ///
    /// # Panics
    /// With [`Abandoned`] where another replica has failed.
    pub fn wait(self) -> Vec<f32> {
        let group = &self.rank.group;
        let mut state = group.lock();
        let parts: Vec<Arc<Vec<f32>>> = loop {
            let sum = state.open.get_mut(&self.ticket).expect("a sum is there until all have fetched it");
            if let Some(parts) = sum.parts.iter().cloned().collect::<Option<Vec<_>>>() {
                sum.fetched += 1;
                if sum.fetched == group.number {
                    state.open.remove(&self.ticket);
                }
                break parts;
            }
            if state.broken {
                drop(state);
                resume_unwind(Box::new(Abandoned));
            }
            state = group.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        drop(state);
        let mut sum = parts[0].to_vec();
        for part in &parts[1..] {
            sum.iter_mut().zip(part.iter()).for_each(|(sum, value)| *sum += value);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread;

    #[test]
    fn sums_are_the_same_for_all_and_may_be_fetched_late() {
        let sums: Vec<Vec<f32>> = thread::scope(|scope| {
            let work = |rank: Rank| {
                scope.spawn(move || {
                    let own = rank.rank as f32;
                    let late = rank.begin_sum(vec![own, 1.0]);
                    let soon = rank.sum(vec![10.0 * own]);
                    [late.wait(), soon].concat()
                })
            };
            let threads: Vec<_> = Rank::group(3).into_iter().map(work).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(sums, vec![vec![3.0, 3.0, 30.0]; 3]);
    }

    #[test]
    fn nobody_waits_for_a_replica_that_has_failed() {
        let mut ranks = Rank::group(2);
        let (last, first) = (ranks.pop().unwrap(), ranks.pop().unwrap());
        thread::scope(|scope| {
            let waiting = scope.spawn(move || catch_unwind(AssertUnwindSafe(|| first.sum(vec![1.0]))));
            last.abandon();
            assert!(waiting.join().unwrap().unwrap_err().is::<Abandoned>());
        });
    }
}
