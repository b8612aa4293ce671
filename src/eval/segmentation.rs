//! Scores of networks that say a class of each pixel.

use super::inference::Predictor;
use super::instances::InstanceTally;
use super::metric::{Metric, Read, Reader};
use super::report::Report;
use super::scores::{Confusion, Scores};
use super::test_time::Protocol;
use crate::Result;
use crate::data::{Dataset, Example};
use crate::task::ClassSet;
use ndarray::Array2;
use std::sync::Arc;

/// What came out of an evaluation.
#[derive(Debug)]
pub struct Evaluation {
    /// Summed over all images.
    pub confusion: Confusion,
    /// Summed over all images that have instance ids.
    pub instances: InstanceTally,
    /// Number of images.
    pub images: usize,
    /// Number of images that have instance ids.
    pub images_with_instances: usize,
    /// Scores of each image by itself, in their order; of predictions made elsewhere there are none.
    pub pictures: Vec<PictureScores>,
}

/// What one image alone scores, in 0..=1.
#[derive(Debug, Clone)]
pub struct PictureScores {
    /// Place of the image in its split.
    pub index: usize,
    /// Mean over the classes in its truth or prediction; NaN where nothing is labelled.
    pub miou: f64,
    /// IoU of each class; `None` for a class in neither.
    pub class_iou: Vec<Option<f64>>,
    /// Share of labelled pixels that are right; NaN where nothing is labelled.
    pub pixel_accuracy: f64,
}

/// Called with each example and its prediction by the first protocol, in order.
pub type OnPrediction<'a> = Box<dyn FnMut(&Example, &Array2<u8>) -> Result<()> + 'a>;

/// Counts predictions of a network that says a class of each pixel, once for each protocol.
pub struct SegmentationMetric<'a> {
    /// One for each protocol.
    pub evaluations: Vec<Evaluation>,
    predictor: &'a Predictor,
    protocols: Vec<Protocol>,
    with_instances: bool,
    on_prediction: Option<OnPrediction<'a>>,
}

impl<'a> SegmentationMetric<'a> {
    /// Nothing counted yet.
    pub fn new(predictor: &'a Predictor, dataset: &dyn Dataset, protocols: Vec<Protocol>) -> Self {
        let evaluations = protocols.iter().map(|_| Evaluation::new(Arc::clone(dataset.classes()))).collect();
        Self { evaluations, predictor, protocols, with_instances: false, on_prediction: None }
    }

    /// Reads instance ids as well, where the dataset has them.
    pub fn with_instances(mut self) -> Self {
        self.with_instances = true;
        self
    }

    /// Shows each prediction to `on_prediction`.
    pub fn on_prediction(mut self, on_prediction: OnPrediction<'a>) -> Self {
        self.on_prediction = Some(on_prediction);
        self
    }
}

impl Metric for SegmentationMetric<'_> {
    fn reader(&self) -> Reader {
        let with_instances = self.with_instances;
        Box::new(move |dataset, index| {
            let (example, instances) = match with_instances {
                true => dataset.annotated(index)?,
                false => (dataset.example(index)?, None),
            };
            Ok(Read { example, instances, input: Vec::new() })
        })
    }

    fn add(&mut self, batch: Vec<Read>) -> Result<()> {
        for Read { example, instances, .. } in batch {
            let preds = self.predictor.predict_each(&example.image, &self.protocols)?;
            for (evaluation, pred) in self.evaluations.iter_mut().zip(&preds) {
                evaluation.add(&example, instances.as_ref(), pred);
            }
            if let (Some(on_prediction), Some(pred)) = (&mut self.on_prediction, preds.first()) {
                on_prediction(&example, pred)?;
            }
        }
        Ok(())
    }

    fn images(&self) -> usize {
        self.evaluations.first().map_or(0, |evaluation| evaluation.images)
    }

    /// `mIoU so far SS 38.20, MS 39.01 %`
    fn so_far(&self) -> String {
        if self.evaluations.iter().any(|evaluation| evaluation.scores().miou.is_nan()) {
            return String::new(); // no labelled pixel yet
        }
        let scores = self.protocols.iter().zip(&self.evaluations).map(|(protocol, evaluation)| {
            format!("{} {:.2}", protocol.name, 100.0 * evaluation.scores().miou).trim_start().to_string()
        });
        format!("mIoU so far {} %", scores.collect::<Vec<_>>().join(", "))
    }
}

