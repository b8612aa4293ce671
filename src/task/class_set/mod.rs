//! Class sets: which classes a dataset has, their names, colors and ids on disk.
//!
//! In memory a label holds a *class index* for each pixel, 0-based in the order of [`ClassSet::classes`] (Cityscapes
//! calls it a train id), or [`IGNORE_INDEX`]. On disk it holds *ids*, which a class set maps to class indices.

mod check;
mod file;
mod ids;
mod presets;

pub use file::{ClassFile, LayoutKeys, MasksAre};
pub use ids::{IdTable, Meaning};
pub use presets::{PRESETS, preset};

use serde::{Deserialize, Serialize};
use std::sync::{Arc, OnceLock};

/// Class index of pixels that are neither trained on nor scored. Above every class.
pub const IGNORE_INDEX: u16 = u16::MAX;

/// Most classes that a label map of a segmentation dataset may have: a prediction is stored in 8 bits.
pub const MAX_CLASSES: usize = 256;

/// One class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Name in reports, plots and pages.
    pub name: String,
    /// Color of masks and overlays, RGB.
    pub color: [u8; 3],
    /// Ids on disk that stand for the class. Predictions are written with the first.
    pub ids: Vec<u16>,
    /// Name of the [`Group`] that the class belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Mean number of pixels of an instance in the training set. Only classes with it have an instance-weighted IoU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_pixels: Option<f64>,
}

/// Classes that are also scored together, as Cityscapes scores its categories.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Name in reports.
    pub name: String,
    /// Ids on disk that are no class but belong to the group, such as a caravan to the vehicles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored_ids: Vec<u16>,
}

/// What an id on disk means that the class set does not list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unlisted {
    /// An error that names file, id and number of pixels.
    #[default]
    Error,
    /// The pixel is ignored.
    Ignore,
}

/// The classes of a dataset. Checkpoints, run folders, reports and exports each hold theirs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassSet {
    /// Name of the preset, of the file without its suffix, or of the folder of a `classes.toml`; for messages.
    pub name: String,
    /// Ids on disk of pixels without a class.
    #[serde(default)]
    pub ignore: Vec<u16>,
    /// Colors of pixels without a class, for masks of colors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore_colors: Vec<[u8; 3]>,
    /// What every other id on disk means.
    #[serde(default, skip_serializing_if = "is_error")]
    pub unlisted: Unlisted,
    /// The classes in order of their indices.
    #[serde(rename = "class")]
    pub classes: Vec<Class>,
    /// Groups of classes, in order.
    #[serde(default, rename = "group", skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
}

fn is_error(unlisted: &Unlisted) -> bool {
    *unlisted == Unlisted::Error
}

impl ClassSet {
    /// The 19 classes of Cityscapes, which the built-in scenes have as well.
    pub fn cityscapes() -> Arc<Self> {
        static CITYSCAPES: OnceLock<Arc<ClassSet>> = OnceLock::new();
        Arc::clone(CITYSCAPES.get_or_init(|| Arc::new(preset("cityscapes").expect("it is built in"))))
    }

    /// Classes that are numbered from 0 in the order of `names`, with colors that can be told apart: the set of a
    /// dataset with one class for each image. Any number of classes.
    pub fn numbered(name: &str, names: &[String]) -> Self {
        let class = |(index, name): (usize, &String)| Class {
            name: name.clone(),
            color: distinct_color(index),
            ids: vec![index as u16],
            group: None,
            instance_pixels: None,
        };
        Self {
            name: name.to_string(),
            ignore: Vec::new(),
            ignore_colors: Vec::new(),
            unlisted: Unlisted::Error,
            classes: names.iter().enumerate().map(class).collect(),
            groups: Vec::new(),
        }
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there is no class; never for a set that was read from a file.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// Names of the classes, in order.
    pub fn names(&self) -> Vec<String> {
        self.classes.iter().map(|class| class.name.clone()).collect()
    }

    /// Name of a class index; `ignored` where it is none.
    pub fn name_of(&self, index: u16) -> &str {
        self.classes.get(usize::from(index)).map_or("ignored", |class| &class.name)
    }

    /// Color of a class index; black where it is none.
    pub fn color_of(&self, index: u16) -> [u8; 3] {
        self.classes.get(usize::from(index)).map_or([0; 3], |class| class.color)
    }

    /// Index in [`groups`](Self::groups) of the group that class `index` belongs to.
    pub fn group_of(&self, index: usize) -> Option<usize> {
        let name = self.classes[index].group.as_ref()?;
        self.groups.iter().position(|group| group.name == *name)
    }

    /// Id on disk that a prediction of class `index` is written with; for what is no class the first ignored id.
    pub fn id_of(&self, index: u16) -> u16 {
        let ignored = || self.ignore.first().copied().unwrap_or(255);
        self.classes.get(usize::from(index)).map_or_else(ignored, |class| class.ids[0])
    }

    /// Largest id on disk that the set lists.
    pub fn largest_id(&self) -> u16 {
        let groups = self.groups.iter().flat_map(|group| &group.ignored_ids);
        let ids = self.classes.iter().flat_map(|class| &class.ids).chain(&self.ignore).chain(groups);
        ids.copied().max().unwrap_or(0)
    }

    /// The first class that differs from another set's, by name and place: its index and both names. Colors and ids on
    /// disk may differ: they do not change what a network has learned.
    pub fn first_difference<'a>(&'a self, other: &'a Self) -> Option<(usize, Option<&'a str>, Option<&'a str>)> {
        let name = |set: &'a Self, index: usize| set.classes.get(index).map(|class| class.name.as_str());
        let differs = |&index: &usize| name(self, index) != name(other, index);
        let index = (0..self.len().max(other.len())).find(differs)?;
        Some((index, name(self, index), name(other, index)))
    }

