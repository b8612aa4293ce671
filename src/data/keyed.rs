//! Random numbers that follow from what they are for, in whatever order they are drawn.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A generator of its own for every key; `purpose` keeps uses with the same numbers apart.
pub(super) fn keyed_rng(numbers: [u64; 3], purpose: [u8; 8]) -> ChaCha8Rng {
    let mut key = [0; 32];
    let [a, b, c] = numbers;
    for (part, value) in key.chunks_exact_mut(8).zip([a, b, c, u64::from_le_bytes(purpose)]) {
        part.copy_from_slice(&value.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// A name as a number: FNV-1a.
pub(super) fn hash_of(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |h, byte| (h ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}
