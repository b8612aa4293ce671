//! What stands and moves on the street: who is where, trees, poles, signs, people and two-wheelers.

use super::canvas::{Canvas, Rgb, hash, mix, noise, scale};
use super::layout::{Layout, between, chance, pick};
use super::street::NEAR;
use super::vehicles::{Kind, Vehicle};
use rand::{Rng, RngExt};
use std::f32::consts::TAU;

const POLE: u8 = 5;
const TRAFFIC_LIGHT: u8 = 6;
const TRAFFIC_SIGN: u8 = 7;
const VEGETATION: u8 = 8;
const PERSON: u8 = 11;
const RIDER: u8 = 12;
const MOTORCYCLE: u8 = 17;
const BICYCLE: u8 = 18;

/// Something to draw at a distance.
enum Object {
    Vehicle(Vehicle),
    Tree(f32),
    Lamp,
    Light,
    Sign,
    Person,
    TwoWheeler { is_motor: bool, has_rider: bool },
}

/// Chooses what is on the street and draws it from far to near.
pub(super) fn place(canvas: &mut Canvas, layout: &Layout, rng: &mut impl Rng) {
    let mut objects: Vec<(f32, f32, Object)> = Vec::new(); // (z, x, what)
    for side in &layout.sides {
        let at = |out: f32| side.sign * out;
        furniture(rng, &mut objects, side.sign, side.kerb, side.walk, side.front);
        for _ in 0..rng.random_range(0..6_u64) {
            let out = between(rng, side.kerb + 0.6, side.walk - 0.3);
            objects.push((between(rng, 5.0, 35.0), at(out), Object::Person));
        }
        for _ in 0..rng.random_range(0..2_u64) {
            let two = Object::TwoWheeler { is_motor: chance(rng, 0.4), has_rider: false };
            objects.push((between(rng, 5.0, 22.0), at(side.kerb + 0.7), two));
        }
        if chance(rng, 0.55) {
            let two = Object::TwoWheeler { is_motor: chance(rng, 0.35), has_rider: true };
            objects.push((between(rng, 6.0, 26.0), at(side.kerb - 1.0 - between(rng, 0.0, 0.6)), two));
        }
        traffic(rng, &mut objects, layout, side.sign, side.kerb);
    }
    if let Some(start) = layout.zebra {
        for _ in 0..rng.random_range(0..4_u64) {
            let x = between(rng, -layout.sides[0].kerb, layout.sides[1].kerb);
            objects.push((start + between(rng, 0.3, 2.8), x, Object::Person));
        }
    }
    objects.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (z, x, object) in &objects {
        canvas.next_thing();
        match object {
            Object::Vehicle(vehicle) => vehicle.paint(canvas, layout, rng),
            Object::Tree(height) => tree(canvas, layout, rng, *x, *z, *height),
            Object::Lamp => lamp(canvas, layout, rng, *x, *z),
            Object::Light => traffic_light(canvas, layout, rng, *x, *z),
            Object::Sign => sign(canvas, layout, rng, *x, *z),
            Object::Person => person(canvas, layout, rng, *x, *z),
            Object::TwoWheeler { is_motor, has_rider } => {
                two_wheeler(canvas, layout, rng, (*x, *z), *is_motor, *has_rider);
            }
        }
    }
}

/// Trees, lamps, lights and signs along a kerb.
fn furniture(rng: &mut impl Rng, objects: &mut Vec<(f32, f32, Object)>, sign: f32, kerb: f32, walk: f32, front: f32) {
    if chance(rng, 0.6) {
        let spacing = between(rng, 7.0, 16.0);
        let out = if front > walk + 1.0 { (walk + front) / 2.0 } else { walk - 0.7 };
        let mut z = between(rng, 6.0, 14.0);
        while z < 80.0 {
            if chance(rng, 0.75) {
                objects.push((z, sign * out, Object::Tree(between(rng, 4.5, 9.0))));
            }
            z += spacing;
        }
    }
    let mut z = between(rng, 6.0, 18.0);
    while z < 70.0 {
        objects.push((z, sign * (kerb + 0.45), Object::Lamp));
        z += between(rng, 14.0, 26.0);
    }
    if chance(rng, 0.45) {
        objects.push((between(rng, 7.0, 24.0), sign * (kerb + 0.4), Object::Light));
    }
    for _ in 0..rng.random_range(0..3_u64) {
        objects.push((between(rng, 5.5, 28.0), sign * (kerb + 0.5), Object::Sign));
    }
}

