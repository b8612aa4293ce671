//! Training crops: random scale, crop and flip, photometric distortion, normalisation, padding.
//!
//! The steps, their order and their ranges are those of mmsegmentation's Cityscapes pipeline (`RandomResize`,
//! `RandomCrop`, `RandomFlip`, `PhotoMetricDistortion`, `Normalize`, `Pad`). Only the part of the image that the crop
//! shows is ever resized.

use super::config::AugmentConfig;
use super::keyed::keyed_rng;
use super::normalize::{self, Normalization};
use super::{Example, photometric};
use crate::size::Resolution;
use crate::task::IGNORE_INDEX;
use crate::{Error, Result};
use fast_image_resize as fir;
use ndarray::{Array, Array3};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Draws of a crop before one class may hold more than its share.
const CROP_TRIES: usize = 10;

/// One training crop.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainSample {
    /// Normalised image, 0 where padded. Shape: `[3, height, width]`, flat.
    pub input: Vec<f32>,
    /// Class indices, [`IGNORE_INDEX`] where unknown or padded: `[height, width]`, flat; one for an image-level class.
    pub label: Vec<u16>,
}

/// Makes training crops.
#[derive(Debug, Clone)]
pub struct Augment {
    config: AugmentConfig,
    crop: Resolution,
    num_classes: usize,
    normalization: Normalization,
}

/// A part of an image, in its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) top: usize,
    pub(super) left: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Augment {
    /// Crops of size `crop`, made as `config` says.
    pub fn new(config: &AugmentConfig, crop: Resolution, num_classes: usize, normalization: Normalization) -> Self {
        Self { config: config.clone(), crop, num_classes, normalization }
    }

    /// One crop of `example`. A pure function of its arguments: the same `(seed, epoch, index)` draws the same crop.
    ///
    /// # Errors
    /// An example without pixels, or whose label has another size than its image.
    pub fn apply(&self, example: Example, seed: u64, epoch: u64, index: u64) -> Result<TrainSample> {
        let mut rng = augment_rng(seed, epoch, index);
        let Example { name, image, label } = example;
        let (height, width) = label.dim();
        if image.dim() != (height, width, 3) || height == 0 || width == 0 {
            let message = format!("{name}: picture {:?} and label {:?} do not fit together", image.dim(), label.dim());
            return Err(Error::run(message));
        }
        let (image, label) = (contiguous(image), contiguous(label));

        let [smallest, largest] = self.config.scale;
        let scale = smallest + (largest - smallest) * rng.random::<f32>();
        let scaled = Resolution { height: scaled_side(height, scale), width: scaled_side(width, scale) };

        let (window, mut label) = self.draw_crop(&label, (height, width), scaled, &mut rng);
        let mut rgb = resize_window(&image, (height, width), scaled, window)
            .map_err(|cause| Error::run(format!("{name}: cannot be resized to {scaled}: {cause}")))?;
        if rng.random::<f32>() < self.config.flip {
            flip_rows(&mut label, window.width, 1);
            flip_rows(&mut rgb, window.width, 3);
        }
        if self.config.photometric {
            photometric::distort(&mut rgb, &mut rng);
        }
        Ok(self.pad(&rgb, &label, window))
    }

    /// Draws the place of the crop, again while one class holds too much of it (ignored pixels count for no class).
    fn draw_crop(
        &self,
        label: &[u16],
        size: (usize, usize),
        scaled: Resolution,
        rng: &mut ChaCha8Rng,
    ) -> (Window, Vec<u16>) {
        let height = self.crop.height.min(scaled.height);
        let width = self.crop.width.min(scaled.width);
        let fits_whole = height == scaled.height && width == scaled.width;
        let mut tries = 0;
        loop {
            let top = rng.random_range(0..=(scaled.height - height) as u64) as usize;
            let left = rng.random_range(0..=(scaled.width - width) as u64) as usize;
            let window = Window { top, left, height, width };
            let crop = nearest_window(label, size, scaled, window);
            let is_last = fits_whole || tries == CROP_TRIES || self.config.category_max_share >= 1.0;
            if is_last
                || largest_share(&crop, self.num_classes).is_some_and(|share| share < self.config.category_max_share)
            {
                return (window, crop);
            }
            tries += 1;
        }
    }

    /// Normalises into the top left corner; the rest is 0, which is the mean color, and ignored.
    fn pad(&self, rgb: &[u8], label: &[u16], window: Window) -> TrainSample {
        let (height, width) = (self.crop.height, self.crop.width);
        let mut input = vec![0.0; 3 * height * width];
        normalize::write(rgb, window.width, self.normalization, &mut input, width, height * width);
        if (window.height, window.width) == (height, width) {
            return TrainSample { input, label: label.to_vec() };
        }
        let mut padded = vec![IGNORE_INDEX; height * width];
        for (to, from) in padded.chunks_exact_mut(width).zip(label.chunks_exact(window.width)) {
            to[..window.width].copy_from_slice(from);
        }
        TrainSample { input, label: padded }
    }
}

