//! `segeval --report`: a web page that opens from the disk and holds everything it shows.
//!
//! The templates, the style and the scripts are in `assets/report/`. Tables are in the page's own text; what is drawn
//! (curves, heat maps, images) the scripts make of one block of JSON.

mod about;
mod classification;
mod comparison;
mod curves;
mod embed;
mod gallery;
mod segmentation;
mod shown;
mod table;
mod template;

pub use about::{About, run_name};
pub use classification::classification_page;
pub use comparison::comparison_page;
pub use curves::{Chart, Curve};
pub use gallery::{differences, gallery};
pub use segmentation::segmentation_page;
pub use shown::{Prediction, Shown};
pub use template::check_folder;
