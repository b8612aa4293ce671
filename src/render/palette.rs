//! Colours: of the classes for masks, of the lines for plots.

use crate::data::labels::{CLASSES, NUM_CLASSES};
use image::{Rgb, RgbImage};
use ndarray::ArrayView2;
use plotters::style::RGBColor;

/// Okabe and Ito's colours without black, which people with any colour vision can tell apart; yellow, faint on white,
/// comes last. Source: <https://jfly.uni-koeln.de/color/>.
pub const LINES: [RGBColor; 7] = [
    RGBColor(0, 114, 178),   // blue
    RGBColor(213, 94, 0),    // vermillion
    RGBColor(0, 158, 115),   // bluish green
    RGBColor(204, 121, 167), // reddish purple
    RGBColor(230, 159, 0),   // orange
    RGBColor(86, 180, 233),  // sky blue
    RGBColor(240, 228, 66),  // yellow
];

/// Dark to light in even steps of brightness (matplotlib's viridis), for more lines than [`LINES`] has colours.
const RAMP: [(u8, u8, u8); 5] = [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (220, 206, 40)];

/// Colour of line `index` of `count`: one of [`LINES`] while they last, else a place on a ramp from dark to light.
pub fn line_color(index: usize, count: usize) -> RGBColor {
    if count <= LINES.len() {
        return LINES[index % LINES.len()];
    }
    let at = index.min(count - 1) as f64 / (count - 1) as f64 * (RAMP.len() - 1) as f64;
    let (low, high) = (RAMP[at.floor() as usize], RAMP[at.ceil() as usize]);
    let mix = |low: u8, high: u8| (f64::from(low) + (f64::from(high) - f64::from(low)) * at.fract()).round() as u8;
    RGBColor(mix(low.0, high.0), mix(low.1, high.1), mix(low.2, high.2))
}

/// Colour of a train id in the Cityscapes palette; black for ignored pixels.
pub fn color(train_id: u8) -> [u8; 3] {
    CLASSES.get(train_id as usize).map_or([0; 3], |class| class.color)
}

/// Train ids `[height, width]` as a coloured picture.
pub fn colorize(ids: ArrayView2<u8>) -> RgbImage {
    let (height, width) = ids.dim();
    RgbImage::from_fn(width as u32, height as u32, |x, y| Rgb(color(ids[[y as usize, x as usize]])))
}

/// The classes that occur in any of the masks, in order of train ids.
pub fn occurring<'a>(masks: impl IntoIterator<Item = ArrayView2<'a, u8>>) -> Vec<u8> {
    let mut seen = [false; NUM_CLASSES];
    for id in masks.into_iter().flat_map(|mask| mask.into_iter().copied()) {
        if let Some(seen) = seen.get_mut(id as usize) {
            *seen = true;
        }
    }
    (0..NUM_CLASSES as u8).filter(|id| seen[*id as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn masks_get_the_cityscapes_colours_and_ignored_pixels_are_black() {
        let picture = colorize(array![[0, 255], [13, 10]].view());
        let pixels: Vec<[u8; 3]> = picture.pixels().map(|pixel| pixel.0).collect();
        assert_eq!(pixels, [[128, 64, 128], [0, 0, 0], [0, 0, 142], [70, 130, 180]]);
    }

    #[test]
    fn sixteen_lines_have_sixteen_colours() {
        let mut colors: Vec<RGBColor> = (0..16).map(|index| line_color(index, 16)).collect();
        colors.dedup();
        assert_eq!(colors.len(), 16);
        assert_eq!(line_color(1, 2), LINES[1]);
    }

    #[test]
    fn occurring_classes_are_sorted_and_never_ignore() {
        let (a, b) = (array![[3, 255]], array![[1, 3]]);
        assert_eq!(occurring([a.view(), b.view()]), [1, 3]);
    }
}
