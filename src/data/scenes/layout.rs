//! What a street looks like before anything stands on it: camera, widths, weather.

use super::canvas::{Camera, Rgb, mix};
use rand::{Rng, RngExt};

/// One side of the street, distances in metres from the camera's plane (always positive).
#[derive(Clone, Copy)]
pub(super) struct Side {
    /// −1 left, +1 right.
    pub sign: f32,
    /// Edge of the road.
    pub kerb: f32,
    /// Outer edge of the sidewalk.
    pub walk: f32,
    /// Front of the houses; between `walk` and `front` lies grass.
    pub front: f32,
}

/// Everything that the whole scene shares.
pub(super) struct Layout {
    pub camera: Camera,
    pub sides: [Side; 2],
    /// X of the middle of the road.
    pub middle: f32,
    /// Where a zebra crossing starts.
    pub zebra: Option<f32>,
    /// Whether rails lie in the road.
    pub rails: bool,
    pub asphalt: Rgb,
    pub paving: Rgb,
    pub grass: Rgb,
    pub leaves: Rgb,
    pub zenith: Rgb,
    pub horizon: Rgb,
    /// Share of the sky under clouds.
    pub cloud_cover: f32,
    /// Distance at which half the color is haze.
    pub haze_distance: f32,
    /// Side where the sun stands: the other side's fronts are bright.
    pub sun: f32,
    pub exposure: f32,
    pub cast: Rgb,
    /// Seed of all textures.
    pub texture: u32,
    /// Height of the own bonnet as share of the image, and its paint.
    pub bonnet: f32,
    pub bonnet_color: Rgb,
}

/// Uniform in `from..to`.
pub(super) fn between(rng: &mut impl Rng, from: f32, to: f32) -> f32 {
    from + (to - from) * rng.random::<f32>()
}

pub(super) fn chance(rng: &mut impl Rng, probability: f32) -> bool {
    rng.random::<f32>() < probability
}

/// One of `choices`, which is not empty.
pub(super) fn pick<T: Copy>(rng: &mut impl Rng, choices: &[T]) -> T {
    choices[rng.random_range(0..choices.len() as u64) as usize]
}

impl Layout {
    pub fn draw(rng: &mut impl Rng, height: usize, width: usize) -> Self {
        let (h, w) = (height as f32, width as f32);
        // As wide as a 2:1 image with a 65° lens, and as much of the street at other shapes.
        let focal = 0.78 * (w * h * 2.0).sqrt();
        let center = (w * between(rng, 0.44, 0.56), h * between(rng, 0.38, 0.46));
        let camera = Camera { focal, center, eye: between(rng, 1.25, 1.6) };

        let half = between(rng, 3.6, 5.6);
        let middle = -between(rng, 1.2, 1.9);
        let sides = [-1.0, 1.0].map(|sign: f32| {
            let kerb = half + sign * middle;
            let walk = kerb + between(rng, 1.8, 3.8);
            let front = walk + if chance(rng, 0.55) { between(rng, 1.2, 5.0) } else { 0.0 };
            Side { sign, kerb, walk, front }
        });
        let overcast = between(rng, 0.0, 1.0);
        let gray = between(rng, 0.28, 0.42);
        let warm = between(rng, -0.05, 0.05);
        Self {
            camera,
            sides,
            middle,
            zebra: chance(rng, 0.3).then(|| between(rng, 8.0, 25.0)),
            rails: chance(rng, 0.2),
            asphalt: [gray + 0.01, gray, gray + 0.02],
            paving: pick(rng, &[[0.58, 0.55, 0.52], [0.62, 0.52, 0.47], [0.50, 0.51, 0.53], [0.66, 0.62, 0.55]]),
            grass: mix([0.30, 0.46, 0.16], [0.55, 0.52, 0.28], between(rng, 0.0, 0.8)),
            leaves: mix([0.14, 0.30, 0.10], [0.36, 0.40, 0.12], between(rng, 0.0, 1.0)),
            zenith: mix([0.25, 0.48, 0.85], [0.66, 0.69, 0.73], overcast),
            horizon: mix([0.76, 0.86, 0.95], [0.86, 0.87, 0.88], overcast),
            cloud_cover: 0.25 + 0.6 * overcast,
            haze_distance: between(rng, 90.0, 260.0),
            sun: pick(rng, &[-1.0, 1.0]),
            exposure: between(rng, 0.72, 1.12),
            cast: [1.0 + warm, 1.0, 1.0 - warm],
            texture: rng.random(),
            bonnet: between(rng, 0.035, 0.075),
            bonnet_color: pick(rng, &[[0.05, 0.05, 0.06], [0.30, 0.31, 0.33], [0.08, 0.10, 0.20], [0.25, 0.05, 0.06]]),
        }
    }

    /// Color of something `z` metres away, through the air.
    pub fn hazed(&self, rgb: Rgb, z: f32) -> Rgb {
        mix(rgb, self.horizon, 1.0 - (-z / self.haze_distance * std::f32::consts::LN_2).exp())
    }

    /// Light on a front that faces the street on `side`.
    pub fn light_on(&self, side: f32) -> f32 {
        if side == self.sun { 0.72 } else { 1.05 }
    }
}
