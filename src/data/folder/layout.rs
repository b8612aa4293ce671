//! Where a folder keeps its images, masks and lists of names.

use super::pattern::{IMAGE_EXTENSIONS, MASK_EXTENSIONS, Pattern};
use crate::task::class_set::LayoutKeys;
use crate::{Error, Result};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Folders of images, in the order they are looked for.
const IMAGES: [&str; 7] = ["images", "img_dir", "imgs", "JPEGImages", "img", "image", "Images"];
/// Folders of masks.
const MASKS: [&str; 9] =
    ["masks", "ann_dir", "gts", "SegmentationClass", "annotations", "labels", "mask", "gt", "SegmentationClassPNG"];
/// Layouts of some public datasets.
const PAIRS: [(&str, &str); 2] = [
    ("images/10k/{split}/{name}", "labels/sem_seg/masks/{split}/{name}"), // BDD100K
    ("{split}_images/{name}", "{split}_segmentations/{name}"),            // LIP
];
/// Lists of names.
const LISTS: [&str; 6] = [
    "{split}.txt",
    "splits/{split}.txt",
    "ImageSets/Segmentation/{split}.txt",
    "ImageSets/{split}.txt",
    "lists/{split}.txt",
    "split/{split}.txt",
];

/// Names that splits usually have: a list `README.txt`, or a folder of a city, is none.
const SPLITS: [&str; 11] =
    ["train", "val", "test", "trainval", "valid", "validation", "training", "testing", "dev", "eval", "minival"];

fn is_usual(split: &str) -> bool {
    SPLITS.contains(&split.to_ascii_lowercase().as_str())
}

/// Where the files of a dataset are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Image files.
    pub images: Pattern,
    /// Mask files.
    pub masks: Pattern,
    /// Pattern of the list files, with `{split}`; `None` where splits are folders, or where there are none.
    pub lists: Option<String>,
}

impl Layout {
    /// The layout of the folder `root`, as far as `keys` does not name it.
    ///
    /// # Errors
    /// A root that is not there; patterns that are none; nothing that looks like images and masks.
    pub fn find(root: &Path, keys: &LayoutKeys) -> Result<Self> {
        if root.as_os_str().is_empty() {
            return Err(Error::usage(
                "data.root = \"\": --dataset folder needs the folder of the images and masks; set --data-root DIR",
            ));
        }
        if !root.is_dir() {
            return Err(Error::file(root, "no such folder; name the folder of the images and masks"));
        }
        let (images, masks) = match (&keys.images, &keys.masks) {
            (Some(images), Some(masks)) => (parse("images", images)?, parse("masks", masks)?),
            (None, None) => guess(root)?,
            (Some(_), None) => return Err(half(root, "images", "masks")),
            (None, Some(_)) => return Err(half(root, "masks", "images")),
        };
        let lists = match &keys.splits {
            Some(text) if !text.contains("{split}") => {
                return Err(Error::usage(format!(
                    "splits = \"{text}\": has no {{split}}; use a pattern such as \"splits/{{split}}.txt\""
                )));
            }
            Some(text) if list_splits(root, text).is_empty() => {
                return Err(Error::file(
                    root,
                    format!("splits = \"{text}\": no file here matches it; name the lists that are"),
                ));
            }
            Some(text) => Some(text.clone()),
            None if images.has_split() => None,
            None => usual_list(root),
        };
        if images.has_split() && lists.is_none() && images.splits(root).is_empty() {
            let message = format!("images = \"{}\": nothing here matches it; correct the pattern", images.text());
            return Err(Error::file(root, message));
        }
        Ok(Self { images, masks, lists })
    }

    /// Names of the splits, sorted; empty where all images are one split.
    pub fn splits(&self, root: &Path) -> Vec<String> {
        match &self.lists {
            Some(list) => list_splits(root, list),
            None => self.images.splits(root),
        }
    }

    /// The list file of a split.
    pub fn list(&self, root: &Path, split: &str) -> Option<PathBuf> {
        self.lists.as_ref().map(|list| root.join(list.replace("{split}", split)))
    }
}

fn parse(key: &str, text: &str) -> Result<Pattern> {
    let extensions: &'static [&'static str] = if key == "images" { &IMAGE_EXTENSIONS } else { &MASK_EXTENSIONS };
    Pattern::parse(text, extensions).map_err(|message| Error::usage(format!("{key} = {message}")))
}

fn half(root: &Path, there: &str, missing: &str) -> Error {
    let file = root.join(crate::data::CLASS_FILE);
    Error::file(file, format!("has `{there}` but not `{missing}`; give both patterns, or neither"))
}

