//! Pictures of what came out: overlays, panels, plots, and the files of an evaluation.

mod canvas;
pub mod drawn;
pub mod mistakes;
pub mod overlay;
pub mod overlays;
pub mod palette;
pub mod panels;
pub mod plots;
mod surface;
pub mod written;

pub use canvas::save_png;
