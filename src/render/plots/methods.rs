//! Methods compared over K: score with its deviation, and memory.

use super::curves::{Legend, SIZE, draw_axes, y_range, y_step};
use crate::Result;
use crate::render::canvas::{Anchor, Area, Drawn, INK, save_plot, text};
use crate::render::palette::line_color;
use plotters::prelude::*;
use std::path::Path;

/// One method at one K.
#[derive(Debug, Clone, Copy)]
pub struct MethodPoint {
    /// Number of local modules.
    pub k: usize,
    /// Mean score over seeds, in percent.
    pub mean: f64,
    /// Its standard deviation.
    pub std: f64,
    /// Activation memory.
    pub mebibytes: f64,
}

/// One method.
#[derive(Debug, Clone)]
pub struct MethodCurve {
    /// Name in the legend.
    pub name: String,
    /// Rising in K.
    pub points: Vec<MethodPoint>,
}

/// Two panels over K: the score (`axis` says which) with a bar of one standard deviation either way, and the memory.
///
/// # Errors
/// The file cannot be written.
pub fn method_plot(path: impl AsRef<Path>, axis: &str, methods: &[MethodCurve]) -> Result<()> {
    let legend = Legend::new(methods.iter().map(|method| method.name.as_str()), 1400);
    save_plot(path, (1400, 560 + legend.height), |area| {
        let (top, bottom) = area.split_vertically(legend.height);
        legend.draw(&top)?;
        let panels = bottom.split_evenly((1, 2));
        panel(&panels[0], axis, methods, &|point| (point.mean, point.std))?;
        panel(&panels[1], "activations kept (MiB)", methods, &|point| (point.mebibytes, 0.0))
    })
}

fn panel(area: &Area, axis: &str, methods: &[MethodCurve], value: &dyn Fn(&MethodPoint) -> (f64, f64)) -> Drawn {
    let mut ks: Vec<usize> = methods.iter().flat_map(|method| method.points.iter().map(|point| point.k)).collect();
    ks.sort_unstable();
    ks.dedup();
    // One place for each K, whatever lies between them; methods side by side, so that no bar hides another.
    let at = |k: usize, method: usize| {
        let place = ks.iter().position(|other| *other == k).unwrap_or(0) as f64;
        place + (method as f64 - (methods.len() as f64 - 1.0) / 2.0) * 0.05
    };
    let lines: Vec<Vec<(f64, f64, f64)>> = methods
        .iter()
        .enumerate()
        .map(|(index, method)| {
            let point = |point: &MethodPoint| {
                let (mean, std) = value(point);
                (at(point.k, index), mean, std)
            };
            method.points.iter().map(point).filter(|(_, mean, std)| mean.is_finite() && std.is_finite()).collect()
        })
        .collect();
    let ends: Vec<(f64, f64)> = lines.iter().flatten().map(|(x, mean, std)| (*x, mean + std)).collect();
    let y = y_range(&[ends], None);
    let step = y_step(&y);
    let height = area.dim_in_pixel().1 as i32;
    let mut chart = ChartBuilder::on(area)
        .margin_right(24)
        .margin_top(16)
        .margin_bottom(80)
        .y_label_area_size(120)
        .build_cartesian_2d(-0.4..(ks.len().max(1) as f64 - 0.6), y)?;
    draw_axes(&mut chart, step, 1.0)?;
    let label = text(SIZE, INK, Anchor::Middle);
    label.upwards().draw(area, axis, (24, (height - 64) / 2))?;
    let bottom = height - 80;
    for (place, k) in ks.iter().enumerate() {
        let (x, _) = chart.backend_coord(&(place as f64, 0.0));
        let x = x - area.get_base_pixel().0;
        label.draw(area, &format!("K = {k}"), (x, bottom + 28))?;
    }
    for (index, line) in lines.iter().enumerate() {
        let color = line_color(index, lines.len());
        chart.draw_series(LineSeries::new(line.iter().map(|(x, mean, _)| (*x, *mean)), color.stroke_width(3)))?;
        chart.draw_series(line.iter().map(|(x, mean, _)| Circle::new((*x, *mean), 6, color.filled())))?;
        chart.draw_series(
            line.iter()
                .filter(|(.., std)| *std > 0.0)
                .map(|(x, mean, std)| PathElement::new([(*x, mean - std), (*x, mean + std)], color.stroke_width(3))),
        )?;
    }
    Ok(())
}
