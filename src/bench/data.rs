//! `segbench data`: training images that one thread decodes and augments, and what the loader's threads deliver.

use crate::Result;
use crate::config::RunConfig;
use crate::data::loader::Loader;
use crate::data::training_set::TrainingSet;
use serde::Serialize;
use std::time::Instant;

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// Always `infoseg`.
    pub program: String,
    /// Always `data`.
    pub bench: String,
    /// Height and width of a crop.
    pub crop: [usize; 2],
    /// Images made for each figure.
    pub pairs: usize,
    /// Images a second on one thread.
    pub pairs_per_second: f64,
    /// Threads of the loader.
    pub workers: usize,
    /// Images a second of the loader.
    pub loader_pairs_per_second: f64,
    /// Most bytes that the loader's batches and images under way took.
    pub loader_bytes: u64,
}

/// Makes `count` images in either way.
///
/// # Errors
/// The dataset cannot be read.
pub fn measure(config: &RunConfig, count: usize) -> Result<Measured> {
    let train = crate::data::open(&config.data, &config.data.train_split)?;
    let normalization = config.data.dataset.normalization();
    let pictures = TrainingSet::new(train, &config.augment, config.train.resolution, normalization);
    // Once over the files before: the disk is not what is measured.
    for index in 0..pictures.len().min(count) {
        pictures.sample(config.seed, 0, index)?;
    }
    let start = Instant::now();
    for number in 0..count {
        pictures.sample(config.seed, 1 + (number / pictures.len()) as u64, number % pictures.len())?;
    }
    let pairs_per_second = count as f64 / start.elapsed().as_secs_f64();

    let batch = config.train.batch_size;
    let batches = count.div_ceil(batch);
    let before = crate::memory::counting::live();
    crate::memory::counting::reset_peak();
    let mut loader = Loader::new(pictures, batch, config.seed, config.data.workers, 0);
    loader.next()?; // the threads have started
    let start = Instant::now();
    for _ in 0..batches {
        loader.next()?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let crop = config.train.resolution;
    Ok(Measured {
        program: "infoseg".into(),
        bench: "data".into(),
        crop: [crop.height, crop.width],
        pairs: count,
        pairs_per_second,
        workers: config.data.workers,
        loader_pairs_per_second: (batches * batch) as f64 / seconds,
        loader_bytes: crate::memory::counting::peak().saturating_sub(before) as u64,
    })
}
