//! Built-in street scenes: drawn, not photographed, so that everything runs without a download.
//!
//! A scene is a street seen from a car, in perspective: sky, ground, the rows of houses beside it (`street`), then
//! vehicles (`vehicles`), people, trees, poles and signs (`objects`) from far to near. All 19 classes occur, the
//! label is exact to the pixel, people and vehicles are told apart, and the car's own bonnet is ignored, as in Cityscapes. Scene `i` follows from
//! `(seed, split, i)` alone; it shows the same street at every resolution.

mod canvas;
mod layout;
mod objects;
mod street;
mod vehicles;

use super::keyed::{hash_of, keyed_rng};
use super::{Dataset, Example};
use crate::Result;
use crate::size::Resolution;
use crate::task::TaskKind;
use crate::task::{ClassSet, IGNORE_INDEX};
use canvas::{Canvas, Rgb, hash, mix};
use layout::Layout;
use ndarray::Array2;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A stream of street scenes.
#[derive(Debug, Clone)]
pub struct Scenes {
    seed: u64,
    split: String,
    count: usize,
    resolution: Resolution,
    classes: Arc<ClassSet>,
}

/// What is ignored in the scenes, the car's own bonnet, by its label id in Cityscapes and its name there.
pub(super) const EGO_VEHICLE: (&str, u16) = ("ego vehicle", 1);

/// Class of the bonnet while a scene is painted.
const VOID: u8 = u8::MAX;

/// Label ids of class indices, as they are stored on disk. What is ignored becomes [`EGO_VEHICLE`].
pub(super) fn label_ids(classes: &ClassSet, label: &Array2<u16>) -> Array2<u16> {
    label.mapv(|class| classes.classes.get(usize::from(class)).map_or(EGO_VEHICLE.1, |class| class.ids[0]))
}

impl Scenes {
    /// `count` scenes of `resolution`; each `(seed, split)` has streets of its own.
    pub fn new(seed: u64, split: &str, count: usize, resolution: Resolution) -> Self {
        Self { seed, split: split.to_string(), count, resolution, classes: ClassSet::cityscapes() }
    }

    /// Draws scene `i`.
    pub fn scene(&self, i: usize) -> Example {
        self.draw(i).0
    }

    /// Draws scene `i`, and its instance ids as `*_instanceIds.png` holds them.
    pub fn annotated_scene(&self, i: usize) -> (Example, Array2<u16>) {
        let (example, things) = self.draw(i);
        let instances = instance_ids(&self.classes, &example.label, &things);
        (example, instances)
    }

    fn draw(&self, i: usize) -> (Example, Array2<u16>) {
        let mut rng = self.rng(i);
        let Resolution { height, width } = self.resolution;
        let layout = Layout::draw(&mut rng, height, width);
        let mut canvas = Canvas::new(height, width);
        street::sky(&mut canvas, &layout);
        street::ground(&mut canvas, &layout);
        street::skyline(&mut canvas, &layout);
        street::rows(&mut canvas, &layout, &mut rng);
        objects::place(&mut canvas, &layout, &mut rng);
        bonnet(&mut canvas, &layout);
        let (image, label, things) = canvas.finish(|x, y, rgb| develop(&layout, (height, width), (x, y), rgb));
        let label = label.mapv(|class| if class == VOID { IGNORE_INDEX } else { class.into() });
        (Example { name: self.name(i), image, label }, things)
    }

    fn rng(&self, i: usize) -> ChaCha8Rng {
        keyed_rng([self.seed, hash_of(&self.split), i as u64], *b"street\0\0")
    }
}

impl Dataset for Scenes {
    fn task(&self) -> TaskKind {
        TaskKind::Segmentation
    }

    fn classes(&self) -> &Arc<ClassSet> {
        &self.classes
    }

    fn len(&self) -> usize {
        self.count
    }

    /// As Cityscapes names frames.
    fn name(&self, i: usize) -> String {
        format!("synthetic_{i:06}_000019")
    }

    fn example(&self, i: usize) -> Result<Example> {
        Ok(self.scene(i))
    }

    fn annotated(&self, i: usize) -> Result<(Example, Option<Array2<u16>>)> {
        let (example, instances) = self.annotated_scene(i);
        Ok((example, Some(instances)))
    }
}

