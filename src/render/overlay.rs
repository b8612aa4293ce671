//! Class colors over the image.

use crate::task::ClassSet;
use image::{Rgb, RgbImage};
use ndarray::{ArrayView2, ArrayView3};

/// Share of the class color in a blend: classes can be told apart, and what they cover can still be seen.
const COLOR_SHARE: f32 = 0.55;

/// Blends class colors over an image; what is no class shows the image alone.
///
/// # Shapes
/// `image`: RGB `[height, width, 3]`; `mask`: class indices `[height, width]`.
///
/// # Panics
/// If the sizes differ.
pub fn overlay(classes: &ClassSet, image: ArrayView3<u8>, mask: ArrayView2<u8>) -> RgbImage {
    let (height, width) = mask.dim();
    assert_eq!(image.dim(), (height, width, 3), "picture and mask must have the same size");
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let at = (y as usize, x as usize);
        let picture = [0, 1, 2].map(|channel| image[[at.0, at.1, channel]]);
        match classes.classes.get(usize::from(mask[at])) {
            Some(class) => Rgb([0, 1, 2].map(|channel| {
                let color = f32::from(class.color[channel]);
                (COLOR_SHARE * color + (1.0 - COLOR_SHARE) * f32::from(picture[channel])).round() as u8
            })),
            None => Rgb(picture),
        }
    })
}

/// `[height, width, 3]` as an image.
pub fn picture(image: ArrayView3<u8>) -> RgbImage {
    let (height, width, _) = image.dim();
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        Rgb([0, 1, 2].map(|channel| image[[y as usize, x as usize, channel]]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array3, array};

    #[test]
    fn ignored_pixels_keep_the_picture_and_others_are_blended() {
        let image = Array3::from_elem((1, 2, 3), 100);
        let blend = overlay(&ClassSet::cityscapes(), image.view(), array![[255, 10]].view());
        assert_eq!(blend.get_pixel(0, 0).0, [100; 3]);
        // 0.55 · (70, 130, 180) + 0.45 · 100
        assert_eq!(blend.get_pixel(1, 0).0, [84, 117, 144]);
        assert_eq!(picture(image.view()).get_pixel(1, 0).0, [100; 3]);
    }
}
