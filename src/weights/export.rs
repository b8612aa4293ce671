//! A run's weights into files that other programs load: `segexport`.

use super::naming::Naming;
use super::{Weights, safetensors};
use crate::config::{DecodeHead, ModelConfig, Stem};
use crate::{Error, Result};
use burn::tensor::TensorData;
use std::collections::HashMap;
use std::path::Path;

/// Entry of the header that holds the network's configuration as JSON.
pub const MODEL_KEY: &str = "infoseg.model";

/// Whose names the file is to have. All are written as safetensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Ours, with everything that trains beside the network.
    Safetensors,
    /// torchvision's `DeepLabV3`: `load_state_dict(safetensors.torch.load_file(FILE))`, strictly.
    Torchvision,
    /// mmsegmentation's and the reference's: `backbone`, `decode_head`, `auxiliary_head`, `head_inter`, `decoder_inter`.
    Mmseg,
}

/// Writes a network's weights; returns the names of those that the format has no place for.
///
/// # Errors
/// The network has layers that the format's network has not; the file cannot be written.
pub fn export(weights: &Weights, model: &ModelConfig, format: Format, path: &Path) -> Result<Vec<String>> {
    let naming = match format {
        Format::Safetensors => Naming::Infoseg,
        Format::Torchvision => Naming::Torchvision { backbone_only: false },
        Format::Mmseg => Naming::Mmsegmentation { backbone_only: false },
    };
    refuse_other_architecture(model, format)?;
    let mut renamed = Weights::default();
    let mut left_out = Vec::new();
    for (ours, data) in &weights.tensors {
        match naming.foreign(ours, model) {
            Some(theirs) => {
                if let Some(bias) = reference_bias(ours, &theirs) {
                    let channels = data.shape()[0];
                    renamed.tensors.insert(bias, TensorData::new(vec![0f32; channels], [channels]));
                }
                renamed.tensors.insert(theirs, data.clone());
            }
            None => left_out.push(ours.clone()),
        }
    }
    let counters = naming.counters(&renamed);
    let model = serde_json::to_string(model).expect("a configuration of numbers and names");
    // `format` is what some loaders ask for; our own reads the model, as dilations leave no trace in shapes.
    let header = HashMap::from([("format".to_string(), "pt".to_string()), (MODEL_KEY.to_string(), model)]);
    safetensors::write(path, &renamed, &counters, header)?;
    Ok(left_out)
}

/// The reference's local heads have a bias before BatchNorm; ours do without, which is a bias of 0.
fn reference_bias(ours: &str, theirs: &str) -> Option<String> {
    let before_norm = ours.ends_with(".conv.weight");
    let reference = theirs.starts_with("head_inter.") || theirs.starts_with("decoder_inter.");
    (before_norm && reference).then(|| theirs.replace(".weight", ".bias"))
}

fn refuse_other_architecture(model: &ModelConfig, format: Format) -> Result<()> {
    let refuse = |what: &str, remedy: &str| {
        Err(Error::usage(format!(
            "--format: {what}, so no class there loads it; {remedy}, or train with the matching model.stem and \
             model.decode_head"
        )))
    };
    match (format, model.decode_head, model.stem) {
        (Format::Torchvision, DecodeHead::Mmsegmentation, _) => {
            refuse("this run's decode head is mmsegmentation's, not torchvision's", "use --format mmseg")
        }
        (Format::Torchvision, _, Stem::V1c) => {
            refuse("this run's stem is v1c, which torchvision does not have", "use --format safetensors")
        }
        (Format::Mmseg, DecodeHead::Torchvision, _) => {
            refuse("this run's decode head is torchvision's, not mmsegmentation's", "use --format torchvision")
        }
        _ => Ok(()),
    }
}
