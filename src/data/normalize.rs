//! From bytes to what the network sees: each channel minus the dataset's mean, over its deviation.

use ndarray::Array3;

/// Color statistics that images are normalised with: `(byte − mean) / std`, per channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalization {
    /// Mean of the pixels, RGB, in 0..=255.
    pub mean: [f32; 3],
    /// Standard deviation of the pixels, RGB, in 0..=255.
    pub std: [f32; 3],
}

impl Normalization {
    /// ImageNet's statistics (mmsegmentation's `mean` and `std`, also for street scenes).
    pub const IMAGENET: Self = Self { mean: [123.675, 116.28, 103.53], std: [58.395, 57.12, 57.375] };
    /// CIFAR's statistics, as the paper's experiments on CIFAR-10 use them.
    pub const CIFAR: Self = Self { mean: [125.3, 123.0, 113.9], std: [63.0, 62.1, 66.7] };
    /// No statistics: 0..=255 becomes -1..=1.
    pub const HALF: Self = Self { mean: [127.5; 3], std: [127.5; 3] };
}

/// The normalised value of every byte, per channel: `(byte − mean) / std`.
pub(super) struct Table([[f32; 256]; 3]);

impl Table {
    pub(super) fn new(Normalization { mean, std }: Normalization) -> Self {
        Self(std::array::from_fn(|channel| std::array::from_fn(|byte| (byte as f32 - mean[channel]) / std[channel])))
    }

    /// Writes one row of RGB bytes (`[width · 3]`) into the rows of the three planes (`[width]` each).
    pub(super) fn row(&self, rgb: &[u8], [red, green, blue]: [&mut [f32]; 3]) {
        for (x, pixel) in rgb.chunks_exact(3).enumerate() {
            red[x] = self.0[0][pixel[0] as usize];
            green[x] = self.0[1][pixel[1] as usize];
            blue[x] = self.0[2][pixel[2] as usize];
        }
    }
}

/// An image as input of the network.
///
/// # Shapes
/// `image` is `[height, width, 3]`, the result `[3, height, width]`, flat.
pub fn normalize(image: &Array3<u8>, normalization: Normalization) -> Vec<f32> {
    let (height, width, _) = image.dim();
    let image = image.as_standard_layout();
    let rgb: &[u8] = image.as_slice().expect("rows in order");
    let mut input = vec![0.0; 3 * height * width];
    write(rgb, width, normalization, &mut input, width, height * width);
    input
}

/// Normalises `rgb` (`[_, width, 3]`) into the top left corner of `input` (three planes of `plane` values, rows of
/// `stride`); what lies beyond is left as it is.
pub(super) fn write(
    rgb: &[u8],
    width: usize,
    normalization: Normalization,
    input: &mut [f32],
    stride: usize,
    plane: usize,
) {
    if width == 0 || plane == 0 {
        return;
    }
    let table = Table::new(normalization);
    let (red, rest) = input.split_at_mut(plane);
    let (green, blue) = rest.split_at_mut(plane);
    let planes = red.chunks_exact_mut(stride).zip(green.chunks_exact_mut(stride)).zip(blue.chunks_exact_mut(stride));
    for (rgb, ((red, green), blue)) in rgb.chunks_exact(3 * width).zip(planes) {
        table.row(rgb, [red, green, blue]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_become_planes() {
        let image = Array3::from_shape_vec((1, 2, 3), vec![0, 0, 0, 255, 128, 103]).unwrap();
        let input = normalize(&image, Normalization::IMAGENET);
        let expected = [
            -123.675 / 58.395,
            (255.0 - 123.675) / 58.395,
            -116.28 / 57.12,
            (128.0 - 116.28) / 57.12,
            -103.53 / 57.375,
            (103.0 - 103.53) / 57.375,
        ];
        for (got, want) in input.iter().zip(expected) {
            assert!((got - want).abs() < 1e-6, "{input:?}");
        }
    }

    #[test]
    fn half_spans_minus_one_to_one() {
        let image = Array3::from_shape_vec((1, 1, 3), vec![0, 255, 51]).unwrap();
        assert_eq!(normalize(&image, Normalization::HALF), [-1.0, 1.0, -0.6]);
    }
}
