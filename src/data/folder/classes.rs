//! `segdata classes`: a first `classes.toml` from the values that masks hold.

use super::layout::Layout;
use super::list;
use crate::data::cityscapes::load_image;
use crate::data::id_png::load_ids;
use crate::data::masks::Value;
use crate::task::class_set::{LayoutKeys, MAX_CLASSES, MasksAre, distinct_color};
use crate::{Error, Result};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Pixels and masks of each value.
pub type Counts = BTreeMap<Value, Found>;

/// How often a value occurs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// Pixels that hold it.
    pub pixels: u64,
    /// Pixels of the masks that hold it.
    pub pixels_of_masks: u64,
    /// Masks that hold it.
    pub masks: u64,
}

/// What the masks of a folder hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    /// Values with their numbers.
    pub counts: Counts,
    /// Masks that were read.
    pub masks: usize,
    /// What the masks were read as.
    pub masks_are: MasksAre,
}

/// Values of one mask with their numbers of pixels.
fn values_of(path: &Path, masks_are: MasksAre) -> Result<BTreeMap<Value, u64>> {
    let mut counts: HashMap<Value, u64> = HashMap::new();
    let mut add = |value| {
        *counts.entry(value).or_insert(0) += 1;
        if counts.len() > MOST_VALUES { Err(too_many(path)) } else { Ok(()) }
    };
    match masks_are {
        MasksAre::Ids => {
            let mut pixels = vec![0_u64; usize::from(u16::MAX) + 1];
            load_ids(path)?.iter().for_each(|id| pixels[usize::from(*id)] += 1);
            let held = (0..=u16::MAX).zip(pixels).filter(|(_, pixels)| *pixels > 0);
            let values: BTreeMap<Value, u64> = held.map(|(id, pixels)| (Value::Id(id), pixels)).collect();
            return if values.len() > MOST_VALUES { Err(too_many(path)) } else { Ok(values) };
        }
        MasksAre::Colors => {
            let image = load_image(path)?;
            image.rows().into_iter().try_for_each(|pixel| add(Value::Color([pixel[0], pixel[1], pixel[2]])))?;
        }
    }
    Ok(counts.into_iter().collect())
}

/// Values beyond which masks are taken for something else.
const MOST_VALUES: usize = 4 * MAX_CLASSES;

fn too_many(path: &Path) -> Error {
    Error::file(
        path,
        format!(
            "with it there are more than {MOST_VALUES} values: these are no masks of classes; a mask holds the same ids or \
             colors in every file (JPEG and resized masks do not)"
        ),
    )
}

/// Reads all masks of all splits, on all cores; `watch` is called with the number of masks done and of all masks.
///
/// # Errors
/// No layout that is known; no mask; a mask that cannot be decoded; more colors than can be classes.
pub fn scan(root: &Path, keys: &LayoutKeys, watch: &(dyn Fn(usize, usize) + Sync)) -> Result<Scan> {
    let layout = Layout::find(root, keys)?;
    let splits = match layout.splits(root) {
        splits if splits.is_empty() => vec![String::new()],
        splits => splits,
    };
    let mut masks: BTreeSet<PathBuf> = BTreeSet::new();
    for split in &splits {
        masks.extend(list(root, split, &layout)?.pairs.into_iter().map(|pair| pair.label));
    }
    let masks: Vec<PathBuf> = masks.into_iter().collect();
    let Some(first) = masks.first() else {
        let message = format!("holds no mask; expected {} as PNG (JPEG changes ids and colors)", layout.masks.text());
        return Err(Error::file(root, message));
    };
    let masks_are = match load_ids(first) {
        Ok(_) => keys.masks_are,
        // What cannot be decoded at all is reported below.
        Err(_) => MasksAre::Colors,
    };
    let done = std::sync::atomic::AtomicUsize::new(0);
    let counted = masks.par_iter().map(|path| {
        let values = values_of(path, masks_are)?;
        watch(done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1, masks.len());
        Ok((path, values))
    });
    let mut counts = Counts::new();
    for counted in counted.collect::<Vec<Result<_>>>() {
        let (path, values) = counted?;
        let all: u64 = values.values().sum();
        for (value, pixels) in values {
            let found = counts.entry(value).or_default();
            found.pixels += pixels;
            found.pixels_of_masks += all;
            found.masks += 1;
        }
        if counts.len() > MOST_VALUES {
            return Err(too_many(path));
        }
    }
    Ok(Scan { counts, masks: masks.len(), masks_are })
}

