//! Images of what came out: overlays, panels, plots, and the files of an evaluation.

mod canvas;
pub mod drawn;
pub(crate) mod mistakes;
pub(crate) mod overlay;
pub mod overlays;
pub(crate) mod palette;
pub(crate) mod panels;
pub mod plots;
mod surface;
pub mod written;

pub use canvas::save_png;
