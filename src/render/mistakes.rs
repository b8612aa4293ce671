//! Contact sheet of the images a classifier is most sure and wrong about.

use super::canvas::{Anchor, FAINT, INK, draw_on, text};
use super::overlay::picture;
use super::palette::LINES;
use crate::Result;
use image::imageops::{FilterType, overlay as paste, resize};
use image::{Rgb, RgbImage};
use ndarray::ArrayView3;

/// Side of the square an image is fitted into: 32 pixels grow fivefold.
const SIDE: u32 = 160;
/// White around tiles.
const GAP: u32 = 16;
/// Two lines of text below an image.
const TEXT: u32 = 48;
/// The line above the tiles.
const TITLE: u32 = 44;
const MOST_COLUMNS: usize = 6;

/// An image whose predicted class is wrong.
#[derive(Debug, Clone, Copy)]
pub struct Mistake<'a> {
    /// RGB `[height, width, 3]`, of any size.
    pub picture: ArrayView3<'a, u8>,
    /// Name of the true class.
    pub truth: &'a str,
    /// Name of the class that was predicted.
    pub predicted: &'a str,
    /// Softmax probability of the prediction, in 0..=1.
    pub confidence: f32,
}

/// All of them in a grid of up to six columns, the truth and the prediction with its probability below each; names that
/// are too long are cut.
///
/// # Errors
/// Drawing fails.
pub fn mistakes(mistakes: &[Mistake]) -> Result<RgbImage> {
    let pictures: Vec<RgbImage> = mistakes.iter().map(|mistake| fit(picture(mistake.picture), SIDE)).collect();
    let height = pictures.iter().map(RgbImage::height).max().unwrap_or(0);
    let columns = columns(mistakes.len());
    let rows = mistakes.len().div_ceil(columns) as u32;
    let title = "most confident mistakes: truth → prediction, its probability";
    let title_style = text(17.0, INK, Anchor::Start);
    let width = (columns as u32 * (SIDE + GAP) + GAP).max(title_style.width(title) as u32 + 2 * GAP);
    let sheet_height = TITLE + rows * (height + TEXT + GAP);
    let mut sheet = RgbImage::from_pixel(width, sheet_height, Rgb([255; 3]));
    // The left and upper corner of a tile.
    let corner = |index: usize| {
        let (row, column) = ((index / columns) as u32, (index % columns) as u32);
        (GAP + column * (SIDE + GAP), TITLE + row * (height + TEXT + GAP))
    };
    for (index, drawn) in pictures.iter().enumerate() {
        let (x, y) = corner(index);
        // At the left and the bottom of its square: in one line with its text, and near it.
        paste(&mut sheet, drawn, x.into(), (y + height - drawn.height()).into());
    }
    draw_on(sheet, |area| {
        title_style.draw(area, title, (GAP as i32, TITLE as i32 / 2))?;
        let (truth_style, style) = (text(15.0, FAINT, Anchor::Start), text(15.0, LINES[1], Anchor::Start));
        for (index, mistake) in mistakes.iter().enumerate() {
            let (x, y) = (corner(index).0 as i32, (corner(index).1 + height) as i32);
            truth_style.draw(area, &truth_style.fit(mistake.truth, SIDE as i32), (x, y + 15))?;
            // The probability is never cut.
            let probability = format!(", {}", in_percent(mistake.confidence));
            let room = SIDE as i32 - style.width(&probability);
            let predicted = style.fit(&format!("→ {}", mistake.predicted), room);
            style.draw(area, &format!("{predicted}{probability}"), (x, y + 35))?;
        }
        Ok(())
    })
}

/// In whole percent; what is not certain is not called 100 %.
fn in_percent(confidence: f32) -> String {
    let percent = 100.0 * f64::from(confidence);
    match percent {
        99.5..100.0 => format!("{:.1} %", (10.0 * percent).floor() / 10.0),
        _ => format!("{percent:.0} %"),
    }
}

/// Up to six; of 4, 5 and 6 the one that leaves the fewest places of the last row empty.
fn columns(pictures: usize) -> usize {
    if pictures <= MOST_COLUMNS {
        return pictures.max(1);
    }
    let empty = |columns: &usize| pictures.next_multiple_of(*columns) - pictures;
    (4..=MOST_COLUMNS).rev().min_by_key(empty).unwrap_or(MOST_COLUMNS)
}

/// Brings an image into a square of this side: small ones grow by a whole factor, so that their pixels stay as they are; large ones
/// shrink.
pub(super) fn fit(picture: RgbImage, square: u32) -> RgbImage {
    let (width, height) = picture.dimensions();
    let longer = width.max(height).max(1);
    if longer > square {
        let side = |length: u32| (u64::from(length) * u64::from(square) / u64::from(longer)).max(1) as u32;
        return resize(&picture, side(width), side(height), FilterType::Triangle);
    }
    match square / longer {
        1 => picture,
        factor => resize(&picture, width * factor, height * factor, FilterType::Nearest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    #[test]
    fn small_pictures_keep_their_pixels_and_large_ones_their_shape() {
        let mut small = RgbImage::new(32, 32);
        small.put_pixel(1, 0, Rgb([200; 3]));
        let grown = fit(small, SIDE);
        assert_eq!(grown.dimensions(), (160, 160));
        assert_eq!([4, 5, 9, 10].map(|x| grown.get_pixel(x, 4).0[0]), [0, 200, 200, 0]);
        assert_eq!(fit(RgbImage::new(320, 160), SIDE).dimensions(), (160, 80));
        assert_eq!(fit(RgbImage::new(3000, 1), SIDE).dimensions(), (160, 1));
        assert_eq!(fit(RgbImage::new(96, 64), SIDE).dimensions(), (96, 64));
    }

    #[test]
    fn rows_are_filled() {
        assert_eq!([1, 5, 6, 7, 8, 10, 25, 36].map(columns), [1, 5, 6, 4, 4, 5, 5, 6]);
    }

    #[test]
    fn only_certainty_is_100_percent() {
        assert_eq!([0.0, 0.974, 0.9951, 0.99999, 1.0].map(in_percent), ["0 %", "97 %", "99.5 %", "99.9 %", "100 %"]);
        assert_eq!(in_percent(f32::NAN), "NaN %");
    }

    #[test]
    fn sheets_of_any_number_can_be_drawn() {
        let image = Array3::from_elem((32, 32, 3), 90);
        let long = "a name that is far too long for any tile";
        let mistake = Mistake { picture: image.view(), truth: long, predicted: "", confidence: 0.97 };
        for count in [0, 1, 7] {
            let sheet = mistakes(&vec![mistake; count]).unwrap();
            assert!(sheet.width() > 400 && sheet.height() >= TITLE);
        }
    }
}
