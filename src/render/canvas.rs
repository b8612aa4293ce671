//! A white picture to draw on with plotters, its text, and the way to disk.

use crate::files::write_png;
use crate::{Error, Result};
use ab_glyph::{Font, FontRef, PxScaleFont, ScaleFont};
use image::{ExtendedColorType, RgbImage};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, TextStyle, register_font};
use std::path::Path;
use std::sync::Once;

/// What is drawn on.
pub(super) type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
/// What drawing may fail with: text that has no layout, never a file.
pub(super) type Drawn<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Axes and text.
pub(super) const INK: RGBColor = RGBColor(40, 40, 40);
/// Text of less weight.
pub(super) const FAINT: RGBColor = RGBColor(110, 110, 110);
/// Grid lines.
pub(super) const GRID: RGBColor = RGBColor(222, 222, 222);

const FAMILY: &str = "DejaVu Sans";
/// DejaVu Sans, as a TrueType file.
pub(crate) static FONT: &[u8] = include_bytes!("../../assets/DejaVuSans.ttf");

/// Style of the axes that plotters labels, in the embedded font, so that plots look the same on every machine.
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

/// Text in the embedded font. plotters' own drops each glyph's left bearing, which tears words apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text {
    size: f32,
    color: RGBColor,
    anchor: Anchor,
    upwards: bool,
}

/// Text of `size` pixels from ascent to descent.
pub(super) fn text(size: f64, color: RGBColor, anchor: Anchor) -> Text {
    Text { size: size as f32, color, anchor, upwards: false }
}

impl Text {
    /// The same, read from bottom to top.
    pub(super) fn upwards(self) -> Self {
        Self { upwards: true, ..self }
    }

    fn font(self) -> Drawn<PxScaleFont<FontRef<'static>>> {
        Ok(FontRef::try_from_slice(FONT)?.into_scaled(self.size))
    }

    /// Width in pixels.
    pub(super) fn width(self, words: &str) -> i32 {
        self.font().map_or(0, |font| {
            let glyphs: Vec<_> = words.chars().map(|letter| font.glyph_id(letter)).collect();
            let kerns: f32 = glyphs.windows(2).map(|pair| font.kern(pair[0], pair[1])).sum();
            (glyphs.iter().map(|glyph| font.h_advance(*glyph)).sum::<f32>() + kerns).ceil() as i32
        })
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
        let font = self.font()?;
        let back = match self.anchor {
            Anchor::Start => 0,
            Anchor::Middle => self.width(words) / 2,
            Anchor::End => self.width(words),
        };
        let mut pen = -back as f32;
        let baseline = 0.29 * self.size; // half of DejaVu's mean letter height
        let mut previous = None;
        for letter in words.chars() {
            let mut glyph = font.scaled_glyph(letter);
            pen += previous.map_or(0.0, |previous| font.kern(previous, glyph.id));
            previous = Some(glyph.id);
            glyph.position = ab_glyph::point(pen, baseline);
            pen += font.h_advance(glyph.id);
            let Some(outline) = font.outline_glyph(glyph) else { continue };
            let (left, top) = (outline.px_bounds().min.x as i32, outline.px_bounds().min.y as i32);
            let mut result = Ok(());
            outline.draw(|x, y, coverage| {
                let (along, across) = (left + x as i32, top + y as i32);
                let offset = if self.upwards { (across, -along) } else { (along, across) };
                let pixel = (at.0 + offset.0, at.1 + offset.1);
                if result.is_ok() && coverage > 0.0 {
                    result = area.draw_pixel(pixel, &self.color.mix(coverage.min(1.0).into()));
                }
            });
            result?;
        }
        Ok(())
    }
}

/// Draws on a white picture of this size.
pub(super) fn draw(width: u32, height: u32, paint: impl FnOnce(&Area) -> Drawn) -> Result<RgbImage> {
    draw_on(RgbImage::from_pixel(width, height, image::Rgb([255; 3])), paint)
}

/// Draws on a picture that has something on it already.
pub(super) fn draw_on(mut picture: RgbImage, paint: impl FnOnce(&Area) -> Drawn) -> Result<RgbImage> {
    let size = picture.dimensions();
    {
        let area = BitMapBackend::with_buffer(&mut picture, size).into_drawing_area();
        paint(&area).and_then(|()| Ok(area.present()?)).map_err(|error| {
            Error::run(format!("a picture of {} x {} pixels could not be drawn: {error}", size.0, size.1))
        })?;
    }
    Ok(picture)
}

/// Writes a picture as PNG, in full or not at all.
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
}
