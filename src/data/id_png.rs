//! PNGs whose gray levels are ids: labels of 8 bits, instances of 16.

use super::cityscapes::{MAX_SIDE, holds_train_ids};
use super::labels::{self, IGNORE_INDEX, NUM_CLASSES};
use crate::files::{most_unpacked, plain_cause};
use crate::{Error, Result};
use ndarray::Array2;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// Gray levels or palette indices as they are stored, rows of `line` bytes.
struct Stored {
    height: usize,
    width: usize,
    depth: usize,
    line: usize,
    packed: Vec<u8>,
}

/// Reads the values of a label PNG as they are stored: gray levels, or palette indices. Shape: `[height, width]`.
///
/// # Errors
/// A file that is missing, damaged, not gray or palette of up to 8 bits, or over
/// [`Resolution::MAX_SIDE`](crate::config::Resolution::MAX_SIDE) pixels a side.
pub fn load_label(path: &Path) -> Result<Array2<u8>> {
    let expected = "a label is an 8-bit gray PNG of ids, *_labelIds.png, not *_color.png or *_instanceIds.png";
    let stored = load(path, 8, expected)?;
    let size = (stored.height, stored.width);
    Ok(Array2::from_shape_vec(size, stored.unpacked()).expect("one value a pixel"))
}

/// Reads the values of an `*_instanceIds.png`: label id * 1000 + number of the instance, or the label id where there are
/// no instances. Shape: `[height, width]`.
///
/// # Errors
/// As of [`load_label`], with up to 16 bits; an instance of a class that has none, or of none that exists.
pub fn load_instances(path: &Path) -> Result<Array2<u16>> {
    let stored = load(path, 16, "an *_instanceIds.png is a gray PNG of up to 16 bits")?;
    let (height, width) = (stored.height, stored.width);
    let ids: Vec<u16> = match stored.depth {
        16 => stored.packed.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect(),
        _ => stored.unpacked().into_iter().map(u16::from).collect(),
    };
    let mut at = 0;
    for run in ids.chunk_by(|one, next| one == next) {
        if let Some(wrong) = wrong_instance(run[0]) {
            let (id, row, column) = (run[0], at / width, at % width);
            return Err(Error::file(path, format!("{id} at row {row}, column {column} is no instance id: {wrong}")));
        }
        at += run.len();
    }
    Ok(Array2::from_shape_vec((height, width), ids).expect("one value a pixel"))
}

/// What is wrong with an instance id, if anything. Up to 1000 it says nothing about an instance.
fn wrong_instance(id: u16) -> Option<String> {
    let label_id = (id / 1000) as u8;
    if id <= 1000 {
        return None;
    }
    match labels::train_id(label_id) {
        None => Some(format!("there is no label id {label_id}")),
        Some(class) => {
            let class = labels::CLASSES.get(class as usize).filter(|class| !class.has_instances())?;
            Some(format!("{} is a class without instances", class.name))
        }
    }
}

fn load(path: &Path, max_depth: u8, expected: &str) -> Result<Stored> {
    if path.is_dir() {
        return Err(Error::file(path, "is a folder; expected a PNG file"));
    }
    let file =
        File::open(path).map_err(|cause| Error::file(path, format!("cannot be read: {}", plain_cause(&cause))))?;
    let bad = |cause: &dyn std::fmt::Display| {
        Error::file(path, format!("cannot be decoded ({cause}); expected a whole {max_depth}-bit gray PNG"))
    };
    let most = most_unpacked(&file);
    let mut decoder = png::Decoder::new_with_limits(BufReader::new(file), png::Limits { bytes: 1 << 30 });
    // The palette's colours say nothing; its indices are the ids.
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(|cause| bad(&cause))?;
    let info = reader.info();
    let (width, height, color, depth) = (info.width, info.height, info.color_type, info.bit_depth as u8);
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(bad(&format!("{height}x{width} is over {MAX_SIDE} pixels a side")));
    }
    if !matches!(color, png::ColorType::Grayscale | png::ColorType::Indexed) || depth > max_depth {
        return Err(Error::file(path, format!("is {color:?} of {depth} bits; {expected}")));
    }
    let size = reader.output_buffer_size().ok_or_else(|| bad(&"too large"))?;
    if size as u64 > most {
        return Err(bad(&"the file ends too early"));
    }
    let mut packed = vec![0; size];
    let frame = reader.next_frame(&mut packed).map_err(|cause| bad(&cause))?;
    packed.truncate(frame.line_size * height as usize);
    let (height, width) = (height as usize, width as usize);
    Ok(Stored { height, width, depth: depth.into(), line: frame.line_size, packed })
}

