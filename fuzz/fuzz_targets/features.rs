//! Stored features of a frozen module: as they are, and again under a key and a checksum that are right.
#![no_main]

use flate2::Crc;
use infoseg::train::features::decode;

const KEY: u32 = 7;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = decode(bytes, KEY);
    if bytes.len() < 32 {
        return;
    }
    let mut bytes = bytes.to_vec();
    bytes[..8].copy_from_slice(b"ISGFEAT1");
    bytes[8..12].copy_from_slice(&KEY.to_le_bytes());
    let mut crc = Crc::new();
    crc.update(&bytes[..28]);
    crc.update(&bytes[32..]);
    bytes[28..32].copy_from_slice(&crc.sum().to_le_bytes());
    if let Ok((values, dims)) = decode(&bytes, KEY) {
        assert_eq!(values.len(), dims.iter().product::<usize>());
    }
});
