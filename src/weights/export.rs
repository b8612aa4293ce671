//! A run's weights into files that other programs load: `segexport`.

use super::naming::{Naming, is_bottleneck};
use super::{Weights, safetensors};
use crate::net::config::{Backbone, DecodeHead, ModelConfig, Stem};
use crate::task::ClassSet;
use crate::{Error, Result};
use burn::tensor::TensorData;
use clap::ValueEnum;
use std::collections::HashMap;
use std::path::Path;

/// Entry of the header that holds the network's configuration as JSON.
pub const MODEL_KEY: &str = "infoseg.model";

/// Entry of the header that holds the class set as JSON.
pub const CLASSES_KEY: &str = "infoseg.classes";

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

/// What became of the tensors of a network.
#[derive(Debug)]
pub struct Exported {
    /// How many are in the file, without BatchNorm's counters.
    pub written: usize,
    /// Our names of those that the format has no place for.
    pub left_out: Vec<String>,
}

/// Writes a network's weights.
///
/// # Errors
/// Two tensors would have one name; the file cannot be written.
pub fn export(
    weights: &Weights,
    model: &ModelConfig,
    classes: &ClassSet,
    format: Format,
    path: &Path,
) -> Result<Exported> {
    let naming = match format {
        Format::Safetensors => Naming::Infoseg,
        Format::Torchvision => Naming::Torchvision { backbone_only: false },
        Format::Mmseg => Naming::Mmsegmentation { backbone_only: false },
    };
    let mut renamed = Weights::default();
    let mut left_out = Vec::new();
    for (ours, theirs) in naming.foreign_names(weights.tensors.keys(), model) {
        let data = &weights.tensors[ours];
        match theirs {
            Some(theirs) => {
                if let Some(bias) = reference_bias(ours, &theirs) {
                    let channels = data.shape()[0];
                    renamed.tensors.insert(bias, TensorData::new(vec![0f32; channels], [channels]));
                }
                if renamed.tensors.insert(theirs.clone(), data.clone()).is_some() {
                    return Err(Error::file(path, format!("cannot be written: two tensors would be called {theirs}")));
                }
            }
            None => left_out.push(ours.clone()),
        }
    }
    let counters = naming.counters(&renamed);
    let model = serde_json::to_string(model).expect("a configuration of numbers and names");
    // `format` is what some loaders ask for; our own reads the model, as dilations leave no trace in shapes.
    let classes = serde_json::to_string(classes).expect("a class set of numbers and names");
    let entries = [("format", "pt".to_string()), (MODEL_KEY, model), (CLASSES_KEY, classes)];
    let header = HashMap::from(entries.map(|(key, value)| (key.to_string(), value)));
    safetensors::write(path, &renamed, &counters, header)?;
    Ok(Exported { written: renamed.tensors.len(), left_out })
}

/// The reference's local heads have a bias before BatchNorm; ours do without, which is a bias of 0.
fn reference_bias(ours: &str, theirs: &str) -> Option<String> {
    let before_norm = ours.ends_with(".conv.weight");
    let reference = theirs.starts_with("head_inter.") || theirs.starts_with("decoder_inter.");
    (before_norm && reference).then(|| theirs.replace(".weight", ".bias"))
}

/// What the reference's class asks for and these names do not have: the auxiliary head, the local head, its decoder.
pub fn absent_heads(weights: &Weights) -> Vec<&'static str> {
    let has = |start: &str| weights.tensors.keys().any(|name| name.starts_with(start));
    let heads = [
        ("aux_head.", "auxiliary_head"),
        ("local1.local_head.", "head_inter"),
        ("local1.recon_decoder.", "decoder_inter"),
    ];
    heads.into_iter().filter(|(start, _)| !has(start)).map(|(_, name)| name).collect()
}

