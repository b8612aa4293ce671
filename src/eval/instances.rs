//! Instance-weighted IoU, the official evaluator's iIoU: every person and vehicle weighs as much as one of mean size.

use super::scores::Confusion;
use crate::data::labels::{CATEGORIES, CLASSES, NUM_CATEGORIES, NUM_CLASSES, train_id};
use ndarray::Array2;
use std::collections::BTreeMap;

/// Mean size in pixels of an instance of each class in the training set, in order of train ids.
///
/// Source: `args.avgClassSize` of `cityscapesscripts/evaluation/evalPixelLevelSemanticLabeling.py`.
const MEAN_SIZE: [(&str, f64); 8] = [
    ("person", 3462.4756337644),
    ("rider", 3930.4788056518),
    ("car", 12794.0202738185),
    ("truck", 27855.1264367816),
    ("bus", 35732.1511111111),
    ("train", 67583.7075812274),
    ("motorcycle", 6298.7200839748),
    ("bicycle", 4672.3249222261),
];

/// Pixels of true instances that were found and missed, each weighted by mean size / size of the instance.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Weighted {
    hits: f64,
    misses: f64,
}

/// Weighted pixels of all instances of any number of pictures.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InstanceTally {
    classes: [Weighted; NUM_CLASSES],
    categories: [Weighted; NUM_CATEGORIES],
}

/// Pixels of one true instance.
#[derive(Debug, Default, Clone, Copy)]
struct Instance {
    size: u64,
    /// Predicted as its class.
    class_hits: u64,
    /// Predicted as anything of its category, "caravan" and "trailer" too.
    category_hits: u64,
}

impl InstanceTally {
    /// Counts the instances of one picture. `pred` holds label ids.
    ///
    /// # Panics
    /// If the sizes differ, or an id is of no class with instances: the loader lets none pass.
    pub fn add(&mut self, instances: &Array2<u16>, pred: &Array2<u8>) {
        assert_eq!(instances.dim(), pred.dim(), "instances and prediction must have the same size");
        for (id, instance) in collect(instances, pred) {
            let class = train_id((id / 1000) as u8).map_or(NUM_CLASSES, usize::from);
            if class >= NUM_CLASSES {
                continue; // void, such as a caravan
            }
            let weight = mean_size(class) / instance.size as f64;
            self.classes[class].add(weight, instance.class_hits, instance.size);
            self.categories[CLASSES[class].category()].add(weight, instance.category_hits, instance.size);
        }
    }

    /// Adds the instances counted elsewhere, such as by another worker.
    pub fn merge(&mut self, other: &Self) {
        let pairs = self.classes.iter_mut().zip(&other.classes);
        for (mine, theirs) in pairs.chain(self.categories.iter_mut().zip(&other.categories)) {
            mine.hits += theirs.hits;
            mine.misses += theirs.misses;
        }
    }

    /// iIoU of each class by train id. False positives are those of `confusion`, of the same pictures. `None` for
    /// classes without instances, and where there is neither an instance nor a false positive.
    pub fn class_iiou(&self, confusion: &Confusion) -> Vec<Option<f64>> {
        let score = |class: usize| {
            let label_id = CLASSES[class].label_id;
            let false_positives = confusion.pixels(|truth| truth != class, |pred| pred == label_id);
            CLASSES[class].has_instances().then(|| self.classes[class].iiou(false_positives)).flatten()
        };
        (0..NUM_CLASSES).map(score).collect()
    }

    /// The same of each category, in order of [`CATEGORIES`].
    pub fn category_iiou(&self, confusion: &Confusion) -> Vec<Option<f64>> {
        let score = |(category, weighted): (usize, &Weighted)| {
            let ids = &CATEGORIES[category].label_ids;
            let outside = |truth: usize| CLASSES[truth].category() != category;
            // Unlike in the IoU of a category, what is not scored ("caravan", "trailer") counts here as predicted.
            let false_positives = confusion.pixels(outside, |pred| ids.contains(&pred));
            CATEGORIES[category].has_instances.then(|| weighted.iiou(false_positives)).flatten()
        };
        self.categories.iter().enumerate().map(score).collect()
    }
}

impl Weighted {
    fn add(&mut self, weight: f64, hits: u64, size: u64) {
        self.hits += hits as f64 * weight;
        self.misses += (size - hits) as f64 * weight;
    }

    fn iiou(&self, false_positives: u64) -> Option<f64> {
        let union = self.hits + self.misses + false_positives as f64;
        (union > 0.0).then(|| self.hits / union)
    }
}

fn mean_size(class: usize) -> f64 {
    let found = MEAN_SIZE.iter().find(|(name, _)| *name == CLASSES[class].name);
    found.expect("every class with instances has a mean size").1
}

