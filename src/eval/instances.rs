//! Instance-weighted IoU, the official evaluator's iIoU: every person and vehicle weighs as much as one of mean size.

use super::scores::Confusion;
use crate::task::ClassSet;
use ndarray::Array2;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Pixels of true instances that were found and missed, each weighted by mean size / size of the instance.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Weighted {
    hits: f64,
    misses: f64,
}

/// Weighted pixels of all instances of any number of images.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceTally {
    set: Arc<ClassSet>,
    classes: Vec<Weighted>,
    groups: Vec<Weighted>,
}

/// Pixels of one true instance.
#[derive(Debug, Default, Clone, Copy)]
struct Instance {
    size: u64,
    /// Predicted as its class.
    class_hits: u64,
    /// Predicted as anything of its group, "caravan" and "trailer" of Cityscapes too.
    group_hits: u64,
}

impl InstanceTally {
    /// No instance counted yet.
    pub fn new(set: Arc<ClassSet>) -> Self {
        let (classes, groups) = (set.len(), set.groups.len());
        Self { set, classes: vec![Weighted::default(); classes], groups: vec![Weighted::default(); groups] }
    }

    /// Counts the instances of one image. `pred` holds ids on disk.
    ///
    /// # Panics
    /// If the sizes differ.
    pub fn add(&mut self, instances: &Array2<u16>, pred: &Array2<u16>) {
        assert_eq!(instances.dim(), pred.dim(), "instances and prediction must have the same size");
        for (id, instance) in collect(&self.set, instances, pred) {
            let class = self.set.classes.iter().position(|class| class.ids.contains(&(id / 1000)));
            let Some((class, mean)) = class.and_then(|class| Some((class, self.set.classes[class].instance_pixels?)))
            else {
                continue; // void, such as a caravan
            };
            let weight = mean / instance.size as f64;
            self.classes[class].add(weight, instance.class_hits, instance.size);
            if let Some(group) = self.set.group_of(class) {
                self.groups[group].add(weight, instance.group_hits, instance.size);
            }
        }
    }

    /// Adds the instances counted elsewhere, such as by another worker.
    pub fn merge(&mut self, other: &Self) {
        let pairs = self.classes.iter_mut().zip(&other.classes);
        for (mine, theirs) in pairs.chain(self.groups.iter_mut().zip(&other.groups)) {
            mine.hits += theirs.hits;
            mine.misses += theirs.misses;
        }
    }

    /// iIoU of each class, in order. False positives are those of `confusion`, of the same images. `None` for classes
    /// without instances, and where there is neither an instance nor a false positive.
    pub fn class_iiou(&self, confusion: &Confusion) -> Vec<Option<f64>> {
        let score = |class: usize| {
            let false_positives = confusion.pixels(|truth| truth != class, |pred| pred == class);
            self.has_instances(class).then(|| self.classes[class].iiou(false_positives)).flatten()
        };
        (0..self.set.len()).map(score).collect()
    }

    /// Like [`class_iiou`](Self::class_iiou), for the groups of the class set.
    pub fn category_iiou(&self, confusion: &Confusion) -> Vec<Option<f64>> {
        let score = |(group, weighted): (usize, &Weighted)| {
            let is_in = |class: usize| self.set.group_of(class) == Some(group);
            // Unlike in the IoU of a group, what is not scored ("caravan", "trailer") counts here as predicted.
            let false_positives =
                confusion.pixels(|truth| !is_in(truth), |column| confusion.group_of_column(column) == Some(group));
            let countable = (0..self.set.len()).any(|class| is_in(class) && self.has_instances(class));
            countable.then(|| weighted.iiou(false_positives)).flatten()
        };
        self.groups.iter().enumerate().map(score).collect()
    }

