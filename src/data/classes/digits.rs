//! Built-in images of digits, so that classification runs without a download.
//!
//! An image shows one digit of the embedded font in its middle: of random size, place, slant, turn and color, on a
//! background that runs from one color to another, with parts of other digits at its sides (as house numbers have
//! them), a stroke across, and noise. Image `i` follows from `(split, i)` alone, and the ten classes take turns.
//! A small ResNet tells nine in ten apart after 200 steps of 64 images, and 99 in 100 after 400.

use crate::data::keyed::{hash_of, keyed_rng};
use crate::font::FONT;
use crate::{Error, Result};
use ab_glyph::{Font, FontRef};
use ndarray::Array3;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::sync::OnceLock;

/// Height and width of an image.
const SIDE: usize = 32;
/// Height of the digits that are kept ready, in pixels: twice of what the largest are drawn with.
const MASTER: usize = 48;
/// Samples along each side of a pixel.
const SAMPLES: usize = 3;

type Rgb = [f32; 3];

/// A stream of images.
#[derive(Debug)]
pub(super) struct Digits {
    split: String,
    count: usize,
}

/// How much of each pixel a digit covers, 0..=1, in a box around it. Shape: `[height, width]`.
struct Mask {
    width: usize,
    height: usize,
    coverage: Vec<f32>,
}

/// Where a digit is: from pixels of the image to -0.5..=0.5 of the digit's height.
struct Place {
    center: (f32, f32),
    height: f32,
    turn: f32,
    slant: f32,
}

impl Digits {
    /// `count` images; each split has its own.
    ///
    /// # Errors
    /// `count` is 0.
    pub fn new(split: &str, count: usize) -> Result<Self> {
        match count {
            0 => {
                Err(Error::usage(format!("split {split:?} of the built-in digits has no pictures; give it at least 1")))
            }
            _ => Ok(Self { split: split.to_string(), count }),
        }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn name(&self, i: usize) -> String {
        format!("digit_{i:06}")
    }

    pub fn class(&self, i: usize) -> u16 {
        (i % 10) as u16
    }

    /// Draws image `i`. Shape: `[32, 32, 3]`.
    pub fn image(&self, i: usize) -> Array3<u8> {
        let rng = &mut self.rng(i);
        let mut picture = background(rng);
        let ink = ink(rng, picture[SIDE / 2 * SIDE + SIDE / 2]);
        let place = Place {
            center: (uniform(rng, 13.5, 18.5), uniform(rng, 13.0, 19.0)),
            height: uniform(rng, 15.0, 24.0),
            turn: uniform(rng, -0.2, 0.2),
            slant: uniform(rng, -0.25, 0.25),
        };
        for side in [-1.0, 1.0] {
            if rng.random::<f32>() < 0.25 {
                // Far enough that the one in the middle is meant.
                let beside = (uniform(rng, 0.75, 0.95) * place.height).max(11.5);
                let center = (place.center.0 + side * beside, place.center.1 + uniform(rng, -2.0, 2.0));
                draw(&mut picture, rng.random_range(0..10_u32) as usize, &Place { center, ..place }, ink, 1.0);
            }
        }
        draw(&mut picture, usize::from(self.class(i)), &place, ink, uniform(rng, 0.75, 1.0));
        if rng.random::<f32>() < 0.25 {
            stroke(&mut picture, rng);
        }
        let grain = uniform(rng, 0.0, 0.08);
        let byte = |value: f32| (value * 255.0).round().clamp(0.0, 255.0) as u8;
        let bytes = picture.iter().flatten().map(|value| byte(value + grain * uniform(rng, -1.7, 1.7))).collect();
        Array3::from_shape_vec((SIDE, SIDE, 3), bytes).expect("three values a pixel")
    }

    fn rng(&self, i: usize) -> ChaCha8Rng {
        keyed_rng([hash_of(&self.split), i as u64, 0], *b"digits\0\0")
    }
}

fn uniform(rng: &mut ChaCha8Rng, low: f32, high: f32) -> f32 {
    low + (high - low) * rng.random::<f32>()
}

fn color(rng: &mut ChaCha8Rng) -> Rgb {
    std::array::from_fn(|_| rng.random())
}

fn luma([red, green, blue]: Rgb) -> f32 {
    0.299 * red + 0.587 * green + 0.114 * blue
}

fn mix(a: Rgb, b: Rgb, share: f32) -> Rgb {
    std::array::from_fn(|channel| a[channel] + (b[channel] - a[channel]) * share)
}

/// Runs from one color to one a little off, in a random direction.
fn background(rng: &mut ChaCha8Rng) -> Vec<Rgb> {
    let from = color(rng).map(|channel| 0.7 * channel);
    let to = mix(from, color(rng), 0.25);
    let (sin, cos) = uniform(rng, 0.0, std::f32::consts::TAU).sin_cos();
    let along = |at: usize| at as f32 / SIDE as f32 - 0.5;
    let share = |i: usize| (0.5 + 0.7 * (cos * along(i % SIDE) + sin * along(i / SIDE))).clamp(0.0, 1.0);
    (0..SIDE * SIDE).map(|i| mix(from, to, share(i))).collect()
}

/// A color that is brighter than the background: what is to be learned is shape, and a minute is short.
fn ink(rng: &mut ChaCha8Rng, background: Rgb) -> Rgb {
    let behind = luma(background);
    let candidate = (0..20).map(|_| color(rng)).find(|&candidate| luma(candidate) - behind > 0.25);
    candidate.unwrap_or([1.0; 3])
}

/// A thin line across the image, of any color and half transparent.
fn stroke(picture: &mut [Rgb], rng: &mut ChaCha8Rng) {
    let (color, offset) = (color(rng), uniform(rng, -12.0, 12.0));
    let (sin, cos) = uniform(rng, 0.0, std::f32::consts::TAU).sin_cos();
    let middle = SIDE as f32 / 2.0;
    for (i, pixel) in picture.iter_mut().enumerate() {
        let (x, y) = ((i % SIDE) as f32 + 0.5 - middle, (i / SIDE) as f32 + 0.5 - middle);
        let distance = (cos * x + sin * y - offset).abs();
        *pixel = mix(*pixel, color, 0.5 * (1.3 - distance).clamp(0.0, 1.0));
    }
}

fn draw(picture: &mut [Rgb], digit: usize, place: &Place, ink: Rgb, opacity: f32) {
    let mask = &masks()[digit];
    let (sin, cos) = place.turn.sin_cos();
    let scale = mask.height as f32 / place.height;
    let step = 1.0 / SAMPLES as f32;
    for (i, pixel) in picture.iter_mut().enumerate() {
        let mut covered = 0.0;
        for sample in 0..SAMPLES * SAMPLES {
            let x = (i % SIDE) as f32 + ((sample % SAMPLES) as f32 + 0.5) * step - place.center.0;
            let y = (i / SIDE) as f32 + ((sample / SAMPLES) as f32 + 0.5) * step - place.center.1;
            let (x, y) = (cos * x + sin * y, cos * y - sin * x);
            covered += mask.at((x + place.slant * y) * scale, y * scale);
        }
        *pixel = mix(*pixel, ink, opacity * covered / (SAMPLES * SAMPLES) as f32);
    }
}

impl Mask {
    /// Coverage at a point, in pixels from the middle.
    fn at(&self, x: f32, y: f32) -> f32 {
        let (x, y) = ((x + self.width as f32 / 2.0).floor(), (y + self.height as f32 / 2.0).floor());
        if x < 0.0 || y < 0.0 || x >= self.width as f32 || y >= self.height as f32 {
            return 0.0;
        }
        self.coverage[y as usize * self.width + x as usize]
    }
}

/// The ten digits of the embedded font.
fn masks() -> &'static [Mask; 10] {
    static MASKS: OnceLock<[Mask; 10]> = OnceLock::new();
    MASKS.get_or_init(|| std::array::from_fn(|digit| mask(digit).expect("the embedded font has the digits")))
}

