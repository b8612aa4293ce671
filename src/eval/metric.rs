//! The one loop of every evaluation, and what it needs of a task.

use super::ahead::for_each_batch;
use crate::Result;
use crate::data::{Dataset, Example};
use ndarray::Array2;
use std::ops::ControlFlow;

/// An example as an evaluation reads it, ahead of the network.
#[derive(Debug, Clone)]
pub struct Read {
    /// Image and truth.
    pub example: Example,
    /// Instance ids `[height, width]`, where the metric counts instances and the dataset has them.
    pub instances: Option<Array2<u16>>,
    /// Normalised input `[3, height, width]`; empty where the metric makes it of the image.
    pub input: Vec<f32>,
}

/// Reads an example of a dataset; called on other threads than the network's.
pub type Reader = Box<dyn Fn(&dyn Dataset, usize) -> Result<Read> + Send + Sync>;

/// Counts what networks say of images against the truth. One for each task, and for each question beyond scores: what runs
/// differ on, what probes know.
pub trait Metric {
    /// Images that the network sees at once.
    fn batch_size(&self) -> usize {
        1
    }

    /// How an example is read.
    fn reader(&self) -> Reader {
        Box::new(|dataset, index| {
            let example = dataset.example(index)?;
            Ok(Read { example, instances: None, input: Vec::new() })
        })
    }

    /// Predicts these examples and counts; they come in order.
    ///
    /// # Errors
    /// Scores that are not finite, an image without pixels.
    fn add(&mut self, batch: Vec<Read>) -> Result<()>;

    /// Images counted.
    fn images(&self) -> usize;

    /// The scores so far, in a few words; empty where there are none yet.
    fn so_far(&self) -> String {
        String::new()
    }
}

/// Counts every example of `dataset`. `on_batch` sees what has been counted after each batch, and may break off; returns
/// whether every example was counted.
///
/// ```
/// use burn::tensor::Device;
/// use infoseg::config::{DatasetKind, defaults_for};
/// use infoseg::data::scenes::Scenes;
/// use infoseg::eval::{Predictor, Protocol, SegmentationMetric, TestTime, evaluate};
/// use infoseg::local::LocalNetwork;
/// use infoseg::size::Resolution;
/// use std::ops::ControlFlow;
///
/// let device = Device::flex();
/// let network = LocalNetwork::new(&defaults_for(DatasetKind::Synthetic).spec(), 19, &device)?;
/// let scenes = Scenes::new(0, "val", 1, Resolution { height: 32, width: 64 });
/// let predictor = Predictor::of(&network, &device);
/// let mut metric = SegmentationMetric::new(&predictor, &scenes, Protocol::only(TestTime::default()));
/// evaluate(&mut metric, &scenes, |_| ControlFlow::Continue(()))?;
/// assert!(metric.evaluations[0].scores().miou < 0.5, "it has learned nothing yet");
/// # Ok::<(), infoseg::Error>(())
/// ```
///
/// # Errors
/// An example that cannot be read; those of [`Metric::add`].
pub fn evaluate<M: Metric + ?Sized>(
    metric: &mut M,
    dataset: &dyn Dataset,
    on_batch: impl FnMut(&M) -> ControlFlow<()>,
) -> Result<bool> {
    let all: Vec<usize> = (0..dataset.len()).collect();
    evaluate_some(metric, dataset, &all, on_batch)
}

/// Like [`evaluate`], but only counts these examples.
///
/// # Errors
/// See [`evaluate`].
pub fn evaluate_some<M: Metric + ?Sized>(
    metric: &mut M,
    dataset: &dyn Dataset,
    indices: &[usize],
    mut on_batch: impl FnMut(&M) -> ControlFlow<()>,
) -> Result<bool> {
    let read = metric.reader();
    for_each_batch(
        indices,
        metric.batch_size(),
        |index| read(dataset, index),
        |batch| {
            metric.add(batch)?;
            Ok(on_batch(metric))
        },
    )
}
