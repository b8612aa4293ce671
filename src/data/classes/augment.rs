//! From an image to the input of a classification network: random crops and flips for training, the plain image for
//! evaluation, normalisation.
//!
//! The steps and their ranges are torchvision's: `RandomCrop` with padding and `RandomHorizontalFlip` for small
//! images, `RandomResizedCrop` against `Resize` and `CenterCrop` for photographs.

use crate::data::Example;
use crate::data::augment::{Window, augment_rng, contiguous, flip_rows};
use crate::data::config::{AugmentConfig, Crop};
use crate::data::normalize::{self, Normalization};
use crate::size::Resolution;
use crate::{Error, Result};
use fast_image_resize as fir;
use ndarray::Array3;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Draws of a resized crop that may miss the image before the fallback is taken.
const CROP_TRIES: usize = 10;
/// Share of the image that a resized crop shows.
const AREA: [f64; 2] = [0.08, 1.0];
/// Width over height of a resized crop.
const RATIO: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];
/// Evaluation sees the middle 224 of 256 pixels.
const MARGIN: f64 = 256.0 / 224.0;

/// Makes inputs of a network.
#[derive(Debug, Clone)]
pub struct ClassAugment {
    crop: Crop,
    padding: usize,
    flip: f32,
    resolution: Resolution,
    normalization: Normalization,
}

/// A part of an image, in its pixels, where it need not start or end at one.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Area {
    top: f64,
    left: f64,
    height: f64,
    width: f64,
}

impl Area {
    fn whole((height, width): (usize, usize)) -> Self {
        Self { top: 0.0, left: 0.0, height: height as f64, width: width as f64 }
    }
}

impl ClassAugment {
    /// Inputs of `resolution`. `padding` is in pixels at each side, and nothing to [`Crop::Resized`]; `flip` is the
    /// probability of a mirrored image.
    pub fn new(crop: Crop, padding: usize, flip: f32, resolution: Resolution, normalization: Normalization) -> Self {
        Self { crop, padding, flip, resolution, normalization }
    }

    /// As a run's configuration says; [`Crop::Scaled`], which is segmentation's, is refused before.
    pub fn of(config: &AugmentConfig, resolution: Resolution, normalization: Normalization) -> Self {
        Self::new(config.crop, config.crop_padding, config.flip, resolution, normalization)
    }

    fn is_padded(&self) -> bool {
        matches!(self.crop, Crop::ReflectPadded | Crop::ZeroPadded)
    }

    /// Height and width of the inputs.
    pub fn resolution(&self) -> Resolution {
        self.resolution
    }

    /// A training input of `picture`. A pure function of its arguments: the same `(seed, epoch, index)` draws the same
    /// crop. Shape: `[3, height, width]`, flat.
    ///
    /// # Errors
    /// An image without pixels; one that is padded, but not of the size of the inputs or not larger than its padding.
    pub fn train(&self, picture: Example, seed: u64, epoch: u64, index: u64) -> Result<Vec<f32>> {
        self.check(&picture)?;
        let mut rng = augment_rng(seed, epoch, index);
        let Example { name, image, .. } = picture;
        let size = (image.dim().0, image.dim().1);
        let rgb = contiguous(image);
        let Resolution { height, width } = self.resolution;
        let mut crop = match self.crop {
            Crop::Resized | Crop::Scaled => {
                let window = draw_window(size, &mut rng);
                let to = self.resolution;
                let cut = cut(&rgb, size.1, window);
                let size = (window.height, window.width);
                resize(&cut, size, Area::whole(size), to)
                    .map_err(|cause| Error::run(format!("{name}: cannot be resized: {cause}")))?
            }
            Crop::ReflectPadded | Crop::ZeroPadded => {
                let [top, left] = [0; 2].map(|_: usize| rng.random_range(0..=2 * self.padding as u64) as isize);
                let reflects = self.crop == Crop::ReflectPadded;
                padded_crop(&rgb, size, (top - self.padding as isize, left - self.padding as isize), reflects)
            }
        };
        if rng.random::<f32>() < self.flip {
            flip_rows(&mut crop, width, 3);
        }
        let mut input = vec![0.0; 3 * height * width];
        normalize::write(&crop, width, self.normalization, &mut input, width, height * width);
        Ok(input)
    }

