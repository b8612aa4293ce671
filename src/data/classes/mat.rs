//! Arrays of numbers from MATLAB's version 5 files, streamed: an array is held once, as the bytes it is stored as.
//!
//! Such a file is a header of 128 bytes and one element per variable, each a tag (type, length) and its content; an
//! element of type 15 is another one, compressed with zlib. An array has four elements within: flags, shape, name,
//! values. Numbers may be stored in a smaller type than the array's own.

use crate::files::{most_unpacked, plain_cause};
use crate::{Error, Result};
use flate2::read::ZlibDecoder;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

/// One variable of a file.
#[derive(Debug, PartialEq)]
pub(super) struct Array {
    pub name: String,
    /// Sides, the fastest first (column-major).
    pub shape: Vec<usize>,
    pub values: Values,
}

/// The values, in the type they are stored as.
#[derive(Debug, PartialEq)]
pub(super) enum Values {
    Bytes(Vec<u8>),
    Doubles(Vec<f64>),
    /// Text, structures, other types of numbers: read past.
    Other,
}

/// What is wrong with a file, to follow its path.
type Parsed<T> = Result<T, String>;

/// Longest name and most sides that are believed: beyond it the file is damaged.
const MAX_SMALL: usize = 4096;

const INT32: u32 = 5;
const UINT8: u32 = 2;
const DOUBLE: u32 = 9;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;

/// Reads the variables of a file, in their order.
///
/// # Errors
/// A file that cannot be read, is of another format or damaged.
pub(super) fn read(path: &Path) -> Result<Vec<Array>> {
    parse(path).map_err(|wrong| Error::file(path, wrong))
}

fn parse(path: &Path) -> Parsed<Vec<Array>> {
    let file = File::open(path).map_err(|cause| match cause.kind() {
        ErrorKind::NotFound => "is missing; the dataset is shipped with it".to_string(),
        _ => format!("cannot be read: {}", plain_cause(&cause)),
    })?;
    let most = most_unpacked(&file);
    let mut file = BufReader::new(file);
    check_header(&mut file)?;
    let mut arrays = Vec::new();
    while let Some((kind, length)) = next_tag(&mut file)? {
        let mut content = file.by_ref().take(length);
        match kind {
            COMPRESSED => {
                let mut inflated = ZlibDecoder::new(&mut content);
                let (kind, length) = tag(&mut inflated)?;
                if kind != MATRIX {
                    return Err(damaged(&format!("a variable of type {kind}")));
                }
                arrays.push(array(&mut inflated, u64::from(length), most)?);
                // To its end, where the checksum is.
                io::copy(&mut inflated, &mut io::sink()).map_err(|cause| unreadable(&cause))?;
            }
            MATRIX => arrays.push(array(&mut content, length, most)?),
            kind => return Err(damaged(&format!("a variable of type {kind}"))),
        }
        skip_rest(&mut content)?;
    }
    Ok(arrays)
}

fn check_header(file: &mut impl Read) -> Parsed<()> {
    let mut header = Vec::new();
    file.by_ref().take(128).read_to_end(&mut header).map_err(|cause| unreadable(&cause))?;
    if header.starts_with(b"MATLAB 7.3") || header.starts_with(b"\x89HDF") {
        let message = "is a MATLAB 7.3 (HDF5) file; expected version 5, which MATLAB writes with save(…, '-v7')";
        return Err(message.into());
    }
    if header.len() < 128 || !header.starts_with(b"MATLAB 5.0") {
        return Err("is no MATLAB 5.0 file; get the file again".into());
    }
    match &header[126..128] {
        b"IM" => Ok(()),
        b"MI" => Err("is stored big-endian; expected little-endian, as on any usual machine".into()),
        _ => Err(damaged("a header without byte order")),
    }
}

/// Type and length of the next variable; `None` at the end of the file.
fn next_tag(file: &mut impl Read) -> Parsed<Option<(u32, u64)>> {
    let mut bytes = Vec::new();
    file.by_ref().take(8).read_to_end(&mut bytes).map_err(|cause| unreadable(&cause))?;
    match bytes.is_empty() {
        true => Ok(None),
        false => tag(&mut bytes.as_slice()).map(|(kind, length)| Some((kind, u64::from(length)))),
    }
}

fn tag(from: &mut impl Read) -> Parsed<(u32, u32)> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes).map_err(|cause| unreadable(&cause))?;
    let [kind, length] = [0, 4].map(|at| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]));
    Ok((kind, length))
}

