//! A confusion matrix as a map of shares, with names and numbers as far as they fit.

use crate::Result;
use crate::render::canvas::{Anchor, Area, Drawn, FAINT, GRID, INK, save_plot, text};
use ndarray::Array2;
use plotters::prelude::*;
use std::path::Path;

/// Up to so many classes cells have numbers.
const WITH_NUMBERS: usize = 20;
/// Up to so many classes the axes have names, of more they have class numbers.
const WITH_NAMES: usize = 120;
/// Longer names are cut, in pixels.
const LONGEST_NAME: i32 = 240;

/// How a share becomes a brightness.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// Twice the share is twice the step from white.
    Linear,
    /// Cube root: one image in a hundred is already well off white.
    CubeRoot,
}

impl Scale {
    fn level(self, share: f64) -> f64 {
        match self {
            Self::Linear => share,
            Self::CubeRoot => share.cbrt(),
        }
    }

    /// Percentages to mark.
    fn ticks(self) -> &'static [i32] {
        match self {
            Self::Linear => &[0, 25, 50, 75, 100],
            Self::CubeRoot => &[0, 1, 5, 10, 20, 40, 60, 80, 100],
        }
    }
}

/// White to dark blue, so that more is darker in print and to any eye.
fn shade(level: f64) -> RGBColor {
    let stops = [(255.0, 255.0, 255.0), (190.0, 215.0, 236.0), (86.0, 150.0, 200.0), (8.0, 64.0, 129.0)];
    let at = level.clamp(0.0, 1.0) * (stops.len() - 1) as f64;
    let (low, high) = (stops[at.floor() as usize], stops[at.ceil() as usize]);
    let mix = |low: f64, high: f64| (low + (high - low) * at.fract()).round() as u8;
    RGBColor(mix(low.0, high.0), mix(low.1, high.1), mix(low.2, high.2))
}

/// What a heatmap shows.
#[derive(Debug)]
pub(super) struct Heatmap<'a> {
    /// Names of the classes, in order.
    pub names: Vec<&'a str>,
    /// `[classes, classes]`, rows truth, columns prediction.
    pub counts: Array2<u64>,
    /// What 100 % of each row is: at least the sum of its counts.
    pub totals: Vec<u64>,
    /// From share to color.
    pub scale: Scale,
    /// What is counted, such as "pixels".
    pub unit: &'a str,
}

impl Heatmap<'_> {
    /// Writes it as PNG and SVG.
    pub(super) fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let layout = Layout::new(&self.names);
        let side = layout.side;
        let size = ((layout.left + side + 130) as u32, (layout.top + side + 20) as u32);
        save_plot(path, size, |area| {
            self.cells(area, &layout)?;
            self.axes(area, &layout)?;
            self.legend(area, &layout)
        })
    }

    fn cells(&self, area: &Area, layout: &Layout) -> Drawn {
        let cell = layout.cell;
        for ((row, counts), &total) in self.counts.outer_iter().enumerate().zip(&self.totals) {
            for (column, count) in counts.iter().enumerate() {
                let (x, y) = layout.at(row, column);
                let share = *count as f64 / total.max(1) as f64;
                let level = self.scale.level(share);
                let fill = if total == 0 { RGBColor(243, 243, 243) } else { shade(level) };
                let corners = [(x, y), (x + cell, y + cell)];
                if fill != WHITE {
                    area.draw(&Rectangle::new(corners, fill.filled()))?; // of a million cells most are white
                }
                if layout.numbers {
                    area.draw(&Rectangle::new(corners, GRID.stroke_width(1)))?;
                }
                if layout.numbers && share >= 0.005 {
                    let ink = if level > 0.7 { WHITE } else { INK };
                    let style = text(layout.text - 4.0, ink, Anchor::Middle);
                    style.draw(area, &format!("{:.0}", 100.0 * share), (x + cell / 2, y + cell / 2))?;
                }
            }
            if layout.numbers && total == 0 {
                let (x, y) = layout.at(row, 0);
                let style = text(layout.text - 4.0, FAINT, Anchor::Start);
                style.draw(area, "not in the truth", (x + 10, y + cell / 2))?;
            }
        }
        let corners = [(layout.left - 1, layout.top - 1), (layout.left + layout.side, layout.top + layout.side)];
        if !layout.numbers {
            area.draw(&Rectangle::new(corners, FAINT.stroke_width(1)))?;
        }
        Ok(())
    }

    fn axes(&self, area: &Area, layout: &Layout) -> Drawn {
        let (left, top, half) = (layout.left, layout.top, layout.cell / 2);
        let row_style = text(layout.text, INK, Anchor::End);
        if layout.names {
            let column_style = text(layout.text, INK, Anchor::Start).upwards();
            for (index, name) in self.names.iter().enumerate() {
                let ((x, y), name) = (layout.at(index, index), row_style.fit(name, LONGEST_NAME));
                row_style.draw(area, &name, (left - 10, y + half))?;
                column_style.draw(area, &name, (x + half, top - 10))?;
            }
        } else {
            let column_style = text(layout.text, INK, Anchor::Middle);
            for index in (0..self.names.len()).step_by(super::round_step(self.names.len())) {
                let (x, y) = layout.at(index, index);
                area.draw(&PathElement::new([(left - 8, y + half), (left - 2, y + half)], FAINT))?;
                area.draw(&PathElement::new([(x + half, top - 8), (x + half, top - 2)], FAINT))?;
                row_style.draw(area, &index.to_string(), (left - 12, y + half))?;
                column_style.draw(area, &index.to_string(), (x + half, top - 20))?;
            }
        }
        let what = if layout.names { "" } else { " (class number)" };
        let title = text(24.0, INK, Anchor::Middle);
        title.draw(area, &format!("prediction{what}"), (left + layout.side / 2, 22))?;
        title.upwards().draw(area, &format!("truth{what}"), (24, top + layout.side / 2))?;
        Ok(())
    }

    /// The colors of shares, at the right.
    fn legend(&self, area: &Area, layout: &Layout) -> Drawn {
        let (top, side, width) = (layout.top, layout.side, 24);
        let x = layout.left + side + 24;
        for y in 0..side {
            let color = shade(1.0 - f64::from(y) / f64::from(side));
            // A little below the next: in vectors, on a screen of any size, nothing white is between them.
            let below = (top + y + 2).min(top + side);
            area.draw(&Rectangle::new([(x, top + y), (x + width, below)], color.filled()))?;
        }
        area.draw(&Rectangle::new([(x, top), (x + width, top + side)], FAINT.stroke_width(1)))?;
        let style = text(18.0, INK, Anchor::Start);
        for &percent in self.scale.ticks() {
            let level = self.scale.level(f64::from(percent) / 100.0);
            let y = top + side - (f64::from(side) * level).round() as i32;
            style.draw(area, &percent.to_string(), (x + width + 8, y))?;
        }
        let note = text(20.0, INK, Anchor::Middle).upwards();
        note.draw(area, &format!("% of the row's true {}", self.unit), (x + width + 64, top + side / 2))?;
        Ok(())
    }
}

