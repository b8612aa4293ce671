//! Losses, mIoU and learning rate over steps.

use crate::Result;
use crate::render::canvas::{Anchor, Area, Drawn, FAINT, GRID, INK, axis_text, save_plot, text};
use crate::render::palette::line_color;
use crate::render::surface::Surface;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use std::ops::Range;
use std::path::Path;

/// A line of a plot.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// `(step, value)`, in order of steps. Values that are not finite are left out.
    pub points: Vec<(usize, f64)>,
}

/// Losses of one local module.
#[derive(Debug, Clone, Default)]
pub struct LossCurves {
    /// Name in the legend, such as `module 1`.
    pub name: String,
    /// `(step, R)`; empty where the module has no decoder.
    pub reconstruction: Vec<(usize, f64)>,
    /// `(step, T)`.
    pub task: Vec<(usize, f64)>,
    /// `(step, the loss that is minimised)`.
    pub total: Vec<(usize, f64)>,
}

/// How one worker of the asynchronous schedule fared: `(step, value)` each.
#[derive(Debug, Clone, Default)]
pub struct WorkerCurves {
    /// Name in the legend, such as `module 1`.
    pub name: String,
    /// Share of its time that it worked, in percent.
    pub busy: Vec<(usize, f64)>,
    /// Batches that waited.
    pub queued: Vec<(usize, f64)>,
    /// Batches that the first module was ahead by.
    pub staleness: Vec<(usize, f64)>,
}

pub(super) const SIZE: f64 = 24.0;
/// An area with an axis either way.
type Chart<'a, 'b> = ChartContext<'a, Surface<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
/// More than a panel has pixels.
const MOST_STRETCHES: usize = 1200;

/// Losses over steps: one panel a term, one color a local module. Where there are many points the logged values are
/// faint and their moving mean is bold.
///
/// # Errors
/// The file cannot be written.
pub fn loss_plot(path: impl AsRef<Path>, modules: &[LossCurves]) -> Result<()> {
    let term = |pick: fn(&LossCurves) -> &Vec<(usize, f64)>| -> Vec<Series> {
        modules.iter().map(|module| Series { name: module.name.clone(), points: pick(module).clone() }).collect()
    };
    let terms: Vec<(&str, Vec<Series>)> = [
        ("reconstruction loss (nats a value)", term(|module| &module.reconstruction)),
        ("task loss (nats)", term(|module| &module.task)),
        ("total loss (nats)", term(|module| &module.total)),
    ]
    .into_iter()
    .filter(|(name, series)| name.starts_with("total") || series.iter().any(|series| !series.points.is_empty()))
    .collect();
    side_by_side(path, &terms)
}

/// Busy share, waiting batches and staleness of each worker over steps.
///
/// # Errors
/// The file cannot be written.
pub fn worker_plot(path: impl AsRef<Path>, workers: &[WorkerCurves]) -> Result<()> {
    let curves = |pick: fn(&WorkerCurves) -> &Vec<(usize, f64)>| -> Vec<Series> {
        workers.iter().map(|worker| Series { name: worker.name.clone(), points: pick(worker).clone() }).collect()
    };
    let panels = [
        ("busy (%)", curves(|worker| &worker.busy)),
        ("batches waiting", curves(|worker| &worker.queued)),
        ("batches behind module 1", curves(|worker| &worker.staleness)),
    ];
    side_by_side(path, &panels)
}

/// A panel for each title, with the same lines in each.
fn side_by_side(path: impl AsRef<Path>, panels: &[(&str, Vec<Series>)]) -> Result<()> {
    let width = 600 * panels.len() as u32;
    let lines = panels.first().map_or(&[][..], |(_, series)| series.as_slice());
    let legend = Legend::new(lines.iter().map(|line| line.name.as_str()), width);
    save_plot(path, (width, 504 + legend.height), |area| {
        let (top, bottom) = area.split_vertically(legend.height);
        legend.draw(&top)?;
        for (panel, (name, series)) in bottom.split_evenly((1, panels.len())).iter().zip(panels) {
            let plot = Plot { title: name, y_desc: "", y_top: None, smooth: true, marks: false };
            plot.draw(panel, series)?;
        }
        Ok(())
    })
}