fn mask(digit: usize) -> Option<Mask> {
    let font = FontRef::try_from_slice(FONT).ok()?;
    let letter = char::from_digit(digit as u32, 10)?;
    // A digit is 0.63 of the height from ascent to descent.
    let outline = font.outline_glyph(font.glyph_id(letter).with_scale(MASTER as f32 / 0.63))?;
    let bounds = outline.px_bounds();
    let (width, height) = (bounds.width() as usize, bounds.height() as usize);
    let mut coverage = vec![0.0; width * height];
    outline.draw(|x, y, covered| {
        if let Some(pixel) = coverage.get_mut(y as usize * width + x as usize) {
            *pixel = covered.min(1.0);
        }
    });
    Some(Mask { width, height, coverage })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_follows_from_its_split_and_number() {
        let (train, test) = (Digits::new("train", 40).unwrap(), Digits::new("test", 40).unwrap());
        assert_eq!(train.image(7), Digits::new("train", 8).unwrap().image(7));
        assert_ne!(train.image(7), train.image(17), "the same digit, drawn again");
        assert_ne!(train.image(7), test.image(7));
        assert_eq!((train.class(7), train.class(30)), (7, 0));
    }

    #[test]
    fn every_digit_can_be_told_from_what_is_behind_it() {
        let digits = Digits::new("train", 200).unwrap();
        for i in 0..digits.len() {
            let image = digits.image(i);
            let values: Vec<f32> = image.iter().map(|&value| f32::from(value)).collect();
            let mean = values.iter().sum::<f32>() / values.len() as f32;
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / values.len() as f32;
            assert!(variance.sqrt() > 8.0, "picture {i} is all but of one colour");
        }
    }

    #[test]
    fn no_pictures_are_no_split() {
        let error = Digits::new("test", 0).unwrap_err();
        assert_eq!(error.to_string(), r#"split "test" of the built-in digits has no pictures; give it at least 1"#);
    }
}
