//! Class sets of public datasets.

use super::ClassSet;

/// Names of the built-in class sets.
pub const PRESETS: [&str; 7] = ["cityscapes", "camvid", "voc", "ade20k", "bdd100k", "coco-stuff", "mapillary-v1.2"];

/// A built-in class set by its name, or `None`.
pub fn preset(name: &str) -> Option<ClassSet> {
    let text = match name {
        "cityscapes" => include_str!("presets/cityscapes.toml"),
        "camvid" => include_str!("presets/camvid.toml"),
        "voc" => include_str!("presets/voc.toml"),
        "ade20k" => include_str!("presets/ade20k.toml"),
        "bdd100k" => include_str!("presets/bdd100k.toml"),
        "coco-stuff" => include_str!("presets/coco-stuff.toml"),
        "mapillary-v1.2" => include_str!("presets/mapillary-v1.2.toml"),
        _ => return None,
    };
    Some(toml::from_str(text).expect("the presets are tested"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_have_their_published_numbers_of_classes() {
        let sizes = PRESETS.map(|name| preset(name).unwrap().len());
        assert_eq!(sizes, [19, 11, 21, 150, 19, 171, 65]);
        for name in PRESETS {
            let set = preset(name).unwrap();
            assert_eq!(set.name, name);
            set.check().unwrap();
        }
    }

    #[test]
    fn groups_of_cityscapes_are_its_categories() {
        let set = preset("cityscapes").unwrap();
        let groups: Vec<&str> = set.groups.iter().map(|group| group.name.as_str()).collect();
        assert_eq!(groups, ["flat", "construction", "object", "nature", "sky", "human", "vehicle"]);
        let of =
            |name: &str| set.classes.iter().position(|class| class.name == name).and_then(|index| set.group_of(index));
        assert_eq!([of("road"), of("pole"), of("sky"), of("rider"), of("bicycle")], [0, 2, 4, 5, 6].map(Some));
        let things = set.classes.iter().filter(|class| class.instance_pixels.is_some()).count();
        assert_eq!(things, 8, "person, rider, and the six kinds of vehicles");
        assert_eq!((set.largest_id(), set.id_of(0), set.id_of(super::super::IGNORE_INDEX)), (33, 7, 0));
    }
}