/// Label id * 1000 + number of the instance within its class, from far to near; the label id where the class has no
/// instances. A bicycle and its rider are one thing, and two instances.
fn instance_ids(classes: &ClassSet, label: &Array2<u16>, things: &Array2<u16>) -> Array2<u16> {
    let mut ids = label_ids(classes, label);
    let is_countable =
        |class: u16| classes.classes.get(usize::from(class)).is_some_and(|class| class.instance_pixels.is_some());
    let mut seen = BTreeMap::new();
    for (&class, &thing) in label.iter().zip(things).filter(|(class, _)| is_countable(**class)) {
        seen.entry((class, thing)).or_insert(0);
    }
    let mut counts = vec![0; classes.len()];
    for ((class, _), number) in &mut seen {
        *number = counts[usize::from(*class)];
        counts[usize::from(*class)] += 1;
    }
    for ((id, &class), &thing) in ids.iter_mut().zip(label).zip(things) {
        if is_countable(class) {
            *id = *id * 1000 + seen[&(class, thing)];
        }
    }
    ids
}

/// The hood of the car that carries the camera: no class, as Cityscapes' "ego vehicle".
fn bonnet(canvas: &mut Canvas, layout: &Layout) {
    let (width, height) = (canvas.width as f32, canvas.height as f32);
    let rise = layout.bonnet * height;
    let paint = layout.bonnet_color;
    let center = (width / 2.0, height + 1.5 * rise);
    let radius = (0.62 * width, 2.5 * rise);
    canvas.ellipse(center, radius, VOID, |u, v| {
        let edge = 1.0 - (u * u + v * v).sqrt();
        Some(mix([0.75, 0.78, 0.8], paint, 0.35 + 9.0 * edge))
    });
}

/// Light, color cast, vignette and sensor noise.
fn develop(layout: &Layout, (height, width): (usize, usize), (x, y): (usize, usize), rgb: Rgb) -> Rgb {
    let (u, v) = (x as f32 / width as f32 - 0.5, y as f32 / height as f32 - 0.5);
    let light = layout.exposure * (1.0 - 0.35 * (u * u + v * v));
    let grain = (hash(x as i32, y as i32, layout.texture ^ 0x6E) + hash(x as i32, y as i32, layout.texture ^ 0x6F)
        - 1.0)
        * 0.05;
    std::array::from_fn(|i| rgb[i] * light * layout.cast[i] + grain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenes(split: &str) -> Scenes {
        Scenes::new(3, split, 200, Resolution { height: 64, width: 128 })
    }

    #[test]
    fn a_scene_follows_from_seed_split_and_index() {
        assert_eq!(scenes("train").scene(5), scenes("train").scene(5));
        assert_ne!(scenes("train").scene(5).image, scenes("train").scene(6).image);
        assert_ne!(scenes("train").scene(5).image, scenes("val").scene(5).image);
    }

    #[test]
    fn every_class_occurs_and_no_other_id() {
        let scenes = scenes("train");
        let mut images = BTreeMap::new();
        for i in 0..200 {
            let seen: std::collections::BTreeSet<u16> = scenes.scene(i).label.iter().copied().collect();
            seen.into_iter().for_each(|class| *images.entry(class).or_insert(0) += 1);
        }
        for (index, class) in (0..).zip(&scenes.classes.classes) {
            assert!(images[&index] >= 4, "{} is in {} of 200 scenes", class.name, images[&index]);
        }
        assert_eq!(images[&IGNORE_INDEX], 200, "the bonnet is in every scene");
        assert_eq!(images.len(), 20);
    }

    #[test]
    fn instances_are_numbered_within_their_class() {
        let label = ndarray::array![[11, 11, 0], [12, 18, 11]]; // person, person, road; rider, bicycle, person
        let things = ndarray::array![[7, 3, 0], [5, 5, 7]];
        let expected = ndarray::array![[24_001, 24_000, 7], [25_000, 33_000, 24_001]];
        assert_eq!(instance_ids(&ClassSet::cityscapes(), &label, &things), expected);
    }

    #[test]
    fn instance_ids_are_the_label_ids_and_tell_things_apart() {
        let mut cars = 0;
        for i in 0..20 {
            let (sample, instances) = scenes("train").annotated_scene(i);
            let plain = instances.mapv(|id| if id > 1000 { id / 1000 } else { id });
            assert_eq!(plain, label_ids(&ClassSet::cityscapes(), &sample.label));
            assert!(instances.iter().all(|&id| (id >= 24_000) == (24..=33).contains(&(id / 1000))));
            cars = cars.max(instances.iter().filter(|id| **id / 1000 == 26).max().map_or(0, |id| id % 1000 + 1));
        }
        assert!(cars >= 3, "no scene shows more than {cars} cars");
    }

    #[test]
    fn odd_sizes_are_drawn() {
        for (height, width) in [(1, 1), (7, 300), (300, 7), (33, 65)] {
            let sample = Scenes::new(0, "val", 1, Resolution { height, width }).scene(0);
            assert_eq!(sample.image.dim(), (height, width, 3));
            assert_eq!(sample.label.dim(), (height, width));
        }
    }
}
