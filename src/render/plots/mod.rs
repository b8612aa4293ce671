//! Plots of runs and scores as PNG, readable in a README's column and to people with any colour vision.

mod classes;
mod curves;

pub use classes::{class_iou_bars, confusion_heatmap};
pub use curves::{LossCurves, Series, loss_plot, lr_plot, miou_plot};
