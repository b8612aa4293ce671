//! Photometric distortion, as mmsegmentation's `PhotoMetricDistortion`: brightness, contrast, saturation and hue, each
//! with probability ½; contrast comes before or after the colors, with probability ½.
//!
//! One deviation, far below what the distortion itself does: saturation and hue are computed at once and in
//! floating point (mmsegmentation goes through OpenCV's 8-bit HSV and back for each).

use rand::{Rng, RngExt};

/// Brightness moves by at most so many of 255 levels.
const BRIGHTNESS: f32 = 32.0;
/// Contrast is multiplied by one of these.
const CONTRAST: [f32; 2] = [0.5, 1.5];
/// Saturation (of HSV) is multiplied by one of these.
const SATURATION: [f32; 2] = [0.5, 1.5];
/// Hue turns by at most so many of OpenCV's steps of 2°, which is what mmsegmentation's `hue_delta = 18` counts.
const HUE_STEPS: i32 = 18;
const DEGREES_PER_HUE_STEP: f32 = 2.0;

/// Distorts RGB bytes (`[_, 3]`) in place.
pub(super) fn distort(rgb: &mut [u8], rng: &mut impl Rng) {
    let between = |[low, high]: [f32; 2], share: f32| low + (high - low) * share;
    // Everything is drawn whether it is used or not, so that no draw moves another.
    let brightness = rng.random::<bool>().then_some(between([-BRIGHTNESS, BRIGHTNESS], rng.random()));
    let contrast_first = rng.random::<bool>();
    let contrast = rng.random::<bool>().then_some(between(CONTRAST, rng.random()));
    let saturation = rng.random::<bool>().then_some(between(SATURATION, rng.random()));
    let hue = rng.random::<bool>().then_some(rng.random_range(-HUE_STEPS..HUE_STEPS));

    let identity: [u8; 256] = std::array::from_fn(|byte| byte as u8);
    let contrast_table = contrast.map(|factor| table(|byte| byte * factor));
    let mut before = brightness.map_or(identity, |delta| table(|byte| byte + delta));
    if let (true, Some(contrast)) = (contrast_first, &contrast_table) {
        before = before.map(|byte| contrast[byte as usize]);
    }
    if before != identity {
        rgb.iter_mut().for_each(|byte| *byte = before[*byte as usize]);
    }
    if saturation.is_some() || hue.is_some() {
        let degrees = hue.unwrap_or(0) as f32 * DEGREES_PER_HUE_STEP;
        shift_colors(rgb, saturation.unwrap_or(1.0), degrees);
    }
    if let (false, Some(contrast)) = (contrast_first, &contrast_table) {
        rgb.iter_mut().for_each(|byte| *byte = contrast[*byte as usize]);
    }
}

/// What a pixel operation does to every byte; cut off, not rounded, as mmsegmentation's `astype(np.uint8)`.
fn table(operation: impl Fn(f32) -> f32) -> [u8; 256] {
    std::array::from_fn(|byte| operation(byte as f32).clamp(0.0, 255.0) as u8)
}

/// Multiplies the saturation of HSV (up to full) and turns the hue.
fn shift_colors(rgb: &mut [u8], saturation: f32, degrees: f32) {
    let turn = degrees / 60.0; // the hue circle in six sides
    for pixel in rgb.chunks_exact_mut(3) {
        let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(f32::from);
        let value = r.max(g).max(b);
        let chroma = value - r.min(g).min(b);
        if chroma == 0.0 {
            continue; // gray has no hue and no saturation
        }
        let to = (chroma * saturation).min(value); // S = chroma / value is at most 1
        if turn == 0.0 {
            let factor = to / chroma;
            for (byte, channel) in pixel.iter_mut().zip([r, g, b]) {
                *byte = (value - (value - channel) * factor + 0.5) as u8;
            }
            continue;
        }
        let side = if value == r {
            (g - b) / chroma
        } else if value == g {
            2.0 + (b - r) / chroma
        } else {
            4.0 + (r - g) / chroma
        };
        let hue = side + turn + 6.0; // in 4.4..12.6
        // Each channel falls from `value` by `to` over one side of the circle, and rises again four sides on.
        for (byte, start) in pixel.iter_mut().zip([5.0, 3.0, 1.0]) {
            let mut at = hue + start;
            while at >= 6.0 {
                at -= 6.0;
            }
            *byte = (value - to * at.min(4.0 - at).clamp(0.0, 1.0) + 0.5) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn shifted(mut rgb: [u8; 3], saturation: f32, degrees: f32) -> [u8; 3] {
        shift_colors(&mut rgb, saturation, degrees);
        rgb
    }

    #[test]
    fn hue_turns_around_the_circle() {
        assert_eq!(shifted([255, 0, 0], 1.0, 36.0), [255, 153, 0], "36/60 of the way to yellow");
        assert_eq!(shifted([255, 0, 0], 1.0, -36.0), [255, 0, 153]);
        assert_eq!(shifted([0, 200, 100], 1.0, 30.0), [0, 200, 200]);
        assert_eq!(shifted([90, 90, 90], 1.5, 30.0), [90, 90, 90]);
    }

    #[test]
    fn saturation_keeps_value_and_stops_when_full() {
        assert_eq!(shifted([200, 100, 150], 0.5, 0.0), [200, 150, 175]);
        assert_eq!(shifted([200, 50, 125], 1.5, 0.0), [200, 0, 100], "150·1.5 is over 200: full");
    }

    #[test]
    fn distortion_stays_in_its_ranges() {
        let mut changed = 0;
        for seed in 0..200 {
            let mut rgb = [100, 100, 100];
            distort(&mut rgb, &mut ChaCha8Rng::seed_from_u64(seed));
            assert_eq!(rgb[0], rgb[1], "gray stays gray");
            let [low, high] = [(100.0 - 32.0) * 0.5 - 1.0, (100.0 + 32.0) * 1.5];
            assert!((low..=high).contains(&f32::from(rgb[0])), "{rgb:?}");
            changed += usize::from(rgb[0] != 100);
        }
        assert!((120..=180).contains(&changed), "brightness or contrast in 3 of 4 of 200: {changed}");
    }
}
