//! Masks on disk: ids or colors for each pixel, and the class indices that they stand for.

use super::id_png::load_ids;
use super::image_file::load_image;
use crate::task::class_set::{IdTable, LayoutKeys, MasksAre, Unlisted};
use crate::task::{ClassSet, IGNORE_INDEX};
use crate::{Error, Result};
use ndarray::{Array2, Array3};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// How masks are read.
#[derive(Debug, Clone)]
pub struct MaskFormat {
    classes: Arc<ClassSet>,
    pixels: Pixels,
    /// What the file should hold, for error messages.
    expects: String,
    of_indices: bool,
}

#[derive(Debug, Clone)]
enum Pixels {
    Ids(IdTable),
    Colors(HashMap<[u8; 3], u16>),
}

/// What a pixel of a mask holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// A grey level or palette index.
    Id(u16),
    /// Red, green, blue.
    Color([u8; 3]),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "id {id}"),
            Self::Color(color) => write!(f, "color {color:?}"),
        }
    }
}

/// A mask as it was read, and what it lacks.
#[derive(Debug)]
pub struct Mask {
    /// Class indices, [`IGNORE_INDEX`] where there is none or an unlisted value. Shape: `[height, width]`.
    pub label: Array2<u16>,
    /// Values that the class set does not list, with their numbers of pixels.
    pub unlisted: BTreeMap<Value, u64>,
    /// The sentence about them, if there are any.
    pub problem: Option<Error>,
    /// Every id that the mask holds; empty for masks of colors.
    pub ids: BTreeSet<u16>,
    /// Whether they are class indices, and not ids that the class set lists.
    pub of_indices: bool,
}

impl MaskFormat {
    /// Masks of ids that the class set lists.
    pub fn ids(classes: Arc<ClassSet>) -> Self {
        let (pixels, expects) = (Pixels::Ids(IdTable::of(&classes)), classes.name.clone());
        Self { classes, pixels, expects, of_indices: false }
    }

    /// Masks of class indices, such as Cityscapes' `*_labelTrainIds.png`; 255 is ignored.
    pub fn indices(classes: Arc<ClassSet>) -> Self {
        let (pixels, expects) = (Pixels::Ids(IdTable::of_indices(&classes)), format!("train ids of {}", classes.name));
        Self { classes, pixels, expects, of_indices: true }
    }

    /// Masks as a `classes.toml` describes them.
    pub fn of(classes: Arc<ClassSet>, layout: &LayoutKeys) -> Self {
        match layout.masks_are {
            MasksAre::Ids => Self::ids(classes),
            MasksAre::Colors => {
                let ignored = classes.ignore_colors.iter().map(|color| (*color, IGNORE_INDEX));
                let colors = classes.classes.iter().zip(0..).map(|(class, index)| (class.color, index));
                let (pixels, expects) = (Pixels::Colors(ignored.chain(colors).collect()), classes.name.clone());
                Self { classes, pixels, expects, of_indices: false }
            }
        }
    }

    /// The classes that masks are read as.
    pub fn classes(&self) -> &Arc<ClassSet> {
        &self.classes
    }

    /// Reads a mask. Shape: `[height, width]`, class indices or [`IGNORE_INDEX`].
    ///
    /// # Errors
    /// A file that cannot be decoded; a value that the class set does not list.
    pub fn read(&self, path: &Path) -> Result<Array2<u16>> {
        let mask = self.load(path)?;
        mask.problem.map_or(Ok(mask.label), Err)
    }

    /// Like [`read`](Self::read), but unlisted values are counted, and no error.
    ///
    /// # Errors
    /// A file that cannot be decoded.
    pub fn load(&self, path: &Path) -> Result<Mask> {
        match &self.pixels {
            Pixels::Ids(table) => Ok(self.of_ids(path, load_ids(path)?, table)),
            Pixels::Colors(colors) => Ok(self.of_colors(path, &load_image(path)?, colors)),
        }
    }

