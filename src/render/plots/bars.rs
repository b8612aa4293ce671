//! One horizontal bar a class, in percent, and for more classes than bars can show a curve of the sorted scores.

use crate::Result;
use crate::render::canvas::{Anchor, Area, Drawn, FAINT, GRID, INK, save_plot, text};
use crate::render::palette::LINES;
use plotters::prelude::*;
use std::path::Path;

/// More classes are drawn in two columns, smaller.
const LARGE: usize = 30;
/// More classes are drawn as a curve, with bars only of the best and the worst.
const SMALL: usize = 120;
/// So many of each.
const ENDS: usize = 10;

/// Scores of classes.
#[derive(Debug, Clone)]
pub(super) struct Bars<'a> {
    /// Names of the classes, in order.
    pub names: Vec<&'a str>,
    /// In 0..=1; `None` shows as absent.
    pub scores: Vec<Option<f64>>,
    /// What the scores are, such as "IoU (%)".
    pub axis: &'a str,
    /// Said where there is no score.
    pub absent: &'a str,
    /// Name and score of a dashed line over all bars, such as the mean; none where it is NaN.
    pub mark: (&'a str, f64),
}

/// Sizes in pixels of one column of bars.
#[derive(Debug, Clone, Copy)]
struct Layout {
    text: f64,
    /// From bar to bar.
    row: i32,
    /// Half of a bar.
    half: i32,
    /// Room for names at the left.
    left: i32,
    /// Of 100 %.
    width: i32,
}

impl Layout {
    /// Room for values at the right.
    const RIGHT: i32 = 100;
    const TOP: i32 = 12;
    /// Room for the axis.
    const BOTTOM: i32 = 84;

    fn new(names: &[&str], small: bool) -> Self {
        let (text_size, row, half, widest, width) =
            if small { (17.0, 25, 8, 260, 400) } else { (22.0, 34, 11, 380, 720) };
        let style = text(text_size, INK, Anchor::End);
        let names = names.iter().map(|name| style.width(name)).max().unwrap_or(0).min(widest);
        Self { text: text_size, row, half, left: (names + 28).max(if small { 90 } else { 180 }), width }
    }

    fn size(self, bars: usize) -> (i32, i32) {
        (self.left + self.width + Self::RIGHT, Self::TOP + self.row * bars as i32 + Self::BOTTOM)
    }
}

