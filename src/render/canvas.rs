//! A white image to draw on with plotters, its text, and the way to disk.

use super::surface::{Surface, width};
use crate::files::{write_atomic, write_png};
use crate::font::FONT;
use crate::{Error, Result};
use image::{ExtendedColorType, RgbImage};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, TextStyle, register_font};
use std::io::Write;
use std::path::Path;
use std::sync::Once;

/// What is drawn on.
pub(super) type Area<'a> = DrawingArea<Surface<'a>, Shift>;
/// What drawing may fail with: text that has no layout, never a file.
pub(super) type Drawn<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Axes and text.
pub(super) const INK: RGBColor = RGBColor(40, 40, 40);
/// Text of less weight.
pub(super) const FAINT: RGBColor = RGBColor(110, 110, 110);
/// Grid lines.
pub(super) const GRID: RGBColor = RGBColor(222, 222, 222);

/// A PNG always has the first. An SVG names them all, and a machine without the first has one as wide.
const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";
/// Text in the embedded font, so that plots look the same on every machine.
pub(super) fn axis_text(size: f64) -> TextStyle<'static> {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // Cannot fail for the font above; if it did, drawing text would report it.
        let _ = register_font(FAMILY, FontStyle::Normal, FONT);
    });
    TextStyle { color: INK.to_backend_color(), ..TextStyle::from((FAMILY, size).into_font()) }
}

/// Which point of a text is placed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    /// Its start.
    Start,
    /// Its middle.
    Middle,
    /// Its end.
    End,
}

/// How and where words are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text {
    size: f64,
    color: RGBColor,
    anchor: Anchor,
    upwards: bool,
}

/// Text of `size` pixels from ascent to descent.
pub(super) fn text(size: f64, color: RGBColor, anchor: Anchor) -> Text {
    Text { size, color, anchor, upwards: false }
}

impl Text {
    /// The same, read from bottom to top.
    pub(super) fn upwards(self) -> Self {
        Self { upwards: true, ..self }
    }

    /// Width in pixels.
    pub(super) fn width(self, words: &str) -> i32 {
        width(words, self.size as f32)
    }

    /// The words, or as much of their beginning as fits into `room` pixels with an ellipsis behind it.
    pub(super) fn fit(self, words: &str, room: i32) -> String {
        if self.width(words) <= room {
            return words.to_string();
        }
        let mut kept: Vec<char> = words.chars().collect();
        while kept.pop().is_some() {
            let cut = format!("{}…", kept.iter().collect::<String>().trim_end());
            if self.width(&cut) <= room {
                return cut;
            }
        }
        "…".to_string()
    }

    /// Writes the words with the anchor at `at`, across the line centred on it.
    pub(super) fn draw(self, area: &Area, words: &str, at: (i32, i32)) -> Drawn {
        let along = match self.anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        let style = axis_text(self.size).color(&self.color).pos(Pos::new(along, VPos::Center));
        let turn = if self.upwards { FontTransform::Rotate270 } else { FontTransform::None };
        Ok(area.draw_text(words, &style.transform(turn), at)?)
    }
}

/// Draws on a white image of this size and writes it twice, each in full or not at all: as PNG, and drawn in vectors as SVG.
/// `path` may be the name of either.
///
/// # Errors
/// A file cannot be written.
pub(super) fn save_plot(
    path: impl AsRef<Path>,
    (width, height): (u32, u32),
    paint: impl Fn(&Area) -> Drawn,
) -> Result<()> {
    let path = path.as_ref();
    save_png(path.with_extension("png"), &draw(width, height, &paint)?)?;
    let mut svg = String::new();
    paint_on(Surface::vectors(&mut svg, (width, height)), |area| {
        area.fill(&WHITE)?; // what is beside it may be black
        paint(area)
    })?;
    write_atomic(path.with_extension("svg"), |file| file.write_all(svg.as_bytes()))
}

/// Draws on a white image of this size.
pub(super) fn draw(width: u32, height: u32, paint: impl FnOnce(&Area) -> Drawn) -> Result<RgbImage> {
    draw_on(RgbImage::from_pixel(width, height, image::Rgb([255; 3])), paint)
}

/// Draws on an image that has something on it already.
pub(super) fn draw_on(mut picture: RgbImage, paint: impl FnOnce(&Area) -> Drawn) -> Result<RgbImage> {
    paint_on(Surface::pixels(&mut picture), paint)?;
    Ok(picture)
}

fn paint_on(surface: Surface, paint: impl FnOnce(&Area) -> Drawn) -> Result<()> {
    let (width, height) = surface.get_size();
    let area = surface.into_drawing_area();
    paint(&area)
        .and_then(|()| Ok(area.present()?))
        .map_err(|error| Error::run(format!("a picture of {width} x {height} pixels could not be drawn: {error}")))
}

/// Writes an image as PNG, in full or not at all.
///
/// # Errors
/// The file cannot be written.
pub fn save_png(path: impl AsRef<Path>, picture: &RgbImage) -> Result<()> {
    let (width, height) = picture.dimensions();
    write_png(path, picture.as_raw(), (height as usize, width as usize), ExtendedColorType::Rgb8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_only_where_they_do_not_fit() {
        let style = text(15.0, INK, Anchor::Start);
        assert_eq!(style.fit("cat", style.width("cat")), "cat");
        let room = style.width("great whi…");
        assert_eq!(style.fit("great white shark", room), "great whi…");
        assert_eq!(style.fit("great white shark", style.width("great …")), "great…", "no space before the ellipsis");
        assert_eq!(style.fit("cat", 0), "…");
    }

    #[test]
    fn a_plot_is_written_in_pixels_and_in_vectors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        save_plot(&path, (60, 40), |area| {
            area.draw(&Rectangle::new([(10, 10), (20, 20)], RED.filled()))?;
            text(14.0, INK, Anchor::Middle).upwards().draw(area, "a < b (%)", (40, 20))
        })
        .unwrap();
        let picture = image::open(&path).unwrap().to_rgb8();
        assert_eq!((picture.dimensions(), picture.get_pixel(15, 15).0), ((60, 40), [255, 0, 0]));
        let svg = std::fs::read_to_string(path.with_extension("svg")).unwrap();
        for part in ["<svg width=\"60\" height=\"40\"", "fill=\"#FF0000\"", "a &lt; b (%)", "rotate(270", "sans-serif"]
        {
            assert!(svg.contains(part), "{part} in {svg}");
        }
    }
}