    /// Like [`load`](Self::load), with the ids that the mask holds.
    ///
    /// # Errors
    /// A file that cannot be decoded.
    pub fn inspect(&self, path: &Path) -> Result<Mask> {
        let Pixels::Ids(table) = &self.pixels else { return self.load(path) };
        let ids = load_ids(path)?;
        let mut seen = vec![false; usize::from(u16::MAX) + 1];
        ids.iter().for_each(|id| seen[usize::from(*id)] = true);
        let held = (0..=u16::MAX).filter(|id| seen[usize::from(*id)]).collect();
        Ok(Mask { ids: held, ..self.of_ids(path, ids, table) })
    }

    fn of_ids(&self, path: &Path, ids: Array2<u16>, table: &IdTable) -> Mask {
        // Without an early end, so that it is done for many pixels at once.
        if ids.iter().fold(true, |all, &id| all & table.lists(id)) {
            let mut label = ids;
            label.mapv_inplace(|id| table.class(id));
            return Mask {
                label,
                unlisted: BTreeMap::new(),
                problem: None,
                ids: BTreeSet::new(),
                of_indices: self.of_indices,
            };
        }
        let mut unlisted = BTreeMap::new();
        let mut first = None;
        let label = Array2::from_shape_fn(ids.dim(), |at| {
            let id = ids[at];
            if table.lists(id) {
                return table.class(id);
            }
            *unlisted.entry(Value::Id(id)).or_insert(0) += 1;
            first.get_or_insert((at, id));
            IGNORE_INDEX
        });
        let problem = first.map(|((row, column), id)| {
            let pixels = unlisted[&Value::Id(id)];
            let all: u64 = unlisted.values().sum();
            let message = format!(
                "id {id} is not in the class set {} (first at row {row}, column {column}; {pixels} pixels hold it, {all} \
                 some unlisted id); {}",
                self.expects,
                self.remedy(&ids)
            );
            Error::file(path, message)
        });
        Mask { label, unlisted, problem, ids: BTreeSet::new(), of_indices: self.of_indices }
    }

    fn remedy(&self, ids: &Array2<u16>) -> String {
        let largest = ids.iter().copied().filter(|id| *id != 255).max().unwrap_or(0);
        let indices_alone = usize::from(largest) < self.classes.len();
        match self.expects == self.classes.name && self.classes.name == "cityscapes" && indices_alone {
            // mmsegmentation trains on these ids, with 255 for void.
            true => "are these train ids? Name such files *_gtFine_labelTrainIds.png".into(),
            false => format!(
                "list it under ids or ignore in classes.toml, set unlisted = \"ignore\", or name another class set with \
                 --classes (`segdata classes` writes one; {} lists ids up to {})",
                self.classes.name,
                self.classes.classes.iter().flat_map(|class| &class.ids).max().unwrap_or(&0)
            ),
        }
    }

    fn of_colors(&self, path: &Path, image: &Array3<u8>, colors: &HashMap<[u8; 3], u16>) -> Mask {
        let (height, width, _) = image.dim();
        let ignores = self.classes.unlisted == Unlisted::Ignore;
        let (mut unlisted, mut first) = (BTreeMap::new(), None);
        let mut last = ([0; 3], colors.get(&[0; 3]).copied());
        let label = Array2::from_shape_fn((height, width), |(row, column)| {
            let color = [0, 1, 2].map(|channel| image[[row, column, channel]]);
            if color != last.0 {
                last = (color, colors.get(&color).copied());
            }
            match last.1 {
                Some(class) => class,
                None if ignores => IGNORE_INDEX,
                None => {
                    *unlisted.entry(Value::Color(color)).or_insert(0) += 1;
                    first.get_or_insert(((row, column), color));
                    IGNORE_INDEX
                }
            }
        });
        let problem = first.map(|((row, column), color)| {
            let (pixels, all) = (unlisted[&Value::Color(color)], unlisted.values().sum::<u64>());
            let nearest = self.classes.classes.iter().min_by_key(|class| distance(class.color, color));
            let nearest = nearest.map_or_else(String::new, |class| {
                format!("; the nearest class is \"{}\" with {:?}", class.name, class.color)
            });
            let grey = color[0] == color[1] && color[1] == color[2];
            let nearest = match grey {
                true => format!("{nearest}; if the mask holds ids, remove masks_are = \"colors\""),
                false => nearest,
            };
            let message = format!(
                "color {color:?} is of no class in {} (first at row {row}, column {column}; {pixels} pixels have it, {all} \
                 some unlisted color){nearest}; add it as a class or to ignore_colors, or set unlisted = \"ignore\"",
                self.expects
            );
            Error::file(path, message)
        });
        Mask { label, unlisted, problem, ids: BTreeSet::new(), of_indices: self.of_indices }
    }
}