impl<'a> Bars<'a> {
    /// Writes it as PNG and SVG.
    pub(super) fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let count = self.names.len();
        if count > SMALL {
            return self.save_ranking(path);
        }
        let layout = Layout::new(&self.names, count > LARGE);
        let columns = if count > LARGE { 2 } else { 1 };
        let rows = count.div_ceil(columns);
        let (width, height) = layout.size(rows);
        save_plot(path, (columns as u32 * width as u32, height as u32), |area| {
            for column in 0..columns {
                let part = self.part(&(column * rows..count.min((column + 1) * rows)).collect::<Vec<_>>());
                part.column(area, layout, (column as i32 * width, 0))?;
            }
            Ok(())
        })
    }

    /// Only these classes, in this order.
    fn part(&self, classes: &[usize]) -> Self {
        Self {
            names: classes.iter().map(|class| self.names[*class]).collect(),
            scores: classes.iter().map(|class| self.scores[*class]).collect(),
            ..*self
        }
    }

    /// One column of bars with its axis, its upper left corner at `corner`.
    fn column(&self, area: &Area, layout: Layout, corner: (i32, i32)) -> Drawn {
        let (left, top) = (corner.0 + layout.left, corner.1 + Layout::TOP);
        let bottom = top + layout.row * self.names.len() as i32;
        let place = |percent: f64| left + (f64::from(layout.width) * percent.clamp(0.0, 100.0) / 100.0).round() as i32;
        let middle = |index: usize| top + layout.row * index as i32 + layout.row / 2;
        for percent in [0, 20, 40, 60, 80, 100] {
            let x = place(f64::from(percent));
            area.draw(&PathElement::new([(x, top - 4), (x, bottom)], GRID.stroke_width(1)))?;
            let style = text(layout.text - 2.0, INK, Anchor::Middle);
            style.draw(area, &percent.to_string(), (x, bottom + 16))?;
        }
        text(layout.text, INK, Anchor::Middle).draw(area, self.axis, (place(50.0), bottom + 52))?;
        let name_style = text(layout.text, INK, Anchor::End);
        for (index, (name, score)) in self.names.iter().zip(&self.scores).enumerate() {
            let y = middle(index);
            name_style.draw(area, &name_style.fit(name, layout.left - 28), (left - 12, y))?;
            let corners = [(left, y - layout.half), (place(percent(*score)), y + layout.half)];
            area.draw(&Rectangle::new(corners, LINES[0].filled()))?;
        }
        let (mark, at) = self.mark;
        if at.is_finite() {
            let x = place(100.0 * at);
            dashes(area, (x, top - 4), (x, bottom))?;
            let style = text(layout.text, LINES[1], Anchor::End);
            style.draw(area, &format!("{mark} {:.1}", 100.0 * at), (left + layout.width, bottom + 52))?;
        }
        // Last, on white: neither the dashes nor the grid run through them.
        for (index, score) in self.scores.iter().enumerate() {
            let (x, y) = (place(percent(*score)), middle(index));
            let (label, color) = match score {
                Some(score) => (format!("{:.1}", 100.0 * score), INK),
                None => (self.absent.to_string(), FAINT),
            };
            let style = text(layout.text - 2.0, color, Anchor::Start);
            let corners = [(x, y - layout.half), (x + 11 + style.width(&label), y + layout.half)];
            area.draw(&Rectangle::new(corners, WHITE.filled()))?;
            style.draw(area, &label, (x + 8, y))?;
        }
        Ok(())
    }

    /// The sorted scores as a curve; below it bars of the worst and of the best.
    fn save_ranking(&self, path: impl AsRef<Path>) -> Result<()> {
        let mut ranked: Vec<usize> = (0..self.names.len()).filter(|class| self.scores[*class].is_some()).collect();
        ranked.sort_by(|a, b| percent(self.scores[*b]).total_cmp(&percent(self.scores[*a])));
        let ends = ENDS.min(ranked.len());
        let best = self.part(&ranked[..ends]);
        let mut worst = self.part(&ranked[ranked.len() - ends..]);
        worst.names.reverse();
        worst.scores.reverse();
        let names: Vec<&str> = best.names.iter().chain(&worst.names).copied().collect();
        let layout = Layout::new(&names, true);
        let (column, bars_height) = layout.size(ends);
        let (curve_height, heading) = (520, 40);
        let size = (2 * column, curve_height + heading + bars_height);
        save_plot(path, (size.0 as u32, size.1 as u32), |area| {
            self.curve(area, &ranked, (size.0, curve_height))?;
            for (index, (part, title)) in [(&best, "best classes"), (&worst, "worst classes")].iter().enumerate() {
                let x = index as i32 * column;
                let style = text(20.0, INK, Anchor::Start);
                style.draw(area, title, (x + layout.left, curve_height + heading / 2))?;
                // The line is in the curve already.
                Bars { mark: ("", f64::NAN), ..(*part).clone() }.column(area, layout, (x, curve_height + heading))?;
            }
            Ok(())
        })
    }

    /// Scores of the classes `ranked` from best to worst, on an area of this size.
    fn curve(&self, area: &Area, ranked: &[usize], (width, height): (i32, i32)) -> Drawn {
        let (left, right, top, bottom) = (96, width - 40, 24, height - 92);
        let y = |percent: f64| bottom - (f64::from(bottom - top) * percent / 100.0).round() as i32;
        let x = |rank: f64| left + (f64::from(right - left) * rank / ranked.len().max(1) as f64).round() as i32;
        let tick = text(18.0, INK, Anchor::End);
        for percent in [0, 20, 40, 60, 80, 100] {
            let y = y(f64::from(percent));
            area.draw(&PathElement::new([(left, y), (right, y)], GRID.stroke_width(1)))?;
            tick.draw(area, &percent.to_string(), (left - 10, y))?;
        }
        let tick = text(18.0, INK, Anchor::Middle);
        for rank in (0..=ranked.len()).step_by(super::round_step(ranked.len())) {
            tick.draw(area, &rank.to_string(), (x(rank as f64), bottom + 18))?;
        }
        let title = text(20.0, INK, Anchor::Middle);
        title.upwards().draw(area, self.axis, (24, (top + bottom) / 2))?;
        let there = match self.names.len() - ranked.len() {
            0 => format!("{} classes, best first", ranked.len()),
            absent => format!("{} classes, best first ({absent} more: {})", ranked.len(), self.absent),
        };
        title.draw(area, &there, ((left + right) / 2, bottom + 52))?;
        let mut line = Vec::with_capacity(2 * ranked.len());
        for (rank, class) in ranked.iter().enumerate() {
            let y = y(percent(self.scores[*class]).clamp(0.0, 100.0));
            line.extend([(x(rank as f64), y), (x(rank as f64 + 1.0), y)]);
        }
        let mut below = line.clone();
        below.extend([(right, bottom), (left, bottom)]);
        area.draw(&Polygon::new(below, LINES[0].mix(0.18)))?;
        area.draw(&PathElement::new(line, LINES[0].stroke_width(3)))?;
        let (mark, at) = self.mark;
        if at.is_finite() {
            dashes(area, (left, y(100.0 * at)), (right, y(100.0 * at)))?;
            // At the right end the curve is below the mean.
            let style = text(20.0, LINES[1], Anchor::End);
            style.draw(area, &format!("{mark} {:.1}", 100.0 * at), (right, y(100.0 * at) - 16))?;
        }
        Ok(())
    }
}