    fn has_instances(&self, class: usize) -> bool {
        self.set.classes[class].instance_pixels.is_some()
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

/// The instances of one image: ids above 1000, as the official evaluator has it.
fn collect(set: &ClassSet, instances: &Array2<u16>, pred: &Array2<u16>) -> BTreeMap<u16, Instance> {
    let mut found: BTreeMap<u16, Instance> = BTreeMap::new();
    let mut ids: BTreeMap<u16, (Vec<u16>, Vec<u16>)> = BTreeMap::new();
    let instances: Vec<u16> = instances.iter().copied().collect();
    let pred: Vec<u16> = pred.iter().copied().collect();
    let mut rest = &pred[..];
    // Neighbours mostly belong together: by runs of one id.
    for run in instances.chunk_by(|one, next| one == next) {
        let (pred, behind) = rest.split_at(run.len());
        rest = behind;
        if run[0] <= 1000 {
            continue;
        }
        let (of_class, of_group) = ids.entry(run[0] / 1000).or_insert_with_key(|id| {
            let class = set.classes.iter().find(|class| class.ids.contains(id));
            (class.map_or_else(Vec::new, |class| class.ids.clone()), group_ids(set, *id))
        });
        found.entry(run[0]).or_default().add(Instance {
            size: run.len() as u64,
            class_hits: count(pred, |id| of_class.contains(&id)),
            group_hits: count(pred, |id| of_group.contains(&id)),
        });
    }
    found
}

/// All ids of the group that an id on disk belongs to.
fn group_ids(set: &ClassSet, id: u16) -> Vec<u16> {
    let ids = |group: usize| -> Vec<u16> {
        let classes = set.classes.iter().enumerate().filter(|(class, _)| set.group_of(*class) == Some(group));
        let classes = classes.flat_map(|(_, class)| class.ids.iter().copied());
        classes.chain(set.groups[group].ignored_ids.iter().copied()).collect()
    };
    (0..set.groups.len()).map(ids).find(|ids| ids.contains(&id)).unwrap_or_default()
}

fn count(pred: &[u16], is_hit: impl Fn(u16) -> bool) -> u64 {
    pred.iter().filter(|id| is_hit(**id)).count() as u64
}

impl Instance {
    fn add(&mut self, other: Self) {
        self.size += other.size;
        self.class_hits += other.class_hits;
        self.group_hits += other.group_hits;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::class_set::IdTable;
    use ndarray::array;

    const PERSON: usize = 11;
    const CAR: usize = 13;
    const HUMAN: usize = 5;
    const VEHICLE: usize = 6;

    /// Counts of one image, given as instance ids and predicted label ids.
    fn tally(instances: &Array2<u16>, pred: &Array2<u16>) -> (InstanceTally, Confusion) {
        let set = ClassSet::cityscapes();
        let (mut tally, mut confusion) = (InstanceTally::new(Arc::clone(&set)), Confusion::new(Arc::clone(&set)));
        tally.add(instances, pred);
        let table = IdTable::of(&set);
        let truth: Vec<u16> =
            instances.iter().map(|&id| table.class(if id >= 1000 { id / 1000 } else { id })).collect();
        let columns = Confusion::columns(&set);
        let pred: Vec<u16> = pred.iter().map(|&id| columns[usize::from(id)]).collect();
        confusion.add_columns(&truth, &pred);
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
        let mut expected = InstanceTally::new(ClassSet::cityscapes());
        expected.classes[PERSON].hits = 3462.4756337644;
        expected.groups[HUMAN].hits = 3462.4756337644;
        assert_eq!(tally, expected, "1000 is no instance either");
    }

    #[test]
    fn merged_tallies_are_those_of_all_pictures() {
        let (mut merged, _) = tally(&array![[24_000, 26_000]], &array![[24, 24]]);
        merged.merge(&tally(&array![[24_000, 26_000]], &array![[24, 26]]).0);
        let mut together = InstanceTally::new(ClassSet::cityscapes());
        together.add(&array![[24_000, 26_000]], &array![[24, 24]]);
        together.add(&array![[24_000, 26_000]], &array![[24, 26]]);
        assert_eq!(merged, together);
    }
}