/// Whether masks are black and white: grey levels 0 and 255 alone.
pub fn is_binary(ids: &BTreeSet<u16>) -> bool {
    *ids == BTreeSet::from([0, 255])
}

/// The lines for masks of 0 and 255.
pub const BINARY: &str = "ignore = []\n\n[[class]]\nname = \"background\"\ncolor = [0, 0, 0]\nids = [0]\n\n[[class]]\nname = \
                          \"foreground\"\ncolor = [128, 0, 0]\nids = [255]\n";

impl Scan {
    /// Ids that occur; empty for masks of colors.
    pub fn ids(&self) -> BTreeSet<u16> {
        self.counts.keys().filter_map(|value| if let Value::Id(id) = value { Some(*id) } else { None }).collect()
    }

    /// A sentence about masks that look as if they were saved in another form than they are meant.
    pub fn remark(&self) -> Option<&'static str> {
        let grey = |value: &Value| matches!(value, Value::Color([red, green, blue]) if red == green && green == blue);
        (self.masks_are == MasksAre::Colors && self.counts.keys().all(grey)).then_some(
            "all colors are grey: these look like ids that were saved as RGB or with alpha; save them as grey PNG, and run this \
             again, to have ids",
        )
    }

    /// A `classes.toml` with a class for each value. Id 255 is ignored, unless masks hold 0 and 255 alone.
    ///
    /// # Errors
    /// More values than there can be classes, or fewer than two.
    pub fn to_toml(&self, root: &Path, keys: &LayoutKeys) -> Result<String> {
        let binary = is_binary(&self.ids());
        // With ids above it 255 is an id like any other.
        let wide = self.ids().last().is_some_and(|largest| *largest > 255);
        let ignored = |value: &Value| !binary && !wide && *value == Value::Id(255);
        let classes: Vec<(&Value, &Found)> = self.counts.iter().filter(|(value, _)| !ignored(value)).collect();
        if !(2..=MAX_CLASSES).contains(&classes.len()) {
            let found = crate::text::counted(classes.len(), "value");
            let remedy = match classes.len() {
                0 | 1 => "write a classes.toml by hand, with the classes that these masks do not show",
                _ => "are these masks of classes? They hold the same few ids or colors in every file",
            };
            let message =
                format!("its masks hold {found} that could be classes; 2 to {MAX_CLASSES} are possible; {remedy}");
            return Err(Error::file(root, message));
        }
        let mut text = format!(
            "# Classes of {} ({}), as found by `segdata classes`: give them their names.\n",
            root.display(),
            crate::text::counted(self.masks, "mask")
        );
        for (key, pattern) in [("images", &keys.images), ("masks", &keys.masks), ("splits", &keys.splits)] {
            if let Some(pattern) = pattern {
                let _ = writeln!(text, "{key} = {}", toml::Value::String(pattern.clone()));
            }
        }
        if self.masks_are == MasksAre::Colors {
            text += "masks_are = \"colors\"\n# Colors of pixels without a class, such as [[0, 0, 0]]; remove their [[class]].\n\
                     ignore_colors = []\n";
        }
        text += "# Ids of pixels without a class.\n";
        text += if binary || wide { "ignore = []" } else { "ignore = [255]" };
        if let Some(found) = self.counts.get(&Value::Id(255)).filter(|_| !binary && !wide) {
            text += &format!(" # {} pixels in {}", found.pixels, crate::text::counted(found.masks as usize, "mask"));
        }
        text += "\n\n# weight: median frequency / frequency of the class.\n";
        let weights = median_weights(&classes);
        let all: u64 = self.counts.values().map(|found| found.pixels).sum();
        for (index, ((value, found), weight)) in classes.iter().zip(weights).enumerate() {
            let name = match (binary, index) {
                (true, 0) => "background".to_string(),
                (true, _) => "foreground".to_string(),
                // Names that tell sets apart: another dataset has other ids.
                _ => match value {
                    Value::Id(id) => format!("id {id}"),
                    Value::Color([red, green, blue]) => format!("color {red} {green} {blue}"),
                },
            };
            let (ids, color) = match value {
                Value::Id(id) => (*id, distinct_color(index)),
                Value::Color(color) => (index as u16, *color),
            };
            let share = 100.0 * found.pixels as f64 / all.max(1) as f64;
            let _ = writeln!(
                text,
                "\n[[class]] # {} pixels ({share:.3} %) in {}, weight {weight:.4}\nname = \"{name}\"\ncolor = {color:?}\nids = \
                 [{ids}]",
                found.pixels,
                crate::text::counted(found.masks as usize, "mask"),
            );
        }
        Ok(text)
    }
}