    /// The input of `picture` for evaluation, the same each time. Shape: `[3, height, width]`, flat.
    ///
    /// # Errors
    /// See [`view`](Self::view).
    pub fn evaluation(&self, picture: &Example) -> Result<Vec<f32>> {
        Ok(normalize::normalize(&self.view(picture)?, self.normalization))
    }

    /// The pixels that evaluation sees, before normalisation: the image itself where crops are padded, else its
    /// middle after it is resized to 256/224 of the inputs' size. Shape: `[height, width, 3]`.
    ///
    /// # Errors
    /// An image without pixels, or, where crops are padded, not of the size of the inputs: a part of it, or a frame
    /// around it, is nothing that the network was trained on.
    pub fn view(&self, picture: &Example) -> Result<Array3<u8>> {
        self.check(picture)?;
        if self.is_padded() {
            return Ok(picture.image.clone());
        }
        let size = (picture.image.dim().0, picture.image.dim().1);
        let Resolution { height, width } = self.resolution;
        let rgb = resize(&contiguous(picture.image.clone()), size, middle(size, self.resolution), self.resolution)
            .map_err(|cause| Error::run(format!("{}: cannot be resized: {cause}", picture.name)))?;
        Ok(Array3::from_shape_vec((height, width, 3), rgb).expect("three bytes a pixel"))
    }

    fn check(&self, picture: &Example) -> Result<()> {
        let (height, width, channels) = picture.image.dim();
        let (name, wanted) = (&picture.name, self.resolution);
        if height == 0 || width == 0 || channels != 3 {
            return Err(Error::run(format!("{name}: a picture of {height}x{width}x{channels} shows nothing")));
        }
        if !self.is_padded() {
            return Ok(());
        }
        if (height, width) != (wanted.height, wanted.width) {
            let message = format!("{name}: is {height}x{width}, but padded crops are {wanted}");
            return Err(Error::usage(format!("{message}; set that resolution, or crop by resizing")));
        }
        if self.crop == Crop::ReflectPadded && self.padding >= height.min(width) {
            let message = format!("{name}: a picture of {height}x{width} cannot be reflected {} pixels", self.padding);
            return Err(Error::usage(format!("{message} beyond its edge; use less padding")));
        }
        Ok(())
    }
}

/// The part of a padded image that is as large as the image, from `(top, left)` on, which may be negative.
fn padded_crop(rgb: &[u8], size: (usize, usize), (top, left): (isize, isize), reflects: bool) -> Vec<u8> {
    let (height, width) = size;
    // Index of a row or column in the image; `None` in the black.
    let inside = |at: isize, side: usize| -> Option<usize> {
        let last = side as isize - 1;
        match (0..=last).contains(&at) {
            true => Some(at as usize),
            false => reflects.then(|| (if at < 0 { -at } else { 2 * last - at }) as usize),
        }
    };
    let columns: Vec<Option<usize>> = (0..width as isize).map(|x| inside(left + x, width)).collect();
    let mut crop = vec![0; 3 * height * width];
    for (y, row) in crop.chunks_exact_mut(3 * width).enumerate() {
        let Some(from) = inside(top + y as isize, height) else { continue };
        let from = &rgb[3 * width * from..][..3 * width];
        for (pixel, column) in row.chunks_exact_mut(3).zip(&columns) {
            if let Some(column) = column {
                pixel.copy_from_slice(&from[3 * column..][..3]);
            }
        }
    }
    crop
}

