//! What the probes have learned, on images that neither they nor the network were trained on.

use super::{Probed, Settings};
use crate::config::RunConfig;
use crate::data::Dataset;
use crate::data::check::Colours;
use crate::data::classes::augment::ClassAugment;
use crate::data::normalize::{Normalization, normalize};
use crate::eval::inference::finite;
use crate::eval::scores::Confusion;
use crate::eval::{Metric, Read, Reader, Verdict, evaluate_some, ids_of};
use crate::local::Targets;
use crate::ops;
use crate::render::drawn::tile;
use crate::render::overlay::picture;
use crate::task::ClassSet;
use crate::{Error, Result};
use burn::tensor::{Tensor, TensorData, activation};
use image::RgbImage;
use ndarray::Array3;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Images of classification that are scored at once.
const BATCH: usize = 50;

/// What the probes behind one block can tell.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockScore {
    /// The block's name.
    pub name: String,
    /// Whether a local module ends with it that is not the last.
    pub ends_module: bool,
    /// Root of the mean squared error of the drawn images, in grey levels of 0..=255: the less, the larger I(h, x).
    pub reconstruction_error: f64,
    /// Their binary cross-entropy, in nats a value: what the decoder minimises.
    pub reconstruction_loss: f64,
    /// Share of images, or of labelled pixels, that are told right: the more, the larger I(h, y).
    pub accuracy: f64,
    /// Mean IoU, as `segeval` counts it; `None` for classification.
    pub miou: Option<f64>,
}

/// What can be told without looking at the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Baseline {
    /// Error of the one color that is nearest to all pixels.
    pub reconstruction_error: f64,
    /// Accuracy of always saying the most frequent class.
    pub accuracy: f64,
    /// Its mean IoU.
    pub miou: Option<f64>,
}

/// Scores of one run's probes.
#[derive(Debug, Clone)]
pub struct Scored {
    /// One entry for each probed block, in order.
    pub blocks: Vec<BlockScore>,
    /// Without the image.
    pub baseline: Baseline,
    /// Images scored.
    pub pictures: usize,
    /// A few images, and what the probe of each block draws of them, small.
    pub drawn: Vec<(RgbImage, Vec<RgbImage>)>,
}

/// Images of one size: bytes `[height, width, 3]` and network inputs, and their labels as [`Targets`] take them.
struct Batch {
    images: Vec<Array3<u8>>,
    inputs: Vec<f32>,
    label: Vec<u16>,
    size: [usize; 2],
}

/// Sums of one block.
struct Sums {
    squares: f64,
    loss: f64,
    right: u64,
    /// For segmentation.
    confusion: Option<Confusion>,
}

impl Sums {
    fn new(classes: Option<&Arc<ClassSet>>) -> Self {
        let confusion = classes.map(|classes| Confusion::new(Arc::clone(classes)));
        Self { squares: 0.0, loss: 0.0, right: 0, confusion }
    }
}

/// Sums over pixels and labels, whatever the block.
#[derive(Default)]
struct Seen {
    values: f64,
    colours: Colours,
    labels: Vec<u64>,
}

impl Seen {
    fn add(&mut self, batch: &Batch, num_classes: usize) {
        self.labels.resize(num_classes, 0);
        for image in &batch.images {
            self.colours.add(Colours::of(image));
        }
        self.values += (3 * batch.images.len() * batch.size[0] * batch.size[1]) as f64;
        for &class in &batch.label {
            if let Some(count) = self.labels.get_mut(usize::from(class)) {
                *count += 1;
            }
        }
    }

    fn labelled(&self) -> f64 {
        self.labels.iter().sum::<u64>().max(1) as f64
    }

    fn baseline(&self, segmentation: bool) -> Baseline {
        let colours = self.colours.mean_and_std().unwrap_or_default();
        let accuracy = self.labels.iter().copied().max().unwrap_or(0) as f64 / self.labelled();
        let present = self.labels.iter().filter(|&&count| count > 0).count().max(1);
        Baseline {
            reconstruction_error: (colours.iter().map(|(_, std)| std * std).sum::<f64>() / 3.0).sqrt(),
            accuracy,
            // All of the class is found, with everything else; nothing of the others.
            miou: segmentation.then(|| accuracy / present as f64),
        }
    }
}

