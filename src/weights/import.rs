//! Foreign checkpoints into our network: `--pretrained FILE`.

use super::classifiers::{self, NewClasses};
use super::export::{CLASSES_KEY, MODEL_KEY};
use super::naming::Naming;
use super::nesting::Nesting;
use super::source::Source;
use super::{Mapping, Report, Weights};
use crate::data::config::DatasetKind;
use crate::local::{LocalNetwork, Spec};
use crate::net::config::{Backbone, DecodeHead, ModelConfig, Stem};
use crate::net::resnet;
use crate::task::{ClassSet, TaskKind};
use crate::{Error, Result};
use burn::tensor::{DType, Device, TensorData};
use clap::ValueEnum;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A checkpoint in memory.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    /// Tensors under the file's own names, without the way to them.
    weights: Weights,
    nesting: Nesting,
    naming: Naming,
    /// What segexport wrote of the network beside its weights.
    exported: Option<ModelConfig>,
    /// The classes that segexport wrote beside them.
    classes: Option<ClassSet>,
}

impl Checkpoint {
    /// Reads `.safetensors`, `.pth` or `.pt`, or an index of several such files; the content decides, not the name.
    ///
    /// # Errors
    /// A file that is missing, damaged, in none of the formats, one part of several, or with names that are not known.
    pub fn read(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return Err(Error::file(
                path,
                "is a folder; name the checkpoint file in it (.pth, .pt, .safetensors or .index.json)",
            ));
        }
        let Source { weights, header, nesting } = Source::read(path)?;
        if weights.tensors.is_empty() {
            return Err(Error::file(path, "holds no float tensor; expected the weights of a network"));
        }
        let Some(naming) = Naming::detect(&weights) else {
            let some: Vec<&str> = weights.tensors.keys().take(3).map(String::as_str).collect();
            return Err(Error::file(
                path,
                format!(
                    "holds no network we know: its tensors are {} …; expected names of torchvision (conv1.weight, \
                     backbone.conv1.weight), mmsegmentation (backbone.stem.0.weight) or infoseg (stem.convs.0.conv.weight)",
                    some.join(", ")
                ),
            ));
        };
        let exported = header.get(MODEL_KEY).map(|model| serde_json::from_str(model)).transpose().map_err(|cause| {
            Error::file(
                path,
                format!("was written by another version of segexport ({cause}); export it again with this one"),
            )
        })?;
        let classes =
            header.get(CLASSES_KEY).map(|classes| serde_json::from_str(classes)).transpose().map_err(|cause| {
                Error::file(path, format!("its class set is damaged ({cause}); export it again with segexport"))
            })?;
        Ok(Self { path: path.to_path_buf(), weights, nesting, naming, exported, classes })
    }

    /// The classes that the network tells apart, where the file names them.
    pub fn classes(&self) -> Option<&ClassSet> {
        self.classes.as_ref()
    }

    /// Puts its tensors into a network that has not trained yet.
    ///
    /// # Errors
    /// A tensor of the backbone is not there or of another shape (with `whole` also one of the decode head): the file is
    /// of another network. The first differences are named.
    pub fn load_into(&self, network: &mut LocalNetwork, model: &ModelConfig, whole: bool) -> Result<Report> {
        self.load_classes_into(network, model, None, whole)
    }

    /// Like [`load_into`](Self::load_into), for a network of the classes `new`: where they are others than the file's, the
    /// classifiers keep their own rows but for those that carry over.
    ///
    /// # Errors
    /// As of [`load_into`](Self::load_into); a map that names a class that is not there.
    pub fn load_classes_into(
        &self,
        network: &mut LocalNetwork,
        model: &ModelConfig,
        new: Option<NewClasses>,
        whole: bool,
    ) -> Result<Report> {
        let (mut weights, names, used) = self.canonical(network, model);
        let of_classes = match new {
            Some(new) => classifiers::fit(&mut weights, &network.weights(), self.classes(), new)?,
            None => None,
        };
        let mut mapping = network.set_weights(&weights);
        mapping.unexpected = self.unexpected(&used);
        let needed = |name: &str| {
            let head = name.starts_with("head.");
            head && whole || !(head || name.starts_with("aux_head.") || name.starts_with("local"))
        };
        let theirs = |name: &String| names.get(name).cloned().unwrap_or_else(|| name.clone());
        let mut differences: Vec<String> = mapping
            .misshapen
            .iter()
            .filter(|(name, ..)| needed(name))
            .map(|(name, ours, given)| format!("{} is {given:?}, the network's is {ours:?}", theirs(name)))
            .collect();
        differences.extend(
            mapping.missing.iter().filter(|name| needed(name)).map(|name| format!("{} is not there", theirs(name))),
        );
        let classes = mapping.misshapen.iter().find(|(name, ..)| name == "head.classifier.weight");
        let classes = classes.and_then(|(_, ours, given)| Some([*given.first()?, *ours.first()?]));
        let Mapping { loaded, missing, misshapen, .. } = &mut mapping;
        for name in loaded.iter_mut().chain(missing).chain(misshapen.iter_mut().map(|(name, ..)| name)) {
            *name = theirs(name);
        }
        if !differences.is_empty() {
            return Err(Error::file(&self.path, self.misfit(&differences, &mapping, model)));
        }
        Ok(Report {
            path: self.path.clone(),
            naming: self.naming,
            nesting: self.nesting.clone(),
            mapping,
            classes: classes.filter(|[theirs, ours]| theirs != ours),
            of_classes,
        })
    }

    /// The file's tensors under our names, the file's name for each of the network's that it may have, and the names in
    /// the file that are of use.
    fn canonical(
        &self,
        network: &LocalNetwork,
        model: &ModelConfig,
    ) -> (Weights, BTreeMap<String, String>, BTreeSet<String>) {
        let mut weights = Weights::default();
        let mut names = BTreeMap::new();
        let given = &self.weights.tensors;
        let known = network.weights();
        for (ours, theirs) in self.naming.foreign_names(known.tensors.keys(), model) {
            let Some(theirs) = theirs else { continue };
            if let Some(data) = given.get(&theirs) {
                weights.tensors.insert(ours.clone(), as_convolution(data, &known.tensors[ours]));
            }
            names.insert(ours.clone(), theirs);
        }
        let mut used: BTreeSet<String> = names.values().cloned().collect();
        // The reference's local heads have a bias before BatchNorm, which only shifts the mean that is taken away.
        let convs = names.iter().filter_map(|(ours, theirs)| {
            Some((ours.strip_suffix(".conv.weight")?, format!("{}.bias", theirs.strip_suffix(".weight")?)))
        });
        for (unit, bias) in convs {
            if let (Some(mean), Some(shift)) =
                (weights.tensors.get_mut(&format!("{unit}.norm.running_mean")), given.get(&bias))
                && mean.shape() == shift.shape()
                && let (Ok(old), Ok(shift)) = (mean.try_to_vec::<f32>(), shift.try_to_vec::<f32>())
            {
                let shifted: Vec<f32> = old.iter().zip(&shift).map(|(mean, bias)| mean - bias).collect();
                *mean = TensorData::new(shifted, [old.len()]);
                used.insert(bias);
            }
        }
        (weights, names, used)
    }

    /// The file's names that are not among these.
    fn unexpected(&self, used: &BTreeSet<String>) -> Vec<String> {
        self.weights.tensors.keys().filter(|name| !used.contains(*name)).cloned().collect()
    }

    fn misfit(&self, differences: &[String], mapping: &Mapping, model: &ModelConfig) -> String {
        let shown = differences.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        let more = differences.len().saturating_sub(3);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        let advice = match self.model() {
            Ok((of_file, _)) => of_file.differences(model),
            Err(_) => Vec::new(),
        };
        let advice = match advice.is_empty() {
            true => "the whole of it is needed; is this the right file?".to_string(),
            false => format!("the file is of {}", advice.join(", ")),
        };
        format!(
            "does not fit this network ({} naming, {} tensors fit): {shown}{more}; {advice}",
            self.naming,
            mapping.loaded.len()
        )
    }

    /// The network that the file is of, as far as names and shapes tell, and its number of classes (0 for a backbone
    /// alone). Output stride and dilations leave no trace in a foreign file: they are the paper's.
    ///
    /// # Errors
    /// It is no ResNet of a depth that we build.
    pub fn model(&self) -> Result<(ModelConfig, usize)> {
        let given = &self.weights.tensors;
        // Only a convolution's weight tells; anything else under its name does not.
        let rows = |name: &str| match given.get(name)?.shape().as_slice() {
            &[rows, a, b, c] if rows * a * b * c > 0 => Some(rows),
            _ => None,
        };
        let mut model = ModelConfig::default();
        let prefix = match self.naming {
            Naming::Torchvision { backbone_only: false } | Naming::Mmsegmentation { backbone_only: false } => {
                "backbone."
            }
            _ => "",
        };
        let ours = self.naming == Naming::Infoseg;
        let blocks = |stage: usize| {
            let start = format!("{prefix}layer{stage}.");
            let indices = given.keys().filter_map(|name| name.strip_prefix(&start)?.split('.').next()?.parse().ok());
            indices.max().map_or(0, |last: usize| last + 1)
        };
        let third = if ours { "body.1.conv.weight" } else { "conv3.weight" };
        let bottleneck = given.contains_key(&format!("{prefix}layer1.0.{third}"));
        let counts = [1, 2, 3, 4].map(blocks);
        let second =
            given.get(&format!("{prefix}layer1.0.{}", if ours { "body.1.conv.weight" } else { "conv2.weight" }));
        let groups = match second.map(|weight| weight.shape().as_slice()) {
            Some(&[rows, columns, ..]) if bottleneck && columns > 0 => rows / columns,
            _ => 1,
        };
        let is_it = |backbone: &&Backbone| {
            let layout = resnet::layout(**backbone);
            layout.is_some_and(|it| it.counts == counts && it.bottleneck == bottleneck && it.groups == groups)
        };
        model.backbone = *Backbone::value_variants().iter().find(is_it).ok_or_else(|| {
            let kind = if bottleneck { "bottleneck" } else { "basic" };
            let groups = if groups == 1 { String::new() } else { format!(" of {groups} groups") };
            Error::file(
                &self.path,
                format!(
                    "holds no ResNet-18, 34, 50, 101 or 152 and no ResNeXt that is built here: its stages have \
                         {counts:?} {kind} blocks{groups}{}",
                    if counts[3] == 0 && counts[2] > 0 {
                        "; networks for small images classify and cannot segment"
                    } else {
                        ""
                    }
                ),
            )
        })?;
        let v1c = if ours { "stem.convs.2.conv.weight".into() } else { format!("{prefix}stem.0.weight") };
        model.stem = if given.contains_key(&v1c) { Stem::V1c } else { Stem::Torchvision };
        model.decode_head = match self.naming {
            Naming::Torchvision { .. } => DecodeHead::Torchvision,
            Naming::Infoseg if given.contains_key("head.project.conv.weight") => DecodeHead::Torchvision,
            _ => DecodeHead::Mmsegmentation,
        };
        let last_of_stem =
            if model.stem == Stem::V1c { "stem.convs.2.conv.weight" } else { "stem.convs.0.conv.weight" };
        let of = |name: &str| self.naming.foreign(name, &model).and_then(|theirs| rows(&theirs));
        let stem_channels = of(last_of_stem).unwrap_or(64);
        let classes = of("head.classifier.weight").unwrap_or(0);
        let aspp_channels = of("head.bottleneck.conv.weight").unwrap_or(model.aspp_channels);
        let aux_channels = of("aux_head.conv.conv.weight");
        let expansion = if bottleneck { resnet::BOTTLENECK_EXPANSION } else { 1 };
        let planes = [1, 2, 3, 4].map(|stage| of(&format!("layer{stage}.0.last.conv.weight")).unwrap_or(0) / expansion);
        let width = resnet::width_of(planes).filter(|_| planes[0] == stem_channels);
        model.width = width.unwrap_or(stem_channels as f64 / 64.0);
        model.aspp_channels = aspp_channels;
        match aux_channels {
            Some(channels) => model.aux_channels = channels,
            None => model.aux_weight = 0.0,
        }
        if let Some(exported) = &self.exported {
            model.output_stride = exported.output_stride;
            model.atrous_rates.clone_from(&exported.atrous_rates);
            model.width = exported.width;
        }
        Ok((model, classes))
    }

    /// Builds the network that the file is of, with this output stride where it is given, and puts the file into it;
    /// returns it with its number of classes.
    ///
    /// # Errors
    /// A file without a decode head, or of no network that we build.
    pub fn network(&self, output_stride: Option<usize>, device: &Device) -> Result<(LocalNetwork, usize, Report)> {
        let (mut model, classes) = self.model()?;
        if classes == 0 {
            return Err(Error::file(
                &self.path,
                format!(
                    "is a backbone alone ({} naming): it has no decode head to segment with; train one with \
                         segtrain --pretrained",
                    self.naming
                ),
            ));
        }
        if let Some(stride) = output_stride
            && stride != model.output_stride
        {
            // Dilations count in feature pixels: at another stride the same image pixels are others.
            let rates = &mut model.atrous_rates;
            if rates.iter().any(|&rate| rate > 1 && (rate * model.output_stride) % stride != 0) {
                return Err(Error::usage(format!(
                    "--output-stride {stride}: the dilations {rates:?} of stride {} have no counterpart there",
                    model.output_stride
                )));
            }
            rates.iter_mut().filter(|rate| **rate > 1).for_each(|rate| *rate = *rate * model.output_stride / stride);
            model.output_stride = stride;
        }
        model.check().map_err(|p| Error::file(&self.path, format!("is of a network that cannot be: {}", p.message)))?;
        if classes > 256 {
            return Err(Error::file(
                &self.path,
                format!("has {classes} classes; class ids are bytes, so 256 are the most"),
            ));
        }
        let normalization = DatasetKind::Cityscapes.normalization();
        let spec = Spec::of_inference(TaskKind::Segmentation, model, normalization);
        let mut network = LocalNetwork::new(&spec, classes, device)?;
        let report = self.load_into(&mut network, &spec.model, true)?;
        Ok((network, classes, report))
    }
}

impl ModelConfig {
    /// What of this network is otherwise in `other`, as configuration keys.
    fn differences(&self, other: &Self) -> Vec<String> {
        let mut keys = Vec::new();
        if self.backbone != other.backbone {
            keys.push(format!("--backbone {}", self.backbone.name()));
        }
        if self.stem != other.stem {
            keys.push(format!("model.stem = \"{}\"", if self.stem == Stem::V1c { "v1c" } else { "torchvision" }));
        }
        if resnet::planes(self.width) != resnet::planes(other.width) {
            keys.push(format!("model.width = {}", self.width));
        }
        keys
    }
}

/// The network's 1×1 convolution from a linear layer, which has no sides.
fn as_convolution(given: &TensorData, ours: &TensorData) -> TensorData {
    match (given.shape().as_slice(), ours.shape().as_slice()) {
        (&[rows, columns], &[_, _, 1, 1]) => {
            TensorData::from_bytes_vec(given.as_bytes().to_vec(), vec![rows, columns, 1, 1], DType::F32)
        }
        _ => given.clone(),
    }
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
