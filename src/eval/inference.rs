//! From an image to class scores and class ids.

use super::test_time::{self, Protocol, TestTime, VersionScores, WindowScores, best_of_mean};
use crate::data::augment::resized;
use crate::data::normalize::{Normalization, normalize};
use crate::local::LocalNetwork;
use crate::net::{Block, Pass};
use crate::ops::upsample_argmax;
use crate::size::Resolution;
use crate::weights::{Checkpoint, Report};
use crate::{Error, Result};
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array2, Array3, s};

/// A trained network without its training: blocks in order.
///
/// ```
/// use burn::tensor::Device;
/// use infoseg::config::{DatasetKind, defaults_for};
/// use infoseg::eval::Predictor;
/// use infoseg::local::LocalNetwork;
/// use ndarray::Array3;
///
/// let device = Device::flex();
/// let network = LocalNetwork::new(&defaults_for(DatasetKind::Synthetic).spec(), 19, &device)?;
/// let classes = Predictor::of(&network, &device).predict(&Array3::zeros((33, 65, 3)))?;
/// assert_eq!(classes.dim(), (33, 65));
/// # Ok::<(), infoseg::Error>(())
/// ```
pub struct Predictor {
    blocks: Vec<Block>,
    normalization: Normalization,
    device: Device,
}

impl Predictor {
    /// The network as it is now; later training does not change it.
    pub fn of(network: &LocalNetwork, device: &Device) -> Self {
        let blocks = network.modules.iter().flat_map(|module| module.blocks_for_evaluation(device)).collect();
        Self { blocks, normalization: network.normalization, device: device.clone().without_autodiff() }
    }

    /// A foreign checkpoint, without a run; also its number of classes and what became of its tensors.
    ///
    /// # Errors
    /// See [`Checkpoint::network`].
    pub fn pretrained(
        checkpoint: &Checkpoint,
        output_stride: Option<usize>,
        device: &Device,
    ) -> Result<(Self, usize, Report)> {
        let (network, classes, report) = checkpoint.network(output_stride, device)?;
        Ok((Self::of(&network, device), classes, report))
    }

    /// Class scores at the network's own resolution: image `[height, width, 3]` to `[1, classes, h, w]`.
    pub fn logits(&self, image: &Array3<u8>) -> Tensor<4> {
        let (height, width, _) = image.dim();
        self.scores(normalize(image, self.normalization), [1, 3, height, width])
    }

    fn scores(&self, input: Vec<f32>, shape: [usize; 4]) -> Tensor<4> {
        let (input, pass) = (TensorData::new(input, shape), Pass::evaluation());
        self.blocks.iter().fold(Tensor::from_data(input, &self.device), |x, block| block.forward(x, &pass))
    }

    /// Class scores of normalised images of one size, each `[3, height, width]`, by a classification network.
    ///
    /// # Errors
    /// Scores that are not finite.
    pub fn class_scores(&self, inputs: &[Vec<f32>], size: Resolution) -> Result<Vec<Vec<f32>>> {
        let logits = self.scores(inputs.concat(), [inputs.len(), 3, size.height, size.width]);
        let [_, classes, _, _] = logits.dims();
        Ok(finite(logits)?.chunks_exact(classes).map(<[f32]>::to_vec).collect())
    }

    /// Class indices `[height, width]` of an image `[height, width, 3]` of any size. The scores are resized to the image
    /// (bilinear, corners not aligned) before the best class is taken.
    ///
    /// # Errors
    /// An image without pixels.
    pub fn predict(&self, image: &Array3<u8>) -> Result<Array2<u8>> {
        let size = size_of(image)?;
        ids_of(self.logits(image), size)
    }

    /// Like [`Self::predict`], from the mean over versions of the image.
    ///
    /// # Errors
    /// An image without pixels.
    pub fn predict_mean(&self, image: &Array3<u8>, test_time: &TestTime) -> Result<Array2<u8>> {
        let mut means = self.predict_each(image, &Protocol::only(test_time.clone()))?;
        Ok(means.remove(0))
    }

