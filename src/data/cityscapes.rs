//! Folders in Cityscapes layout.
//!
//! ```text
//! root/leftImg8bit/<split>/<city>/<stem>_leftImg8bit.png     (or .jpg, .jpeg)
//! root/gtFine/<split>/<city>/<stem>_gtFine_labelIds.png      (or, where that is missing, _gtFine_labelTrainIds.png)
//! ```

use super::Sample;
use super::labels::{self, IGNORE_INDEX, NUM_CLASSES};
use crate::config::Resolution;
use crate::{Error, Result};
use image::{ImageReader, Limits};
use ndarray::{Array2, Array3};
use std::fs::{self, File};
use std::io::{BufReader, Cursor};
use std::path::{Path, PathBuf};

/// [`Resolution::MAX_SIDE`] for the decoders. Guards memory against a damaged header.
const MAX_SIDE: u32 = Resolution::MAX_SIDE as u32;

const IMAGE_SUFFIXES: [&str; 3] = ["_leftImg8bit.png", "_leftImg8bit.jpg", "_leftImg8bit.jpeg"];
const LABEL_IDS_SUFFIX: &str = "_gtFine_labelIds.png";
const TRAIN_IDS_SUFFIX: &str = "_gtFine_labelTrainIds.png";

/// A picture file and its label file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// `<city>_<sequence>_<frame>`.
    pub name: String,
    /// The picture.
    pub image: PathBuf,
    /// Its label.
    pub label: PathBuf,
}

/// What a split's folders hold.
#[derive(Debug, Default)]
pub struct Listing {
    /// Pictures with labels, sorted by name.
    pub pairs: Vec<Pair>,
    /// Everything that is wrong with the folders (nothing is opened yet).
    pub problems: Vec<Error>,
}

/// One split of a dataset in Cityscapes layout.
#[derive(Debug)]
pub struct Cityscapes {
    pairs: Vec<Pair>,
}

impl Cityscapes {
    /// Lists the pictures of `split` under `root`. Opens none.
    ///
    /// # Errors
    /// A missing root or split, a split without pictures, a picture without a label.
    pub fn open(root: &Path, split: &str) -> Result<Self> {
        let listing = list(root, split)?;
        match listing.problems.into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(Self { pairs: listing.pairs }),
        }
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is no picture; never after [`open`](Self::open).
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Name of picture `i`.
    pub fn name(&self, i: usize) -> String {
        self.pairs[i].name.clone()
    }

    /// Picture `i` with its label as train ids.
    ///
    /// # Errors
    /// See [`load_pair`].
    pub fn sample(&self, i: usize) -> Result<Sample> {
        load_pair(&self.pairs[i])
    }
}

/// Names of the splits under `root/leftImg8bit`, sorted.
///
/// # Errors
/// A missing or unreadable root.
pub fn splits(root: &Path) -> Result<Vec<String>> {
    if root.as_os_str().is_empty() {
        return Err(Error::usage(
            "data.root = \"\": cityscapes needs the folder that holds leftImg8bit/ and gtFine/; say `--data-root DIR`",
        ));
    }
    if !root.is_dir() {
        return Err(Error::file(
            root,
            "no such folder; give the one that holds leftImg8bit/ and gtFine/ with --data-root",
        ));
    }
    for part in ["leftImg8bit", "gtFine"] {
        if !root.join(part).is_dir() {
            return Err(Error::file(
                root,
                format!("holds no folder {part}/; --data-root is the one with leftImg8bit/ and gtFine/ in it"),
            ));
        }
    }
    folders(&root.join("leftImg8bit"))
}

/// Lists `split` under `root`.
///
/// # Errors
/// A missing root or a missing split. All else that is wrong is in [`Listing::problems`].
pub fn list(root: &Path, split: &str) -> Result<Listing> {
    let found = splits(root)?;
    let images = root.join("leftImg8bit").join(split);
    if split.is_empty() || !images.is_dir() {
        let found = if found.is_empty() { "none".to_string() } else { found.join(", ") };
        return Err(Error::file(images, format!("no split {split:?} here; splits found: {found}")));
    }
    let mut listing = Listing::default();
    let labels = root.join("gtFine").join(split);
    if !labels.is_dir() {
        listing
            .problems
            .push(Error::file(&labels, format!("no such folder, but {} is there; add the labels", images.display())));
        return Ok(listing);
    }
    for city in folders(&images)? {
        list_city(&images.join(&city), &labels.join(&city), &mut listing)?;
    }
    listing.pairs.sort();
    if listing.pairs.is_empty() && listing.problems.is_empty() {
        listing
            .problems
            .push(Error::file(&images, "holds no picture; expected <city>/<name>_leftImg8bit.png (or .jpg) in it"));
    }
    Ok(listing)
}