fn percent(score: Option<f64>) -> f64 {
    score.map_or(0.0, |score| 100.0 * score)
}

/// A dashed line to the right or downwards.
fn dashes(area: &Area, from: (i32, i32), to: (i32, i32)) -> Drawn {
    let end = |at: (i32, i32)| ((at.0 + 7).min(to.0), (at.1 + 7).min(to.1));
    for step in (0..(to.0 - from.0).max(to.1 - from.1)).step_by(12) {
        let at = ((from.0 + step).min(to.0), (from.1 + step).min(to.1));
        area.draw(&PathElement::new([at, end(at)], LINES[1].stroke_width(2)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbImage;

    fn bars(classes: usize, score: f64, mark: f64) -> RgbImage {
        let scores = vec![Some(score); classes];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        Bars { names: vec!["a"; classes], scores, axis: "", absent: "", mark: ("", mark) }.save(&path).unwrap();
        image::open(&path).unwrap().to_rgb8()
    }

    #[test]
    fn the_dashes_do_not_run_through_the_values() {
        let dashed = |picture: &RgbImage, rows: std::ops::Range<u32>| {
            let RGBColor(red, green, blue) = LINES[1];
            rows.flat_map(|y| (0..picture.width()).map(move |x| (x, y)))
                .filter(|(x, y)| picture.get_pixel(*x, *y).0 == [red, green, blue])
                .count()
        };
        // The one bar is 22 high, around y = 12 + 34 / 2; "60.0" is written from 60 % to 66 %.
        for (mark, crosses) in [(0.5, true), (0.62, false), (0.65, false), (0.8, true)] {
            let picture = bars(1, 0.6, mark);
            assert_eq!(dashed(&picture, 18..40) > 0, crosses, "{mark}");
            assert!(dashed(&picture, 41..46) > 0, "{mark}: the line is there between the bars");
        }
    }

    #[test]
    fn many_classes_take_two_columns_and_more_a_curve() {
        let size = |classes| bars(classes, 0.5, 0.5).dimensions();
        assert_eq!(size(30), (1000, 12 + 30 * 34 + 84));
        assert_eq!(size(100), (2 * 590, 12 + 50 * 25 + 84));
        assert_eq!(size(1000), size(121), "the curve's size does not depend on the classes");
    }
}
