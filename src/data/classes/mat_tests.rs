use super::*;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::Write;
use std::path::PathBuf;

/// MATLAB's number of an array class.
pub(in crate::data::classes) const DOUBLE_CLASS: u8 = 6;
/// The same of uint8.
pub(in crate::data::classes) const UINT8_CLASS: u8 = 9;

fn element(kind: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = [kind.to_le_bytes(), (content.len() as u32).to_le_bytes()].concat();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// A variable, not compressed.
pub(in crate::data::classes) fn variable(name: &str, class: u8, shape: &[i32], kind: u32, values: &[u8]) -> Vec<u8> {
    let shape: Vec<u8> = shape.iter().flat_map(|side| side.to_le_bytes()).collect();
    let parts = [
        element(6, &[class, 0, 0, 0, 0, 0, 0, 0]),
        element(INT32, &shape),
        element(1, name.as_bytes()),
        element(kind, values),
    ];
    element(MATRIX, &parts.concat())
}

/// A variable as MATLAB saves it.
pub(in crate::data::classes) fn compressed(variable: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(variable).unwrap();
    let stream = encoder.finish().unwrap();
    [&COMPRESSED.to_le_bytes()[..], &(stream.len() as u32).to_le_bytes(), &stream].concat()
}

/// A whole file.
pub(in crate::data::classes) fn file(variables: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = b"MATLAB 5.0 MAT-file, written by a test".to_vec();
    bytes.resize(124, b' ');
    bytes.extend_from_slice(&[0, 1]);
    bytes.extend_from_slice(b"IM");
    bytes.extend(variables.concat());
    bytes
}

fn read_bytes(bytes: &[u8]) -> Result<Vec<Array>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mat");
    std::fs::write(&path, bytes).unwrap();
    read(&path)
}

/// What is wrong with a file, without its path.
fn wrong(bytes: &[u8]) -> String {
    let message = read_bytes(bytes).unwrap_err().to_string();
    message.split_once("a.mat: ").unwrap().1.to_string()
}

#[test]
fn arrays_are_read_plain_and_compressed() {
    let bytes = variable("bytes", UINT8_CLASS, &[3, 2], UINT8, &[1, 2, 3, 4, 5, 6]);
    let doubles = variable("d", DOUBLE_CLASS, &[1, 1], DOUBLE, &2.5_f64.to_le_bytes());
    let floats = variable("floats", 7, &[1, 1], 7, &[0; 4]);
    let small = variable("small", DOUBLE_CLASS, &[2, 1], UINT8, &[7, 8]);
    let expected = |name: &str, shape: &[usize], values| Array { name: name.into(), shape: shape.to_vec(), values };
    let expected = [
        expected("bytes", &[3, 2], Values::Bytes(vec![1, 2, 3, 4, 5, 6])),
        expected("d", &[1, 1], Values::Doubles(vec![2.5])),
        expected("floats", &[1, 1], Values::Other),
        expected("small", &[2, 1], Values::Bytes(vec![7, 8])),
    ];
    let variables = [bytes, doubles, floats, small];
    assert_eq!(read_bytes(&file(&variables)).unwrap(), expected);
    assert_eq!(read_bytes(&file(&variables.map(|variable| compressed(&variable)))).unwrap(), expected);
}

/// The fixture is `scipy.io.savemat(path, {"X": X, "y": y}, do_compression=True)` with y of float64.
#[test]
fn a_file_that_scipy_wrote_is_read() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/svhn.mat");
    let arrays = read(&path).unwrap();
    assert_eq!(arrays.iter().map(|array| array.name.as_str()).collect::<Vec<_>>(), ["X", "y"]);
    assert_eq!(arrays[0].shape, [32, 32, 3, 2]);
    let Values::Bytes(bytes) = &arrays[0].values else { panic!("{:?}", arrays[0].values) };
    // At (y, x) of image i all rows hold y, columns x, and planes y, x, i.
    assert_eq!((bytes[5], bytes[32 * 32 + 5 * 32], bytes[3 * 1024 + 2 * 1024]), (5, 5, 1));
    assert_eq!((&arrays[1].shape[..], &arrays[1].values), (&[2, 1][..], &Values::Doubles(vec![10.0, 3.0])));
}

