//! Sky, ground, and the rows of houses, walls and fences beside the street.

use super::canvas::{Canvas, Rgb, clouds, hash, mix, noise, scale};
use super::layout::{Layout, Side, between, chance, pick};
use super::objects;
use rand::{Rng, RngExt};

const ROAD: u8 = 0;
const SIDEWALK: u8 = 1;
const BUILDING: u8 = 2;
const WALL: u8 = 3;
const FENCE: u8 = 4;
const VEGETATION: u8 = 8;
const TERRAIN: u8 = 9;
const SKY: u8 = 10;

/// Nothing nearer than this is drawn: it is below the image.
pub(super) const NEAR: f32 = 2.2;
/// Houses end here; the skyline closes the street behind.
const FAR: f32 = 110.0;

/// Gradient and clouds, over the whole canvas.
pub(super) fn sky(canvas: &mut Canvas, layout: &Layout) {
    let (width, height) = (canvas.width as f32, canvas.height as f32);
    for y in 0..canvas.height {
        let up = 1.0 - (y as f32 / layout.camera.center.1).min(1.0);
        let blue = mix(layout.horizon, layout.zenith, up);
        for x in 0..canvas.width {
            // Clouds flatten towards the horizon.
            let v = y as f32 / height;
            let cloud = clouds(4.0 * x as f32 / width + 7.0 * v, 3.0 / (0.25 + up), layout.texture ^ 0x51);
            let share = ((cloud - 1.0 + layout.cloud_cover) * 3.0).clamp(0.0, 0.85);
            canvas.set(x, y, SKY, mix(blue, [0.97, 0.97, 0.98], share));
        }
    }
}

/// Road with markings, kerb, sidewalk and grass, everywhere below the horizon.
pub(super) fn ground(canvas: &mut Canvas, layout: &Layout) {
    let camera = layout.camera;
    for y in canvas.span(camera.center.1 + 0.5, f32::MAX, canvas.height) {
        let z = camera.focal * camera.eye / (y as f32 + 0.5 - camera.center.1);
        for x in 0..canvas.width {
            let side = (x as f32 + 0.5 - camera.center.0) * z / camera.focal;
            let (label, rgb) = ground_at(layout, side, z);
            canvas.set(x, y, label, layout.hazed(rgb, z));
        }
    }
}

fn ground_at(layout: &Layout, x: f32, z: f32) -> (u8, Rgb) {
    let side = &layout.sides[usize::from(x > 0.0)];
    let out = x.abs();
    // Fine texture drowns in the distance, where a pixel spans many of its features.
    let detail = (12.0 / z).min(1.0);
    let grain = 0.6 * noise(x * 9.0, z * 5.0, layout.texture) + 0.4 * noise(x * 0.7, z * 0.25, layout.texture ^ 1);
    let rough = 1.0 + (grain - 0.5) * 0.45 * detail;
    if out < side.kerb {
        let worn = 0.9 + 0.1 * marking_paint(x, z, layout);
        let paint = road_marking(layout, x, z, side).then_some(mix([0.85, 0.85, 0.82], layout.asphalt, 1.0 - worn));
        let rail = layout.rails && [-0.72_f32, 0.72].iter().any(|at| (x - layout.middle * 0.2 - at).abs() < 0.05);
        let base = if rail { [0.55, 0.52, 0.5] } else { paint.unwrap_or(layout.asphalt) };
        (ROAD, scale(base, rough))
    } else if out < side.walk {
        let joint = (out * 1.6).fract() < 0.07 || (z * 1.6).fract() < 0.1;
        let stone = hash((out * 1.6) as i32, (z * 1.6) as i32, layout.texture ^ 2) * 0.12 - 0.06;
        let tone = if joint { 0.78 } else { 1.0 + stone };
        let base = if out < side.kerb + 0.18 { mix(layout.paving, [0.8; 3], 0.6) } else { layout.paving };
        (SIDEWALK, scale(base, rough * (1.0 + (tone - 1.0) * detail)))
    } else {
        let blades = noise(x * 14.0, z * 6.0, layout.texture ^ 3) - 0.5;
        let patch = noise(x * 0.8, z * 0.4, layout.texture ^ 4);
        let base = mix(layout.grass, [0.50, 0.42, 0.28], (patch - 0.62) * 3.0);
        (TERRAIN, scale(base, 1.0 + 0.7 * blades * detail))
    }
}

