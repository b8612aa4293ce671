//! Scores of a network on one split, with pictures to look at.

use super::ahead::for_each_batch;
use super::inference::Predictor;
use super::instances::InstanceTally;
use super::report::{Report, Scored};
use super::scores::{Confusion, Scores};
use super::test_time::Protocol;
use crate::data::{Dataset, Example};
use crate::files::{Staged, make_folder};
use crate::render::panels::panels;
use crate::render::{plots, save_png};
use crate::task::ClassSet;
use crate::text::counted;
use crate::{Error, Result};
use ndarray::Array2;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// What came out of an evaluation.
#[derive(Debug)]
pub struct Evaluation {
    /// Summed over all pictures.
    pub confusion: Confusion,
    /// Summed over all pictures that have instance ids.
    pub instances: InstanceTally,
    /// Number of pictures.
    pub images: usize,
    /// Number of pictures that have instance ids.
    pub images_with_instances: usize,
    /// Number of picture | truth | prediction | errors panels that were drawn.
    pub overlays: usize,
    /// Scores of each picture by itself, in their order; of predictions made elsewhere there are none.
    pub pictures: Vec<PictureScores>,
}

/// What one picture alone scores, in 0..=1.
#[derive(Debug, Clone)]
pub struct PictureScores {
    /// Place of the picture in its split.
    pub index: usize,
    /// Mean over the classes in its truth or prediction; NaN where nothing is labelled.
    pub miou: f64,
    /// IoU of each class; `None` for a class in neither.
    pub class_iou: Vec<Option<f64>>,
    /// Share of labelled pixels that are right; NaN where nothing is labelled.
    pub pixel_accuracy: f64,
}

/// Predicts every image of `dataset` and counts, once for each protocol. Panels are drawn of `overlays` pictures, spread
/// over the split, as the first protocol predicts them, and are in `folder/overlays/` once every picture has been counted;
/// instance ids are read `with_instances`; `on_picture` sees what has been counted after each picture, and may break off: the
/// result is then `None`.
///
/// ```
/// use burn::tensor::Device;
/// use infoseg::config::{DatasetKind, defaults_for};
/// use infoseg::size::Resolution;
/// use infoseg::data::scenes::Scenes;
/// use infoseg::eval::{Predictor, Protocol, TestTime, evaluate};
/// use infoseg::local::LocalNetwork;
/// use std::{ops::ControlFlow, path::Path};
///
/// let device = Device::flex();
/// let network = LocalNetwork::new(&defaults_for(DatasetKind::Synthetic).spec(), 19, &device)?;
/// let scenes = Scenes::new(0, "val", 1, Resolution { height: 32, width: 64 });
/// let (predictor, protocol) = (Predictor::of(&network, &device), Protocol::only(TestTime::default()));
/// let go_on = |_: &[_]| ControlFlow::Continue(());
/// let evaluations = evaluate(&predictor, &scenes, &protocol, false, 0, Path::new("."), go_on)?;
/// assert!(evaluations.unwrap()[0].scores().miou < 0.5, "it has learned nothing yet");
/// # Ok::<(), infoseg::Error>(())
/// ```
///
/// # Errors
/// A picture that cannot be read, or a panel that cannot be written.
pub fn evaluate(
    predictor: &Predictor,
    dataset: &dyn Dataset,
    protocols: &[Protocol],
    with_instances: bool,
    overlays: usize,
    folder: &Path,
    mut on_picture: impl FnMut(&[Evaluation]) -> ControlFlow<()>,
) -> Result<Option<Vec<Evaluation>>> {
    let images = dataset.len();
    let mut evaluations: Vec<Evaluation> =
        protocols.iter().map(|_| Evaluation::new(Arc::clone(dataset.classes()))).collect();
    // On the disk at once: hundreds of large panels would not fit into memory.
    let drawn = if overlays > 0 { Some(Staged::in_folder(folder)?) } else { None };
    let read = |index| match with_instances {
        true => dataset.annotated(index),
        false => dataset.example(index).map(|example| (example, None)),
    };
    let all: Vec<usize> = (0..images).collect();
    let whole = for_each_batch(&all, 1, read, |batch| {
        for (sample, instances) in batch {
            let index = evaluations[0].images;
            let preds = predictor.predict_each(&sample.image, protocols)?;
            for (evaluation, pred) in evaluations.iter_mut().zip(&preds) {
                evaluation.add(&sample, instances.as_ref(), pred);
            }
            if let Some(drawn) = &drawn
                && index * overlays / images != (index + 1) * overlays / images
            {
                evaluations[0].overlay(&sample, &preds[0], drawn.folder()).map_err(|error| match error {
                    // The folder aside is gone by the time this is read.
                    Error::File { message, .. } => Error::file(folder.join("overlays"), message),
                    other => other,
                })?;
            }
        }
        Ok(on_picture(&evaluations))
    })?;
    if !whole {
        return Ok(None);
    }
    if let Some(drawn) = drawn {
        drawn.publish(&folder.join("overlays"), "png")?;
    }
    Ok(Some(evaluations))
}

