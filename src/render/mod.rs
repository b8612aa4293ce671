//! Pictures of what came out: overlays, panels, plots, and a web page of all of it.

mod canvas;
pub mod drawn;
pub mod mistakes;
pub mod overlay;
pub mod page;
pub mod palette;
pub mod panels;
pub mod plots;
mod surface;

pub(crate) use canvas::FONT;
pub use canvas::save_png;
