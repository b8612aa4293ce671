use super::*;
use crate::config::defaults_for;
use crate::data::config::{AugmentConfig, DatasetKind};
use crate::data::normalize::Normalization;
use crate::data::scenes::Scenes;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const CROP: Resolution = Resolution { height: 16, width: 24 };

fn scenes_loader(workers: usize, first_step: usize) -> Loader {
    let scenes = Scenes::new(0, "train", 5, Resolution { height: 24, width: 48 });
    let config = AugmentConfig { scale: [0.5, 2.0], ..defaults_for(DatasetKind::Synthetic).augment };
    let pictures = TrainingSet::new(Box::new(scenes), &config, CROP, Normalization::IMAGENET);
    Loader::new(pictures, 3, 7, workers, first_step)
}

/// A loader of `len` 1×1 images; image `i` is labelled `i`.
fn numbers(
    len: usize,
    batch_size: usize,
    workers: usize,
    make: impl Fn(usize) -> Result<()> + Send + Sync + 'static,
) -> Loader {
    let make = move |_: u64, index: usize| {
        make(index).map(|()| TrainSample { input: vec![index as f32; 3], label: vec![index as u16] })
    };
    Loader::start(Box::new(make), len, Resolution { height: 1, width: 1 }, batch_size, 1, workers, 0, 1000)
}

#[test]
fn the_number_of_workers_changes_no_value() {
    let (mut one, mut four) = (scenes_loader(1, 0), scenes_loader(4, 0));
    for step in 0..6 {
        assert_eq!(one.next().unwrap(), four.next().unwrap(), "step {step}");
    }
}

#[test]
fn a_resumed_loader_goes_on_where_it_stopped() {
    let mut whole = scenes_loader(2, 0);
    for _ in 0..4 {
        whole.next().unwrap();
    }
    let mut resumed = scenes_loader(2, 4);
    for _ in 4..8 {
        assert_eq!(resumed.next().unwrap(), whole.next().unwrap());
    }
}

#[test]
fn a_batch_has_its_shape() {
    let batch = scenes_loader(2, 0).next().unwrap();
    assert_eq!((batch.batch, batch.height, batch.width), (3, 16, 24));
    assert_eq!((batch.input.len(), batch.label.len()), (3 * 3 * 16 * 24, 3 * 16 * 24));
}

#[test]
fn every_epoch_shows_every_picture_once_in_its_own_order() {
    let mut loader = numbers(10, 4, 3, |_| Ok(())); // 4 does not divide 10: batches straddle epochs
    let seen: Vec<u16> = (0..10).flat_map(|_| loader.next().unwrap().label).collect();
    let epochs: Vec<&[u16]> = seen.chunks_exact(10).collect();
    for epoch in &epochs {
        assert_eq!(epoch.iter().copied().collect::<BTreeSet<_>>(), (0..10).collect());
    }
    assert_ne!(epochs[0], epochs[1]);
}

#[test]
fn workers_are_at_most_two_batches_ahead() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let mut loader = numbers(100, 4, 8, move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    let settled = |expected: usize| {
        let start = Instant::now();
        while made.load(Ordering::SeqCst) < expected && start.elapsed() < Duration::from_secs(10) {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(30));
        made.load(Ordering::SeqCst)
    };
    assert_eq!(settled(8), 8);
    loader.next().unwrap();
    assert_eq!(settled(12), 12);
}

#[test]
fn an_error_arrives_at_its_place_and_the_next_batch_follows() {
    let mut loader = numbers(6, 2, 3, |index| match index {
        4 => Err(Error::file("bad.png", "cannot be decoded")),
        _ => Ok(()),
    });
    let place = permutation(6, 1, 0).iter().position(|&index| index == 4).unwrap() / 2;
    for batch in 0..3 {
        match loader.next() {
            Err(error) if batch == place => assert_eq!(error.to_string(), "bad.png: cannot be decoded"),
            other => assert!(other.is_ok() && batch != place, "batch {batch}: {other:?}"),
        }
    }
}

#[test]
fn a_panic_in_a_worker_becomes_an_error() {
    let mut loader = numbers(3, 3, 1, |index| {
        assert!(index != 2, "two is too much");
        Ok(())
    });
    let error = loader.next().unwrap_err().to_string();
    assert!(error.contains("picture number 2") && error.contains("two is too much"), "{error}");
    assert!(loader.next().is_err(), "the worker lives on");
}

#[test]
fn dropping_the_loader_ends_its_threads() {
    let start = Instant::now();
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    drop(numbers(1000, 1, 4, move |_| {
        let _held = &held;
        Ok(())
    }));
    assert_eq!(Arc::strong_count(&alive), 1, "no thread holds the closure any more");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn no_pictures_are_an_error() {
    let error = numbers(0, 2, 2, |_| Ok(())).next().unwrap_err().to_string();
    assert!(error.contains("no picture"), "{error}");
}