fn distance(one: [u8; 3], other: [u8; 3]) -> u32 {
    one.iter().zip(other).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::write_png;
    use image::ExtendedColorType;

    fn two() -> Arc<ClassSet> {
        let mut set = ClassSet::numbered("two", &["a".to_string(), "b".to_string()]);
        set.ignore = vec![255];
        set.ignore_colors = vec![[0; 3]];
        Arc::new(set)
    }

    fn file(bytes: &[u8], kind: ExtendedColorType) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.png");
        write_png(&path, bytes, (1, 4), kind).unwrap();
        (folder, path)
    }

    #[test]
    fn ids_become_class_indices() {
        let (_folder, path) = file(&[0, 1, 255, 1], ExtendedColorType::L8);
        let label = MaskFormat::ids(two()).read(&path).unwrap();
        assert_eq!(label.as_slice().unwrap(), [0, 1, IGNORE_INDEX, 1]);
    }

    #[test]
    fn an_unlisted_id_is_named_with_place_and_number() {
        let (_folder, path) = file(&[0, 9, 9, 7], ExtendedColorType::L8);
        let mask = MaskFormat::ids(two()).inspect(&path).unwrap();
        assert_eq!(mask.unlisted.into_iter().collect::<Vec<_>>(), [(Value::Id(7), 1), (Value::Id(9), 2)]);
        let message = mask.problem.unwrap().to_string();
        for token in ["mask.png: id 9", "row 0, column 1", "2 pixels", "3 some", "classes.toml", "--classes"] {
            assert!(message.contains(token), "{message:?} should contain {token:?}");
        }
    }

    #[test]
    fn train_ids_in_a_label_id_file_are_recognised() {
        let (_folder, path) = file(&[0, 18, 255, 1], ExtendedColorType::L8);
        let format = MaskFormat::ids(ClassSet::cityscapes());
        let message = format.read(&path).unwrap_err().to_string();
        assert!(message.contains("id 255") && message.contains("train ids?"), "{message}");
        let (_folder, path) = file(&[0, 34, 26, 33], ExtendedColorType::L8);
        let message = format.read(&path).unwrap_err().to_string();
        assert!(message.contains("id 34") && !message.contains("train ids?"), "{message}");
        let (_folder, path) = file(&[0, 18, 255, 1], ExtendedColorType::L8);
        let label = MaskFormat::indices(ClassSet::cityscapes()).read(&path).unwrap();
        assert_eq!(label.as_slice().unwrap(), [0, 18, IGNORE_INDEX, 1]);
    }

    #[test]
    fn colors_are_matched_exactly() {
        let layout = LayoutKeys { masks_are: MasksAre::Colors, ..LayoutKeys::default() };
        let (a, b) = (two().classes[0].color, two().classes[1].color);
        let (_folder, path) = file(&[a, b, [0; 3], a].concat(), ExtendedColorType::Rgb8);
        let label = MaskFormat::of(two(), &layout).read(&path).unwrap();
        assert_eq!(label.as_slice().unwrap(), [0, 1, IGNORE_INDEX, 0]);
        let (_folder, path) = file(&[a, b, [2, 120, 1], a].concat(), ExtendedColorType::Rgb8);
        let message = MaskFormat::of(two(), &layout).read(&path).unwrap_err().to_string();
        for token in ["mask.png: color [2, 120, 1]", "row 0, column 2", "\"b\"", "[0, 128, 0]", "ignore_colors"] {
            assert!(message.contains(token), "{message:?} should contain {token:?}");
        }
    }
}