/// Parked cars along the kerb, and what drives in the lane beside them.
fn traffic(rng: &mut impl Rng, objects: &mut Vec<(f32, f32, Object)>, layout: &Layout, sign: f32, kerb: f32) {
    let mut push = |rng: &mut _, kind, x: f32, z: f32, oncoming| {
        objects.push((z, x, Object::Vehicle(Vehicle::draw(rng, kind, x, z, oncoming))));
    };
    if chance(rng, 0.6) {
        let mut z = between(rng, 4.0, 16.0);
        while z < 60.0 {
            if chance(rng, 0.6) {
                let kind = if chance(rng, 0.06) { Kind::Truck } else { Kind::Car };
                let oncoming = sign < 0.0 && chance(rng, 0.8);
                push(rng, kind, sign * (kerb - 1.1), z, oncoming);
            }
            z += between(rng, 5.5, 9.0);
        }
    }
    let lane = if sign > 0.0 { (layout.middle + kerb) / 2.0 - 0.4 } else { layout.middle - 1.7 };
    let mut z = between(rng, 9.0, 30.0);
    while z < 80.0 {
        let kind = match rng.random::<f32>() {
            share if share < 0.70 => Kind::Car,
            share if share < 0.80 => Kind::Truck,
            share if share < 0.91 => Kind::Bus,
            _ => Kind::Train,
        };
        push(rng, kind, lane, z, sign < 0.0);
        z += between(rng, 14.0, 40.0) + if kind == Kind::Train { 30.0 } else { 0.0 };
    }
}

/// An upright plane at a distance that faces the camera: metres become pixels.
struct Board {
    foot: (f32, f32),
    metre: f32,
}

impl Board {
    fn new(layout: &Layout, x: f32, z: f32) -> Self {
        let z = z.max(NEAR);
        Self { foot: layout.camera.project(x, 0.0, z), metre: layout.camera.focal / z }
    }

    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.foot.0 + x * self.metre, self.foot.1 - y * self.metre)
    }

    fn line(&self, canvas: &mut Canvas, from: (f32, f32), to: (f32, f32), thickness: f32, label: u8, rgb: Rgb) {
        canvas.line(self.at(from.0, from.1), self.at(to.0, to.1), thickness * self.metre, label, rgb);
    }

    fn disc(&self, canvas: &mut Canvas, at: (f32, f32), radius: (f32, f32), label: u8, rgb: Rgb) {
        let radius = (radius.0 * self.metre, radius.1 * self.metre);
        canvas.ellipse(self.at(at.0, at.1), radius, label, |_, v| Some(scale(rgb, 1.0 - 0.2 * v)));
    }

    fn shape(&self, canvas: &mut Canvas, corners: &[(f32, f32)], label: u8, rgb: Rgb) {
        let corners: Vec<_> = corners.iter().map(|&(x, y)| self.at(x, y)).collect();
        canvas.polygon(&corners, label, |_, _| rgb);
    }

    /// A soft dark patch on the ground.
    fn shadow(&self, canvas: &mut Canvas, radius: f32) {
        let corners: [(f32, f32); 12] = std::array::from_fn(|i| {
            let (sin, cos) = (i as f32 * TAU / 12.0).sin_cos();
            self.at(radius * cos, 0.18 * radius * sin)
        });
        canvas.darken(&corners, 0.6);
    }
}

