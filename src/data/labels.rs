//! The classes of Cityscapes: label ids on disk, train ids in memory, names and colours.
//!
//! Source: `cityscapesscripts/helpers/labels.py`.

use ndarray::Array2;
use std::ops::RangeInclusive;

/// Number of classes that are trained and scored.
pub const NUM_CLASSES: usize = 19;
/// Train id of pixels that neither train nor count.
pub const IGNORE_INDEX: u8 = 255;
/// Largest label id a Cityscapes label picture may hold.
pub const MAX_LABEL_ID: u8 = 33;

/// One of the 19 classes; its train id is its place in [`CLASSES`].
#[derive(Debug, Clone, Copy)]
pub struct Class {
    /// Name as the official evaluator prints it.
    pub name: &'static str,
    /// Id in `*_labelIds.png`.
    pub label_id: u8,
    /// Colour of the Cityscapes palette, RGB.
    pub color: [u8; 3],
}

const fn class(name: &'static str, label_id: u8, color: [u8; 3]) -> Class {
    Class { name, label_id, color }
}

/// The classes in order of their train ids.
pub const CLASSES: [Class; NUM_CLASSES] = [
    class("road", 7, [128, 64, 128]),
    class("sidewalk", 8, [244, 35, 232]),
    class("building", 11, [70, 70, 70]),
    class("wall", 12, [102, 102, 156]),
    class("fence", 13, [190, 153, 153]),
    class("pole", 17, [153, 153, 153]),
    class("traffic light", 19, [250, 170, 30]),
    class("traffic sign", 20, [220, 220, 0]),
    class("vegetation", 21, [107, 142, 35]),
    class("terrain", 22, [152, 251, 152]),
    class("sky", 23, [70, 130, 180]),
    class("person", 24, [220, 20, 60]),
    class("rider", 25, [255, 0, 0]),
    class("car", 26, [0, 0, 142]),
    class("truck", 27, [0, 0, 70]),
    class("bus", 28, [0, 60, 100]),
    class("train", 31, [0, 80, 100]),
    class("motorcycle", 32, [0, 0, 230]),
    class("bicycle", 33, [119, 11, 32]),
];

/// A group of label ids that the official evaluator scores together.
#[derive(Debug, Clone)]
pub struct Category {
    /// Name as the official evaluator prints it.
    pub name: &'static str,
    /// Its label ids, those that are not scored among them.
    pub label_ids: RangeInclusive<u8>,
    /// Whether its things are told apart in `*_instanceIds.png`.
    pub has_instances: bool,
}

const fn category(name: &'static str, first: u8, last: u8, has_instances: bool) -> Category {
    Category { name, label_ids: first..=last, has_instances }
}

/// Number of categories that are scored.
pub const NUM_CATEGORIES: usize = 7;

/// The categories in order of their ids; the eighth, void, is not scored.
pub const CATEGORIES: [Category; NUM_CATEGORIES] = [
    category("flat", 7, 10, false),
    category("construction", 11, 16, false),
    category("object", 17, 20, false),
    category("nature", 21, 22, false),
    category("sky", 23, 23, false),
    category("human", 24, 25, true),
    category("vehicle", 26, 33, true),
];

impl Class {
    /// Place of its category in [`CATEGORIES`].
    pub fn category(&self) -> usize {
        let holds = |category: &Category| category.label_ids.contains(&self.label_id);
        CATEGORIES.iter().position(holds).expect("every class is in a category")
    }

    /// Whether its things are told apart in `*_instanceIds.png`.
    pub fn has_instances(&self) -> bool {
        CATEGORIES[self.category()].has_instances
    }
}

/// Train id of a label id: a class, [`IGNORE_INDEX`] for the void classes, `None` for an id that does not exist.
pub const fn train_id(label_id: u8) -> Option<u8> {
    if label_id > MAX_LABEL_ID {
        return None;
    }
    let mut id = 0;
    while id < NUM_CLASSES {
        if CLASSES[id].label_id == label_id {
            return Some(id as u8);
        }
        id += 1;
    }
    Some(IGNORE_INDEX)
}

/// Name and label id of what is ignored in the built-in scenes: the only void thing in them.
pub const EGO_VEHICLE: (&str, u8) = ("ego vehicle", 1);

/// Label ids of train ids, as they are stored on disk. What is ignored becomes [`EGO_VEHICLE`]: void, as every id is
/// that is not scored.
pub fn label_ids(label: &Array2<u8>) -> Array2<u8> {
    label.mapv(|train_id| CLASSES.get(train_id as usize).map_or(EGO_VEHICLE.1, |class| class.label_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_ids_map_to_train_ids() {
        assert_eq!(train_id(7), Some(0));
        assert_eq!(train_id(33), Some(18));
        assert_eq!(train_id(0), Some(IGNORE_INDEX));
        assert_eq!(train_id(30), Some(IGNORE_INDEX), "trailer is void");
        assert_eq!(train_id(34), None);
    }

    #[test]
    fn classes_know_their_categories() {
        let names = CLASSES.map(|class| CATEGORIES[class.category()].name);
        assert_eq!(names[..6], ["flat", "flat", "construction", "construction", "construction", "object"]);
        assert_eq!(names[10..14], ["sky", "human", "human", "vehicle"]);
        let countable = CLASSES.iter().filter(|class| class.has_instances()).count();
        assert_eq!(countable, 8, "person, rider, and the six kinds of vehicles");
    }

    #[test]
    fn label_ids_read_back_as_train_ids() {
        let label = Array2::from_shape_fn((4, 5), |(y, x)| (y * 5 + x) as u8).mapv(|id| if id < 19 { id } else { 255 });
        assert_eq!(label_ids(&label).mapv(|id| train_id(id).unwrap()), label);
    }
}
