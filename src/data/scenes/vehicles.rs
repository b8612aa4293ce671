//! Cars, trucks, buses and trains: a side and a back, drawn in perspective.

use super::canvas::{Canvas, Rgb, scale};
use super::layout::{Layout, between, chance, pick};
use super::street::NEAR;
use rand::Rng;

const CAR: u8 = 13;
const TRUCK: u8 = 14;
const BUS: u8 = 15;
const TRAIN: u8 = 16;

/// What drives.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Car,
    Truck,
    Bus,
    Train,
}

/// A vehicle on the ground: `x` of its middle, `z` of its near end, sizes in metres.
pub(super) struct Vehicle {
    kind: Kind,
    x: f32,
    z: f32,
    length: f32,
    width: f32,
    height: f32,
    paint: Rgb,
    /// Whether it shows its front.
    oncoming: bool,
}

/// Outline of a side: share of the length from the near end, share of the height.
type Outline = &'static [(f32, f32)];

const CAR_SIDE: Outline = &[
    (0.0, 0.2),
    (0.0, 0.58),
    (0.06, 0.66),
    (0.2, 0.97),
    (0.3, 1.0),
    (0.55, 0.99),
    (0.74, 0.66),
    (0.97, 0.56),
    (1.0, 0.22),
];
const CAR_GLASS: Outline = &[(0.13, 0.68), (0.24, 0.92), (0.53, 0.92), (0.68, 0.68)];
const BOX_SIDE: Outline = &[(0.0, 0.1), (0.0, 1.0), (1.0, 1.0), (1.0, 0.1)];
const BUS_GLASS: Outline = &[(0.03, 0.45), (0.03, 0.82), (0.97, 0.82), (0.97, 0.45)];
const CAB_GLASS: Outline = &[(0.85, 0.5), (0.85, 0.72), (0.96, 0.72), (0.96, 0.5)];

impl Vehicle {
    pub fn draw(rng: &mut impl Rng, kind: Kind, x: f32, z: f32, oncoming: bool) -> Self {
        const PAINTS: [Rgb; 9] = [
            [0.80, 0.81, 0.82],
            [0.60, 0.62, 0.64],
            [0.10, 0.10, 0.12],
            [0.22, 0.23, 0.25],
            [0.62, 0.10, 0.10],
            [0.12, 0.20, 0.45],
            [0.90, 0.90, 0.88],
            [0.15, 0.32, 0.24],
            [0.55, 0.48, 0.38],
        ];
        let (length, width, height, paint) = match kind {
            Kind::Car => (between(rng, 3.8, 4.8), 1.8, between(rng, 1.42, 1.75), pick(rng, &PAINTS)),
            Kind::Truck => (
                between(rng, 6.5, 9.0),
                2.45,
                between(rng, 2.9, 3.7),
                pick(rng, &[[0.88, 0.88, 0.86], [0.20, 0.38, 0.62], [0.76, 0.55, 0.2], [0.5, 0.52, 0.5]]),
            ),
            Kind::Bus => (
                between(rng, 10.0, 12.5),
                2.55,
                between(rng, 2.95, 3.3),
                pick(rng, &[[0.86, 0.72, 0.12], [0.78, 0.14, 0.14], [0.85, 0.86, 0.86], [0.15, 0.45, 0.40]]),
            ),
            Kind::Train => (
                between(rng, 24.0, 34.0),
                2.65,
                between(rng, 3.4, 3.7),
                pick(rng, &[[0.84, 0.80, 0.66], [0.72, 0.12, 0.12], [0.20, 0.40, 0.30]]),
            ),
        };
        Self { kind, x, z: z.max(NEAR + 0.8), length, width, height, paint, oncoming }
    }

