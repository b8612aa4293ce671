//! Whole-picture inference.

use crate::config::RunConfig;
use crate::data::labels::NUM_CLASSES;
use crate::data::normalize::normalize;
use crate::local::LocalNetwork;
use crate::net::{Block, Pass};
use crate::ops::upsample_argmax;
use crate::train::checkpoint;
use crate::{Error, Result};
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array2, Array3};
use std::path::Path;

/// A trained network without its training: blocks in order.
pub struct Predictor {
    blocks: Vec<Block>,
    device: Device,
}

impl Predictor {
    /// The network as it is now; later training does not change it.
    pub fn of(network: &LocalNetwork, device: &Device) -> Self {
        let blocks = network.modules.iter().flat_map(|module| module.blocks_for_evaluation()).collect();
        Self { blocks, device: device.clone().without_autodiff() }
    }

    /// The newest checkpoint of a run folder.
    ///
    /// # Errors
    /// No such run, no checkpoint in it, or one that does not fit its configuration.
    pub fn load(run: &Path, config: &RunConfig, device: &Device) -> Result<Self> {
        let checkpoint = checkpoint::last(run)?;
        checkpoint.check_fits(config)?;
        let mut network = LocalNetwork::new(config, NUM_CLASSES, device)?;
        network.load(&checkpoint.folder, false)?;
        Ok(Self::of(&network, device))
    }

    /// Class scores at the network's own resolution: picture `[height, width, 3]` to `[1, classes, h, w]`.
    pub fn logits(&self, image: &Array3<u8>) -> Tensor<4> {
        let (height, width, _) = image.dim();
        let input = TensorData::new(normalize(image), [1, 3, height, width]);
        let pass = Pass::evaluation();
        self.blocks.iter().fold(Tensor::from_data(input, &self.device), |x, block| block.forward(x, &pass))
    }

    /// Train ids `[height, width]` of a picture `[height, width, 3]` of any size. The scores are resized to the picture
    /// (bilinear, corners not aligned) before the best class is taken.
    ///
    /// # Errors
    /// A picture without pixels.
    pub fn predict(&self, image: &Array3<u8>) -> Result<Array2<u8>> {
        let (height, width, _) = image.dim();
        if height == 0 || width == 0 {
            return Err(Error::run("the picture has no pixels"));
        }
        let logits = self.logits(image);
        let [_, classes, h, w] = logits.dims();
        let scores: Vec<f32> = logits.into_data().iter::<f32>().collect();
        let ids = upsample_argmax(&scores, [classes, h, w], [height, width]);
        Ok(Array2::from_shape_vec((height, width), ids).expect("one class id a pixel"))
    }
}
