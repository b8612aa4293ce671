//! What is known of the image and of its label behind each block.

use super::curves::{Legend, SIZE, draw_axes, y_range, y_step};
use crate::Result;
use crate::render::canvas::{Anchor, Area, Drawn, FAINT, INK, save_plot, text};
use crate::render::palette::line_color;
use plotters::prelude::*;
use std::path::Path;

/// A point over a block.
#[derive(Debug, Clone, PartialEq)]
pub struct DepthPoint {
    /// The block's name.
    pub block: String,
    /// Whether a local module ends here.
    pub ends_module: bool,
    /// For the left panel.
    pub reconstruction_error: f64,
    /// For the right one, in percent.
    pub score: f64,
}

/// A run.
#[derive(Debug, Clone, PartialEq)]
pub struct DepthCurve {
    /// Name in the legend.
    pub name: String,
    /// From the first block to the last.
    pub points: Vec<DepthPoint>,
}

/// What goes on the axes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DepthAxes<'a> {
    /// The axis title of the right panel, such as "mIoU (%)".
    pub score: &'a str,
    /// Error and score of who has not seen the image: a dotted line in each panel.
    pub without: (f64, f64),
}

/// Two panels over depth: the error of reconstructed images (little error is much I(h, x)) and the score of classifiers
/// (I(h, y)), a line a run. A square is the end of a local module.
///
/// # Errors
/// The file cannot be written.
pub fn depth_plot(path: impl AsRef<Path>, axes: DepthAxes, runs: &[DepthCurve]) -> Result<()> {
    let legend = Legend::new(runs.iter().map(|run| run.name.as_str()), 1400);
    let widest = runs.iter().flat_map(|run| &run.points).map(|point| text(SIZE, INK, Anchor::End).width(&point.block));
    let room = widest.max().unwrap_or(0) as u32 + 60;
    save_plot(path, (1400, 532 + room + legend.height), |area| {
        let (top, bottom) = area.split_vertically(legend.height);
        legend.draw(&top)?;
        let panels = bottom.split_evenly((1, 2));
        let error = "error of the drawn picture (RMSE, grey levels)";
        let titles = ["I(h, x): less error is more", "I(h, y): higher is more"];
        let value: [&dyn Fn(&DepthPoint) -> f64; 2] = [&|point| point.reconstruction_error, &|point| point.score];
        panel(&panels[0], [titles[0], error], runs, room, axes.without.0, value[0])?;
        panel(&panels[1], [titles[1], axes.score], runs, room, axes.without.1, value[1])
    })
}

fn names(run: &DepthCurve) -> impl Iterator<Item = &str> {
    run.points.iter().map(|point| point.block.as_str())
}

