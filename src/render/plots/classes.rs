//! Scores class by class: IoU bars and the confusion matrix.

use crate::Result;
use crate::data::labels::CLASSES;
use crate::eval::scores::Confusion;
use crate::render::canvas::{Anchor, Area, Drawn, FAINT, GRID, INK, draw, save_png, text};
use crate::render::palette::LINES;
use plotters::prelude::*;
use std::path::Path;

const SIZE: f64 = 22.0;

/// IoU of each class in percent as horizontal bars, in order of train ids; `None` shows as absent.
///
/// `class_iou`: in 0..=1, as [`Scores::class_iou`](crate::eval::scores::Scores::class_iou). `miou`: marked by a line.
///
/// # Errors
/// The file cannot be written.
pub fn class_iou_bars(path: impl AsRef<Path>, class_iou: &[Option<f64>], miou: f64) -> Result<()> {
    let (left, row, width) = (180, 34, 720);
    let bottom = 12 + row * class_iou.len() as i32;
    let place = |percent: f64| left + (f64::from(width) * percent.clamp(0.0, 100.0) / 100.0).round() as i32;
    let picture = draw((left + width + 100) as u32, (bottom + 84) as u32, |area| {
        for percent in [0, 20, 40, 60, 80, 100] {
            let x = place(f64::from(percent));
            area.draw(&PathElement::new([(x, 8), (x, bottom)], GRID.stroke_width(1)))?;
            let style = text(SIZE - 2.0, INK, Anchor::Middle);
            style.draw(area, &percent.to_string(), (x, bottom + 16))?;
        }
        let style = text(SIZE, INK, Anchor::Middle);
        style.draw(area, "IoU (%)", (place(50.0), bottom + 52))?;
        let name_style = text(SIZE, INK, Anchor::End);
        for (index, (class, iou)) in CLASSES.iter().zip(class_iou).enumerate() {
            let y = 12 + row * index as i32 + row / 2;
            name_style.draw(area, class.name, (left - 12, y))?;
            let percent = iou.map_or(0.0, |iou| 100.0 * iou);
            area.draw(&Rectangle::new([(left, y - 11), (place(percent), y + 11)], LINES[0].filled()))?;
            let (label, color) = match iou {
                Some(_) => (format!("{percent:.1}"), INK),
                None => ("not in truth or prediction".into(), FAINT),
            };
            let style = text(SIZE - 2.0, color, Anchor::Start);
            style.draw(area, &label, (place(percent) + 8, y))?;
        }
        if miou.is_finite() {
            let x = place(100.0 * miou);
            for y in (8..bottom).step_by(12) {
                area.draw(&PathElement::new([(x, y), (x, (y + 7).min(bottom))], LINES[1].stroke_width(2)))?;
            }
            let style = text(SIZE, LINES[1], Anchor::End);
            style.draw(area, &format!("mIoU {:.1}", 100.0 * miou), (left + width, bottom + 52))?;
        }
        Ok(())
    })?;
    save_png(path, &picture)
}

/// Confusion matrix, each row in percent of its true pixels.
///
/// # Errors
/// The file cannot be written.
pub fn confusion_heatmap(path: impl AsRef<Path>, confusion: &Confusion) -> Result<()> {
    let heatmap = Heatmap { left: 220, top: 190, cell: 46 };
    let side = heatmap.cell * CLASSES.len() as i32;
    let size = ((heatmap.left + side + 130) as u32, (heatmap.top + side + 20) as u32);
    let picture = draw(size.0, size.1, |area| {
        heatmap.cells(area, confusion)?;
        heatmap.names(area)?;
        heatmap.scale(area)
    })?;
    save_png(path, &picture)
}

/// White to dark blue, so that more is darker in print and to any eye.
fn shade(share: f64) -> RGBColor {
    let stops = [(255.0, 255.0, 255.0), (190.0, 215.0, 236.0), (86.0, 150.0, 200.0), (8.0, 64.0, 129.0)];
    let at = share.clamp(0.0, 1.0) * (stops.len() - 1) as f64;
    let (low, high) = (stops[at.floor() as usize], stops[at.ceil() as usize]);
    let mix = |low: f64, high: f64| (low + (high - low) * at.fract()).round() as u8;
    RGBColor(mix(low.0, high.0), mix(low.1, high.1), mix(low.2, high.2))
}

