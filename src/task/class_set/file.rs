//! `classes.toml`: a class set, and how a folder of images and masks is laid out.
//!
//! ```toml
//! ignore = [255]
//!
//! [[class]]
//! name = "road"
//! color = [128, 64, 128]
//! ids = [0]
//! ```

use super::{Class, ClassSet, Group, PRESETS, Unlisted, distinct_color, preset};
use crate::files::plain_cause;
use crate::text::plain_toml;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What the pixels of a mask are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MasksAre {
    /// Grey levels or palette indices.
    #[default]
    Ids,
    /// RGB colors of the classes, matched exactly.
    Colors,
}

/// How images and masks are found and read, for `--dataset folder`. What is left out is looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayoutKeys {
    /// Pattern of image files below the root, such as `imgs/{name}_img.jpg` or `images/{split}/{name}.png`.
    pub images: Option<String>,
    /// Pattern of mask files, with the same placeholders.
    pub masks: Option<String>,
    /// Pattern of list files, such as `splits/{split}.txt`: a name a line.
    pub splits: Option<String>,
    /// What the pixels of a mask are.
    pub masks_are: MasksAre,
}

/// What a `classes.toml` holds.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassFile {
    /// The classes.
    pub classes: ClassSet,
    /// The layout.
    pub layout: LayoutKeys,
}

/// The file, key by key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    name: Option<String>,
    preset: Option<String>,
    images: Option<String>,
    masks: Option<String>,
    splits: Option<String>,
    #[serde(default)]
    masks_are: MasksAre,
    #[serde(default)]
    reduce_zero: bool,
    ignore: Option<Vec<u16>>,
    ignore_colors: Option<Vec<[u8; 3]>>,
    unlisted: Option<Unlisted>,
    #[serde(default, rename = "class")]
    classes: Vec<ClassKeys>,
    #[serde(default, rename = "group")]
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassKeys {
    name: String,
    color: Option<[u8; 3]>,
    ids: Option<Vec<u16>>,
    group: Option<String>,
    instance_pixels: Option<f64>,
}

impl ClassFile {
    /// A class set whose files are laid out in no way of their own.
    pub fn of(classes: ClassSet) -> Self {
        Self { classes, layout: LayoutKeys::default() }
    }

    /// Reads `--classes FILE|PRESET`. A preset comes first; write `./voc` for a file that is called like one.
    ///
    /// # Errors
    /// Neither a file nor a preset; a file that is no class set.
    pub fn named(name: &str) -> Result<Self> {
        if let Some(classes) = preset(name) {
            return Ok(Self { classes, layout: LayoutKeys::default() });
        }
        let path = Path::new(name);
        if path.is_file() {
            return Self::read(path);
        }
        if path.is_dir() {
            return Err(Error::file(path, "is a folder; name the classes.toml in it with --classes FILE"));
        }
        Err(Error::usage(format!(
            "--classes {name}: there is no such file, and no such preset; presets are {}",
            PRESETS.join(", ")
        )))
    }

