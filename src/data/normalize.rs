//! From bytes to what the network sees: each channel minus ImageNet's mean, over its deviation.

use ndarray::Array3;

/// Mean of ImageNet's pixels, RGB, in 0..=255 (mmsegmentation's `mean`).
pub const MEAN: [f32; 3] = [123.675, 116.28, 103.53];
/// Standard deviation of ImageNet's pixels, RGB, in 0..=255 (mmsegmentation's `std`).
pub const STD: [f32; 3] = [58.395, 57.12, 57.375];

/// The normalised value of every byte, per channel: `(byte − mean) / std`.
pub(super) struct Table([[f32; 256]; 3]);

impl Table {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|channel| std::array::from_fn(|byte| (byte as f32 - MEAN[channel]) / STD[channel])))
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

/// A picture as input of the network.
///
/// # Shapes
/// `image` is `[height, width, 3]`, the result `[3, height, width]`, flat.
pub fn normalize(image: &Array3<u8>) -> Vec<f32> {
    let (height, width, _) = image.dim();
    let image = image.as_standard_layout();
    let rgb: &[u8] = image.as_slice().unwrap_or(&[]);
    let mut input = vec![0.0; 3 * height * width];
    write(rgb, width, &mut input, width, height * width);
    input
}

/// Normalises `rgb` (`[_, width, 3]`) into the top left corner of `input` (three planes of `plane` values, rows of
/// `stride`); what lies beyond is left as it is.
pub(super) fn write(rgb: &[u8], width: usize, input: &mut [f32], stride: usize, plane: usize) {
    if width == 0 || plane == 0 {
        return;
    }
    let table = Table::new();
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
        let input = normalize(&image);
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
}