fn marking_paint(x: f32, z: f32, layout: &Layout) -> f32 {
    noise(x * 6.0, z * 3.0, layout.texture ^ 5)
}

/// Whether white paint covers the road: middle line in dashes, lines along the kerbs, zebra.
fn road_marking(layout: &Layout, x: f32, z: f32, side: &Side) -> bool {
    if let Some(start) = layout.zebra
        && (start..start + 3.2).contains(&z)
    {
        return (x + 40.0).rem_euclid(1.0) < 0.5;
    }
    let dash = z.rem_euclid(7.0) < 3.5 && (x - layout.middle).abs() < 0.08;
    let edge = (side.kerb - x.abs() - 0.35).abs() < 0.06;
    dash || edge
}

/// Far trees and houses that close the view along the street.
pub(super) fn skyline(canvas: &mut Canvas, layout: &Layout) {
    let camera = layout.camera;
    let foot = camera.project(0.0, 0.0, FAR).1;
    let metre = camera.focal / FAR;
    for x in 0..canvas.width {
        let at = (x as f32 + 0.5 - camera.center.0) / metre;
        let house = hash((at / 11.0).floor() as i32, 0, layout.texture ^ 6);
        let roof = 5.0 + 13.0 * house;
        let crown = 3.0 + 8.0 * clouds(at / 9.0, 0.0, layout.texture ^ 7);
        let is_tree = crown > roof || house < 0.25;
        let top = foot - metre * if is_tree { crown } else { roof };
        for y in canvas.span(top, foot, canvas.height) {
            let shade = noise(at * 1.4, y as f32 / metre * 1.4, layout.texture ^ 8);
            let (label, rgb) = match is_tree {
                true => (VEGETATION, scale(layout.leaves, 0.7 + 0.7 * shade)),
                false => (BUILDING, scale([0.55, 0.52, 0.5], 0.75 + 0.3 * house + 0.1 * shade)),
            };
            canvas.set(x, y, label, layout.hazed(rgb, FAR));
        }
    }
}

/// The two rows along the street, from far to near: houses, walls, fences and gaps with trees.
pub(super) fn rows(canvas: &mut Canvas, layout: &Layout, rng: &mut impl Rng) {
    for side in &layout.sides {
        let mut plots = Vec::new();
        let mut z = NEAR - between(rng, 0.0, 1.0);
        while z < FAR {
            let depth = between(rng, 7.0, 20.0);
            plots.push((z.max(NEAR), (z + depth).min(FAR)));
            z += depth;
        }
        for &(near, far) in plots.iter().rev() {
            match rng.random::<f32>() {
                kind if kind < 0.68 => house(canvas, layout, rng, side, near, far),
                kind if kind < 0.78 => barrier(canvas, layout, rng, side, (near, far), WALL),
                kind if kind < 0.90 => barrier(canvas, layout, rng, side, (near, far), FENCE),
                _ => garden(canvas, layout, rng, side, near, far),
            }
        }
    }
}

/// How a house is built.
struct House {
    paint: Rgb,
    glass: Rgb,
    frame: Rgb,
    height: f32,
    floor: f32,
    bay: f32,
    window: (f32, f32),
    has_shop: bool,
    is_brick: bool,
    texture: u32,
}