    /// The text of a `classes.toml` that reads back as this.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for (key, value) in
            [("images", &self.layout.images), ("masks", &self.layout.masks), ("splits", &self.layout.splits)]
        {
            if let Some(value) = value {
                text += &format!("{key} = {}\n", toml::Value::String(value.clone()));
            }
        }
        if self.layout.masks_are == MasksAre::Colors {
            text += "masks_are = \"colors\"\n";
        }
        text + &self.classes.to_toml()
    }

    /// Reads a `classes.toml`.
    ///
    /// # Errors
    /// A file that cannot be read, an unknown key, a class set that does not pass [`ClassSet::check`].
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|cause| match cause.kind() {
            std::io::ErrorKind::InvalidData => Error::file(path, "is not a text file; expected a TOML class set"),
            _ => Error::file(path, format!("cannot be read: {}", plain_cause(&cause))),
        })?;
        // A classes.toml is called after the folder of its data.
        let stem = path.file_stem().unwrap_or_default();
        let full = std::path::absolute(path).unwrap_or_default();
        let folder = full.parent().and_then(Path::file_name).filter(|_| stem == "classes");
        let name = folder.unwrap_or(stem).to_string_lossy();
        Self::parse(&text, &name).map_err(|message| Error::file(path, message))
    }

    /// Reads the text of a `classes.toml`; `name` is the set's where the text gives none.
    ///
    /// # Errors
    /// What is wrong, with line, key and value.
    pub fn parse(text: &str, name: &str) -> Result<Self, String> {
        let keys: Keys = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            format!("line {line}: {}", plain_toml(error.message()))
        })?;
        let layout =
            LayoutKeys { images: keys.images, masks: keys.masks, splits: keys.splits, masks_are: keys.masks_are };
        let classes = match &keys.preset {
            Some(preset_name) if keys.classes.is_empty() => {
                let mut set = preset(preset_name).ok_or_else(|| {
                    format!("preset = \"{preset_name}\": there is no such preset; presets are {}", PRESETS.join(", "))
                })?;
                set.ignore = keys.ignore.clone().unwrap_or(set.ignore);
                set.ignore_colors = keys.ignore_colors.unwrap_or(set.ignore_colors);
                set.unlisted = keys.unlisted.unwrap_or(set.unlisted);
                set
            }
            Some(preset_name) => {
                return Err(format!(
                    "preset = \"{preset_name}\" and [[class]] exclude one another; keep one of the two"
                ));
            }
            None => ClassSet {
                name: keys.name.clone().unwrap_or_else(|| name.to_string()),
                ignore: Vec::new(),
                ignore_colors: keys.ignore_colors.unwrap_or_default(),
                unlisted: keys.unlisted.unwrap_or_default(),
                classes: filled(keys.classes),
                groups: keys.groups.clone(),
            },
        };
        let mut classes = classes;
        if keys.preset.is_some() && (keys.name.is_some() || !keys.groups.is_empty()) {
            return Err("preset: brings its own name and groups; remove `name` and [[group]]".into());
        }
        if keys.preset.is_none() {
            // What most labelling tools and mmsegmentation use for pixels without a class.
            let taken = classes.classes.iter().any(|class| class.ids.contains(&255));
            classes.ignore = keys.ignore.unwrap_or_else(|| if taken { Vec::new() } else { vec![255] });
        }
        if keys.reduce_zero {
            classes.raise_ids(keys.preset.as_deref())?;
        }
        classes.check()?;
        // Published palettes repeat some colors, which only matters where masks hold colors.
        let published = preset(&classes.name).is_some_and(|preset| preset.first_difference(&classes).is_none());
        if !published || layout.masks_are == MasksAre::Colors {
            classes.check_colors()?;
        }
        Ok(Self { classes, layout })
    }
}

impl ClassSet {
    /// `reduce_zero = true`, as mmsegmentation's `reduce_zero_label` means it: on disk 0 and 255 are ignored, and every
    /// other id is one above the one that the file gives.
    fn raise_ids(&mut self, preset: Option<&str>) -> Result<(), String> {
        if let Some(preset) = preset
            && self.ignore.contains(&0)
        {
            return Err(format!(
                "reduce_zero = true: preset \"{preset}\" lists ids as they are on disk, with 0 ignored; remove reduce_zero"
            ));
        }
        let raise = |ids: &mut Vec<u16>| ids.iter_mut().for_each(|id| *id = id.saturating_add(1));
        self.classes.iter_mut().for_each(|class| raise(&mut class.ids));
        self.groups.iter_mut().for_each(|group| raise(&mut group.ignored_ids));
        self.ignore.retain(|id| *id != 255);
        raise(&mut self.ignore);
        self.ignore.extend([0, 255]);
        Ok(())
    }
}

