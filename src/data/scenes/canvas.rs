//! Painting: an image with its label, shapes of pixels, a pinhole camera and texture noise.

use ndarray::{Array2, Array3, Axis};

/// Linear color, 0..=1 each of red, green, blue.
pub(super) type Rgb = [f32; 3];

/// An image under construction. Every stroke sets color and train id of the same pixels, so the label is exact.
pub(super) struct Canvas {
    pub width: usize,
    pub height: usize,
    rgb: Vec<Rgb>,
    label: Vec<u8>,
    /// Which thing a pixel shows, so that instances can be told apart.
    thing: Vec<u16>,
    /// What is being painted; 0 is the street and what is beside it.
    current_thing: u16,
}

impl Canvas {
    pub fn new(height: usize, width: usize) -> Self {
        let pixels = width * height;
        let (rgb, label, thing) = (vec![[0.0; 3]; pixels], vec![255; pixels], vec![0; pixels]);
        Self { width, height, rgb, label, thing, current_thing: 0 }
    }

    /// What is painted from now on is another thing than what was there before.
    pub fn next_thing(&mut self) {
        self.current_thing += 1;
    }

    pub fn set(&mut self, x: usize, y: usize, label: u8, rgb: Rgb) {
        let at = y * self.width + x;
        self.rgb[at] = rgb;
        self.label[at] = label;
        self.thing[at] = self.current_thing;
    }

    /// Fills a polygon (corners in pixels); `shade` gives the color at a pixel's centre.
    pub fn polygon(&mut self, corners: &[(f32, f32)], label: u8, shade: impl Fn(f32, f32) -> Rgb) {
        self.scan(corners, |canvas, x, y| {
            canvas.set(x, y, label, shade(x as f32 + 0.5, y as f32 + 0.5));
        });
    }

    /// Multiplies the color inside a polygon and leaves the label: shadows.
    pub fn darken(&mut self, corners: &[(f32, f32)], factor: f32) {
        self.scan(corners, |canvas, x, y| {
            let at = y * canvas.width + x;
            canvas.rgb[at] = scale(canvas.rgb[at], factor);
        });
    }

    /// Fills an ellipse.
    pub fn ellipse(
        &mut self,
        center: (f32, f32),
        radius: (f32, f32),
        label: u8,
        shade: impl Fn(f32, f32) -> Option<Rgb>,
    ) {
        for y in self.span(center.1 - radius.1, center.1 + radius.1, self.height) {
            for x in self.span(center.0 - radius.0, center.0 + radius.0, self.width) {
                let (px, py) = (x as f32 + 0.5, y as f32 + 0.5);
                let (u, v) = ((px - center.0) / radius.0, (py - center.1) / radius.1);
                if u * u + v * v <= 1.0
                    && let Some(rgb) = shade(u, v)
                {
                    self.set(x, y, label, rgb);
                }
            }
        }
    }