/// Median of the classes' frequencies over each class's own, where a frequency is pixels of the class over pixels of the
/// masks that hold it.
///
/// Source: Eigen and Fergus 2015, section 6.3.2.
fn median_weights(classes: &[(&Value, &Found)]) -> Vec<f64> {
    let frequencies: Vec<f64> =
        classes.iter().map(|(_, found)| found.pixels as f64 / found.pixels_of_masks.max(1) as f64).collect();
    let mut sorted = frequencies.clone();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median = if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
    frequencies.iter().map(|frequency| median / frequency).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::write_png;
    use crate::task::class_set::ClassFile;
    use image::ExtendedColorType;

    fn folder(masks: &[&[u8]], kind: ExtendedColorType) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for part in ["images/train", "masks/train"] {
            std::fs::create_dir_all(folder.path().join(part)).unwrap();
        }
        for (i, mask) in masks.iter().enumerate() {
            let image = folder.path().join(format!("images/train/{i}.png"));
            write_png(&image, &[0; 12], (1, 4), ExtendedColorType::Rgb8).unwrap();
            write_png(folder.path().join(format!("masks/train/{i}.png")), mask, (1, 4), kind).unwrap();
        }
        folder
    }

    fn file_of(folder: &Path) -> (String, ClassFile) {
        let keys = LayoutKeys::default();
        let text = scan(folder, &keys, &|_, _| ()).unwrap().to_toml(folder, &keys).unwrap();
        let file = ClassFile::parse(&text, "x").unwrap();
        (text, file)
    }

    #[test]
    fn ids_become_classes_with_counts_and_weights() {
        let folder = folder(&[&[0, 0, 0, 7], &[0, 0, 255, 255]], ExtendedColorType::L8);
        let (text, ClassFile { classes, .. }) = file_of(folder.path());
        assert_eq!((classes.len(), &classes.ignore[..]), (2, &[255][..]));
        assert_eq!((&classes.classes[1].ids[..], classes.classes[1].color), (&[7][..], distinct_color(1)));
        // Frequencies 5/8 and 1/4; their median is 7/16.
        assert!(text.contains("# 5 pixels (62.500 %) in 2 masks, weight 0.7000"), "{text}");
        assert!(text.contains("# 1 pixels (12.500 %) in 1 mask, weight 1.7500"), "{text}");
    }

    #[test]
    fn black_and_white_are_background_and_foreground() {
        let folder = folder(&[&[0, 0, 255, 255]], ExtendedColorType::L8);
        let (text, ClassFile { classes, .. }) = file_of(folder.path());
        assert_eq!(classes.names(), ["background", "foreground"]);
        assert!(classes.ignore.is_empty() && text.contains("ids = [255]"), "{text}");
        ClassFile::parse(BINARY, "x").unwrap();
    }

    #[test]
    fn colors_become_classes_of_their_own_color() {
        let folder = folder(&[&[0, 0, 0, 9, 8, 7, 9, 8, 7, 1, 2, 3]], ExtendedColorType::Rgb8);
        let (_, ClassFile { classes, layout }) = file_of(folder.path());
        assert_eq!(layout.masks_are, MasksAre::Colors);
        let colors: Vec<_> = classes.classes.iter().map(|class| class.color).collect();
        assert_eq!(colors, [[0, 0, 0], [1, 2, 3], [9, 8, 7]]);
    }
}