/// Classes with the ids and colors that were left out.
fn filled(keys: Vec<ClassKeys>) -> Vec<Class> {
    let taken: Vec<[u8; 3]> = keys.iter().filter_map(|class| class.color).collect();
    let mut free = (0..).map(distinct_color).filter(|color| !taken.contains(color));
    let class = |(index, class): (usize, ClassKeys)| Class {
        name: class.name,
        color: class.color.or_else(|| free.next()).unwrap_or_default(),
        ids: class.ids.unwrap_or_else(|| vec![index as u16]),
        group: class.group,
        instance_pixels: class.instance_pixels,
    };
    keys.into_iter().enumerate().map(class).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "[[class]]\nname = \"a\"\n[[class]]\nname = \"b\"\ncolor = [128, 0, 0]\nids = [1, 7]\n";

    #[test]
    fn what_is_left_out_is_filled_in() {
        let ClassFile { classes, layout } = ClassFile::parse(TWO, "mine").unwrap();
        assert_eq!((classes.name.as_str(), &classes.ignore[..]), ("mine", &[255][..]));
        assert_eq!((&classes.classes[0].ids[..], classes.classes[0].color), (&[0][..], [0, 128, 0]));
        assert_eq!(classes.classes[1].ids, [1, 7]);
        assert_eq!(layout, LayoutKeys::default());
    }

    #[test]
    fn layout_keys_are_read() {
        let text = format!(
            "images = \"i/{{name}}.jpg\"\nmasks = \"m/{{name}}.png\"\nmasks_are = \"colors\"\nignore = []\n{TWO}"
        );
        let ClassFile { classes, layout } = ClassFile::parse(&text, "x").unwrap();
        assert_eq!((layout.images.as_deref(), layout.masks_are), (Some("i/{name}.jpg"), MasksAre::Colors));
        assert!(classes.ignore.is_empty());
    }

    #[test]
    fn a_reduced_zero_is_ignored_and_the_rest_is_one_higher_on_disk() {
        let ClassFile { classes, .. } = ClassFile::parse(&format!("reduce_zero = true\n{TWO}"), "x").unwrap();
        assert_eq!((&classes.classes[0].ids[..], &classes.classes[1].ids[..]), (&[1][..], &[2, 8][..]));
        assert_eq!(classes.ignore, [0, 255]);
        let message = ClassFile::parse("preset = \"ade20k\"\nreduce_zero = true", "x").unwrap_err();
        assert!(message.contains("ade20k") && message.contains("remove reduce_zero"), "{message}");
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let own = format!(
            "images = \"i/{{name}}.jpg\"\nmasks = \"m/{{name}}.png\"\nmasks_are = \"colors\"\nignore = []\n{TWO}"
        );
        for text in
            [own, "preset = \"ade20k\"".into(), "preset = \"cityscapes\"".into(), format!("reduce_zero = true\n{TWO}")]
        {
            let file = ClassFile::parse(&text, "x").unwrap();
            assert_eq!(ClassFile::parse(&file.to_toml(), "y").unwrap(), file, "{}", file.to_toml());
        }
    }

    #[test]
    fn keys_beside_a_preset_are_checked() {
        for (text, token) in [
            ("preset = \"voc\"\nignore = [0, 255]", "id 0"),
            ("preset = \"ade20k\"\nmasks_are = \"colors\"", "[140, 140, 140]"),
            ("preset = \"voc\"\nname = \"mine\"", "`name`"),
        ] {
            let message = ClassFile::parse(text, "x").unwrap_err();
            assert!(message.contains(token), "{message}");
        }
        assert_eq!(ClassFile::named("voc").unwrap().classes.len(), 21);
    }

    #[test]
    fn a_preset_may_be_named_with_a_layout() {
        let file =
            ClassFile::parse("preset = \"voc\"\nimages = \"i/{name}.jpg\"\nmasks = \"m/{name}.png\"", "x").unwrap();
        assert_eq!((file.classes.len(), file.classes.name.as_str()), (21, "voc"));
        let message = ClassFile::parse(&format!("preset = \"voc\"\n{TWO}"), "x").unwrap_err();
        assert!(message.contains("exclude one another"), "{message}");
        let message = ClassFile::parse("preset = \"vok\"", "x").unwrap_err();
        assert!(message.contains("\"vok\"") && message.contains("ade20k"), "{message}");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let message = ClassFile::parse(&format!("colour = 1\n{TWO}"), "x").unwrap_err();
        assert!(message.starts_with("line 1") && message.contains("`colour`"), "{message}");
        let message = ClassFile::parse(&format!("{TWO}colour = [1, 2, 3]\n"), "x").unwrap_err();
        assert!(message.contains("`colour`"), "{message}");
        assert!(ClassFile::parse("ignore = [70000]", "x").unwrap_err().contains("70000"));
        assert!(ClassFile::parse("", "x").unwrap_err().contains("no class"));
    }

    #[test]
    fn a_name_that_is_neither_file_nor_preset_lists_the_presets() {
        let message = ClassFile::named("cityscape").unwrap_err().to_string();
        assert!(message.contains("cityscape:") && message.contains("bdd100k"), "{message}");
    }
}
