//! What plots are drawn on: pixels or vectors, with one way to write text on either.

use crate::font::FONT;
use ab_glyph::{Font, FontRef, ScaleFont};
use image::RgbImage;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingErrorKind};
use std::io;

type Outcome<T = ()> = Result<T, DrawingErrorKind<io::Error>>;

/// An image, or the text of an SVG file.
pub(super) enum Surface<'a> {
    Pixels(BitMapBackend<'a>),
    Vectors(SVGBackend<'a>),
}

impl<'a> Surface<'a> {
    pub(super) fn pixels(picture: &'a mut RgbImage) -> Self {
        let size = picture.dimensions();
        Self::Pixels(BitMapBackend::with_buffer(picture, size))
    }

    pub(super) fn vectors(text: &'a mut String, size: (u32, u32)) -> Self {
        Self::Vectors(SVGBackend::with_string(text, size))
    }
}

/// The same call on whichever it is.
macro_rules! on_either {
    ($surface:expr, $backend:ident => $call:expr) => {
        match $surface {
            Surface::Pixels($backend) => {
                $call.map_err(|e| DrawingErrorKind::DrawingError(io::Error::other(e.to_string())))
            }
            Surface::Vectors($backend) => $call,
        }
    };
}

impl DrawingBackend for Surface<'_> {
    type ErrorType = io::Error;

    fn get_size(&self) -> (u32, u32) {
        match self {
            Self::Pixels(backend) => backend.get_size(),
            Self::Vectors(backend) => backend.get_size(),
        }
    }

    fn ensure_prepared(&mut self) -> Outcome {
        on_either!(self, backend => backend.ensure_prepared())
    }

    fn present(&mut self) -> Outcome {
        on_either!(self, backend => backend.present())
    }

    fn draw_pixel(&mut self, at: BackendCoord, color: BackendColor) -> Outcome {
        on_either!(self, backend => backend.draw_pixel(at, color))
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Outcome {
        on_either!(self, backend => backend.draw_line(from, to, style))
    }

    fn draw_rect<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S, fill: bool) -> Outcome {
        on_either!(self, backend => backend.draw_rect(from, to, style, fill))
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Outcome {
        on_either!(self, backend => backend.draw_path(path, style))
    }

    fn draw_circle<S: BackendStyle>(&mut self, at: BackendCoord, radius: u32, style: &S, fill: bool) -> Outcome {
        on_either!(self, backend => backend.draw_circle(at, radius, style, fill))
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Outcome {
        on_either!(self, backend => backend.fill_polygon(path, style))
    }

    fn draw_text<S: BackendTextStyle>(&mut self, words: &str, style: &S, at: BackendCoord) -> Outcome {
        match self {
            Self::Pixels(backend) => draw_glyphs(backend, words, style, at),
            Self::Vectors(backend) => backend.draw_text(words, style, at),
        }
    }
}

/// Text of one line, from left to right or from bottom to top. plotters' own drops each glyph's left bearing, which tears
/// words apart.
fn draw_glyphs<S: BackendTextStyle>(backend: &mut BitMapBackend, words: &str, style: &S, at: BackendCoord) -> Outcome {
    let failed = |error: String| DrawingErrorKind::DrawingError(io::Error::other(error));
    let size = style.size() as f32;
    let font = FontRef::try_from_slice(FONT).map_err(|e| failed(e.to_string()))?.into_scaled(size);
    let back = match style.anchor().h_pos {
        HPos::Left => 0,
        HPos::Center => width(words, size) / 2,
        HPos::Right => width(words, size),
    };
    let middle = match style.anchor().v_pos {
        VPos::Top => size / 2.0,
        VPos::Center => 0.0,
        VPos::Bottom => -size / 2.0,
    };
    let upwards = matches!(style.transform(), FontTransform::Rotate270);
    let baseline = middle + 0.29 * size; // half of DejaVu's mean letter height
    let (mut pen, mut previous) = (-back as f32, None);
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
            let offset = if upwards { (across, -along) } else { (along, across) };
            let color = style.color();
            let color = BackendColor { alpha: color.alpha * f64::from(coverage.min(1.0)), ..color };
            if result.is_ok() && coverage > 0.0 {
                result = backend.draw_pixel((at.0 + offset.0, at.1 + offset.1), color);
            }
        });
        result.map_err(|e| failed(e.to_string()))?;
    }
    Ok(())
}

/// Width in pixels of words in the embedded font, `size` pixels from ascent to descent.
pub(super) fn width(words: &str, size: f32) -> i32 {
    let Ok(font) = FontRef::try_from_slice(FONT) else { return 0 };
    let font = font.into_scaled(size);
    let glyphs: Vec<_> = words.chars().map(|letter| font.glyph_id(letter)).collect();
    let kerns: f32 = glyphs.windows(2).map(|pair| font.kern(pair[0], pair[1])).sum();
    (glyphs.iter().map(|glyph| font.h_advance(*glyph)).sum::<f32>() + kerns).ceil() as i32
}
