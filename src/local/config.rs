//! The sections `[local]` and `[optim]`: how the network is cut, what each local module learns from, and how.

use super::method::Method;
use crate::keys::{Checked, MAX_CHANNELS, at_least, between, channels, ensure, not_negative, positive, problem};
use crate::text::counted;
use documented::DocumentedFields;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// How the network is cut, and what each local module learns from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, DocumentedFields)]
#[serde(deny_unknown_fields)]
pub struct LocalConfig {
    /// K: number of gradient-isolated local modules; 1 is end-to-end training.
    pub num_modules: usize,
    /// Local learning method; R is the reconstruction term, T the task term.
    pub method: Method,
    /// T: the task term of a local loss.
    pub task_loss: TaskLoss,
    /// Where the network is cut: "auto" (the paper's cuts, where it names some; else the same number of blocks each
    /// for networks of small images, the same memory for others), "balanced" (InfoPro*: the same memory), or K-1
    /// block names after which to cut, such as ["layer2.1"].
    pub cuts: Cuts,
    /// λ1, weight of R, for the [first, last] local module but the network's last; linear between.
    pub recon_weight: [f64; 2],
    /// λ2, weight of T, likewise.
    pub task_weight: [f64; 2],
    /// Local task head of infopro and dgl (greedy's is linear): 1c2f is one convolution, an average, two linear
    /// layers.
    #[serde(default)]
    pub head: LocalHeadKind,
    /// Hidden channels of the head fcn (paper: 512).
    pub head_channels: usize,
    /// Multiplies the hidden channels of the heads 0c1f to 2c2f and of the decoder direct.
    #[serde(default = "one")]
    pub widen: f64,
    /// Hidden features of the heads 0c1f to 2c2f, and dimensions of a contrastive embedding.
    #[serde(default = "feature_dim")]
    pub feature_dim: usize,
    /// How features become an image again.
    #[serde(default)]
    pub decoder: DecoderKind,
    /// Channels of the decoder's layers before the image (paper: 128, 32, 12).
    pub decoder_channels: Vec<usize>,
    /// Pixel embeddings that the contrastive loss samples from a batch; where each image has a class, all take part.
    pub contrast_samples: usize,
    /// Temperature of the contrastive loss.
    pub contrast_temperature: f64,
}

impl LocalConfig {
    /// Checks the values of these keys.
    pub(crate) fn check(&self) -> Checked {
        let k = self.num_modules;
        at_least(1, "local.num_modules", k)?;
        if self.method.traits().is_end_to_end && k != 1 {
            let message = "method e2e is end-to-end training, which has one module; use 1, or method infopro";
            return Err(problem("local.num_modules", k, message));
        }
        if let Cuts::After(blocks) = &self.cuts {
            let message = format!(
                "{} named, but local.num_modules = {k} needs {}; name as many, or use \"auto\"",
                counted(blocks.len(), "block"),
                counted(k - 1, "cut")
            );
            ensure(blocks.len() == k - 1, "local.cuts", format!("{blocks:?}"), message)?;
        }
        for (key, [first, last]) in [("local.recon_weight", self.recon_weight), ("local.task_weight", self.task_weight)]
        {
            let ok = [first, last].iter().all(|weight| weight.is_finite() && *weight >= 0.0);
            ensure(ok, key, format!("[{first}, {last}]"), "both must be 0 or more")?;
        }
        between(1, MAX_CHANNELS, "local.head_channels", self.head_channels)?;
        positive("local.widen", self.widen)?;
        ensure(self.widen <= 64.0, "local.widen", self.widen, "must be at most 64")?;
        between(1, MAX_CHANNELS, "local.feature_dim", self.feature_dim)?;
        channels("local.decoder_channels", &self.decoder_channels)?;
        between(2, 16384, "local.contrast_samples", self.contrast_samples)?;
        positive("local.contrast_temperature", self.contrast_temperature)
    }
}

