//! A white picture to draw on with plotters, its font, and the way to disk.

use crate::files::write_atomic;
use crate::{Error, Result};
use image::{ImageFormat, RgbImage};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, FontTransform, TextStyle, register_font};
use std::io::{Cursor, Write};
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
static FONT: &[u8] = include_bytes!("../../assets/DejaVuSans.ttf");

/// Text of `size` pixels in the embedded font, so that plots look the same on every machine.
pub(super) fn text(size: f64, color: RGBColor) -> TextStyle<'static> {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // Cannot fail for the font above; if it did, drawing text would report it.
        let _ = register_font(FAMILY, FontStyle::Normal, FONT);
    });
    TextStyle { color: color.to_backend_color(), ..TextStyle::from((FAMILY, size).into_font()) }
}

/// The same text, anchored at this side of its box.
pub(super) fn anchored(style: TextStyle<'static>, h: HPos, v: VPos) -> TextStyle<'static> {
    style.pos(Pos::new(h, v))
}

/// Reads from bottom to top.
pub(super) fn upwards(style: TextStyle<'static>) -> TextStyle<'static> {
    style.transform(FontTransform::Rotate270)
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
    let path = path.as_ref();
    // Encoded in memory first: the encoder wants to seek, and its errors are then none of the disk's.
    let mut bytes = Vec::new();
    picture
        .write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)
        .map_err(|error| Error::file(path, format!("cannot be written as PNG: {error}")))?;
    write_atomic(path, |writer| writer.write_all(&bytes))
}
