//! Colors: of the classes for masks, of the lines for plots.

use crate::task::ClassSet;
use image::{Rgb, RgbImage};
use ndarray::ArrayView2;
use plotters::style::RGBColor;

/// Okabe and Ito's colors without black, which people with any color vision can tell apart; yellow, faint on white,
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

/// Dark to light in even steps of brightness (matplotlib's viridis), for more lines than [`LINES`] has colors.
const RAMP: [(u8, u8, u8); 5] = [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (220, 206, 40)];

/// Color of line `index` of `count`: one of [`LINES`] while they last, else a place on a ramp from dark to light.
pub fn line_color(index: usize, count: usize) -> RGBColor {
    if count <= LINES.len() {
        return LINES[index % LINES.len()];
    }
    let at = index.min(count - 1) as f64 / (count - 1) as f64 * (RAMP.len() - 1) as f64;
    let (low, high) = (RAMP[at.floor() as usize], RAMP[at.ceil() as usize]);
    let mix = |low: u8, high: u8| (f64::from(low) + (f64::from(high) - f64::from(low)) * at.fract()).round() as u8;
    RGBColor(mix(low.0, high.0), mix(low.1, high.1), mix(low.2, high.2))
}

/// Class indices `[height, width]` in the colors of their classes; ignored pixels are black.
pub fn colorize<T: Copy + Into<u16>>(classes: &ClassSet, mask: ArrayView2<T>) -> RgbImage {
    let (height, width) = mask.dim();
    RgbImage::from_fn(width as u32, height as u32, |x, y| Rgb(classes.color_of(mask[[y as usize, x as usize]].into())))
}

/// The classes that occur in a label or a prediction, in order. Shapes: `[height, width]` each.
pub fn occurring<'a>(
    classes: &ClassSet,
    truth: Option<ArrayView2<u16>>,
    preds: impl IntoIterator<Item = ArrayView2<'a, u8>>,
) -> Vec<u16> {
    let mut seen = vec![false; classes.len()];
    let mut see = |class: u16| {
        if let Some(seen) = seen.get_mut(usize::from(class)) {
            *seen = true;
        }
    };
    truth.into_iter().flatten().for_each(|class| see(*class));
    preds.into_iter().flatten().for_each(|class| see(u16::from(*class)));
    seen.iter().zip(0..).filter(|(seen, _)| **seen).map(|(_, class)| class).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::IGNORE_INDEX;
    use ndarray::array;

    #[test]
    fn masks_get_the_cityscapes_colours_and_ignored_pixels_are_black() {
        let picture = colorize(&ClassSet::cityscapes(), array![[0, IGNORE_INDEX], [13, 10]].view());
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
        let (truth, pred) = (array![[3, IGNORE_INDEX]], array![[1_u8, 3]]);
        assert_eq!(occurring(&ClassSet::cityscapes(), Some(truth.view()), [pred.view()]), [1, 3]);
    }
}