    pub fn paint(&self, canvas: &mut Canvas, layout: &Layout, rng: &mut impl Rng) {
        self.shadow(canvas, layout);
        let sides = [-1.0, 1.0].map(|sign: f32| (sign, self.x + sign * self.width / 2.0));
        // A box to the right of the camera shows its left side, and the other way round.
        if let Some((sign, x)) = sides.into_iter().find(|(sign, x)| sign * x < 0.0) {
            self.side(canvas, layout, x, layout.light_on(-sign));
        }
        self.end(canvas, layout, rng);
    }

    fn label(&self) -> u8 {
        match self.kind {
            Kind::Car => CAR,
            Kind::Truck => TRUCK,
            Kind::Bus => BUS,
            Kind::Train => TRAIN,
        }
    }

    fn shadow(&self, canvas: &mut Canvas, layout: &Layout) {
        let half = self.width / 2.0 + 0.25;
        let (near, far) = ((self.z - 0.5).max(NEAR), self.z + self.length);
        let corners = [(-half, near), (half, near), (half, far), (-half, far)]
            .map(|(dx, z)| layout.camera.project(self.x + dx, 0.0, z));
        canvas.darken(&corners, 0.45);
    }

    fn side(&self, canvas: &mut Canvas, layout: &Layout, x: f32, light: f32) {
        let label = self.label();
        let at = |share: f32, up: f32| layout.camera.project(x, up * self.height, self.z + share * self.length);
        let outline = |shares: Outline| {
            let mirrored = |share: f32| if self.oncoming { 1.0 - share } else { share };
            shares.iter().map(|&(share, up)| at(mirrored(share), up)).collect::<Vec<_>>()
        };
        let z = self.z + 0.4 * self.length;
        let (horizon, metre) = (layout.camera.center.1, layout.camera.focal / z);
        let body = layout.hazed(scale(self.paint, light), z);
        let glass = layout.hazed([0.13, 0.16, 0.19], z);
        // A gleam at shoulder height makes sheet metal of a flat color.
        let sheet = |_: f32, y: f32| scale(body, 1.0 + 0.22 * ((horizon - y) / metre + 0.5).clamp(-0.8, 0.8));
        let shell = if self.kind == Kind::Car { CAR_SIDE } else { BOX_SIDE };
        canvas.polygon(&outline(shell), label, sheet);
        match self.kind {
            Kind::Car => canvas.polygon(&outline(CAR_GLASS), label, |_, _| glass),
            Kind::Truck => canvas.polygon(&outline(CAB_GLASS), label, |_, _| glass),
            Kind::Bus | Kind::Train => {
                canvas.polygon(&outline(BUS_GLASS), label, |_, _| glass);
                let posts = (self.length / 1.6) as usize;
                for post in 1..posts {
                    let share = post as f32 / posts as f32;
                    canvas.line(at(share, 0.45), at(share, 0.82), 0.12 * metre, label, body);
                }
            }
        }
        if self.kind == Kind::Car {
            canvas.line(at(0.44, 0.3), at(0.46, 0.92), 0.03 * metre, label, scale(body, 0.6));
        }
        let (wheels, radius): (&[f32], f32) = match self.kind {
            Kind::Car => (&[0.19, 0.81], 0.33),
            Kind::Truck => (&[0.16, 0.3, 0.85], 0.5),
            Kind::Bus => (&[0.25, 0.78], 0.5),
            Kind::Train => (&[0.1, 0.2, 0.45, 0.55, 0.8, 0.9], 0.36),
        };
        for &share in wheels {
            for (size, rgb) in [(1.0, [0.06, 0.06, 0.07]), (0.55, [0.5, 0.51, 0.52])] {
                let rim = |turn: usize| {
                    let (sin, cos) = (turn as f32 * std::f32::consts::TAU / 16.0).sin_cos();
                    let along = share + radius * size * cos / self.length;
                    at(along, (radius + radius * size * sin) / self.height)
                };
                let corners: [(f32, f32); 16] = std::array::from_fn(rim);
                canvas.polygon(&corners, label, |_, _| layout.hazed(rgb, z));
            }
        }
    }