fn list_city(images: &Path, labels: &Path, listing: &mut Listing) -> Result<()> {
    let mut known: Vec<(String, PathBuf)> = Vec::new();
    for file in files(images)? {
        let Some(name) = IMAGE_SUFFIXES.iter().find_map(|suffix| file.strip_suffix(suffix)) else { continue };
        let image = images.join(&file);
        if let Some((_, other)) = known.iter().rev().find(|(known, _)| known == name) {
            let message = format!("{} is the same picture; keep one of the two", other.display());
            listing.problems.push(Error::file(image, message));
            continue;
        }
        known.push((name.to_string(), image.clone()));
        let candidates = [LABEL_IDS_SUFFIX, TRAIN_IDS_SUFFIX].map(|suffix| labels.join(format!("{name}{suffix}")));
        match candidates.iter().find(|label| label.is_file()) {
            Some(label) => listing.pairs.push(Pair { name: name.to_string(), image, label: label.clone() }),
            None => {
                let message = format!("has no label; expected {}", candidates[0].display());
                listing.problems.push(Error::file(image, message));
            }
        }
    }
    Ok(())
}

/// Labels of `split` that no picture belongs to; only `segdata check` minds them.
pub(super) fn labels_without_picture(root: &Path, split: &str) -> Result<Vec<Error>> {
    let mut problems = Vec::new();
    let labels = root.join("gtFine").join(split);
    for city in folders(&labels)? {
        for file in files(&labels.join(&city))? {
            let name = [LABEL_IDS_SUFFIX, TRAIN_IDS_SUFFIX].iter().find_map(|suffix| file.strip_suffix(suffix));
            let Some(name) = name else { continue };
            let images = root.join("leftImg8bit").join(split).join(&city);
            if !IMAGE_SUFFIXES.iter().any(|suffix| images.join(format!("{name}{suffix}")).is_file()) {
                let expected = images.join(format!("{name}{}", IMAGE_SUFFIXES[0]));
                let message = format!("has no picture; expected {} (or .jpg)", expected.display());
                problems.push(Error::file(labels.join(&city).join(&file), message));
            }
        }
    }
    Ok(problems)
}

/// Reads a picture and its label.
///
/// # Errors
/// Files that cannot be read or decoded, sizes that differ, ids that do not exist.
pub fn load_pair(pair: &Pair) -> Result<Sample> {
    let image = load_image(&pair.image)?;
    let label = load_label(&pair.label)?;
    same_size(pair, &image, &label)?;
    let label = train_ids(&pair.label, label)?;
    Ok(Sample { name: pair.name.clone(), image, label })
}

/// Says so where picture and label differ in size.
pub(super) fn same_size(pair: &Pair, image: &Array3<u8>, label: &Array2<u8>) -> Result<()> {
    let (image, label) = ((image.dim().0, image.dim().1), label.dim());
    if image == label {
        return Ok(());
    }
    let message = format!(
        "is {}x{} (height x width), but its picture {} is {}x{}; make them the same",
        label.0,
        label.1,
        pair.image.display(),
        image.0,
        image.1
    );
    Err(Error::file(&pair.label, message))
}

/// Reads a PNG or JPEG as 8-bit RGB, whatever it is stored as. Shape: `[height, width, 3]`.
///
/// # Errors
/// A file that is missing, damaged, of another format or over [`Resolution::MAX_SIDE`] pixels a side.
pub fn load_image(path: &Path) -> Result<Array3<u8>> {
    let bytes = fs::read(path).map_err(|cause| Error::file(path, format!("cannot be read: {cause}")))?;
    let bad = |cause: &dyn std::fmt::Display| {
        Error::file(path, format!("cannot be decoded ({cause}); expected a whole PNG or JPEG"))
    };
    let mut reader = ImageReader::new(Cursor::new(&bytes)).with_guessed_format().map_err(|cause| bad(&cause))?;
    if reader.format() == Some(image::ImageFormat::Jpeg) && jpeg_is_cut_off(&bytes) {
        return Err(bad(&"the file ends too early"));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(4 << 30); // 16384² pixels of 16-bit RGBA are 2 GiB.
    reader.limits(limits);
    let rgb = reader.decode().map_err(|cause| bad(&cause))?.into_rgb8();
    let (width, height) = (rgb.width() as usize, rgb.height() as usize);
    Array3::from_shape_vec((height, width, 3), rgb.into_raw()).map_err(|cause| bad(&cause))
}

/// Whether the last scan of a JPEG lacks its end marker: the decoder would fill the rest with gray in silence.
fn jpeg_is_cut_off(bytes: &[u8]) -> bool {
    let last = |marker: [u8; 2]| bytes.windows(2).rposition(|pair| pair == marker);
    match (last([0xFF, 0xDA]), last([0xFF, 0xD9])) {
        (Some(scan), Some(end)) => end < scan,
        (Some(_), None) => true,
        (None, _) => false, // Not even a scan: the decoder says so itself.
    }
}

/// Reads the values of a label PNG as they are stored: gray levels, or palette indices. Shape: `[height, width]`.
///
/// # Errors
/// A file that is missing, damaged, not gray or palette of up to 8 bits, or over [`Resolution::MAX_SIDE`] pixels a side.
pub fn load_label(path: &Path) -> Result<Array2<u8>> {
    let file = File::open(path).map_err(|cause| Error::file(path, format!("cannot be read: {cause}")))?;
    let bad = |cause: &dyn std::fmt::Display| {
        Error::file(path, format!("cannot be decoded ({cause}); expected a whole 8-bit gray PNG"))
    };
    let mut decoder = png::Decoder::new_with_limits(BufReader::new(file), png::Limits { bytes: 1 << 30 });
    // The palette's colours say nothing; its indices are the ids.
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(|cause| bad(&cause))?;
    let info = reader.info();
    let (width, height, color, depth) = (info.width, info.height, info.color_type, info.bit_depth);
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(bad(&format!("{height}x{width} is over {MAX_SIDE} pixels a side")));
    }
    let is_indices = matches!(color, png::ColorType::Grayscale | png::ColorType::Indexed);
    if !is_indices || depth == png::BitDepth::Sixteen {
        let message = format!(
            "is {color:?} of {} bits; a label is an 8-bit gray PNG of ids, *{LABEL_IDS_SUFFIX}, not *_color.png or \
             *_instanceIds.png",
            depth as u8
        );
        return Err(Error::file(path, message));
    }
    let (width, height) = (width as usize, height as usize);
    let size = reader.output_buffer_size().ok_or_else(|| bad(&"too large"))?;
    let mut packed = vec![0; size];
    let frame = reader.next_frame(&mut packed).map_err(|cause| bad(&cause))?;
    let values = unpack(&packed, height, width, frame.line_size, depth as usize);
    Array2::from_shape_vec((height, width), values).map_err(|cause| bad(&cause))
}