/// Sizes and places in pixels.
struct Layout {
    left: i32,
    top: i32,
    cell: i32,
    side: i32,
    text: f64,
    names: bool,
    numbers: bool,
}

impl Layout {
    fn new(names: &[&str]) -> Self {
        let classes = names.len().max(1) as i32;
        let (numbers, with_names) = (names.len() <= WITH_NUMBERS, names.len() <= WITH_NAMES);
        // Few classes still leave room for the legend, many get less than a pixel's frame each.
        let cell = if numbers { (360 / classes).clamp(46, 180) } else { (1500 / classes).clamp(1, 30) };
        let size = if with_names { f64::from(cell).min(22.0) } else { 18.0 };
        let style = text(size, INK, Anchor::End);
        let longest = names.iter().map(|name| style.width(name)).max().unwrap_or(0).min(LONGEST_NAME);
        let (left, top) = if with_names { (longest + 60, longest + 54) } else { (104, 76) };
        Self { left, top, cell, side: cell * classes, text: size, names: with_names, numbers }
    }

    fn at(&self, row: usize, column: usize) -> (i32, i32) {
        (self.left + self.cell * column as i32, self.top + self.cell * row as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_darken() {
        assert_eq!(shade(0.0), RGBColor(255, 255, 255));
        assert_eq!(shade(1.0), RGBColor(8, 64, 129));
        assert!((0..100).all(|i| shade(f64::from(i) / 100.0).1 >= shade(f64::from(i + 1) / 100.0).1));
    }

    #[test]
    fn one_percent_can_be_seen_on_the_cube_root_scale() {
        assert_eq!(Scale::Linear.level(0.25), 0.25);
        assert!((Scale::CubeRoot.level(0.125) - 0.5).abs() < 1e-12);
        let RGBColor(red, ..) = shade(Scale::CubeRoot.level(0.01));
        assert!(red < 220, "{red}");
    }

    #[test]
    fn a_cell_is_never_less_than_a_pixel() {
        for (classes, cell) in [(1, 180), (2, 180), (10, 46), (19, 46), (100, 15), (1000, 1), (3000, 1)] {
            assert_eq!(Layout::new(&vec!["a"; classes]).cell, cell, "{classes} classes");
        }
    }

    #[test]
    fn every_cell_is_drawn_also_where_it_is_one_pixel() {
        for (classes, cell) in [(10, 46), (100, 15), (1000, 1)] {
            let mut counts = Array2::zeros((classes, classes));
            counts[[3, 7]] = 1;
            let names = vec!["a"; classes];
            let layout = Layout::new(&names);
            let totals = (0..classes).map(|row| if row == 4 { 0 } else { 1 }).collect();
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.png");
            Heatmap { names, counts, totals, scale: Scale::CubeRoot, unit: "pictures" }.save(&path).unwrap();
            let picture = image::open(&path).unwrap().to_rgb8();
            let color = |row, column| {
                let (x, y) = layout.at(row, column);
                picture.get_pixel((x + cell / 4) as u32, (y + cell / 4) as u32).0
            };
            assert_eq!(color(3, 7), [8, 64, 129], "{classes} classes");
            let around = [color(3, 6), color(3, 8), color(2, 7), color(7, 3)];
            assert_eq!(around, [[255; 3]; 4], "{classes} classes");
            assert_eq!(color(4, 7), [243; 3], "{classes} classes: a row that does not occur");
        }
    }
}