impl House {
    fn draw(rng: &mut impl Rng) -> Self {
        const PAINTS: [Rgb; 9] = [
            [0.62, 0.36, 0.28],
            [0.50, 0.30, 0.25],
            [0.80, 0.72, 0.56],
            [0.86, 0.83, 0.76],
            [0.62, 0.60, 0.57],
            [0.48, 0.50, 0.53],
            [0.78, 0.60, 0.40],
            [0.72, 0.74, 0.70],
            [0.70, 0.52, 0.48],
        ];
        let floor = between(rng, 2.9, 3.7);
        let paint_number = rng.random_range(0..PAINTS.len() as u64) as usize;
        Self {
            paint: PAINTS[paint_number],
            glass: pick(rng, &[[0.16, 0.20, 0.25], [0.25, 0.30, 0.36], [0.36, 0.44, 0.52], [0.10, 0.11, 0.13]]),
            frame: pick(rng, &[[0.90, 0.90, 0.88], [0.35, 0.30, 0.26], [0.75, 0.73, 0.70]]),
            height: floor * rng.random_range(2..6_u64) as f32 + 0.8,
            floor,
            bay: between(rng, 1.9, 3.2),
            window: (between(rng, 0.35, 0.6), between(rng, 0.45, 0.65)),
            has_shop: chance(rng, 0.35),
            is_brick: paint_number < 2,
            texture: rng.random(),
        }
    }

    /// Color of a front at `u` metres along and `v` above the ground.
    fn front(&self, u: f32, v: f32, detail: f32) -> Rgb {
        if v > self.height - 0.45 {
            return scale(self.frame, 0.7);
        }
        let (level, within) = ((v / self.floor).floor(), (v / self.floor).fract());
        let (bay, across) = ((u / self.bay).floor(), (u / self.bay).rem_euclid(1.0));
        let is_ground = level == 0.0;
        let (wide, tall) = match (is_ground, self.has_shop) {
            (true, true) => (0.86, 0.78),
            _ => self.window,
        };
        let (dx, dy) = ((across - 0.5).abs() * 2.0 / wide, (within - 0.5).abs() * 2.0 / tall);
        if dx < 1.0 && dy < 1.0 {
            if dx > 0.86 || dy > 0.88 || (dx < 0.06 && !is_ground) {
                return self.frame;
            }
            // Every pane mirrors another piece of sky; a few are lit or curtained.
            let mood = hash(bay as i32, level as i32, self.texture);
            let pane = if mood > 0.86 { [0.80, 0.74, 0.58] } else { scale(self.glass, 0.75 + 0.6 * mood) };
            return mix(pane, [0.75, 0.82, 0.9], 0.25 * within);
        }
        let plaster = 0.92
            + 0.14 * noise(u * 0.8, v * 0.8, self.texture ^ 1)
            + (noise(u * 7.0, v * 7.0, self.texture ^ 2) - 0.5) * 0.12 * detail;
        let course = (v / 0.25).floor();
        let joint =
            self.is_brick && ((v / 0.25).fract() < 0.18 || (u / 0.5 + 0.5 * (course % 2.0)).rem_euclid(1.0) < 0.08);
        let base = scale(self.paint, plaster);
        if is_ground && self.has_shop && within > 0.9 {
            return scale([self.glass[2], self.glass[0], self.glass[1]], 1.6);
        }
        mix(base, [0.72, 0.68, 0.62], if joint { 0.4 * detail } else { 0.0 })
    }
}

fn house(canvas: &mut Canvas, layout: &Layout, rng: &mut impl Rng, side: &Side, near: f32, far: f32) {
    let house = House::draw(rng);
    let light = layout.light_on(side.sign);
    along(canvas, layout, side.sign * side.front, (near, far), house.height, BUILDING, |z, v| {
        scale(house.front(z, v, (14.0 / z).min(1.0)), light)
    });
    let gable = 0.8 * (1.05 + 0.72 - light);
    across(canvas, layout, side, near, house.height, BUILDING, |x, v| {
        scale(house.front(x + 0.6, v, (14.0 / near).min(1.0)), gable)
    });
}