/// A score in percent over steps, one line a run; `axis` says which.
///
/// # Errors
/// The file cannot be written.
pub fn score_plot(path: impl AsRef<Path>, axis: &str, runs: &[Series]) -> Result<()> {
    let named = if runs.len() > 1 { runs } else { &[] };
    let legend = Legend::new(named.iter().map(|run| run.name.as_str()), 1000);
    save_plot(path, (1000, 544 + legend.height), |area| {
        let (top, bottom) = area.split_vertically(if named.is_empty() { 12 } else { legend.height });
        legend.draw(&top)?;
        Plot { title: "", y_desc: axis, y_top: Some(100.0), smooth: false, marks: true }.draw(&bottom, runs)
    })
}

/// Learning rate over steps.
///
/// # Errors
/// The file cannot be written.
pub fn lr_plot(path: impl AsRef<Path>, points: &[(usize, f64)]) -> Result<()> {
    let series = [Series { name: String::new(), points: points.to_vec() }];
    save_plot(path, (1000, 500), |area| {
        let (_, bottom) = area.split_vertically(12);
        Plot { title: "", y_desc: "learning rate", y_top: None, smooth: false, marks: false }.draw(&bottom, &series)
    })
}

/// Names and colors of lines, in as many rows as they need.
pub(super) struct Legend {
    /// Name, index and place `(x, y)` of each line's entry.
    places: Vec<(String, usize, (i32, i32))>,
    pub(super) height: u32,
}

impl Legend {
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>, width: u32) -> Self {
        const ROW: i32 = 36;
        let entry = |name: &str| 46 + text(SIZE, INK, Anchor::Start).width(name) + 32;
        let mut rows: Vec<Vec<(usize, &str)>> = vec![Vec::new()];
        let mut room = width as i32;
        for (index, name) in names.enumerate() {
            if room < entry(name) {
                rows.push(Vec::new());
                room = width as i32;
            }
            room -= entry(name);
            rows.last_mut().expect("starts with one row").push((index, name));
        }
        let mut places = Vec::new();
        for (row, entries) in rows.iter().enumerate() {
            let used: i32 = entries.iter().map(|(_, name)| entry(name)).sum();
            let mut x = (width as i32 - used).max(0) / 2;
            for (index, name) in entries {
                places.push((name.to_string(), *index, (x, 30 + ROW * row as i32)));
                x += entry(name);
            }
        }
        Self { places, height: (20 + ROW * rows.len() as i32) as u32 }
    }

    pub(super) fn draw(&self, area: &Area) -> Drawn {
        for (name, index, (x, y)) in &self.places {
            let color = line_color(*index, self.places.len());
            area.draw(&PathElement::new([(*x, *y), (*x + 36, *y)], color.stroke_width(5)))?;
            text(SIZE, INK, Anchor::Start).draw(area, name, (*x + 46, *y))?;
        }
        Ok(())
    }
}

struct Plot<'a> {
    title: &'a str,
    y_desc: &'a str,
    /// The axis never reaches beyond this.
    y_top: Option<f64>,
    smooth: bool,
    marks: bool,
}

