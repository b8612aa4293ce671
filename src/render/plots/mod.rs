//! Plots of runs and scores as PNG and SVG, readable in a README's column and to people with any color vision.

mod bars;
mod classes;
mod curves;
mod depth;
mod heatmap;
mod methods;
mod timeline;

pub use classes::{accuracy_plot, class_confusion, class_iou_bars, confusion_heatmap};
pub use curves::{LossCurves, Series, WorkerCurves, loss_plot, lr_plot, score_plot, worker_plot};
pub use depth::{DepthAxes, DepthCurve, DepthPoint, depth_plot};
pub use methods::{MethodCurve, MethodPoint, method_plot};
pub use timeline::{Stretch, memory_plot};

/// Round distance (1, 2 or 5 times a power of ten) that divides so many classes into at most ten.
fn round_step(classes: usize) -> usize {
    let powers = std::iter::successors(Some(1_usize), |power| power.checked_mul(10));
    powers.flat_map(|power| [1, 2, 5].map(|factor| factor * power)).find(|step| step * 10 >= classes).unwrap_or(classes)
}

#[cfg(test)]
mod tests {
    use super::round_step;

    #[test]
    fn steps_are_round_and_at_most_ten() {
        assert_eq!([0, 7, 121, 200, 201, 1000, 21_841].map(round_step), [1, 1, 20, 20, 50, 100, 5000]);
    }
}