    /// Whether ids and colors on disk mean the same in another set of the same classes.
    pub fn reads_like(&self, other: &Self) -> bool {
        let sorted = |ids: &[u16]| {
            let mut ids = ids.to_vec();
            ids.sort_unstable();
            ids
        };
        let classes = self.classes.iter().zip(&other.classes);
        self.len() == other.len()
            && classes.into_iter().all(|(a, b)| sorted(&a.ids) == sorted(&b.ids))
            && sorted(&self.ignore) == sorted(&other.ignore)
            && self.unlisted == other.unlisted
    }

    /// One line for the head of a run: name, number and names of the classes.
    pub fn describe(&self) -> String {
        const SHOWN: usize = 8;
        let names: Vec<&str> = self.classes.iter().take(SHOWN).map(|class| class.name.as_str()).collect();
        let more = if self.len() > SHOWN { ", …" } else { "" };
        format!("{} ({} classes: {}{more})", self.name, self.len(), names.join(", "))
    }

    /// The set as the text of a `classes.toml`.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("names, numbers and lists can be written as TOML")
    }
}

/// Color of class `index` where none is given: the color map of Pascal VOC, whose neighbours differ strongly, without
/// its black.
///
/// Source: `VOClabelcolormap` of the PASCAL VOC devkit.
pub fn distinct_color(index: usize) -> [u8; 3] {
    let mut rest = index + 1;
    let mut color = [0u8; 3];
    for bit in (0..8).rev() {
        for (channel, value) in color.iter_mut().enumerate() {
            *value |= ((rest >> channel & 1) as u8) << bit;
        }
        rest >>= 3;
    }
    color
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_colors_are_those_of_voc_and_differ() {
        assert_eq!(
            [distinct_color(0), distinct_color(1), distinct_color(14)],
            [[128, 0, 0], [0, 128, 0], [192, 128, 128]]
        );
        let mut colors: Vec<_> = (0..MAX_CLASSES - 1).map(distinct_color).collect();
        colors.sort_unstable();
        colors.dedup();
        assert_eq!(colors.len(), MAX_CLASSES - 1);
    }

    #[test]
    fn sets_differ_by_names_and_order_alone() {
        let names = |names: [&str; 2]| ClassSet::numbered("x", &names.map(String::from));
        let (one, mut other) = (names(["road", "car"]), names(["road", "car"]));
        other.classes[1].color = [1, 2, 3];
        other.classes[1].ids = vec![7];
        assert_eq!(one.first_difference(&other), None);
        assert_eq!(one.first_difference(&names(["road", "van"])), Some((1, Some("car"), Some("van"))));
        other.classes.pop();
        assert_eq!(one.first_difference(&other), Some((1, Some("car"), None)));
    }

    #[test]
    fn a_set_written_as_toml_reads_back() {
        let set = ClassSet::cityscapes();
        let back: ClassSet = toml::from_str(&set.to_toml()).unwrap();
        assert_eq!(back, *set);
        assert!(set.to_toml().contains("color = [128, 64, 128]"), "{}", set.to_toml());
    }
}