impl Plot<'_> {
    fn draw(&self, area: &Area, series: &[Series]) -> Drawn {
        let lines: Vec<Vec<(f64, f64)>> = series.iter().map(finite).collect();
        let x = x_range(&lines);
        let y = y_range(&lines, self.y_top);
        let step = y_step(&y);
        let (width, height) = (area.dim_in_pixel().0 as i32, area.dim_in_pixel().1 as i32);
        let top = if self.title.is_empty() { 16 } else { 44 };
        let left = if self.y_desc.is_empty() { 80 } else { 130 };
        let mut chart = ChartBuilder::on(area)
            .margin_right(36)
            .margin_top(top)
            .margin_bottom(44) // room for "step"
            .x_label_area_size(36)
            .y_label_area_size(left)
            .build_cartesian_2d(x, y.clone())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(FAINT)
            .label_style(axis_text(SIZE - 2.0))
            .x_labels(if self.title.is_empty() { 8 } else { 5 })
            .y_labels(7)
            .x_label_formatter(&|step| short_step(*step))
            .y_label_formatter(&|value| decimals(*value, step))
            .draw()?;
        let centre = ((left + width - 36) / 2, (top + height - 80) / 2);
        let label = text(SIZE, INK, Anchor::Middle);
        label.draw(area, self.title, (centre.0, 20))?;
        label.draw(area, "step", (centre.0, height - 28))?;
        label.upwards().draw(area, self.y_desc, (24, centre.1))?;
        if lines.iter().all(Vec::is_empty) {
            text(SIZE, FAINT, Anchor::Middle).draw(area, "nothing logged yet", centre)?;
        }
        for (index, line) in lines.iter().enumerate() {
            let color = line_color(index, lines.len());
            let window = if self.smooth && line.len() >= 60 { line.len() / 30 } else { 0 };
            if window > 0 {
                chart.draw_series(LineSeries::new(thinned(line), color.mix(0.45).stroke_width(1)))?;
            }
            chart.draw_series(LineSeries::new(thinned(&moving_mean(line, window)), color.stroke_width(3)))?;
            if self.marks || line.len() == 1 {
                chart.draw_series(line.iter().map(|point| Circle::new(*point, 6, color.filled())))?;
            }
        }
        Ok(())
    }
}

fn finite(series: &Series) -> Vec<(f64, f64)> {
    let points = series.points.iter().map(|(step, value)| (*step as f64, *value));
    points.filter(|(_, value)| value.is_finite()).collect()
}

/// Mean over `window` points to either side, fewer at the ends; 0 leaves the line as it is.
fn moving_mean(line: &[(f64, f64)], window: usize) -> Vec<(f64, f64)> {
    (0..line.len())
        .map(|index| {
            let near = &line[index.saturating_sub(window)..(index + window + 1).min(line.len())];
            (line[index].0, near.iter().map(|(_, value)| value).sum::<f64>() / near.len() as f64)
        })
        .collect()
}

/// The lowest and the highest point of each of [`MOST_STRETCHES`] stretches, so that a long run's plot looks the same and an SVG
/// of it stays small.
fn thinned(line: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let stretch = line.len().div_ceil(MOST_STRETCHES);
    if stretch <= 2 {
        return line.to_vec();
    }
    let ends = |points: &[(f64, f64)]| {
        let value = |at: &usize| points[*at].1;
        let lowest = (0..points.len()).min_by(|a, b| value(a).total_cmp(&value(b)))?;
        let highest = (0..points.len()).max_by(|a, b| value(a).total_cmp(&value(b)))?;
        Some([points[lowest.min(highest)], points[lowest.max(highest)]])
    };
    line.chunks(stretch).filter_map(ends).flatten().collect()
}

fn x_range(lines: &[Vec<(f64, f64)>]) -> Range<f64> {
    let last = lines.iter().flatten().map(|(step, _)| *step).fold(0.0, f64::max);
    0.0..last.max(1.0)
}

/// From 0 (or the smallest value, if below) to a round number above the largest.
pub(super) fn y_range(lines: &[Vec<(f64, f64)>], top: Option<f64>) -> Range<f64> {
    let values = || lines.iter().flatten().map(|(_, value)| *value);
    let (low, high) = (values().fold(0.0, f64::min), values().fold(0.0, f64::max));
    let high = if high > low { high } else { low + 1.0 };
    let step = y_step(&(low..high));
    let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
    low..top.map_or(high, |top| high.min(top).max(low + step))
}