impl Evaluation {
    /// Nothing counted yet.
    pub fn new(classes: Arc<ClassSet>) -> Self {
        Self {
            confusion: Confusion::new(Arc::clone(&classes)),
            instances: InstanceTally::new(classes),
            images: 0,
            images_with_instances: 0,
            pictures: Vec::new(),
        }
    }

    /// The classes that are scored.
    pub fn classes(&self) -> &Arc<ClassSet> {
        self.confusion.classes()
    }

    /// Counts the next image of a split.
    pub(super) fn add(&mut self, sample: &Example, instances: Option<&Array2<u16>>, pred: &Array2<u8>) {
        let mut confusion = Confusion::new(Arc::clone(self.classes()));
        confusion.add(
            sample.label.as_standard_layout().as_slice().expect("rows in order"),
            pred.as_standard_layout().as_slice().expect("rows in order"),
        );
        self.confusion.merge(&confusion);
        let Scores { miou, class_iou, pixel_accuracy, .. } = confusion.scores();
        self.pictures.push(PictureScores { index: self.images, miou, class_iou, pixel_accuracy });
        if let Some(instances) = instances {
            // Sums of fractions depend on their order: image by image, as several workers would add them.
            let mut tally = InstanceTally::new(Arc::clone(self.classes()));
            tally.add(instances, &pred.mapv(|class| self.classes().id_of(class.into())));
            self.instances.merge(&tally);
        }
        self.images += 1;
        self.images_with_instances += usize::from(instances.is_some());
    }

    /// Adds what was counted elsewhere, such as by another worker.
    pub fn merge(&mut self, other: &Self) {
        self.confusion.merge(&other.confusion);
        self.instances.merge(&other.instances);
        self.images += other.images;
        self.images_with_instances += other.images_with_instances;
        self.pictures.extend(other.pictures.iter().cloned());
    }

    /// The `count` images of the lowest mIoU, the worst first; those without a labelled pixel come last.
    pub fn worst(&self, count: usize) -> Vec<&PictureScores> {
        let mut ranked: Vec<&PictureScores> = self.pictures.iter().collect();
        let key = |scores: &PictureScores| if scores.miou.is_nan() { f64::INFINITY } else { scores.miou };
        ranked.sort_by(|a, b| key(a).total_cmp(&key(b)).then(a.index.cmp(&b.index)));
        ranked.truncate(count);
        ranked
    }

    /// Its scores.
    pub fn scores(&self) -> Scores {
        self.confusion.scores()
    }

    /// What is to be said of it. The iIoU needs instance ids of every image.
    pub fn report(&self) -> Report {
        let instances = (self.images_with_instances == self.images).then_some(&self.instances);
        Report::new(&self.confusion, instances, self.images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array3, array};

    #[test]
    fn the_worst_pictures_come_first_and_those_without_labels_last() {
        let mut evaluation = Evaluation::new(ClassSet::cityscapes());
        let ignored = crate::task::IGNORE_INDEX;
        for label in [array![[0, 0]], array![[ignored, ignored]], array![[1, 1]], array![[1, 0]]] {
            let sample = Example { name: "a".into(), image: Array3::zeros((1, 2, 3)), label };
            evaluation.add(&sample, None, &array![[0, 0]]);
        }
        let order = |count| evaluation.worst(count).iter().map(|scores| scores.index).collect::<Vec<_>>();
        assert_eq!(order(9), [2, 3, 0, 1]);
        assert_eq!(order(2), [2, 3]);
        assert_eq!(evaluation.pictures[3].class_iou[..2], [Some(0.5), Some(0.0)]);
        assert_eq!(evaluation.pictures[3].pixel_accuracy, 0.5);
    }
}