#[test]
fn other_formats_are_told_apart() {
    assert_eq!(wrong(b"PK\x03\x04"), "is no MATLAB 5.0 file; get the file again");
    assert_eq!(wrong(b""), "is no MATLAB 5.0 file; get the file again");
    let hdf5 = [b"MATLAB 7.3 MAT-file, Platform: GLNXA64".to_vec(), vec![b' '; 200]].concat();
    assert!(wrong(&hdf5).starts_with("is a MATLAB 7.3 (HDF5) file; expected version 5"));
    assert!(wrong(b"\x89HDF\r\n\x1a\n").starts_with("is a MATLAB 7.3 (HDF5) file"));
    let mut big_endian = file(&[]);
    big_endian[124..].copy_from_slice(b"\x01\0MI");
    assert_eq!(wrong(&big_endian), "is stored big-endian; expected little-endian, as on any usual machine");
    big_endian[126] = b'?';
    assert_eq!(wrong(&big_endian), "is damaged: it holds a header without byte order; get the file again");
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_truncated() {
    let values: Vec<u8> = (0..=255).collect();
    let plain = variable("X", UINT8_CLASS, &[16, 16], UINT8, &values);
    for whole in [file(&[compressed(&plain)]), file(&[plain])] {
        for length in 129..whole.len() {
            assert_eq!(wrong(&whole[..length]), "is truncated; get the file again", "{length} of {}", whole.len());
        }
    }
}

#[test]
fn damage_is_told() {
    let plain = variable("X", UINT8_CLASS, &[2, 2], UINT8, &[1, 2, 3, 4]);
    let mut stream = compressed(&plain);
    let last = stream.len() - 1;
    stream[last] ^= 1; // its checksum
    assert!(wrong(&file(&[stream.clone()])).contains("a zlib stream that cannot be unpacked"));
    stream[8] = 0xFF; // its header
    assert!(wrong(&file(&[stream])).contains("a zlib stream that cannot be unpacked"));
    let shapes = [&[2, 3][..], &[i32::MAX, i32::MAX, i32::MAX, i32::MAX]];
    for shape in shapes {
        let message = wrong(&file(&[variable("X", UINT8_CLASS, shape, UINT8, &[1, 2, 3, 4])]));
        assert!(message.starts_with("is damaged: it holds 4 bytes of values in array X of shape ["), "{message}");
    }
    let message = wrong(&file(&[variable("X", UINT8_CLASS, &[-1, 3], UINT8, &[])]));
    assert_eq!(message, "is damaged: it holds an array with a negative side; get the file again");
    let message = wrong(&file(&[element(99, &[0; 8])]));
    assert_eq!(message, "is damaged: it holds a variable of type 99; get the file again");
    let message = wrong(&file(&[element(MATRIX, &element(6, &[0; 8000]))]));
    assert_eq!(message, "is damaged: it holds 8000 bytes of shape or name; get the file again");
}

#[test]
fn no_damaged_byte_breaks_the_reader() {
    let plain = variable("X", UINT8_CLASS, &[16, 2], UINT8, &[3; 32]);
    for whole in [file(&[compressed(&plain)]), file(&[plain])] {
        for (at, value) in (0..whole.len()).flat_map(|at| [0, 1, 0x7F, 0x80, 0xFF].map(|value| (at, value))) {
            let mut bytes = whole.clone();
            bytes[at] = value;
            // Read or refused, but never a panic.
            let _ = read_bytes(&bytes);
        }
    }
}

#[test]
fn no_memory_is_reserved_for_what_the_file_cannot_hold() {
    // Two gigabytes, as its shape says too: of a file of 200 bytes.
    let mut values = UINT8.to_le_bytes().to_vec();
    values.extend((1_u32 << 31).to_le_bytes());
    let mut content = variable("X", UINT8_CLASS, &[1 << 20, 1 << 11], UINT8, &[]);
    let length = content.len();
    content[length - 8..].copy_from_slice(&values);
    assert_eq!(wrong(&file(&[content])), "is truncated; get the file again");
}