/// Round distance (1, 2 or 5 times a power of ten) that divides the range into at most about six.
pub(super) fn y_step(range: &Range<f64>) -> f64 {
    let rough = ((range.end - range.start) / 6.0).max(f64::MIN_POSITIVE);
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough * 0.999).unwrap_or(rough)
}

/// Axes with lines across at the values of y alone, whose labels are `step` apart; labels of x as if they were `x_step` apart.
pub(super) fn draw_axes(chart: &mut Chart, step: f64, x_step: f64) -> Drawn {
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(FAINT)
        .label_style(axis_text(SIZE - 2.0))
        .y_labels(7)
        .y_label_formatter(&|value| decimals(*value, step))
        .x_label_formatter(&|value| decimals(*value, x_step))
        .draw()?;
    Ok(())
}

/// As many decimals as labels `step` apart need.
pub(super) fn decimals(value: f64, step: f64) -> String {
    let places = (-step.log10().floor()).clamp(0.0, 12.0) as usize;
    if places > 4 || step >= 1e5 { format!("{value:.1e}") } else { format!("{value:.places$}") }
}

/// `160000` as `160k`.
fn short_step(step: f64) -> String {
    if step >= 1000.0 { format!("{}k", (step / 100.0).round() / 10.0) } else { format!("{step:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        let range = |values: &[f64]| y_range(&[values.iter().map(|value| (0.0, *value)).collect()], None);
        assert_eq!(range(&[0.3, 2.9]), 0.0..3.0);
        assert_eq!(range(&[0.0412]), 0.0..0.05);
        assert_eq!(range(&[]), 0.0..1.0);
        assert_eq!(range(&[-1.0, 1.0]), -1.0..1.0);
        assert_eq!(y_range(&[vec![(0.0, 99.0)]], Some(100.0)), 0.0..100.0);
    }

    #[test]
    fn labels_are_short() {
        assert_eq!(
            (short_step(500.0), short_step(2500.0), short_step(160_000.0)),
            ("500".into(), "2.5k".into(), "160k".into())
        );
        assert_eq!(
            (decimals(0.05, 0.01), decimals(20.0, 10.0), decimals(2e-5, 1e-6), decimals(3e9, 1e9)),
            ("0.05".into(), "20".into(), "2.0e-5".into(), "3.0e9".into())
        );
    }

    #[test]
    fn the_moving_mean_shortens_at_the_ends() {
        let line = [(0.0, 0.0), (1.0, 3.0), (2.0, 6.0)];
        assert_eq!(moving_mean(&line, 1), [(0.0, 1.5), (1.0, 3.0), (2.0, 4.5)]);
        assert_eq!(moving_mean(&line, 0), line);
    }

    #[test]
    fn a_long_line_keeps_its_peaks() {
        let line: Vec<(f64, f64)> = (0..100_000).map(|i| (f64::from(i), f64::from(i % 7))).collect();
        let mut with_peaks = line.clone();
        (with_peaks[33_333].1, with_peaks[77_777].1) = (500.0, -500.0);
        let thin = thinned(&with_peaks);
        assert!(thin.len() <= 2 * MOST_STRETCHES && thin.is_sorted_by(|a, b| a.0 <= b.0));
        assert!(thin.contains(&(33_333.0, 500.0)) && thin.contains(&(77_777.0, -500.0)));
        assert_eq!(thinned(&line[..2000]), line[..2000]);
    }

    #[test]
    fn empty_broken_and_single_points_can_be_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        loss_plot(&path, &[]).unwrap();
        score_plot(&path, "mIoU (%)", &[Series { name: "a".into(), points: vec![(0, f64::NAN)] }]).unwrap();
        lr_plot(&path, &[(0, 0.0)]).unwrap();
        lr_plot(&path, &[(3, 1e300), (4, f64::INFINITY)]).unwrap();
        assert_eq!(image::open(&path).unwrap().width(), 1000);
        assert!(score_plot("/no/such/a.png", "", &[]).unwrap_err().to_string().contains("there is no folder"));
    }
}