impl Evaluation {
    /// Nothing counted yet.
    pub fn new(classes: Arc<ClassSet>) -> Self {
        Self {
            confusion: Confusion::new(Arc::clone(&classes)),
            instances: InstanceTally::new(classes),
            images: 0,
            images_with_instances: 0,
            overlays: 0,
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
            // Sums of fractions depend on their order: picture by picture, as several workers would add them.
            let mut tally = InstanceTally::new(Arc::clone(self.classes()));
            tally.add(instances, &pred.mapv(|class| self.classes().id_of(class.into())));
            self.instances.merge(&tally);
        }
        self.images += 1;
        self.images_with_instances += usize::from(instances.is_some());
    }

    fn overlay(&mut self, sample: &Example, pred: &Array2<u8>, folder: &Path) -> Result<()> {
        let drawn = panels(self.classes(), sample.image.view(), Some(sample.label.view()), pred.view())?;
        // Names of pictures may hold the city as a folder.
        save_png(folder.join(format!("{}.png", sample.name.replace(['/', '\\'], "_"))), &drawn)?;
        self.overlays += 1;
        Ok(())
    }

    /// Adds what was counted elsewhere, such as by another worker.
    pub fn merge(&mut self, other: &Self) {
        self.confusion.merge(&other.confusion);
        self.instances.merge(&other.instances);
        self.images += other.images;
        self.images_with_instances += other.images_with_instances;
        self.overlays += other.overlays;
        self.pictures.extend(other.pictures.iter().cloned());
    }

    /// The `count` pictures of the lowest mIoU, the worst first; those without a labelled pixel come last.
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

    /// What is to be said of it. The iIoU needs instance ids of every picture.
    pub fn report(&self) -> Report {
        let instances = (self.images_with_instances == self.images).then_some(&self.instances);
        Report::new(&self.confusion, instances, self.images)
    }

    /// Writes `report.json`, `plots/class_iou.png` and `plots/confusion.png` into a folder; returns the report.
    ///
    /// # Errors
    /// A file that cannot be written; no labelled pixel in the whole split.
    pub fn write(&self, folder: &Path, scored: Scored) -> Result<Report> {
        self.write_beside(folder, scored, &[])
    }

    /// The same, with the mIoU of several protocols in the report, of which this evaluation is the first's.
    ///
    /// # Errors
    /// See [`Evaluation::write`].
    pub fn write_beside(&self, folder: &Path, scored: Scored, protocols: &[(&str, f64)]) -> Result<Report> {
        let scores = self.scores();
        if scores.miou.is_nan() {
            return Err(Error::run(format!(
                "none of {} has a labelled pixel: nothing to score",
                counted(self.images, "picture")
            )));
        }
        let plot_folder = folder.join("plots");
        make_folder(&plot_folder)?;
        let mut report = self.report();
        report.protocols = protocols.iter().map(|(name, miou)| ((*name).to_string(), (*miou).into())).collect();
        report.scored = Some(scored);
        report.write(folder.join("report.json"))?;
        plots::class_iou_bars(plot_folder.join("class_iou.png"), self.classes(), &scores.class_iou, scores.miou)?;
        plots::confusion_heatmap(plot_folder.join("confusion.png"), &self.confusion)?;
        Ok(report)
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