    fn end(&self, canvas: &mut Canvas, layout: &Layout, rng: &mut impl Rng) {
        let label = self.label();
        let half = self.width / 2.0;
        let at = |across: f32, up: f32| layout.camera.project(self.x + across * half, up * self.height, self.z);
        let block = |canvas: &mut Canvas, corners: &[(f32, f32)], rgb: Rgb| {
            let corners: Vec<_> = corners.iter().map(|&(across, up)| at(across, up)).collect();
            let rgb = layout.hazed(rgb, self.z);
            let (top, foot) = (at(0.0, 1.0).1, at(0.0, 0.0).1);
            canvas.polygon(&corners, label, |_, y| scale(rgb, 1.1 - 0.25 * (y - top) / (foot - top)));
        };
        let body = scale(self.paint, 0.92);
        let (glass, black) = ([0.12, 0.15, 0.18], [0.06, 0.06, 0.07]);
        let lamp = if self.oncoming { [0.95, 0.95, 0.85] } else { [0.72, 0.06, 0.05] };
        for wheel in [-0.98_f32, 0.66] {
            block(canvas, &[(wheel, 0.0), (wheel, 0.35), (wheel + 0.32, 0.35), (wheel + 0.32, 0.0)], black);
        }
        if self.kind == Kind::Car {
            block(canvas, &[(-0.9, 0.6), (-0.7, 0.97), (-0.55, 1.0), (0.55, 1.0), (0.7, 0.97), (0.9, 0.6)], body);
            block(canvas, &[(-0.78, 0.63), (-0.62, 0.92), (0.62, 0.92), (0.78, 0.63)], glass);
            block(canvas, &[(-1.0, 0.16), (-1.0, 0.56), (-0.92, 0.64), (0.92, 0.64), (1.0, 0.56), (1.0, 0.16)], body);
            block(canvas, &[(-0.98, 0.14), (-0.98, 0.27), (0.98, 0.27), (0.98, 0.14)], scale(self.paint, 0.5));
            if self.oncoming {
                block(canvas, &[(-0.5, 0.3), (-0.55, 0.45), (0.55, 0.45), (0.5, 0.3)], black);
            }
        } else {
            block(canvas, &[(-1.0, 0.1), (-1.0, 1.0), (1.0, 1.0), (1.0, 0.1)], body);
            block(canvas, &[(-1.0, 0.1), (-1.0, 0.17), (1.0, 0.17), (1.0, 0.1)], black);
            let is_cargo = self.kind == Kind::Truck && !self.oncoming;
            if is_cargo {
                for door in [-0.94_f32, 0.03] {
                    let corners = [(door, 0.24), (door, 0.95), (door + 0.91, 0.95), (door + 0.91, 0.24)];
                    block(canvas, &corners, scale(self.paint, 0.8));
                }
            } else {
                let low = if self.oncoming { 0.38 } else { 0.52 };
                block(canvas, &[(-0.9, low), (-0.86, 0.8), (0.86, 0.8), (0.9, low)], glass);
                if self.kind != Kind::Truck && chance(rng, 0.8) {
                    block(canvas, &[(-0.6, 0.85), (-0.6, 0.94), (0.6, 0.94), (0.6, 0.85)], [0.9, 0.6, 0.1]);
                }
            }
        }
        let (foot, top) = if self.kind == Kind::Car { (0.42, 0.55) } else { (0.19, 0.26) };
        for side in [-1.0_f32, 1.0] {
            let corners = [(side * 0.95, foot), (side * 0.95, top), (side * 0.7, top), (side * 0.7, foot)];
            block(canvas, &corners, lamp);
        }
        let plate = if self.kind == Kind::Car { 0.36 } else { 0.2 };
        block(canvas, &[(-0.26, plate), (-0.26, plate + 0.07), (0.26, plate + 0.07), (0.26, plate)], [0.92; 3]);
    }
}
