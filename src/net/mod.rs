//! Networks as ordered lists of blocks: stem, every residual or dense block, head. No word of local learning here.
//!
//! Read in this order: `layers`, [`resnet`], `densenet`, `heads`, `classifier`, `mod@network`.

pub(crate) mod classifier;
pub(crate) mod config;
pub(crate) mod densenet;
mod footprint;
pub(crate) mod heads;
pub(crate) mod layers;
pub(crate) mod network;
pub mod resnet;
pub(crate) mod running;

pub use classifier::ClassHead;
pub use footprint::Footprint;
pub use heads::{AsppHead, FcnHead};
pub use layers::{BatchNorm, Conv2d, ConvBnAct, Init, Pass, Replica};
pub use network::{Block, NamedBlock, Network, classification_network, deeplab};
pub use resnet::Residual;

/// Height, width and channels of one image's features: what blocks are planned by, before any tensor exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureShape {
    /// Channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl FeatureShape {
    /// Values of one image's features.
    pub const fn len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows times columns.
    pub const fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// The same pixels with other channels.
    pub const fn with_channels(self, channels: usize) -> Self {
        Self { channels, ..self }
    }
}