/// The paper's for DeepLabV3-ResNet101 on Cityscapes.
impl Default for LocalConfig {
    fn default() -> Self {
        Self {
            num_modules: 2,
            method: Method::Infopro,
            task_loss: TaskLoss::Softmax,
            cuts: Cuts::After(vec!["layer3.12".into()]),
            recon_weight: [2.0; 2],
            task_weight: [1.0; 2],
            head: LocalHeadKind::Fcn,
            head_channels: 512,
            widen: one(),
            feature_dim: feature_dim(),
            decoder: DecoderKind::Stepwise,
            decoder_channels: vec![128, 32, 12],
            contrast_samples: 1024,
            contrast_temperature: 0.07,
        }
    }
}

fn one() -> f64 {
    1.0
}

fn feature_dim() -> usize {
    128
}

/// Where the network is cut: `"auto"`, `"balanced"`, or the names of the blocks after which to cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cuts {
    /// A run takes the paper's cuts, where it names some. Else networks for small images are cut into modules of the same
    /// number of blocks, and others balanced by activation memory.
    Auto,
    /// InfoPro*: a run takes the paper's memory-balanced cuts, where it names some. Else balanced by activation memory.
    Balanced,
    /// K − 1 block names such as `layer3.12`, in order.
    After(Vec<String>),
}

/// Optimizer and learning-rate schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, DocumentedFields)]
#[serde(deny_unknown_fields)]
pub struct OptimConfig {
    /// Initial learning rate.
    pub lr: f64,
    /// Momentum of SGD (PyTorch's, without dampening).
    pub momentum: f64,
    /// Nesterov's momentum.
    #[serde(default)]
    pub nesterov: bool,
    /// L2 penalty added to the gradient.
    pub weight_decay: f64,
    /// Learning rate over steps.
    pub schedule: LrScheduleKind,
    /// Exponent of the schedule poly.
    pub power: f64,
    /// The learning rate never falls below this (in warm-up it does).
    pub min_lr: f64,
    /// Steps of linear warm-up from zero.
    pub warmup_steps: usize,
    /// For the schedule step: rising shares of the run, from 0 to below 1, after which gamma multiplies the learning
    /// rate.
    #[serde(default)]
    pub milestones: Vec<f64>,
    /// For the schedule step: factor at each of the milestones.
    #[serde(default = "gamma")]
    pub gamma: f64,
}

impl OptimConfig {
    /// Checks the values of these keys.
    pub(crate) fn check(&self) -> Checked {
        positive("optim.lr", self.lr)?;
        let momentum = self.momentum;
        ensure((0.0..1.0).contains(&momentum), "optim.momentum", momentum, "must be at least 0 and below 1")?;
        not_negative("optim.weight_decay", self.weight_decay)?;
        let message = "needs optim.momentum above 0";
        ensure(!self.nesterov || momentum > 0.0, "optim.nesterov", self.nesterov, message)?;
        positive("optim.gamma", self.gamma)?;
        let milestones = &self.milestones;
        let rising = milestones.windows(2).all(|pair| pair[0] < pair[1]);
        let ok = rising && milestones.iter().all(|share| (0.0..1.0).contains(share));
        let ok = ok && (self.schedule != LrScheduleKind::Step || !milestones.is_empty());
        let message = "must be rising shares of the run, from 0 to below 1, such as [0.5, 0.75]";
        ensure(ok, "optim.milestones", format!("{milestones:?}"), message)?;
        positive("optim.power", self.power)?;
        not_negative("optim.min_lr", self.min_lr)?;
        let (lr, min_lr) = (self.lr, self.min_lr);
        ensure(min_lr <= lr, "optim.min_lr", min_lr, format_args!("must not be above optim.lr = {lr}"))
    }
}