impl Probed {
    /// Scores every probe on images of the validation split, drawn by the seed; `drawn` of them are kept with what each probe
    /// draws of them. `on_pictures` hears how many are done, and of how many.
    ///
    /// # Errors
    /// An image that cannot be read; probes whose outputs are not finite.
    pub fn score(
        &mut self,
        val: &dyn Dataset,
        config: &RunConfig,
        settings: &Settings,
        drawn: usize,
        mut on_pictures: impl FnMut(usize, usize),
    ) -> Result<Scored> {
        let normalization = config.data.dataset.normalization();
        let count = settings.pictures.min(val.len());
        // Drawn, not every so many-th: datasets are often in order of classes, or of frames.
        let mut all: Vec<usize> = (0..val.len()).collect();
        let (indices, _) = all.partial_shuffle(&mut ChaCha8Rng::seed_from_u64(settings.seed), count);
        indices.sort_unstable();
        let segmentation = val.task().is_dense();
        let augment = ClassAugment::of(&config.augment, config.train.resolution, normalization);
        let probes = self.blocks.iter().filter(|probing| probing.probe.is_some()).count();
        let sums = std::iter::repeat_with(|| Sums::new(segmentation.then(|| val.classes()))).take(probes).collect();
        let (seen, kept) = (Seen::default(), Vec::new());
        let mut metric = ProbeMetric {
            probed: self,
            settings,
            normalization,
            augment,
            segmentation,
            drawn,
            sums,
            seen,
            kept,
            done: 0,
        };
        evaluate_some(&mut metric, val, indices, |metric| {
            on_pictures(metric.done, count);
            ControlFlow::Continue(())
        })?;
        let ProbeMetric { sums, seen, kept, .. } = metric;
        let probed = self.blocks.iter().filter(|probing| probing.probe.is_some());
        let blocks: Vec<BlockScore> = probed
            .zip(&sums)
            .map(|(probing, sums)| {
                let scores = sums.confusion.as_ref().map(Confusion::scores);
                BlockScore {
                    name: probing.name.clone(),
                    ends_module: probing.ends_module,
                    reconstruction_error: 255.0 * (sums.squares / seen.values).sqrt(),
                    reconstruction_loss: sums.loss / seen.values,
                    accuracy: scores
                        .as_ref()
                        .map_or_else(|| sums.right as f64 / seen.labelled(), |scores| scores.pixel_accuracy),
                    miou: scores.map(|scores| scores.miou),
                }
            })
            .collect();
        match blocks.iter().find(|block| !block.reconstruction_loss.is_finite()) {
            Some(block) => Err(diverged("decoder", &block.name, settings)),
            None => Ok(Scored { blocks, baseline: seen.baseline(segmentation), pictures: count, drawn: kept }),
        }
    }
}

fn diverged(probe: &str, block: &str, settings: &Settings) -> Error {
    Error::run(format!("the {probe} behind {block} has diverged; probe with a smaller --lr (now {})", settings.lr))
}

/// Counts what every probe says of the same images.
struct ProbeMetric<'a> {
    probed: &'a mut Probed,
    settings: &'a Settings,
    normalization: Normalization,
    augment: ClassAugment,
    segmentation: bool,
    /// Images kept with what each probe draws of them.
    drawn: usize,
    sums: Vec<Sums>,
    seen: Seen,
    kept: Vec<(RgbImage, Vec<RgbImage>)>,
    done: usize,
}