fn panel(
    area: &Area,
    [title, axis]: [&str; 2],
    runs: &[DepthCurve],
    room: u32,
    without: f64,
    value: &dyn Fn(&DepthPoint) -> f64,
) -> Drawn {
    let blocks = runs.iter().map(|run| run.points.len()).max().unwrap_or(0);
    // A network of fewer blocks is stretched: both ends are where they are in any network. Its blocks have no place on a common axis
    // then.
    let named = runs.windows(2).all(|pair| names(&pair[0]).eq(names(&pair[1])));
    let place = |run: &DepthCurve, index: usize| match run.points.len() {
        0 | 1 => 0.0,
        count => index as f64 * (blocks - 1) as f64 / (count - 1) as f64,
    };
    let lines: Vec<Vec<(f64, f64)>> = runs
        .iter()
        .map(|run| run.points.iter().enumerate().map(|(i, point)| (place(run, i), value(point))).collect())
        .collect();
    let y = y_range(&[lines.concat(), vec![(0.0, without)]], None);
    let step = y_step(&y);
    let (width, height) = (area.dim_in_pixel().0 as i32, area.dim_in_pixel().1 as i32);
    let end = (blocks as f64 - 1.0).max(0.0);
    let mut chart = ChartBuilder::on(area)
        .margin_right(24)
        .margin_top(48)
        .margin_bottom(room)
        .y_label_area_size(112)
        .build_cartesian_2d(-0.4..end + 0.4, y.clone())?;
    draw_axes(&mut chart, step, 1.0)?;
    let (bottom, label) = (height - room as i32, text(SIZE, INK, Anchor::Middle));
    label.upwards().draw(area, axis, (22, (48 + bottom) / 2))?;
    let any_ends = runs.iter().flat_map(|run| &run.points).any(|point| point.ends_module);
    let what = if named { "block" } else { "depth" };
    let below = if any_ends { format!("{what} (■ a local module ends)") } else { what.to_string() };
    label.draw(area, &below, ((112 + width - 24) / 2, height - 20))?;
    label.draw(area, title, ((112 + width - 24) / 2, 22))?;
    let dots = (0..60).map(|i| -0.4 + (end + 0.8) * f64::from(i) / 60.0);
    chart.draw_series(
        dots.map(|x| PathElement::new([(x, without), (x + (end + 0.8) / 120.0, without)], FAINT.stroke_width(2))),
    )?;
    let (x, at) = chart.backend_coord(&(end + 0.4, without));
    let note_at = (x - area.get_base_pixel().0 - 6, at - area.get_base_pixel().1);
    // On the side where the lines are not, as long as there is room.
    let highest = lines.iter().filter_map(|line| line.last()).map(|(_, value)| *value).fold(0.0, f64::max);
    let above = (highest < without && note_at.1 > 80) || note_at.1 > bottom - 40;
    text(SIZE - 4.0, FAINT, Anchor::End).draw(
        area,
        "without features",
        (note_at.0, note_at.1 + if above { -16 } else { 16 }),
    )?;
    let apart = f64::from(width - 136) / (end + 0.8);
    let every = ((SIZE + 4.0) / apart).ceil() as usize; // so far that turned names do not touch
    for (index, point) in runs.first().filter(|_| named).into_iter().flat_map(|run| run.points.iter().enumerate()) {
        let (x, _) = chart.backend_coord(&(index as f64, 0.0));
        if index + 1 == blocks || (index % every == 0 && index + every < blocks) {
            let at = (x - area.get_base_pixel().0, bottom + 12);
            text(SIZE - 2.0, INK, Anchor::End).upwards().draw(area, &point.block, at)?;
        }
    }
    for (index, (run, line)) in runs.iter().zip(&lines).enumerate() {
        let color = line_color(index, runs.len());
        chart.draw_series(LineSeries::new(line.iter().copied(), color.stroke_width(3)))?;
        let points = || line.iter().zip(&run.points);
        let within = points().filter(|(_, point)| !point.ends_module);
        chart.draw_series(within.map(|(at, _)| Circle::new(*at, 5, color.filled())))?;
        let ends = points().filter(|(_, point)| point.ends_module);
        chart.draw_series(
            ends.map(|(at, _)| EmptyElement::at(*at) + Rectangle::new([(-8, -8), (8, 8)], color.filled())),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_any_depth_can_be_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("probe.png");
        let axes = DepthAxes { score: "accuracy (%)", without: (60.0, 10.0) };
        let run = |blocks: usize| DepthCurve {
            name: format!("{blocks} blocks"),
            points: (0..blocks)
                .map(|i| DepthPoint {
                    block: format!("layer1.{i}"),
                    ends_module: i == 2,
                    reconstruction_error: 10.0 + i as f64,
                    score: 50.0,
                })
                .collect(),
        };
        for depths in [&[][..], &[0], &[1], &[1, 9], &[55, 4]] {
            depth_plot(&path, axes, &depths.iter().map(|&blocks| run(blocks)).collect::<Vec<_>>()).unwrap();
        }
        assert_eq!(image::open(&path).unwrap().width(), 1400);
    }
}