/// An array of `length` bytes, in a file that cannot hold more than `most`.
fn array(from: &mut impl Read, length: u64, most: u64) -> Parsed<Array> {
    let mut from = from.take(length);
    let (_, flags) = small(&mut from)?;
    let class = *flags.first().ok_or_else(|| damaged("an array without type"))?;
    let is_complex = flags.get(1).is_some_and(|bits| bits & 0x08 != 0);
    let (kind, sides) = small(&mut from)?;
    if kind != INT32 || sides.is_empty() || sides.len() % 4 != 0 {
        return Err(damaged("an array without shape"));
    }
    let sides = sides.chunks_exact(4).map(|side| i32::from_le_bytes([side[0], side[1], side[2], side[3]]));
    let shape: Option<Vec<usize>> = sides.map(|side| usize::try_from(side).ok()).collect();
    let shape = shape.ok_or_else(|| damaged("an array with a negative side"))?;
    let (_, name) = small(&mut from)?;
    let name = String::from_utf8_lossy(&name).into_owned();

    // MATLAB's classes 6 and 9 are double and uint8. A double array of small whole numbers is stored as bytes.
    let values =
        if [6, 9].contains(&class) && !is_complex { values(&mut from, &name, &shape, most)? } else { Values::Other };
    skip_rest(&mut from)?;
    Ok(Array { name, shape, values })
}

/// `most`: more bytes cannot be in the file.
fn values(from: &mut impl Read, name: &str, shape: &[usize], most: u64) -> Parsed<Values> {
    let (kind, length, inline) = element(from)?;
    let size = match kind {
        UINT8 => 1,
        DOUBLE => 8,
        _ => return Ok(Values::Other),
    };
    let expected = shape.iter().try_fold(size, |bytes: usize, &side| bytes.checked_mul(side));
    if length as u64 > most {
        return Err(unreadable(&ErrorKind::UnexpectedEof.into()));
    }
    if expected != Some(length) {
        return Err(damaged(&format!("{length} bytes of values in array {name} of shape {shape:?}")));
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| format!("needs {length} bytes of memory for array {name}"))?;
    match inline {
        Some(inline) => bytes.extend_from_slice(&inline[..length]),
        None => fill(from, length, &mut bytes)?,
    }
    if kind == UINT8 {
        return Ok(Values::Bytes(bytes));
    }
    let doubles = bytes.chunks_exact(8).map(|double| double.try_into().map_or(f64::NAN, f64::from_le_bytes));
    Ok(Values::Doubles(doubles.collect()))
}

/// Type and bytes of a short element, such as a name, with the padding after it.
fn small(from: &mut impl Read) -> Parsed<(u32, Vec<u8>)> {
    let (kind, length, inline) = element(from)?;
    if let Some(inline) = inline {
        return Ok((kind, inline[..length].to_vec()));
    }
    if length > MAX_SMALL {
        return Err(damaged(&format!("{length} bytes of shape or name")));
    }
    let mut bytes = Vec::new();
    fill(from, length.next_multiple_of(8), &mut bytes)?;
    bytes.truncate(length);
    Ok((kind, bytes))
}

/// Type and length of an element, and its bytes where they are few enough to be in the tag itself.
fn element(from: &mut impl Read) -> Parsed<(u32, usize, Option<[u8; 4]>)> {
    let (kind, length) = tag(from)?;
    match (kind & 0xFFFF, (kind >> 16) as usize) {
        (kind, 0) => Ok((kind, length as usize, None)),
        (kind, inline @ 1..=4) => Ok((kind, inline, Some(length.to_le_bytes()))),
        (_, inline) => Err(damaged(&format!("{inline} bytes in a tag"))),
    }
}

/// Reads exactly `length` bytes.
fn fill(from: &mut impl Read, length: usize, bytes: &mut Vec<u8>) -> Parsed<()> {
    from.by_ref().take(length as u64).read_to_end(bytes).map_err(|cause| unreadable(&cause))?;
    match bytes.len() == length {
        true => Ok(()),
        false => Err(unreadable(&ErrorKind::UnexpectedEof.into())),
    }
}

/// Reads past what is left of an element.
fn skip_rest<R: Read>(content: &mut io::Take<R>) -> Parsed<()> {
    io::copy(content, &mut io::sink()).map_err(|cause| unreadable(&cause))?;
    match content.limit() {
        0 => Ok(()),
        _ => Err(unreadable(&ErrorKind::UnexpectedEof.into())),
    }
}

fn unreadable(cause: &io::Error) -> String {
    match cause.kind() {
        ErrorKind::UnexpectedEof => "is truncated; get the file again".into(),
        ErrorKind::InvalidInput | ErrorKind::InvalidData => damaged("a zlib stream that cannot be unpacked"),
        _ => format!("cannot be read: {}", plain_cause(cause)),
    }
}

fn damaged(what: &str) -> String {
    format!("is damaged: it holds {what}; get the file again")
}

#[cfg(test)]
#[path = "mat_tests.rs"]
pub(super) mod tests;