/// Refuses a network that no class of the format's program computes.
///
/// # Errors
/// Every key that is in the way, and which formats would do.
pub fn check_format(model: &ModelConfig, format: Format) -> Result<()> {
    let in_the_way = obstacles(model, format);
    if in_the_way.is_empty() {
        return Ok(());
    }
    let (program, others) = match format {
        Format::Mmseg => ("mmsegmentation", [Format::Torchvision, Format::Safetensors]),
        _ => ("torchvision", [Format::Mmseg, Format::Safetensors]),
    };
    let names = others.iter().filter(|other| obstacles(model, **other).is_empty()).filter_map(|other| {
        let name = other.to_possible_value()?;
        Some(format!("--format {}", name.get_name()))
    });
    Err(Error::usage(format!(
        "--format: {program} has no network with {}; what can be written of this run is {}",
        in_the_way.join(", "),
        names.collect::<Vec<_>>().join(" or ")
    )))
}

/// What of this network the format's program has no counterpart for.
fn obstacles(model: &ModelConfig, format: Format) -> Vec<String> {
    let torchvision_head = model.decode_head == DecodeHead::Torchvision;
    let fits = match format {
        Format::Safetensors => vec![],
        Format::Mmseg => vec![(!torchvision_head, "model.decode_head = \"torchvision\"".to_string())],
        // `deeplabv3_resnet50` and `101` have these fixed.
        Format::Torchvision => vec![
            (torchvision_head, "model.decode_head = \"mmsegmentation\"".to_string()),
            (model.stem == Stem::Torchvision, "model.stem = \"v1c\"".to_string()),
            (is_bottleneck(model.backbone), "a backbone below resnet50".to_string()),
            (
                !matches!(model.backbone, Backbone::Resnext50 | Backbone::Resnext101),
                format!("--backbone {}", model.backbone.name()),
            ),
            (model.width == 1.0, format!("model.width = {}", model.width)),
            (model.output_stride == 8, format!("model.output_stride = {}", model.output_stride)),
            (model.atrous_rates == [1, 12, 24, 36], format!("model.atrous_rates = {:?}", model.atrous_rates)),
            (model.aspp_channels == 256, format!("model.aspp_channels = {}", model.aspp_channels)),
            (
                model.aux_weight == 0.0 || model.aux_channels == 256,
                format!("model.aux_channels = {}", model.aux_channels),
            ),
        ],
    };
    fits.into_iter().filter(|(fits, _)| !fits).map(|(_, key)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::defaults_for;
    use crate::data::config::DatasetKind;

    #[test]
    fn torchvision_takes_its_own_network_and_no_other() {
        let mut fits = defaults_for(DatasetKind::Cityscapes).model;
        fits.backbone = Backbone::Resnet50;
        (fits.stem, fits.decode_head) = (Stem::Torchvision, DecodeHead::Torchvision);
        (fits.aspp_channels, fits.aux_channels) = (256, 256);
        check_format(&fits, Format::Torchvision).unwrap();
        type Change = (fn(&mut ModelConfig), &'static str);
        let changes: [Change; 8] = [
            (|model| model.decode_head = DecodeHead::Mmsegmentation, "model.decode_head"),
            (|model| model.stem = Stem::V1c, "model.stem"),
            (|model| model.backbone = Backbone::Resnet34, "below resnet50"),
            (|model| model.width = 0.5, "model.width = 0.5"),
            (|model| model.output_stride = 16, "model.output_stride = 16"),
            (|model| model.atrous_rates = vec![1, 6, 12, 18], "model.atrous_rates = [1, 6, 12, 18]"),
            (|model| model.aspp_channels = 512, "model.aspp_channels = 512"),
            (|model| model.aux_channels = 64, "model.aux_channels = 64"),
        ];
        for (change, key) in changes {
            let mut model = fits.clone();
            change(&mut model);
            let error = check_format(&model, Format::Torchvision).unwrap_err().to_string();
            assert!(error.contains(key), "{key}: {error}");
        }
        // All that is in the way at once, and no advice that would be refused in turn.
        (fits.backbone, fits.width) = (Backbone::Resnet18, 0.5);
        let error = check_format(&fits, Format::Torchvision).unwrap_err().to_string();
        assert!(error.contains("below resnet50, model.width = 0.5; "), "{error}");
        for format in [Format::Torchvision, Format::Mmseg] {
            let error = check_format(&fits, format).unwrap_err().to_string();
            assert!(error.ends_with("what can be written of this run is --format safetensors"), "{error}");
        }
    }
}