/// One byte a pixel from `depth` (1, 2, 4 or 8) bits a pixel, first pixel in the highest bits.
fn unpack(packed: &[u8], height: usize, width: usize, line: usize, depth: usize) -> Vec<u8> {
    let mut values = Vec::with_capacity(height * width);
    let per_byte = 8 / depth;
    let mask = (0xFF_u16 >> (8 - depth)) as u8;
    for row in packed.chunks_exact(line.max(1)).take(height) {
        if depth == 8 {
            values.extend_from_slice(&row[..width]);
        } else {
            values.extend((0..width).map(|x| (row[x / per_byte] >> (8 - depth * (x % per_byte + 1))) & mask));
        }
    }
    values
}

fn holds_train_ids(path: &Path) -> bool {
    path.to_string_lossy().ends_with(TRAIN_IDS_SUFFIX)
}

/// Train id of every id that the file `path` may hold, by its name; `None` for ids that do not exist.
pub(super) fn train_id_table(path: &Path) -> [Option<u8>; 256] {
    let holds_train_ids = holds_train_ids(path);
    std::array::from_fn(|id| match holds_train_ids {
        true => (id < NUM_CLASSES || id == IGNORE_INDEX as usize).then_some(id as u8),
        false => labels::train_id(id as u8),
    })
}

/// Train ids of a label read from `path`; the name of the file says whether it holds label ids or train ids.
///
/// # Errors
/// An id that does not exist.
pub fn train_ids(path: &Path, mut label: Array2<u8>) -> Result<Array2<u8>> {
    let table = train_id_table(path);
    let unknown = label.indexed_iter().find(|(_, id)| table[**id as usize].is_none());
    if let Some(((row, column), &id)) = unknown {
        let pixels = label.iter().filter(|&&other| other == id).count();
        let all = label.iter().filter(|&&other| table[other as usize].is_none()).count();
        let (kind, other) = match holds_train_ids(path) {
            true => ("train id: not in 0..=18 and not 255", "label ids"),
            false => ("label id: above 33", "train ids"),
        };
        let message = format!(
            "{id} is no {kind} (first at row {row}, column {column}; {pixels} pixels hold it, {all} some unknown id); \
             are these {other}?"
        );
        return Err(Error::file(path, message));
    }
    label.mapv_inplace(|id| table[id as usize].unwrap_or(IGNORE_INDEX));
    Ok(label)
}

/// Names of the folders in `path`, sorted, hidden ones left out.
fn folders(path: &Path) -> Result<Vec<String>> {
    entries(path, true)
}

/// Names of the files in `path`, sorted, hidden ones (such as macOS' `._*`) left out.
fn files(path: &Path) -> Result<Vec<String>> {
    entries(path, false)
}

fn entries(path: &Path, want_folders: bool) -> Result<Vec<String>> {
    let cannot = |cause: std::io::Error| Error::file(path, format!("cannot be listed: {cause}"));
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Of the path, not of the entry: datasets are often made of symbolic links.
        if !name.starts_with('.') && entry.path().is_dir() == want_folders {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
#[path = "cityscapes_tests.rs"]
mod tests;