struct Heatmap {
    left: i32,
    top: i32,
    cell: i32,
}

impl Heatmap {
    fn at(&self, row: usize, column: usize) -> (i32, i32) {
        (self.left + self.cell * column as i32, self.top + self.cell * row as i32)
    }

    fn cells(&self, area: &Area, confusion: &Confusion) -> Drawn {
        for ((row, counts), void) in confusion.counts().outer_iter().enumerate().zip(confusion.predicted_void()) {
            let total = counts.sum() + void;
            for (column, count) in counts.iter().enumerate() {
                let (x, y) = self.at(row, column);
                let share = *count as f64 / total.max(1) as f64;
                let corners = [(x, y), (x + self.cell, y + self.cell)];
                let fill = if total == 0 { RGBColor(243, 243, 243) } else { shade(share) };
                area.draw(&Rectangle::new(corners, fill.filled()))?;
                area.draw(&Rectangle::new(corners, GRID.stroke_width(1)))?;
                if share >= 0.005 {
                    let ink = if share > 0.5 { WHITE } else { INK };
                    let style = text(SIZE - 4.0, ink, Anchor::Middle);
                    let label = format!("{:.0}", 100.0 * share);
                    style.draw(area, &label, (x + self.cell / 2, y + self.cell / 2))?;
                }
            }
            if total == 0 {
                let (x, y) = self.at(row, 0);
                let style = text(SIZE - 4.0, FAINT, Anchor::Start);
                style.draw(area, "not in the truth", (x + 10, y + self.cell / 2))?;
            }
        }
        Ok(())
    }

    fn names(&self, area: &Area) -> Drawn {
        let side = self.cell * CLASSES.len() as i32;
        let row_style = text(SIZE, INK, Anchor::End);
        let column_style = text(SIZE, INK, Anchor::Start).upwards();
        for (index, class) in CLASSES.iter().enumerate() {
            let (x, y) = self.at(index, index);
            row_style.draw(area, class.name, (self.left - 10, y + self.cell / 2))?;
            column_style.draw(area, class.name, (x + self.cell / 2, self.top - 10))?;
        }
        let title = text(SIZE + 2.0, INK, Anchor::Middle);
        title.draw(area, "prediction", (self.left + side / 2, 22))?;
        title.upwards().draw(area, "truth", (24, self.top + side / 2))?;
        Ok(())
    }

    fn scale(&self, area: &Area) -> Drawn {
        let side = self.cell * CLASSES.len() as i32;
        let (x, width) = (self.left + side + 24, 24);
        for y in 0..side {
            let color = shade(1.0 - f64::from(y) / f64::from(side));
            area.draw(&PathElement::new([(x, self.top + y), (x + width, self.top + y)], color))?;
        }
        area.draw(&Rectangle::new([(x, self.top), (x + width, self.top + side)], FAINT.stroke_width(1)))?;
        let style = text(SIZE - 4.0, INK, Anchor::Start);
        for percent in [0, 25, 50, 75, 100] {
            style.draw(area, &percent.to_string(), (x + width + 8, self.top + side - side * percent / 100))?;
        }
        let note = text(SIZE - 2.0, INK, Anchor::Middle).upwards();
        note.draw(area, "% of the row's true pixels", (x + width + 64, self.top + side / 2))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::labels::NUM_CLASSES;

    #[test]
    fn shades_darken() {
        assert_eq!(shade(0.0), RGBColor(255, 255, 255));
        assert_eq!(shade(1.0), RGBColor(8, 64, 129));
        assert!((0..100).all(|i| shade(f64::from(i) / 100.0).1 >= shade(f64::from(i + 1) / 100.0).1));
    }

    #[test]
    fn nothing_at_all_can_be_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        class_iou_bars(&path, &[None; NUM_CLASSES], f64::NAN).unwrap();
        confusion_heatmap(&path, &Confusion::new()).unwrap();
        assert!(image::open(&path).unwrap().width() > 1000);
    }
}