/// A random part of an image of `(height, width)`: first its area, then its ratio, then its place.
fn draw_window((height, width): (usize, usize), rng: &mut ChaCha8Rng) -> Window {
    let mut uniform = |[low, high]: [f64; 2]| low + (high - low) * rng.random::<f64>();
    let mut drawn = None;
    for _ in 0..CROP_TRIES {
        let area = (height * width) as f64 * uniform(AREA);
        let ratio = uniform(RATIO.map(f64::ln)).exp();
        let (h, w) = ((area / ratio).sqrt().round_ties_even(), (area * ratio).sqrt().round_ties_even());
        if h >= 1.0 && w >= 1.0 && h <= height as f64 && w <= width as f64 {
            drawn = Some((h as usize, w as usize));
            break;
        }
    }
    let Some((h, w)) = drawn else { return central_window((height, width)) };
    let top = rng.random_range(0..=(height - h) as u64) as usize;
    let left = rng.random_range(0..=(width - w) as u64) as usize;
    Window { top, left, height: h, width: w }
}

/// The largest part in the middle whose ratio is allowed.
fn central_window((height, width): (usize, usize)) -> Window {
    let ratio = width as f64 / height as f64;
    let (h, w) = if ratio < RATIO[0] {
        ((width as f64 / RATIO[0]).round_ties_even() as usize, width)
    } else if ratio > RATIO[1] {
        (height, (height as f64 * RATIO[1]).round_ties_even() as usize)
    } else {
        (height, width)
    };
    let (h, w) = (h.clamp(1, height), w.clamp(1, width));
    Window { top: (height - h) / 2, left: (width - w) / 2, height: h, width: w }
}

/// Size of the whole image in which `resolution` is the middle: its shorter side is resized to 256/224 of that.
fn enclosing((height, width): (usize, usize), resolution: Resolution) -> Resolution {
    let [tall, wide] = [resolution.height, resolution.width].map(|side| (side as f64 * MARGIN).round() as usize);
    let (by_height, by_width) = (tall as f64 / height as f64, wide as f64 / width as f64);
    // As in torchvision, what the longer side comes to is cut off to whole pixels.
    let scaled = |side: usize, to: usize, of: usize| (side as u64 * to as u64 / of as u64) as usize;
    match by_height >= by_width {
        true => Resolution { height: tall, width: scaled(width, tall, height).max(wide) },
        false => Resolution { height: scaled(height, wide, width).max(tall), width: wide },
    }
}

/// What evaluation sees of an image, in its pixels. To resize this alone comes to the same as to resize all and cut,
/// for pixels beyond its edge are mixed in as they would be; and an image of 1 x 16384 needs no gigabytes.
fn middle(size: (usize, usize), resolution: Resolution) -> Area {
    let to = enclosing(size, resolution);
    // torchvision rounds the place of the middle with Python's round.
    let start = |all: usize, part: usize| ((all - part) as f64 / 2.0).round_ties_even();
    let (fy, fx) = (size.0 as f64 / to.height as f64, size.1 as f64 / to.width as f64);
    let (top, left) = (start(to.height, resolution.height) * fy, start(to.width, resolution.width) * fx);
    // Rounding must not carry the area over the edge of the image.
    let height = (resolution.height as f64 * fy).min(size.0 as f64 - top);
    Area { top, left, height, width: (resolution.width as f64 * fx).min(size.1 as f64 - left) }
}

/// The pixels of a window, for itself: what lies around it must not be mixed in when it is resized.
fn cut(rgb: &[u8], width: usize, window: Window) -> Vec<u8> {
    let rows = rgb.chunks_exact(3 * width).skip(window.top).take(window.height);
    rows.flat_map(|row| &row[3 * window.left..][..3 * window.width]).copied().collect()
}

/// An area of an image in another size: bilinear, over all pixels that a smaller one covers (antialias), as in PIL.
fn resize(
    rgb: &[u8],
    (height, width): (usize, usize),
    area: Area,
    to: Resolution,
) -> std::result::Result<Vec<u8>, Box<dyn std::error::Error>> {
    let from = fir::images::ImageRef::new(width as u32, height as u32, rgb, fir::PixelType::U8x3)?;
    let mut resized = fir::images::Image::new(to.width as u32, to.height as u32, fir::PixelType::U8x3);
    let options = fir::ResizeOptions::new().resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::Bilinear)).crop(
        area.left,
        area.top,
        area.width,
        area.height,
    );
    fir::Resizer::new().resize(&from, &mut resized, &options)?;
    Ok(resized.into_vec())
}

#[cfg(test)]
#[path = "augment_tests.rs"]
mod tests;