/// A trunk and a ragged crown of blobs, dark below and bright above.
pub(super) fn tree(canvas: &mut Canvas, layout: &Layout, rng: &mut impl Rng, x: f32, z: f32, height: f32) {
    let board = Board::new(layout, x, z);
    let metre = board.metre;
    board.shadow(canvas, height * 0.25);
    let bark = layout.hazed([0.28, 0.22, 0.17], z);
    board.line(canvas, (0.0, 0.0), (0.0, height * 0.6), 0.05 * height, VEGETATION, bark);
    let green = mix(layout.leaves, [0.20, 0.36, 0.12], between(rng, 0.0, 0.7));
    let seed: u32 = rng.random();
    let (spread, middle) = (height * between(rng, 0.24, 0.34), height * 0.66);
    let (rise, size) = (height * 0.3, spread * 0.55);
    // At least a few pixels of leaves in the ragged edge, however far.
    let grain = (0.16_f32).max(1.6 / metre) * metre;
    for _ in 0..16 {
        let (turn, far) = (rng.random::<f32>() * TAU, rng.random::<f32>().sqrt());
        let blob = (spread * far * turn.cos() * 0.8, middle + rise * far * turn.sin() * 0.75);
        let center = board.at(blob.0, blob.1);
        let lift = (blob.1 - middle) / rise;
        let radius = size * between(rng, 0.7, 1.15) * metre;
        canvas.ellipse(center, (radius, radius), VEGETATION, |u, v| {
            let leaf = noise((center.0 + u * radius) / grain, (center.1 + v * radius) / grain, seed);
            let ragged = u * u + v * v > 0.45 + 0.9 * leaf;
            let light = 0.72 + 0.28 * lift - 0.25 * v + 0.6 * (leaf - 0.4);
            (!ragged).then(|| layout.hazed(scale(green, 1.35 * light.max(0.25)), z))
        });
    }
}

fn lamp(canvas: &mut Canvas, layout: &Layout, rng: &mut impl Rng, x: f32, z: f32) {
    let board = Board::new(layout, x, z);
    let (height, arm) = (between(rng, 4.5, 7.5), -x.signum() * between(rng, 0.8, 1.8));
    let metal = layout.hazed(pick(rng, &[[0.36, 0.37, 0.38], [0.55, 0.56, 0.56], [0.18, 0.22, 0.2]]), z);
    board.line(canvas, (0.0, 0.0), (0.0, 1.0), 0.22, POLE, metal);
    board.line(canvas, (0.0, 0.0), (0.0, height), 0.14, POLE, metal);
    if chance(rng, 0.7) {
        board.line(canvas, (0.0, height), (arm, height + 0.25), 0.09, POLE, metal);
        board.line(canvas, (arm * 0.75, height + 0.2), (arm * 1.25, height + 0.25), 0.18, POLE, scale(metal, 1.4));
    }
}

fn traffic_light(canvas: &mut Canvas, layout: &Layout, rng: &mut impl Rng, x: f32, z: f32) {
    let board = Board::new(layout, x, z);
    let metal = layout.hazed([0.40, 0.41, 0.42], z);
    board.line(canvas, (0.0, 0.0), (0.0, 3.5), 0.13, POLE, metal);
    let lit = pick(rng, &[0, 1, 2, 2, 0]);
    let case = layout.hazed([0.07, 0.08, 0.08], z);
    board.shape(canvas, &[(-0.24, 2.4), (-0.24, 3.55), (0.24, 3.55), (0.24, 2.4)], TRAFFIC_LIGHT, case);
    const COLORS: [Rgb; 3] = [[1.0, 0.12, 0.08], [1.0, 0.72, 0.1], [0.12, 0.95, 0.45]];
    for (i, color) in COLORS.into_iter().enumerate() {
        let rgb = if i == lit { color } else { scale(color, 0.2) };
        board.disc(canvas, (0.0, 3.35 - 0.37 * i as f32), (0.15, 0.15), TRAFFIC_LIGHT, rgb);
    }
}

