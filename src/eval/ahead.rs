//! The one loop of every evaluation: examples in order, in batches, read ahead while the network is at work.

use crate::Result;
use crate::data::loader::panicked;
use rayon::prelude::*;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

/// Calls `on_batch` with what `read` makes of each of `indices`, `batch_size` at a time and in order. The next batch is
/// read on other threads meanwhile. Returns whether the loop came to its end.
///
/// # Errors
/// An error of `read` or `on_batch`; a panic of a decoder is an error of its image.
pub fn for_each_batch<T: Send>(
    indices: &[usize],
    batch_size: usize,
    read: impl Fn(usize) -> Result<T> + Sync,
    mut on_batch: impl FnMut(Vec<T>) -> Result<ControlFlow<()>>,
) -> Result<bool> {
    let guarded = |index: usize| {
        catch_unwind(AssertUnwindSafe(|| read(index))).unwrap_or_else(|panic| Err(panicked(panic.as_ref(), index)))
    };
    std::thread::scope(|scope| {
        let (sender, batches) = mpsc::sync_channel::<Result<Vec<T>>>(1);
        scope.spawn(move || {
            for batch in indices.chunks(batch_size.max(1)) {
                let read = match batch {
                    // Not on rayon's threads, which the network may be using.
                    [index] => guarded(*index).map(|one| vec![one]),
                    several => several.par_iter().map(|&index| guarded(index)).collect(),
                };
                if sender.send(read).is_err() {
                    return;
                }
            }
        });
        for batch in batches {
            if on_batch(batch?)?.is_break() {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn batches_come_in_order_and_the_last_may_be_smaller() {
        let mut seen = Vec::new();
        let indices: Vec<usize> = (0..7).rev().collect();
        let whole = for_each_batch(
            &indices,
            3,
            |index| Ok(10 * index),
            |batch| {
                seen.push(batch);
                Ok(ControlFlow::Continue(()))
            },
        );
        assert!(whole.unwrap());
        assert_eq!(seen, [vec![60, 50, 40], vec![30, 20, 10], vec![0]]);
    }

    #[test]
    fn a_break_an_error_and_a_panic_end_it() {
        let go_on = |_: Vec<usize>| Ok(ControlFlow::Continue(()));
        let all: Vec<usize> = (0..9).collect();
        assert!(!for_each_batch(&all, 1, Ok, |_| Ok(ControlFlow::Break(()))).unwrap());
        let fails = |index| if index == 4 { Err(Error::run("no. 4")) } else { Ok(index) };
        assert!(for_each_batch(&all, 2, fails, go_on).unwrap_err().to_string().contains("no. 4"));
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let panics = |index| if index == 5 { panic!("decoder") } else { Ok(index) };
        let error = for_each_batch(&all, 2, panics, go_on).unwrap_err().to_string();
        std::panic::set_hook(hook);
        assert!(error.contains("decoder"), "{error}");
    }
}
