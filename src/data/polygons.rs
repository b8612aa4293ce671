//! Outlines of labelled regions, as `*_gtFine_polygons.json` of Cityscapes holds them.

use super::scenes::EGO_VEHICLE;
use crate::task::ClassSet;
use ndarray::Array2;
use serde::Serialize;
use std::cmp::Reverse;

/// Everything in one image. Painted one over the other in their order, the objects give its label.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Annotation {
    img_height: usize,
    img_width: usize,
    objects: Vec<Object>,
}

/// A region with its class.
#[derive(Debug, PartialEq, Serialize)]
struct Object {
    label: String,
    /// `[x, y]` of pixels on its rim, clockwise, where the rim turns; three at least.
    polygon: Vec<[usize; 2]>,
}

/// Steps to the eight neighbours, clockwise from the right.
const STEPS: [(isize, isize); 8] = [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)];

impl Annotation {
    /// Outlines of instance ids. An instance that something hides in part may be several objects.
    pub fn trace(classes: &ClassSet, instances: &Array2<u16>) -> Self {
        let (img_height, img_width) = instances.dim();
        let mut seen = Array2::from_elem(instances.dim(), false);
        let mut objects = Vec::new(); // with the area of the box around each
        for ((y, x), &id) in instances.indexed_iter() {
            if !seen[[y, x]] {
                let area = flood(instances, &mut seen, (x, y));
                objects.push((area, Object { label: name(classes, id), polygon: rim(instances, (x, y)) }));
            }
        }
        // A region fills the holes in it until what is in them is painted; that has a smaller box.
        objects.sort_by_key(|(area, _)| Reverse(*area));
        Self { img_height, img_width, objects: objects.into_iter().map(|(_, object)| object).collect() }
    }
}

fn name(classes: &ClassSet, id: u16) -> String {
    let label_id = if id >= 1000 { id / 1000 } else { id };
    let class = classes.classes.iter().find(|class| class.ids.contains(&label_id));
    class.map_or(EGO_VEHICLE.0, |class| &class.name).to_string()
}

/// The pixel `step` further on, if it has the same id. Diagonal neighbours count.
fn neighbour(ids: &Array2<u16>, (x, y): (usize, usize), step: usize) -> Option<(usize, usize)> {
    let (dx, dy) = STEPS[step % 8];
    let (to_x, to_y) = (x.checked_add_signed(dx)?, y.checked_add_signed(dy)?);
    (ids.get((to_y, to_x))? == &ids[[y, x]]).then_some((to_x, to_y))
}

/// Marks the region of a pixel as seen; returns the area of the box around it.
fn flood(ids: &Array2<u16>, seen: &mut Array2<bool>, from: (usize, usize)) -> usize {
    let (mut least, mut most) = (from, from);
    let mut open = vec![from];
    seen[[from.1, from.0]] = true;
    while let Some(at) = open.pop() {
        least = (least.0.min(at.0), least.1.min(at.1));
        most = (most.0.max(at.0), most.1.max(at.1));
        for (x, y) in (0..8).filter_map(|step| neighbour(ids, at, step)) {
            if !std::mem::replace(&mut seen[[y, x]], true) {
                open.push((x, y));
            }
        }
    }
    (most.0 - least.0 + 1) * (most.1 - least.1 + 1)
}