fn sign(canvas: &mut Canvas, layout: &Layout, rng: &mut impl Rng, x: f32, z: f32) {
    let board = Board::new(layout, x, z);
    let y = between(rng, 2.2, 2.8);
    board.line(canvas, (0.0, 0.0), (0.0, y), 0.09, POLE, layout.hazed([0.55, 0.56, 0.57], z));
    let (red, white, blue, yellow) = ([0.80, 0.08, 0.08], [0.93; 3], [0.08, 0.25, 0.65], [0.95, 0.75, 0.1]);
    let disc =
        |canvas: &mut Canvas, radius: f32, rgb| board.disc(canvas, (0.0, y), (radius, radius), TRAFFIC_SIGN, rgb);
    let triangle = |canvas: &mut Canvas, size: f32, rgb| {
        let corners = [(-size, y - 0.6 * size), (0.0, y + 1.15 * size), (size, y - 0.6 * size)];
        board.shape(canvas, &corners, TRAFFIC_SIGN, rgb);
    };
    let square = |canvas: &mut Canvas, wide: f32, tall: f32, rgb| {
        let corners = [(-wide, y - tall), (-wide, y + tall), (wide, y + tall), (wide, y - tall)];
        board.shape(canvas, &corners, TRAFFIC_SIGN, rgb);
    };
    match rng.random_range(0..6_u64) {
        0 => {
            disc(canvas, 0.38, red);
            disc(canvas, 0.27, white);
        }
        1 => {
            disc(canvas, 0.38, red);
            square(canvas, 0.26, 0.07, white);
        }
        2 => disc(canvas, 0.38, blue),
        3 => {
            triangle(canvas, 0.46, red);
            triangle(canvas, 0.28, white);
        }
        4 => {
            square(canvas, 0.36, 0.36, blue);
            square(canvas, 0.12, 0.22, white);
        }
        _ => square(canvas, 0.6, 0.32, pick(rng, &[yellow, blue, white])),
    }
}

/// Clothes, trousers and skin.
fn clothes(rng: &mut impl Rng) -> [Rgb; 3] {
    const CLOTHES: [Rgb; 9] = [
        [0.62, 0.12, 0.14],
        [0.12, 0.22, 0.48],
        [0.14, 0.14, 0.16],
        [0.82, 0.80, 0.76],
        [0.80, 0.62, 0.16],
        [0.24, 0.44, 0.28],
        [0.52, 0.26, 0.50],
        [0.40, 0.30, 0.22],
        [0.20, 0.50, 0.58],
    ];
    const TROUSERS: [Rgb; 4] = [[0.14, 0.17, 0.27], [0.10, 0.10, 0.11], [0.45, 0.38, 0.28], [0.30, 0.31, 0.33]];
    const SKIN: [Rgb; 4] = [[0.86, 0.66, 0.54], [0.72, 0.52, 0.40], [0.48, 0.32, 0.22], [0.92, 0.74, 0.64]];
    [pick(rng, &CLOTHES), pick(rng, &TROUSERS), pick(rng, &SKIN)]
}

fn person(canvas: &mut Canvas, layout: &Layout, rng: &mut impl Rng, x: f32, z: f32) {
    let board = Board::new(layout, x, z);
    let size = between(rng, 0.86, 1.08);
    let [coat, trousers, skin] = clothes(rng).map(|rgb| layout.hazed(rgb, z));
    let stride = between(rng, 0.05, 0.26);
    let at = |x: f32, y: f32| (x * size, y * size);
    board.shadow(canvas, 0.4);
    for side in [-1.0, 1.0] {
        board.line(canvas, at(side * stride, 0.0), at(side * 0.07, 0.88), 0.16 * size, PERSON, trousers);
        board.line(canvas, at(side * stride, 0.03), at(side * stride + 0.1, 0.03), 0.08, PERSON, [0.08; 3]);
        board.line(
            canvas,
            at(side * 0.2, 1.4),
            at(side * (0.24 + stride * 0.4), 0.82),
            0.11 * size,
            PERSON,
            scale(coat, 0.85),
        );
    }
    let torso = [at(-0.17, 0.8), at(-0.24, 1.38), at(-0.1, 1.5), at(0.1, 1.5), at(0.24, 1.38), at(0.17, 0.8)];
    board.shape(canvas, &torso, PERSON, coat);
    head(canvas, &board, rng, at(0.0, 1.62), size, PERSON, skin);
}

fn head(canvas: &mut Canvas, board: &Board, rng: &mut impl Rng, at: (f32, f32), size: f32, label: u8, skin: Rgb) {
    let hair = pick(rng, &[[0.12, 0.09, 0.07], [0.35, 0.22, 0.12], [0.60, 0.48, 0.28], [0.5, 0.5, 0.5]]);
    board.disc(canvas, at, (0.11 * size, 0.14 * size), label, skin);
    board.disc(canvas, (at.0, at.1 + 0.06 * size), (0.115 * size, 0.09 * size), label, hair);
}

