//! Images of one size in one file, record after record, held in memory as they are stored.

use crate::{Error, Result};
use ndarray::{Array3, ArrayView3};
use std::path::Path;

/// What the files of a split hold.
#[derive(Debug)]
pub(super) struct Loaded {
    /// The images whose records are whole; those with a bad label are left out.
    pub records: Records,
    /// Names of the classes, in the order of their numbers.
    pub names: Vec<String>,
    /// Everything that is wrong.
    pub problems: Vec<Error>,
}

/// How the three planes of a record are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Row after row (C).
    Rows,
    /// Column after column (Fortran, MATLAB).
    Columns,
}

/// Images of `side` x `side` pixels.
#[derive(Debug)]
pub(super) struct Records {
    side: usize,
    order: Order,
    parts: Vec<Part>,
    /// Part and record of each image, with its class.
    pictures: Vec<(u32, u32, u16)>,
}

/// One file of records.
#[derive(Debug)]
struct Part {
    /// Name of the file without suffix.
    stem: String,
    bytes: Vec<u8>,
    record: Record,
}

/// Where the pixels are in a record of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    /// Bytes of a record.
    pub bytes: usize,
    /// First byte of its pixels.
    pub pixels: usize,
}

impl Records {
    pub fn new(side: usize, order: Order) -> Self {
        Self { side, order, parts: Vec::new(), pictures: Vec::new() }
    }

    /// Bytes of one image.
    pub fn picture_bytes(&self) -> usize {
        3 * self.side * self.side
    }

    /// Adds a file of records. `class_of` gives the class of each record, or says what is wrong with its label, which
    /// then is a problem of the file `labels`.
    pub fn push(
        &mut self,
        path: &Path,
        bytes: Vec<u8>,
        record: Record,
        labels: &Path,
        problems: &mut Vec<Error>,
        class_of: impl Fn(&[u8], usize) -> Result<u16, String>,
    ) {
        problems.extend(check_length(path, bytes.len() as u64, record.bytes));
        let part = self.parts.len() as u32;
        for (number, content) in bytes.chunks_exact(record.bytes).enumerate() {
            match class_of(content, number) {
                Ok(class) => self.pictures.push((part, number as u32, class)),
                Err(wrong) => problems.push(Error::file(labels, at_record(number as u64, &wrong))),
            }
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        self.parts.push(Part { stem, bytes, record });
    }

    /// Keeps these of the images, in this order; the first number that is no image is the error.
    pub fn select(&mut self, numbers: &[usize]) -> Result<(), usize> {
        let pictures: Result<_, usize> =
            numbers.iter().map(|&number| self.pictures.get(number).copied().ok_or(number)).collect();
        self.pictures = pictures?;
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.pictures.len()
    }

    pub fn name(&self, i: usize) -> String {
        let (part, record, _) = self.pictures[i];
        format!("{}_{record:05}", self.parts[part as usize].stem)
    }

    pub fn class(&self, i: usize) -> u16 {
        self.pictures[i].2
    }

    /// Shape: `[side, side, 3]`.
    pub fn image(&self, i: usize) -> Array3<u8> {
        let (part, record, _) = self.pictures[i];
        let Part { bytes, record: layout, .. } = &self.parts[part as usize];
        let pixels = &bytes[record as usize * layout.bytes + layout.pixels..][..self.picture_bytes()];
        let planes = ArrayView3::from_shape((3, self.side, self.side), pixels).expect("whole records alone are listed");
        let view = match self.order {
            Order::Rows => planes.permuted_axes([1, 2, 0]),
            Order::Columns => planes.permuted_axes([2, 1, 0]),
        };
        view.as_standard_layout().into_owned()
    }
}

/// What is wrong with the length of a file of whole records, if anything.
pub(super) fn check_length(path: &Path, length: u64, record: usize) -> Option<Error> {
    let (records, rest) = (length / record as u64, length % record as u64);
    if length == 0 {
        return Some(Error::file(path, "is empty; get the file again"));
    }
    (rest > 0).then(|| {
        let wrong = format!("is truncated: only {rest} of its {record} bytes are there; get the file again");
        Error::file(path, at_record(records, &wrong))
    })
}

/// A sentence about one record.
fn at_record(number: u64, wrong: &str) -> String {
    format!("record {number} (counted from 0) {wrong}")
}

/// The class that a label stands for: `first..first + classes` are the numbers in use.
pub(super) fn class_of(label: f64, first: u16, classes: usize) -> Result<u16, String> {
    let last = first + classes as u16 - 1;
    match label.fract() == 0.0 && label >= f64::from(first) && label <= f64::from(last) {
        true => Ok(label as u16 - first),
        false => Err(format!("has the label {label}, which is no class; expected {first} to {last}")),
    }
}

impl Loaded {
    /// No images yet; the classes are named by `text`, one a line. Where that names another number of them they are
    /// numbered, and there is a problem.
    pub fn new(records: Records, path: &Path, text: Result<Vec<u8>>, classes: usize) -> Self {
        let names = text.and_then(|text| class_names(path, &text, classes));
        let numbers = || (0..classes).map(|class| class.to_string()).collect();
        match names {
            Ok(names) => Self { records, names, problems: Vec::new() },
            Err(problem) => Self { records, names: numbers(), problems: vec![problem] },
        }
    }
}

fn class_names(path: &Path, text: &[u8], classes: usize) -> Result<Vec<String>> {
    let text = String::from_utf8_lossy(text);
    let names: Vec<String> = text.lines().map(str::trim).filter(|name| !name.is_empty()).map(str::to_string).collect();
    match names.len() == classes {
        true => Ok(names),
        false => Err(Error::file(path, format!("names {} classes; expected {classes}, one a line", names.len()))),
    }
}
