//! Bytes in use over the time of one training step.

use super::curves::{SIZE, draw_axes, y_range, y_step};
use crate::Result;
use crate::render::canvas::{Anchor, INK, save_plot, text};
use crate::render::palette::line_color;
use plotters::prelude::*;
use std::path::Path;

/// A stretch of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Stretch {
    /// Written above it.
    pub name: String,
    /// Seconds at which it begins and ends.
    pub time: [f64; 2],
}

/// `points`: seconds since the step's start and bytes, in order. Each stretch has a color of its own.
///
/// # Errors
/// The file cannot be written.
pub fn memory_plot(path: impl AsRef<Path>, points: &[(f64, usize)], stretches: &[Stretch]) -> Result<()> {
    let most = points.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
    let (unit, name) = if most < 1 << 29 { (1u64 << 20, "MiB") } else { (1 << 30, "GiB") };
    let points: Vec<(f64, f64)> = points.iter().map(|(time, bytes)| (*time, *bytes as f64 / unit as f64)).collect();
    let end = points.last().map_or(1.0, |(time, _)| *time).max(1e-6);
    let y = y_range(std::slice::from_ref(&points), None);
    let (y, step) = (0.0..y.end, y_step(&(0.0..y.end)));
    save_plot(path, (1400, 620), |area| {
        let height = 620;
        let mut chart = ChartBuilder::on(area)
            .margin_right(24)
            .margin_top(64)
            .margin_bottom(40)
            .x_label_area_size(48)
            .y_label_area_size(120)
            .build_cartesian_2d(0.0..end, y.clone())?;
        draw_axes(&mut chart, step, end / 8.0)?;
        let label = text(SIZE, INK, Anchor::Middle);
        label.upwards().draw(area, &format!("memory in use ({name})"), (24, (height - 64) / 2))?;
        label.draw(area, "time (s)", (760, height - 24))?;
        for (index, stretch) in stretches.iter().enumerate() {
            let color = line_color(index, stretches.len());
            let [from, to] = stretch.time;
            let within: Vec<(f64, f64)> =
                points.iter().copied().filter(|(time, _)| (from..=to).contains(time)).collect();
            let floor = |end: Option<&(f64, f64)>| end.map(|(time, _)| (*time, 0.0));
            let outline = floor(within.first()).into_iter().chain(within.iter().copied()).chain(floor(within.last()));
            chart.draw_series([Polygon::new(outline.collect::<Vec<_>>(), color.mix(0.25))])?;
            chart.draw_series(LineSeries::new(within, color.stroke_width(3)))?;
            let (left, _) = chart.backend_coord(&(from, 0.0));
            let (right, _) = chart.backend_coord(&(to, 0.0));
            let (x, _) = area.get_base_pixel();
            text(SIZE, color, Anchor::Middle).draw(area, &stretch.name, ((left + right) / 2 - x, 36))?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory.png");
        let points: Vec<(f64, usize)> =
            (0..100).map(|i| (f64::from(i) / 10.0, (1 << 30) + (i as usize) * 10_000_000)).collect();
        let stretches = [
            Stretch { name: "module 1".into(), time: [0.0, 5.0] },
            Stretch { name: "module 2".into(), time: [5.0, 9.9] },
        ];
        memory_plot(&path, &points, &stretches).unwrap();
        let picture = image::open(&path).unwrap().to_rgb8();
        let blues = picture.pixels().filter(|pixel| pixel.0 != [255; 3]).count();
        assert!(blues > 50_000, "{blues} coloured pixels");
        memory_plot(&path, &[], &[]).unwrap();
    }
}