/// A wall or fence at the edge of the plot, with trees behind.
fn barrier(canvas: &mut Canvas, layout: &Layout, rng: &mut impl Rng, side: &Side, (near, far): (f32, f32), label: u8) {
    garden(canvas, layout, rng, side, near, far);
    let light = layout.light_on(side.sign);
    let seed: u32 = rng.random();
    if label == WALL {
        let base = pick(rng, &[[0.56, 0.54, 0.50], [0.60, 0.42, 0.34], [0.70, 0.66, 0.58]]);
        let height = between(rng, 1.6, 3.2);
        along(canvas, layout, side.sign * side.front, (near, far), height, WALL, |z, v| {
            let course = (v / 0.4).floor();
            let joint = (v / 0.4).fract() < 0.1 || (z / 0.9 + 0.5 * (course % 2.0)).rem_euclid(1.0) < 0.05;
            let cap = if v > height - 0.18 { 1.25 } else { 1.0 };
            let stain = 0.75 + 0.4 * clouds(z * 0.7, v * 0.9, seed);
            scale(base, light * cap * stain * if joint { 0.8 } else { 1.0 })
        });
    } else {
        let base = pick(rng, &[[0.25, 0.27, 0.26], [0.52, 0.38, 0.25], [0.78, 0.78, 0.75], [0.20, 0.32, 0.24]]);
        let height = between(rng, 1.2, 2.2);
        let behind = scale(layout.leaves, 0.8);
        along(canvas, layout, side.sign * side.front, (near, far), height, FENCE, |z, v| {
            let picket = (z / 0.35).rem_euclid(1.0) < 0.5;
            let rail = (v - 0.25).abs() < 0.07 || (v - height + 0.15).abs() < 0.08;
            let post = (z / 2.8).rem_euclid(1.0) < 0.06;
            let bar = if post || rail { 1.1 } else { 0.95 };
            if picket || rail || post { scale(base, light * bar) } else { behind }
        });
    }
}

/// An open plot: grass with trees and bushes at its back.
fn garden(canvas: &mut Canvas, layout: &Layout, rng: &mut impl Rng, side: &Side, near: f32, far: f32) {
    let mut z = far;
    while z > near {
        let x = side.sign * (side.front + between(rng, 2.0, 7.0));
        let height = between(rng, 3.0, 9.0);
        objects::tree(canvas, layout, rng, x, z.max(NEAR + 1.0), height);
        z -= between(rng, 1.5, 4.0);
    }
}

/// Paints the upright plane at `x` that runs along the street; `shade(z, y)` in metres.
fn along(
    canvas: &mut Canvas,
    layout: &Layout,
    x: f32,
    (near, far): (f32, f32),
    height: f32,
    label: u8,
    shade: impl Fn(f32, f32) -> Rgb,
) {
    let camera = layout.camera;
    let (a, b) = (camera.project(x, 0.0, near).0, camera.project(x, 0.0, far).0);
    for column in canvas.span(a.min(b), a.max(b), canvas.width) {
        let z = camera.focal * x / (column as f32 + 0.5 - camera.center.0);
        let (top, foot) = (camera.project(x, height, z).1, camera.project(x, 0.0, z).1);
        for row in canvas.span(top, foot, canvas.height) {
            let y = camera.eye - (row as f32 + 0.5 - camera.center.1) * z / camera.focal;
            canvas.set(column, row, label, layout.hazed(shade(z, y), z));
        }
    }
}

/// Paints the gable at `z` that faces the camera, from the row outwards; `shade(x, y)` in metres from the row.
fn across(
    canvas: &mut Canvas,
    layout: &Layout,
    side: &Side,
    z: f32,
    height: f32,
    label: u8,
    shade: impl Fn(f32, f32) -> Rgb,
) {
    const DEPTH: f32 = 12.0;
    let camera = layout.camera;
    let (a, top) = camera.project(side.sign * side.front, height, z);
    let (b, foot) = camera.project(side.sign * (side.front + DEPTH), 0.0, z);
    for row in canvas.span(top, foot, canvas.height) {
        for column in canvas.span(a.min(b), a.max(b), canvas.width) {
            let x = (column as f32 + 0.5 - camera.center.0) * z / camera.focal;
            let y = camera.eye - (row as f32 + 0.5 - camera.center.1) * z / camera.focal;
            canvas.set(column, row, label, layout.hazed(shade(x.abs() - side.front, y), z));
        }
    }
}