impl Metric for ProbeMetric<'_> {
    fn batch_size(&self) -> usize {
        if self.segmentation { 1 } else { BATCH }
    }

    /// The whole image with its map of classes, or the view of it that classification networks see.
    fn reader(&self) -> Reader {
        let (augment, normalization, whole) = (self.augment.clone(), self.normalization, self.segmentation);
        Box::new(move |dataset, index| {
            let mut example = dataset.example(index)?;
            if !whole {
                example.image = augment.view(&example)?;
            }
            Ok(Read { input: normalize(&example.image, normalization), example, instances: None })
        })
    }

    fn add(&mut self, examples: Vec<Read>) -> Result<()> {
        let mut batch = Batch::of(examples);
        let number = batch.images.len();
        self.seen.add(&batch, self.probed.num_classes);
        let (kept, sums) = (&mut self.kept, &mut self.sums);
        let keep = self.drawn.saturating_sub(kept.len()).min(number);
        let first_kept = kept.len();
        kept.extend(batch.images[..keep].iter().map(|image| (tile(picture(image.view())), Vec::new())));
        let [height, width] = batch.size;
        let shape = [number, 3, height, width];
        let input = Tensor::from_data(TensorData::new(std::mem::take(&mut batch.inputs), shape), &self.probed.device);
        let targets = Targets::new(&input, self.normalization, batch.label.clone(), &self.probed.device);
        let (mut of_blocks, settings) = (sums.iter_mut(), self.settings);
        self.probed.forward(input, |probing, features| {
            let (Some((probe, _)), Some(sums)) = (&probing.probe, of_blocks.next()) else { return Ok(()) };
            let (logits, scores) = probe.outputs(features.clone(), batch.size);
            let values = (3 * number * height * width) as f64;
            let loss = ops::bce_with_logits(logits.clone(), targets.image.clone());
            let image = activation::sigmoid(logits);
            let squares = (image.clone() - targets.image.clone()).powf_scalar(2.0).mean();
            let read: Vec<f64> = Tensor::cat(vec![loss, squares], 0).into_data().iter::<f64>().collect();
            sums.loss += read[0] * values;
            sums.squares += read[1] * values;
            for (i, (_, of_picture)) in kept[first_kept..].iter_mut().enumerate() {
                of_picture.push(tile(drawn_picture(image.clone().narrow(0, i, 1))));
            }
            count_right(sums, scores, &batch).map_err(|_| diverged("classifier", &probing.name, settings))?;
            Ok(())
        })?;
        self.done += number;
        Ok(())
    }

    fn images(&self) -> usize {
        self.done
    }
}

impl Batch {
    /// Images of one size.
    fn of(examples: Vec<Read>) -> Self {
        let (height, width, _) = examples.first().map_or((0, 0, 3), |read| read.example.image.dim());
        let mut batch = Self { images: vec![], inputs: vec![], label: vec![], size: [height, width] };
        for Read { example, input, .. } in examples {
            batch.label.extend(example.label.iter().copied());
            batch.images.push(example.image);
            batch.inputs.extend(input);
        }
        batch
    }
}

/// `scores`: `[batch, classes, h, w]`.
fn count_right(sums: &mut Sums, scores: Tensor<4>, batch: &Batch) -> Result<()> {
    if let Some(confusion) = &mut sums.confusion {
        let ids = ids_of(scores, batch.size)?;
        confusion.add(&batch.label, &ids.into_raw_vec_and_offset().0);
        return Ok(());
    }
    let [_, classes, _, _] = scores.dims();
    let scores = finite(scores)?;
    for (scores, &truth) in scores.chunks_exact(classes).zip(&batch.label) {
        sums.right += u64::from(Verdict::new("", truth, scores).top.first() == Some(&truth));
    }
    Ok(())
}

/// `[1, 3, height, width]` in 0..=1.
fn drawn_picture(image: Tensor<4>) -> RgbImage {
    let [_, _, height, width] = image.dims();
    let values: Vec<f32> = image.into_data().iter::<f32>().collect();
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let at = y as usize * width + x as usize;
        image::Rgb([0, 1, 2].map(|channel| (255.0 * values[channel * height * width + at]).round() as u8))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_baseline_is_as_by_hand() {
        let mut seen = Seen::default();
        let image = Array3::from_shape_vec((1, 2, 3), vec![0, 10, 20, 100, 10, 20]).unwrap();
        let batch = Batch { images: vec![image], inputs: vec![], label: vec![3, 3, 1, 255], size: [1, 2] };
        seen.add(&batch, 19);
        let baseline = seen.baseline(true);
        // Red is 50 off at both pixels, the other colors are right.
        assert!((baseline.reconstruction_error - (2500.0f64 / 3.0).sqrt()).abs() < 1e-9);
        assert!((baseline.accuracy - 2.0 / 3.0).abs() < 1e-12);
        assert!((baseline.miou.unwrap() - 1.0 / 3.0).abs() < 1e-12, "of two classes one has IoU 2/3, the other 0");
        assert_eq!(seen.baseline(false).miou, None);
    }
}
