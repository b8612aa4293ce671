//! Scores of networks that say one class of each image.

use super::classification::{Classification, Verdict};
use super::inference::Predictor;
use super::metric::{Metric, Read, Reader};
use crate::Result;
use crate::data::Dataset;
use crate::data::classes::augment::ClassAugment;

/// Images that the network sees at once.
const BATCH: usize = 50;

/// Counts what a network says of whole images, which it sees as `augment` evaluates them.
pub struct ClassificationMetric<'a> {
    /// What has been counted.
    pub counted: Classification,
    predictor: &'a Predictor,
    augment: ClassAugment,
}

impl<'a> ClassificationMetric<'a> {
    /// Nothing counted yet; the images of the `mistakes` that the network is most confident about will be kept.
    pub fn new(predictor: &'a Predictor, dataset: &dyn Dataset, augment: ClassAugment, mistakes: usize) -> Self {
        Self { counted: Classification::new(&dataset.classes().names(), mistakes), predictor, augment }
    }
}

impl Metric for ClassificationMetric<'_> {
    fn batch_size(&self) -> usize {
        BATCH
    }

    fn reader(&self) -> Reader {
        let augment = self.augment.clone();
        Box::new(move |dataset, index| {
            let example = dataset.example(index)?;
            let input = augment.evaluation(&example)?;
            Ok(Read { example, instances: None, input })
        })
    }

    fn add(&mut self, mut batch: Vec<Read>) -> Result<()> {
        let inputs: Vec<Vec<f32>> = batch.iter_mut().map(|read| std::mem::take(&mut read.input)).collect();
        let scores = self.predictor.class_scores(&inputs, self.augment.resolution())?;
        for (Read { example, .. }, scores) in batch.into_iter().zip(scores) {
            let verdict = Verdict::new(example.name.clone(), example.label[[0, 0]], &scores);
            self.counted.add(verdict, || self.augment.view(&example))?;
        }
        Ok(())
    }

    fn images(&self) -> usize {
        self.counted.images()
    }

    fn so_far(&self) -> String {
        format!("top-1 error so far {:.2} %", 100.0 * self.counted.top1_error())
    }
}