    /// Predicts once for each protocol. The network sees a version once, however many protocols average it; the last protocol averages
    /// all that any does.
    ///
    /// # Errors
    /// An image without pixels.
    pub fn predict_each(&self, image: &Array3<u8>, protocols: &[Protocol]) -> Result<Vec<Array2<u8>>> {
        let Some(widest) = protocols.last() else { return Ok(Vec::new()) };
        if widest.test_time.is_plain() {
            return Ok(vec![self.predict(image)?; protocols.len()]);
        }
        let size = size_of(image)?;
        let versions = self.versions(image, &widest.test_time)?;
        let mean = |Protocol { test_time, .. }: &Protocol| {
            let taken: Vec<_> = versions.iter().filter(|v| test_time.takes(v.scale, v.flipped)).collect();
            picture(best_of_mean(&taken, size), size)
        };
        Ok(protocols.iter().map(mean).collect())
    }

    /// What the network says of every version of an image: scale by scale, plain before mirrored.
    ///
    /// # Errors
    /// An image without pixels.
    pub fn versions(&self, image: &Array3<u8>, test_time: &TestTime) -> Result<Vec<VersionScores>> {
        let size = size_of(image)?;
        let mut versions = Vec::new();
        for &scale in &test_time.scales {
            let [height, width] = test_time::scaled(size, scale);
            if height.max(width) > Resolution::MAX_SIDE {
                return Err(Error::usage(format!(
                    "--scales {scale}: a picture of {}x{} would be {height}x{width}, above {} pixels a side",
                    size[0],
                    size[1],
                    Resolution::MAX_SIDE
                )));
            }
            let plain = match [height, width] == size {
                true => image.clone(),
                false => resized(image, Resolution { height, width })?,
            };
            for flipped in [false, true] {
                if flipped && !test_time.flip {
                    continue;
                }
                let version = if flipped { plain.slice(s![.., ..;-1, ..]).to_owned() } else { plain.clone() };
                let places = match test_time.slide {
                    None => vec![[0, 0, height, width]],
                    Some(slide) => slide.windows([height, width]),
                };
                let windows = places.into_iter().map(|place| self.window(&version, place)).collect::<Result<_>>()?;
                versions.push(VersionScores { scale, flipped, size: [height, width], windows });
            }
        }
        Ok(versions)
    }

    fn window(&self, version: &Array3<u8>, place: [usize; 4]) -> Result<WindowScores> {
        let [top, left, height, width] = place;
        let logits = self.logits(&version.slice(s![top..top + height, left..left + width, ..]).to_owned());
        let [_, classes, h, w] = logits.dims();
        Ok(WindowScores { place, shape: [classes, h, w], values: finite(logits)? })
    }
}

/// Class indices `[height, width]` of scores `[1, classes, h, w]`.
///
/// # Errors
/// Scores that are not finite, of which none is the best.
pub fn ids_of(logits: Tensor<4>, size: [usize; 2]) -> Result<Array2<u8>> {
    let [_, classes, h, w] = logits.dims();
    let scores = finite(logits)?;
    Ok(picture(upsample_argmax(&scores, [classes, h, w], size), size))
}

pub(crate) fn finite(logits: Tensor<4>) -> Result<Vec<f32>> {
    let scores: Vec<f32> = logits.into_data().iter::<f32>().collect();
    match scores.iter().all(|score| score.is_finite()) {
        true => Ok(scores),
        false => {
            Err(Error::run("the network's scores are not finite: its weights are damaged, or its training diverged"))
        }
    }
}

pub(super) fn picture(ids: Vec<u8>, [height, width]: [usize; 2]) -> Array2<u8> {
    Array2::from_shape_vec((height, width), ids).expect("one class id a pixel")
}

fn size_of(image: &Array3<u8>) -> Result<[usize; 2]> {
    let (height, width, _) = image.dim();
    if height == 0 || width == 0 {
        return Err(Error::run("the picture has no pixels"));
    }
    Ok([height, width])
}