fn guess(root: &Path) -> Result<(Pattern, Pattern)> {
    for (images, masks) in PAIRS {
        let (images, masks) = (parse("images", images)?, parse("masks", masks)?);
        if !images.splits(root).is_empty() && !masks.splits(root).is_empty() {
            return Ok((images, masks));
        }
    }
    let first = |names: &[&'static str]| names.iter().copied().find(|name| root.join(name).is_dir());
    let (Some(images), Some(masks)) = (first(&IMAGES), first(&MASKS)) else {
        return Err(Error::file(
            root,
            format!(
                "holds no pair of folders of images ({}, …) and masks ({}, …); rename them, or set `images` and `masks` in \
                 classes.toml (or pass --images and --masks to `segdata classes`) to patterns such as \
                 \"imgs/{{name}}_img.jpg\" and \"gts/{{name}}_gt.png\"",
                IMAGES[..4].join(", "),
                MASKS[..4].join(", ")
            ),
        ));
    };
    let split = |folder: &str| format!("{folder}/{{split}}/{{name}}");
    let flat = |folder: &str| format!("{folder}/{{name}}");
    let (of_images, of_masks) = (parse("images", &split(images))?, parse("masks", &split(masks))?);
    let of_both = of_masks.splits(root);
    // Folders that only images or only masks have are parts of a name, such as a city; so are all of them, where there
    // are lists of names and no folder is called like a split.
    let shared: Vec<String> = of_images.splits(root).into_iter().filter(|split| of_both.contains(split)).collect();
    let usual = shared.iter().find(|split| is_usual(split));
    let first = match usual {
        Some(split) => Some(split.clone()),
        None if usual_list(root).is_some() => None,
        None => shared.first().cloned(),
    };
    let (of_images, of_masks) = match first.is_some() {
        true => (of_images, of_masks),
        false => (parse("images", &flat(images))?, parse("masks", &flat(masks))?),
    };
    with_suffixes(root, &first.unwrap_or_default(), (of_images, of_masks))
}

/// Patterns whose names match: where no image and mask are called alike, what all images, and all masks, end in is left
/// out of the names, such as the `_img` and `_gt` of `0001_img.jpg` and `0001_gt.png`.
fn with_suffixes(root: &Path, split: &str, (images, masks): (Pattern, Pattern)) -> Result<(Pattern, Pattern)> {
    let names = |pattern: &Pattern| -> Result<Vec<String>> {
        Ok(pattern.files(root, split)?.into_iter().map(|file| file.name).collect())
    };
    let (of_images, of_masks) = (names(&images)?, names(&masks)?);
    let known: HashSet<&String> = of_masks.iter().collect();
    if of_images.is_empty() || of_images.iter().any(|name| known.contains(name)) {
        return Ok((images, masks));
    }
    let with_end = |key, pattern: &Pattern, end: &str| parse(key, &format!("{}{end}", pattern.text()));
    let stem = |name: &String, end: &str| name.strip_suffix(end).map(str::to_string);
    for mask_end in shared_ends(&of_masks) {
        let mask_stems: HashSet<String> = of_masks.iter().filter_map(|name| stem(name, &mask_end)).collect();
        for image_end in shared_ends(&of_images) {
            let mut stems = of_images.iter().filter_map(|name| stem(name, &image_end));
            if stems.any(|stem| !stem.is_empty() && mask_stems.contains(&stem)) {
                return Ok((with_end("images", &images, &image_end)?, with_end("masks", &masks, &mask_end)?));
            }
        }
    }
    Ok((images, masks))
}

/// What all names end in, the shortest first: nothing, then each end that begins with `_`, `-` or `.`.
fn shared_ends(names: &[String]) -> Vec<String> {
    let Some(first) = names.first() else { return Vec::new() };
    let starts = first.char_indices().rev().filter(|(_, letter)| ['_', '-', '.'].contains(letter));
    let ends = starts.map(|(start, _)| &first[start..]);
    let shared = ends.take_while(|end| names.iter().all(|name| name.ends_with(end)));
    std::iter::once("").chain(shared).map(str::to_string).collect()
}

/// The first pattern of lists that has one of a usual name.
fn usual_list(root: &Path) -> Option<String> {
    LISTS.iter().find(|list| list_splits(root, list).iter().any(|split| is_usual(split))).map(ToString::to_string)
}

/// Names that stand for `{split}` in a pattern of list files. In the root itself only usual names count.
fn list_splits(root: &Path, list: &str) -> Vec<String> {
    let pattern = Pattern::parse(&format!("{list}/{{name}}"), &MASK_EXTENSIONS);
    let mut splits = pattern.map_or_else(|_| Vec::new(), |list| list.splits(root));
    if list == LISTS[0] {
        splits.retain(|split| is_usual(split));
    }
    splits
}