/// The random numbers of one image's augmentation, of either task.
pub(super) fn augment_rng(seed: u64, epoch: u64, index: u64) -> ChaCha8Rng {
    keyed_rng([seed, epoch, index], *b"augment\0")
}

pub(super) fn contiguous<T: Copy, D: ndarray::Dimension>(array: Array<T, D>) -> Vec<T> {
    match array.is_standard_layout() {
        true => {
            let length = array.len();
            let (mut values, offset) = array.into_raw_vec_and_offset();
            values.drain(..offset.unwrap_or(0));
            values.truncate(length);
            values
        }
        false => array.iter().copied().collect(),
    }
}

fn scaled_side(side: usize, scale: f32) -> usize {
    ((side as f64 * f64::from(scale)).round() as usize).max(1)
}

/// Share of the most frequent class among labelled pixels; `None` where there is not more than one class, which is
/// never good enough (as mmsegmentation has it).
fn largest_share(label: &[u16], num_classes: usize) -> Option<f32> {
    let mut counts = vec![0_u64; num_classes];
    for &class in label {
        if let Some(count) = counts.get_mut(usize::from(class)) {
            *count += 1;
        }
    }
    let (sum, largest) = (counts.iter().sum::<u64>(), counts.iter().max()?);
    (counts.iter().filter(|&&count| count > 0).count() > 1).then(|| (*largest as f64 / sum as f64) as f32)
}

/// `window` of the label scaled to `scaled`: each pixel takes the one whose centre is nearest.
fn nearest_window(label: &[u16], size: (usize, usize), scaled: Resolution, window: Window) -> Vec<u16> {
    let nearest = |at: usize, from: usize, to: usize| ((2 * at + 1) * from / (2 * to)).min(from - 1);
    let columns: Vec<usize> =
        (window.left..window.left + window.width).map(|x| nearest(x, size.1, scaled.width)).collect();
    let mut crop = Vec::with_capacity(window.height * window.width);
    for y in window.top..window.top + window.height {
        let row = &label[nearest(y, size.0, scaled.height) * size.1..][..size.1];
        crop.extend(columns.iter().map(|&x| row[x]));
    }
    crop
}

/// `window` of the image scaled to `scaled`: bilinear between four pixels, as OpenCV's `INTER_LINEAR`.
fn resize_window(
    rgb: &[u8],
    size: (usize, usize),
    scaled: Resolution,
    window: Window,
) -> std::result::Result<Vec<u8>, Box<dyn std::error::Error>> {
    let from = fir::images::ImageRef::new(size.1 as u32, size.0 as u32, rgb, fir::PixelType::U8x3)?;
    let mut to = fir::images::Image::new(window.width as u32, window.height as u32, fir::PixelType::U8x3);
    let (fx, fy) = (size.1 as f64 / scaled.width as f64, size.0 as f64 / scaled.height as f64);
    let (left, top) = (window.left as f64 * fx, window.top as f64 * fy);
    // Rounding must not carry the box over the edge of the image.
    let (width, height) =
        ((window.width as f64 * fx).min(size.1 as f64 - left), (window.height as f64 * fy).min(size.0 as f64 - top));
    let options = fir::ResizeOptions::new()
        .resize_alg(fir::ResizeAlg::Interpolation(fir::FilterType::Bilinear))
        .crop(left, top, width, height);
    fir::Resizer::new().resize(&from, &mut to, &options)?;
    Ok(to.into_vec())
}

/// An image in another size, as the training images are resized. Shapes: `[height, width, 3]`.
///
/// # Errors
/// An image without pixels.
pub fn resized(image: &Array3<u8>, to: Resolution) -> Result<Array3<u8>> {
    let (height, width, _) = image.dim();
    let window = Window { top: 0, left: 0, height: to.height, width: to.width };
    let rgb = resize_window(&contiguous(image.clone()), (height, width), to, window)
        .map_err(|cause| Error::run(format!("a picture of {height}x{width} cannot be resized to {to}: {cause}")))?;
    Ok(Array3::from_shape_vec((to.height, to.width, 3), rgb).expect("three bytes a pixel"))
}

/// Mirrors left and right, in place. Shape: `[_, width, channels]`.
pub(super) fn flip_rows<T>(values: &mut [T], width: usize, channels: usize) {
    for row in values.chunks_exact_mut(width * channels) {
        for x in 0..width / 2 {
            for channel in 0..channels {
                row.swap(x * channels + channel, (width - 1 - x) * channels + channel);
            }
        }
    }
}

#[cfg(test)]
#[path = "augment_tests.rs"]
mod tests;