    /// A line of `thickness` pixels (at least one).
    pub fn line(&mut self, from: (f32, f32), to: (f32, f32), thickness: f32, label: u8, rgb: Rgb) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = (dx * dx + dy * dy).sqrt().max(1e-3);
        let half = thickness.max(1.0) / 2.0 / length;
        let (nx, ny) = (-dy * half, dx * half);
        let corners =
            [(from.0 + nx, from.1 + ny), (to.0 + nx, to.1 + ny), (to.0 - nx, to.1 - ny), (from.0 - nx, from.1 - ny)];
        self.polygon(&corners, label, |_, _| rgb);
    }

    /// Pixels whose centres lie in `from..to`, within `0..end`.
    pub fn span(&self, from: f32, to: f32, end: usize) -> std::ops::Range<usize> {
        let bound = |at: f32| (at - 0.5).ceil().clamp(0.0, end as f32) as usize;
        bound(from)..bound(to).max(bound(from))
    }

    fn scan(&mut self, corners: &[(f32, f32)], mut paint: impl FnMut(&mut Self, usize, usize)) {
        let top = corners.iter().fold(f32::MAX, |top, corner| top.min(corner.1));
        let bottom = corners.iter().fold(f32::MIN, |bottom, corner| bottom.max(corner.1));
        let mut crossings = Vec::with_capacity(corners.len());
        for y in self.span(top, bottom, self.height) {
            let at = y as f32 + 0.5;
            crossings.clear();
            for (i, &(x0, y0)) in corners.iter().enumerate() {
                let (x1, y1) = corners[(i + 1) % corners.len()];
                if (y0 <= at) != (y1 <= at) {
                    crossings.push(x0 + (at - y0) / (y1 - y0) * (x1 - x0));
                }
            }
            crossings.sort_by(f32::total_cmp);
            for pair in crossings.chunks_exact(2) {
                for x in self.span(pair[0], pair[1], self.width) {
                    paint(self, x, y);
                }
            }
        }
    }

    /// Passes every pixel through the camera: `develop(x, y, colour)`. Returns image, label and things.
    pub fn finish(self, develop: impl Fn(usize, usize, Rgb) -> Rgb) -> (Array3<u8>, Array2<u8>, Array2<u16>) {
        let (height, width) = (self.height, self.width);
        let mut image = Array3::zeros((height, width, 3));
        for (at, (mut pixel, rgb)) in image.lanes_mut(Axis(2)).into_iter().zip(&self.rgb).enumerate() {
            let rgb = develop(at % width, at / width, *rgb);
            for (byte, channel) in pixel.iter_mut().zip(rgb) {
                *byte = (channel * 255.0 + 0.5).clamp(0.0, 255.0) as u8;
            }
        }
        let label = Array2::from_shape_vec((height, width), self.label).expect("one label a pixel");
        let thing = Array2::from_shape_vec((height, width), self.thing).expect("one thing a pixel");
        (image, label, thing)
    }
}

/// A camera that looks along +Z from `eye` metres above the ground.
#[derive(Clone, Copy)]
pub(super) struct Camera {
    /// Pixels per metre at one metre.
    pub focal: f32,
    /// Vanishing point of the street.
    pub center: (f32, f32),
    /// Height above the ground, metres.
    pub eye: f32,
}

impl Camera {
    /// Pixel of the point `x` metres right, `y` above the ground, `z` ahead.
    pub fn project(&self, x: f32, y: f32, z: f32) -> (f32, f32) {
        (self.center.0 + self.focal * x / z, self.center.1 + self.focal * (self.eye - y) / z)
    }
}

pub(super) fn scale(rgb: Rgb, factor: f32) -> Rgb {
    rgb.map(|channel| channel * factor)
}

pub(super) fn mix(from: Rgb, to: Rgb, share: f32) -> Rgb {
    let share = share.clamp(0.0, 1.0);
    std::array::from_fn(|i| from[i] + (to[i] - from[i]) * share)
}

/// White noise on whole numbers, 0..1.
pub(super) fn hash(x: i32, y: i32, seed: u32) -> f32 {
    let mut h =
        (x as u32).wrapping_mul(0x8DA6_B343) ^ (y as u32).wrapping_mul(0xD816_3841) ^ seed.wrapping_mul(0xCB1A_B31F);
    h = (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D);
    h = (h ^ (h >> 12)).wrapping_mul(0x297A_2D39);
    ((h ^ (h >> 15)) >> 8) as f32 / (1 << 24) as f32
}

/// Smooth noise with features of size 1, 0..1.
pub(super) fn noise(x: f32, y: f32, seed: u32) -> f32 {
    let (fx, fy) = (x.floor(), y.floor());
    let (ix, iy) = (fx as i32, fy as i32);
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let (u, v) = (smooth(x - fx), smooth(y - fy));
    let corner = |dx: i32, dy: i32| hash(ix.wrapping_add(dx), iy.wrapping_add(dy), seed);
    let top = corner(0, 0) + (corner(1, 0) - corner(0, 0)) * u;
    let bottom = corner(0, 1) + (corner(1, 1) - corner(0, 1)) * u;
    top + (bottom - top) * v
}

/// Three octaves of [`noise`], 0..1.
pub(super) fn clouds(x: f32, y: f32, seed: u32) -> f32 {
    (4.0 * noise(x, y, seed) + 2.0 * noise(x * 2.1, y * 2.1, seed ^ 0x55) + noise(x * 4.3, y * 4.3, seed ^ 0xAA)) / 7.0
}