impl Stored {
    /// One byte a pixel from 1, 2, 4 or 8 bits a pixel, first pixel in the highest bits.
    fn unpacked(self) -> Vec<u8> {
        let Self { width, depth, .. } = self;
        if depth == 8 {
            return self.packed;
        }
        let per_byte = 8 / depth;
        let mask = (0xFF_u16 >> (8 - depth)) as u8;
        let values = self
            .packed
            .chunks_exact(self.line.max(1))
            .flat_map(|row| (0..width).map(move |x| (row[x / per_byte] >> (8 - depth * (x % per_byte + 1))) & mask));
        values.collect()
    }
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
    let names = match holds_train_ids(path) {
        true => ("train id: not in 0..=18 and not 255", "label ids"),
        false => (NO_LABEL_ID, "train ids"),
    };
    check_ids(path, &label, |id| table[id as usize].is_some(), names)?;
    label.mapv_inplace(|id| table[id as usize].unwrap_or(IGNORE_INDEX));
    Ok(label)
}

/// Reads a PNG of label ids, whatever its name.
///
/// # Errors
/// See [`load_label`]; an id that does not exist.
pub fn load_label_ids(path: &Path) -> Result<Array2<u8>> {
    let label = load_label(path)?;
    check_ids(path, &label, |id| id <= labels::MAX_LABEL_ID, (NO_LABEL_ID, "train ids"))?;
    Ok(label)
}

const NO_LABEL_ID: &str = "label id: above 33";

fn check_ids(
    path: &Path,
    label: &Array2<u8>,
    is_known: impl Fn(u8) -> bool,
    (kind, other): (&str, &str),
) -> Result<()> {
    // Without an early end, so that it is done for many pixels at once.
    if label.iter().fold(true, |all, &id| all & is_known(id)) {
        return Ok(());
    }
    let Some(((row, column), &id)) = label.indexed_iter().find(|(_, id)| !is_known(**id)) else { return Ok(()) };
    let pixels = label.iter().filter(|&&other| other == id).count();
    let all = label.iter().filter(|&&other| !is_known(other)).count();
    let message = format!(
        "{id} is no {kind} (first at row {row}, column {column}; {pixels} pixels hold it, {all} some unknown id); are \
         these {other}?"
    );
    Err(Error::file(path, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, color: png::ColorType, depth: png::BitDepth, packed: &[u8]) {
        let mut encoder = png::Encoder::new(File::create(path).unwrap(), 3, 2);
        encoder.set_color(color);
        encoder.set_depth(depth);
        encoder.set_palette([200; 3 * 12].as_slice());
        encoder.write_header().unwrap().write_image_data(packed).unwrap();
    }

    #[test]
    fn a_palette_label_is_read_as_indices() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.png");
        for (depth, packed) in
            [(png::BitDepth::Eight, vec![7, 8, 11, 1, 0, 7]), (png::BitDepth::Four, vec![0x78, 0xB0, 0x10, 0x70])]
        {
            write(&path, png::ColorType::Indexed, depth, &packed);
            assert_eq!(load_label(&path).unwrap().as_slice().unwrap(), [7, 8, 11, 1, 0, 7]);
        }
    }

    #[test]
    fn instances_are_read_with_16_bits_and_with_8() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.png");
        let bytes: Vec<u8> = [7, 24_000, 24_001, 33_999, 0, 1].iter().flat_map(|id: &u16| id.to_be_bytes()).collect();
        write(&path, png::ColorType::Grayscale, png::BitDepth::Sixteen, &bytes);
        assert_eq!(load_instances(&path).unwrap().as_slice().unwrap(), [7, 24_000, 24_001, 33_999, 0, 1]);
        let message = load_label(&path).unwrap_err().to_string();
        assert!(message.contains("x.png: is Grayscale of 16 bits; a label is an 8-bit gray PNG"), "{message}");
        write(&path, png::ColorType::Grayscale, png::BitDepth::Eight, &[1, 2, 3, 4, 5, 6]);
        assert_eq!(load_instances(&path).unwrap().as_slice().unwrap(), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn instances_that_cannot_be_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.png");
        for (id, words) in [
            (7_001, "7001 at row 1, column 2 is no instance id: road is a class without instances"),
            (65_535, "65535 at row 1, column 2 is no instance id: there is no label id 65"),
        ] {
            let bytes: Vec<u8> = [0, 0, 0, 0, 0, id].iter().flat_map(|id: &u16| id.to_be_bytes()).collect();
            write(&path, png::ColorType::Grayscale, png::BitDepth::Sixteen, &bytes);
            let message = load_instances(&path).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
        assert_eq!(wrong_instance(29_000), None, "a caravan is void, and told apart");
    }

    #[test]
    fn a_folder_and_a_missing_file_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let message = load_label(folder.path()).unwrap_err().to_string();
        assert!(message.ends_with("is a folder; expected a PNG file"), "{message}");
        let message = load_label(&folder.path().join("none.png")).unwrap_err().to_string();
        assert!(message.ends_with("none.png: cannot be read: no such file or folder"), "{message}");
    }
}
