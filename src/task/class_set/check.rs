//! What a class set must satisfy.

use super::{ClassSet, MAX_CLASSES};
use std::collections::HashMap;
use std::hash::Hash;

impl ClassSet {
    /// What is wrong with the set, if anything: a sentence with the value and what to do.
    ///
    /// # Errors
    /// Fewer than 2 or more than [`MAX_CLASSES`] classes; a class without name or ids; a name or an id twice;
    /// a group that is not there.
    pub fn check(&self) -> Result<(), String> {
        match self.len() {
            0 => return Err("has no class; add [[class]] tables with name, color and ids, 2 to 256 of them".into()),
            1 => return Err("has 1 class; add a second one, such as the background (2 to 256 are possible)".into()),
            2..=MAX_CLASSES => (),
            many => return Err(format!("has {many} classes; keep at most {MAX_CLASSES}")),
        }
        for (index, class) in self.classes.iter().enumerate() {
            if class.name.trim().is_empty() {
                return Err(format!("class {index} has an empty name; give it one"));
            }
            if class.ids.is_empty() {
                return Err(format!("class \"{}\": ids = []; name at least one id on disk", class.name));
            }
            if let Some(pixels) = class.instance_pixels
                && !(pixels.is_finite() && pixels > 0.0)
            {
                return Err(format!(
                    "class \"{}\": instance_pixels = {pixels}; set the mean number of pixels of an instance, above 0",
                    class.name
                ));
            }
            if let Some(group) = &class.group
                && self.group_of(index).is_none()
            {
                return Err(format!(
                    "class \"{}\": group = \"{group}\"; no [[group]] has that name; add one",
                    class.name
                ));
            }
        }
        self.check_unique()
    }

    fn check_unique(&self) -> Result<(), String> {
        let classes = || self.classes.iter();
        if let Some((name, _, _)) = twice(classes().map(|class| (class.name.as_str(), ""))) {
            return Err(format!("class \"{name}\" is there twice; give each class a name of its own"));
        }
        if let Some((name, _, _)) = twice(self.groups.iter().map(|group| (group.name.as_str(), ""))) {
            return Err(format!("group \"{name}\" is there twice; keep one of the two"));
        }
        let ids = classes().flat_map(|class| class.ids.iter().map(|id| (*id, class.name.as_str())));
        let ignored = self.ignore.iter().map(|id| (*id, IGNORED));
        let grouped = self.groups.iter().flat_map(|group| &group.ignored_ids).map(|id| (*id, IGNORED_OF_GROUP));
        if let Some((id, one, other)) = twice(ids.chain(ignored).chain(grouped)) {
            return Err(format!("id {id} is of {} and of {}; list it once", quoted(one), quoted(other)));
        }
        Ok(())
    }

    /// What is wrong with the colors, if anything: one that two classes have.
    ///
    /// # Errors
    /// See above.
    pub fn check_colors(&self) -> Result<(), String> {
        let colors = self.classes.iter().map(|class| (class.color, class.name.as_str()));
        let ignored = self.ignore_colors.iter().map(|color| (*color, "ignore_colors"));
        if let Some((color, one, other)) = twice(colors.chain(ignored)) {
            return Err(format!("color {color:?} is of {} and of {}; give each its own", quoted(one), quoted(other)));
        }
        Ok(())
    }
}

const IGNORED: &str = "ignore";
const IGNORED_OF_GROUP: &str = "ignored_ids";

fn quoted(owner: &str) -> String {
    match owner {
        IGNORED | IGNORED_OF_GROUP | "ignore_colors" => format!("`{owner}`"),
        class => format!("class \"{class}\""),
    }
}

/// The first value that occurs twice, and both its owners.
fn twice<'a, T: Copy + Eq + Hash>(values: impl Iterator<Item = (T, &'a str)>) -> Option<(T, &'a str, &'a str)> {
    let mut seen = HashMap::new();
    for (value, owner) in values {
        if let Some(first) = seen.insert(value, owner) {
            return Some((value, first, owner));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::class_set::Group;

    fn set(names: usize) -> ClassSet {
        ClassSet::numbered("x", &(0..names).map(|index| format!("c{index}")).collect::<Vec<_>>())
    }

    fn wrong(change: impl FnOnce(&mut ClassSet)) -> String {
        let mut set = set(3);
        change(&mut set);
        set.check().unwrap_err()
    }

    fn wrong_colors(change: impl FnOnce(&mut ClassSet)) -> String {
        let mut set = set(3);
        change(&mut set);
        set.check_colors().unwrap_err()
    }

    #[test]
    fn two_to_256_classes_are_possible() {
        for classes in [2, 3, 255] {
            set(classes).check().unwrap();
        }
        let mut full = set(256);
        full.classes[255].color = [1, 2, 3];
        full.check().unwrap();
        for (classes, token) in [(0, "no class"), (1, "1 class"), (257, "257 classes")] {
            let message = set(classes).check().unwrap_err();
            assert!(message.contains(token), "{message}");
        }
    }

    #[test]
    fn names_ids_and_colors_are_unique() {
        let cases = [
            (wrong(|set| set.classes[2].name = "c0".into()), "\"c0\""),
            (wrong(|set| set.classes[2].ids = vec![9, 1]), "id 1 is of class \"c1\" and of class \"c2\""),
            (wrong(|set| set.classes[2].ids = vec![2, 2]), "id 2 is of class \"c2\" and of class \"c2\""),
            (wrong(|set| set.ignore = vec![255, 0]), "id 0 is of class \"c0\" and of `ignore`"),
            (wrong_colors(|set| set.classes[2].color = set.classes[0].color), "[128, 0, 0] is of class \"c0\""),
            (wrong_colors(|set| set.ignore_colors = vec![[128, 0, 0]]), "`ignore_colors`"),
            (wrong(|set| set.classes[1].ids.clear()), "\"c1\": ids = []"),
            (wrong(|set| set.classes[1].group = Some("g".into())), "group = \"g\""),
            (wrong(|set| set.classes[1].instance_pixels = Some(-1.0)), "instance_pixels = -1"),
            (wrong(|set| set.groups = vec![Group { name: "g".into(), ignored_ids: vec![1] }]), "`ignored_ids`"),
        ];
        for (message, token) in cases {
            assert!(message.contains(token), "{message:?} should contain {token:?}");
        }
    }
}