/// A bicycle or motorcycle, seen more or less from the side, with or without its rider.
fn two_wheeler(
    canvas: &mut Canvas,
    layout: &Layout,
    rng: &mut impl Rng,
    (x, z): (f32, f32),
    is_motor: bool,
    has_rider: bool,
) {
    let board = Board::new(layout, x, z);
    let label = if is_motor { MOTORCYCLE } else { BICYCLE };
    let turn = pick(rng, &[-1.0, 1.0]) * between(rng, 0.45, 1.0); // 1: straight from the side
    let at = |along: f32, up: f32| (along * turn, up);
    let paint =
        pick(rng, &[[0.65, 0.1, 0.1], [0.1, 0.25, 0.55], [0.1, 0.1, 0.12], [0.2, 0.5, 0.3], [0.75, 0.75, 0.72]]);
    let [coat, trousers, skin] = clothes(rng).map(|rgb| layout.hazed(rgb, z));
    let paint = layout.hazed(paint, z);
    let black = layout.hazed([0.05, 0.05, 0.06], z);
    board.shadow(canvas, 0.8);
    let (radius, tyre) = if is_motor { (0.31, 0.13) } else { (0.34, 0.06) };
    for hub in [-0.55, 0.55] {
        let mut last = at(hub + radius, radius);
        for i in 1..=14 {
            let (sin, cos) = (i as f32 * TAU / 14.0).sin_cos();
            let next = at(hub + radius * cos, radius + radius * sin);
            board.line(canvas, last, next, tyre, label, black);
            last = next;
        }
        board.disc(canvas, at(hub, radius), (0.08 * turn.abs(), 0.08), label, [0.5; 3]);
    }
    if is_motor {
        let tank = [
            at(-0.75, 0.62),
            at(-0.7, 0.82),
            at(-0.1, 0.78),
            at(0.15, 0.95),
            at(0.5, 0.8),
            at(0.35, 0.35),
            at(-0.3, 0.28),
        ];
        board.shape(canvas, &tank, label, paint);
        board.shape(canvas, &[at(-0.78, 0.76), at(-0.74, 0.86), at(0.0, 0.84), at(0.0, 0.74)], label, black);
        board.line(canvas, at(0.58, radius), at(0.38, 1.02), 0.09, label, [0.6; 3]);
        board.line(canvas, at(0.25, 1.05), at(0.45, 1.0), 0.08, label, black);
        board.disc(canvas, at(0.52, 0.85), (0.1 * turn.abs(), 0.1), label, [0.95, 0.95, 0.85]);
    } else {
        let frame = [
            (-0.55, 0.34, -0.15, 0.75),
            (-0.55, 0.34, 0.0, 0.3),
            (0.0, 0.3, -0.18, 0.85),
            (-0.15, 0.75, 0.42, 0.8),
            (0.0, 0.3, 0.42, 0.75),
            (0.55, 0.34, 0.4, 0.98),
        ];
        for (x0, y0, x1, y1) in frame {
            board.line(canvas, at(x0, y0), at(x1, y1), 0.05, label, paint);
        }
        board.line(canvas, at(-0.3, 0.9), at(-0.05, 0.9), 0.07, label, black);
        board.line(canvas, at(0.3, 1.02), at(0.5, 0.97), 0.05, label, black);
    }
    if has_rider {
        let knee = at(0.2, 0.62 + 0.1 * hash(0, 0, rng.random()));
        board.line(canvas, at(-0.15, 0.92), knee, 0.18, RIDER, trousers);
        board.line(canvas, knee, at(0.05, 0.2), 0.14, RIDER, trousers);
        board.line(canvas, at(0.2, 1.4), at(0.4, 1.03), 0.11, RIDER, scale(coat, 0.85));
        board.shape(
            canvas,
            &[at(-0.34, 0.92), at(-0.12, 1.5), at(0.12, 1.56), at(0.28, 1.42), at(0.05, 0.88)],
            RIDER,
            coat,
        );
        head(canvas, &board, rng, at(0.2, 1.7), 1.0, RIDER, skin);
        let helmet = if is_motor || chance(rng, 0.6) { paint } else { black };
        board.disc(canvas, at(0.19, 1.76), (0.14, 0.11), RIDER, helmet);
    }
}