/// The instances of one picture: ids above 1000, as the official evaluator has it.
fn collect(instances: &Array2<u16>, pred: &Array2<u8>) -> BTreeMap<u16, Instance> {
    let mut found: BTreeMap<u16, Instance> = BTreeMap::new();
    let (instances, pred) = (instances.as_standard_layout(), pred.as_standard_layout());
    let mut rest = pred.as_slice().unwrap_or(&[]);
    // Neighbours mostly belong together: by runs of one id.
    for run in instances.as_slice().unwrap_or(&[]).chunk_by(|one, next| one == next) {
        let (pred, behind) = rest.split_at(run.len());
        rest = behind;
        if run[0] <= 1000 {
            continue;
        }
        let label_id = (run[0] / 1000) as u8;
        let of_category = CATEGORIES.iter().find(|category| category.label_ids.contains(&label_id));
        found.entry(run[0]).or_default().add(Instance {
            size: run.len() as u64,
            class_hits: count(pred, |id| id == label_id),
            category_hits: of_category.map_or(0, |category| count(pred, |id| category.label_ids.contains(&id))),
        });
    }
    found
}

fn count(pred: &[u8], is_hit: impl Fn(u8) -> bool) -> u64 {
    pred.iter().filter(|id| is_hit(**id)).count() as u64
}

impl Instance {
    fn add(&mut self, other: Self) {
        self.size += other.size;
        self.class_hits += other.class_hits;
        self.category_hits += other.category_hits;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    const PERSON: usize = 11;
    const CAR: usize = 13;
    const HUMAN: usize = 5;
    const VEHICLE: usize = 6;

    /// Counts of one picture, given as instance ids and predicted label ids.
    fn tally(instances: &Array2<u16>, pred: &Array2<u8>) -> (InstanceTally, Confusion) {
        let (mut tally, mut confusion) = (InstanceTally::default(), Confusion::new());
        tally.add(instances, pred);
        let truth = instances.mapv(|id| (if id >= 1000 { id / 1000 } else { id }) as u8);
        confusion.add_label_ids(truth.as_slice().unwrap(), pred.as_slice().unwrap());
        (tally, confusion)
    }

    #[test]
    fn a_small_instance_weighs_as_much_as_a_large_one() {
        // A car of one pixel that is missed, one of three of which two are found; a road pixel taken for a car.
        let (tally, confusion) = tally(&array![[26_000, 26_001, 26_001, 26_001, 7]], &array![[7, 26, 26, 7, 26]]);
        let mean = 12794.0202738185;
        let (hits, misses) = (mean * 2.0 / 3.0, mean + mean / 3.0);
        assert_eq!(tally.class_iiou(&confusion)[CAR], Some(hits / (hits + misses + 1.0)));
        assert_eq!(tally.category_iiou(&confusion)[VEHICLE], Some(hits / (hits + misses + 1.0)));
        assert_eq!(tally.class_iiou(&confusion)[PERSON], None, "neither there nor predicted");
        assert_eq!(tally.class_iiou(&confusion)[0], None, "road has no instances");
        assert_eq!(tally.category_iiou(&confusion)[..HUMAN], [None; HUMAN]);
    }

    #[test]
    fn another_class_of_the_category_is_a_hit_of_the_category_even_if_it_is_not_scored() {
        let (tally, confusion) = tally(&array![[26_000, 26_000, 26_000, 26_000, 11]], &array![[26, 27, 29, 29, 30]]);
        assert_eq!(tally.class_iiou(&confusion)[CAR], Some(0.25));
        let mean = 12794.0202738185;
        let category = tally.category_iiou(&confusion)[VEHICLE];
        assert_eq!(category, Some(mean / (mean + 1.0)), "a caravan is a hit, a trailer on a house a false positive");
        assert_eq!(tally.class_iiou(&confusion)[14], Some(0.0), "no truck, but one predicted");
    }

    #[test]
    fn groups_and_void_instances_do_not_count() {
        let (tally, _) = tally(&array![[26, 29_001, 1000, 24_000]], &array![[26, 26, 26, 24]]);
        let mut expected = InstanceTally::default();
        expected.classes[PERSON].hits = 3462.4756337644;
        expected.categories[HUMAN].hits = 3462.4756337644;
        assert_eq!(tally, expected, "1000 is no instance either");
    }

    #[test]
    fn merged_tallies_are_those_of_all_pictures() {
        let (mut merged, _) = tally(&array![[24_000, 26_000]], &array![[24, 24]]);
        merged.merge(&tally(&array![[24_000, 26_000]], &array![[24, 26]]).0);
        let mut together = InstanceTally::default();
        together.add(&array![[24_000, 26_000]], &array![[24, 24]]);
        together.add(&array![[24_000, 26_000]], &array![[24, 26]]);
        assert_eq!(merged, together);
    }
}
