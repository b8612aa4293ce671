//! What a run shows in TensorBoard: losses and scores, images of predictions, and how modules' outputs are spread.

use super::metrics::{EvaluationLine, StepLine};
use super::tensorboard::EventFile;
use crate::data::classes::augment::ClassAugment;
use crate::data::normalize::normalize;
use crate::data::{Dataset, Example};
use crate::eval::Predictor;
use crate::files::png;
use crate::local::LocalNetwork;
use crate::render::panels::panels;
use crate::task::TaskKind;
use crate::{Error, Result};
use burn::tensor::{Device, Tensor, TensorData};
use image::ExtendedColorType;
use std::path::Path;

/// Validation images whose prediction is shown.
const PICTURES: usize = 2;

/// An open board; without `--tensorboard` there is none.
pub struct Board(EventFile);

impl Board {
    /// See [`EventFile::create`].
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(run: &Path, first_step: usize) -> Result<Self> {
        EventFile::create(run, first_step).map(Self)
    }

    /// A logged step.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn step(&mut self, line: &StepLine) -> Result<()> {
        let mut values = vec![("learning_rate".to_string(), line.lr)];
        for module in &line.losses {
            let name = |what: &str| format!("module{}/{what}", module.module);
            values.push((name("total_loss"), f64::from(module.total)));
            values.push((name("task_loss"), f64::from(module.task)));
            values.extend(module.reconstruction.map(|r| (name("reconstruction_loss"), f64::from(r))));
            values.extend(module.worker.map(|worker| (name("busy_share"), worker.busy)));
        }
        values
            .extend(line.peak_memory_bytes.map(|bytes| ("peak_memory_mib".into(), bytes as f64 / f64::from(1 << 20))));
        self.0.scalars(line.step, &values)
    }

    /// An evaluation.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn scores(&mut self, line: &EvaluationLine) -> Result<()> {
        let values: Vec<(String, f64)> =
            line.scores.named().into_iter().filter_map(|(name, score)| Some((format!("val/{name}"), score?))).collect();
        self.0.scalars(line.step, &values)
    }

    /// Images of predictions, and histograms of what each module makes of the first validation image.
    ///
    /// # Errors
    /// An image cannot be read, or the file not written.
    pub fn look(
        &mut self,
        step: usize,
        network: &LocalNetwork,
        predictor: &Predictor,
        val: &dyn Dataset,
        augment: &ClassAugment,
        device: &Device,
    ) -> Result<()> {
        let input = match val.task() {
            TaskKind::Segmentation => {
                let samples = (0..PICTURES.min(val.len())).map(|i| val.example(i)).collect::<Result<Vec<_>>>()?;
                for sample in &samples {
                    let pred = predictor.predict(&sample.image)?;
                    let drawn = panels(val.classes(), sample.image.view(), Some(sample.label.view()), pred.view())?;
                    let size = [drawn.height() as usize, drawn.width() as usize];
                    let png = png(drawn.as_raw(), (size[0], size[1]), ExtendedColorType::Rgb8)
                        .map_err(|cause| Error::run(format!("a picture for TensorBoard cannot be encoded: {cause}")))?;
                    self.0.picture(step, &format!("val/{}", sample.name), size, &png)?;
                }
                let Some(Example { image, .. }) = samples.first() else { return Ok(()) };
                let (height, width, _) = image.dim();
                TensorData::new(normalize(image, network.normalization), [1, 3, height, width])
            }
            TaskKind::Classification => {
                let input = augment.evaluation(&val.example(0)?)?;
                let size = augment.resolution();
                TensorData::new(input, [1, 3, size.height, size.width])
            }
        };
        let mut x = Tensor::<4>::from_data(input, &device.clone().without_autodiff());
        for module in &network.modules {
            x = module.frozen().forward(x);
            let values: Vec<f32> = x.clone().into_data().iter::<f32>().collect();
            self.0.histogram(step, &format!("module{}/output", module.index + 1), &values)?;
        }
        Ok(())
    }
}