/// The paper's on Cityscapes, at a batch of two images.
impl Default for OptimConfig {
    fn default() -> Self {
        Self {
            lr: 0.0025,
            momentum: 0.9,
            nesterov: false,
            weight_decay: 5e-4,
            schedule: LrScheduleKind::Poly,
            power: 0.9,
            min_lr: 1e-4,
            warmup_steps: 0,
            milestones: vec![0.5, 0.75],
            gamma: gamma(),
        }
    }
}

fn gamma() -> f64 {
    0.1
}

/// Number format of activations and matrix products in training. Weights, statistics and losses are float32 always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// float32
    #[default]
    F32,
    /// bfloat16: half the memory, for GPUs
    Bf16,
}

impl Precision {
    /// Bytes of a value.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }
}

/// Local task head of dgl and infopro. `1c2f` is one convolution, two linear layers: the reference's names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum LocalHeadKind {
    /// 3×3 convolution, spatial dropout, 1×1 convolution: where each pixel has a class
    #[default]
    #[serde(rename = "fcn")]
    Fcn,
    /// Average, linear: greedy supervised learning's.
    #[serde(rename = "0c1f")]
    #[value(name = "0c1f")]
    C0F1,
    /// Average, two linear layers.
    #[serde(rename = "0c2f")]
    #[value(name = "0c2f")]
    C0F2,
    /// 3×3 convolution, average, linear.
    #[serde(rename = "1c1f")]
    #[value(name = "1c1f")]
    C1F1,
    /// 3×3 convolution, average, two linear layers.
    #[serde(rename = "1c2f")]
    #[value(name = "1c2f")]
    C1F2,
    /// 3×3 convolution, average, three linear layers.
    #[serde(rename = "1c3f")]
    #[value(name = "1c3f")]
    C1F3,
    /// Two 3×3 convolutions, average, two linear layers.
    #[serde(rename = "2c2f")]
    #[value(name = "2c2f")]
    C2F2,
    /// 1×1 → 128, 3×3 stride 2 → 256, 3×3 stride 2 → 512, 1×1 → 2048, average, linear.
    #[serde(rename = "imagenet")]
    Imagenet,
}

/// How features become an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum DecoderKind {
    /// 1×1 convolution, then an upsampling and a 3×3 convolution for each of `decoder_channels` (Cityscapes, ImageNet).
    #[default]
    Stepwise,
    /// Upsampled at once, then a 3×3 convolution for each of `decoder_channels` (CIFAR, SVHN, STL-10).
    Direct,
}

/// T: the task term of a local loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TaskLoss {
    /// Cross-entropy of each pixel, or of each image.
    Softmax,
    /// Supervised contrastive loss over embeddings: of sampled pixels, or of all images of the batch.
    Contrast,
}

/// Learning rate over steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LrScheduleKind {
    /// `(lr − min_lr)·(1 − step/steps)^power + min_lr`.
    Poly,
    /// Half a cosine from `lr` to `min_lr`.
    Cosine,
    /// `lr` throughout.
    Constant,
    /// `lr`, multiplied by `gamma` at each of `milestones`.
    Step,
}

impl Serialize for Cuts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Balanced => serializer.serialize_str("balanced"),
            Self::After(blocks) => blocks.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Cuts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CutsVisitor)
    }
}

struct CutsVisitor;

impl<'de> de::Visitor<'de> for CutsVisitor {
    type Value = Cuts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#""auto", "balanced" or a list of block names such as ["layer3.12"]"#)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Cuts, E> {
        match text {
            "auto" => Ok(Cuts::Auto),
            "balanced" => Ok(Cuts::Balanced),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut blocks: A) -> Result<Cuts, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = blocks.next_element::<String>()? {
            names.push(name);
        }
        Ok(Cuts::After(names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::defaults_for;
    use crate::data::config::DatasetKind;

    #[test]
    fn the_defaults_are_those_of_cityscapes() {
        let config = defaults_for(DatasetKind::Cityscapes);
        assert_eq!((config.local, config.optim), (LocalConfig::default(), OptimConfig::default()));
        assert_eq!(config.model, crate::net::config::ModelConfig::default());
    }
}