/// Follows the outer rim of a region clockwise (Moore's neighbour tracing) from the leftmost pixel of its top row, and
/// keeps the pixels where it turns.
fn rim(ids: &Array2<u16>, start: (usize, usize)) -> Vec<[usize; 2]> {
    let next = |at, from: usize| (from..from + 8).find_map(|step| Some((step % 8, neighbour(ids, at, step)?)));
    let mut corners = vec![[start.0, start.1]];
    // Left of the start and above it nothing belongs to the region.
    if let Some((first_step, mut at)) = next(start, 5) {
        let mut step = first_step;
        // The last step came by a pixel outside; the search goes on from there.
        while let Some((turn, to)) = next(at, if step % 2 == 0 { step + 7 } else { step + 6 }) {
            if at == start && turn == first_step {
                break;
            }
            if turn != step {
                corners.push([at.0, at.1]);
            }
            (step, at) = (turn, to);
        }
    }
    while corners.len() < 3 {
        corners.push(corners[corners.len() - 1]);
    }
    corners
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::scenes::{Scenes, label_ids};
    use crate::size::Resolution;

    fn polygons(ids: Array2<u16>) -> Vec<(String, Vec<[usize; 2]>)> {
        Annotation::trace(&ClassSet::cityscapes(), &ids)
            .objects
            .into_iter()
            .map(|object| (object.label, object.polygon))
            .collect()
    }

    #[test]
    fn a_rim_is_kept_where_it_turns_and_what_is_inside_comes_later() {
        let ids = ndarray::array![
            [7, 7, 7, 7], //
            [7, 26_000, 26_000, 7],
            [7, 26_000, 7, 7],
        ];
        let road = ("road".to_string(), vec![[0, 0], [3, 0], [3, 2], [2, 2], [3, 1], [2, 0], [1, 0], [0, 1], [0, 2]]);
        let car = ("car".to_string(), vec![[1, 1], [2, 1], [1, 2]]);
        assert_eq!(polygons(ids), [road, car]);
    }

    #[test]
    fn a_single_pixel_and_a_line_have_three_corners_too() {
        let ids = ndarray::array![[1, 17, 17, 17]];
        let expected =
            [("pole".to_string(), vec![[1, 0], [3, 0], [3, 0]]), ("ego vehicle".to_string(), vec![[0, 0]; 3])];
        assert_eq!(polygons(ids), expected);
    }

    /// Paints the rim and whatever cannot be reached from outside without crossing it.
    fn paint(label: &mut Array2<u16>, object: &Object) {
        let (height, width) = label.dim();
        let mut free = Array2::from_elem((height + 2, width + 2), true); // with a margin all around
        for (i, from) in object.polygon.iter().enumerate() {
            let to = object.polygon[(i + 1) % object.polygon.len()];
            let (dx, dy) = (to[0] as isize - from[0] as isize, to[1] as isize - from[1] as isize);
            assert!(dx == 0 || dy == 0 || dx.abs() == dy.abs(), "{dx}, {dy}");
            for i in 0..=dx.abs().max(dy.abs()) {
                let at = (from[1] as isize + i * dy.signum(), from[0] as isize + i * dx.signum());
                free[[at.0 as usize + 1, at.1 as usize + 1]] = false;
            }
        }
        let mut outside = Array2::from_elem(free.dim(), false);
        let mut open = vec![(0_usize, 0_usize)];
        while let Some((y, x)) = open.pop() {
            if free.get((y, x)) == Some(&true) && !std::mem::replace(&mut outside[[y, x]], true) {
                open.extend([(y + 1, x), (y, x + 1), (y.saturating_sub(1), x), (y, x.saturating_sub(1))]);
            }
        }
        let set = ClassSet::cityscapes();
        let id =
            set.classes.iter().find(|class| class.name == object.label).map_or(EGO_VEHICLE.1, |class| class.ids[0]);
        let inside = label.indexed_iter_mut().filter(|((y, x), _)| !outside[[y + 1, x + 1]]);
        inside.for_each(|(_, pixel)| *pixel = id);
    }

    #[test]
    fn painted_in_their_order_the_objects_give_the_label_again() {
        let scenes = Scenes::new(2, "val", 3, Resolution { height: 96, width: 192 });
        for i in 0..3 {
            let (sample, instances) = scenes.annotated_scene(i);
            let mut painted = Array2::zeros(sample.label.dim());
            Annotation::trace(&ClassSet::cityscapes(), &instances)
                .objects
                .iter()
                .for_each(|object| paint(&mut painted, object));
            let truth = label_ids(&ClassSet::cityscapes(), &sample.label);
            let wrong = painted.iter().zip(&truth).filter(|(painted, truth)| painted != truth).count();
            // Where two regions cross at a corner of four pixels, one of them fills a bay of the other.
            assert!(wrong * 500 < truth.len(), "{wrong} of {} pixels", truth.len());
        }
    }
}
