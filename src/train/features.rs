//! Features of a frozen local module on disk: what the next module is trained on in the schedule `staged`.
//!
//! `features/module1/batch-000000.features` holds the module's output of one batch, float32, each of the four bytes of all
//! values together (exponents are much alike, and half of what a ReLU leaves is 0), deflated, under a checksum.
//! `features.json` beside them says of what they are: features of other weights or other images are refused.

use crate::config::RunConfig;
use crate::files::{make_folder, plain_cause, write_atomic};
use crate::{Error, Result};
use burn::tensor::TensorData;
use flate2::{Compression, Crc, read::ZlibDecoder, write::ZlibEncoder};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"ISGFEAT1";
/// Magic, key, four lengths, checksum.
const HEADER: usize = 8 + 4 + 4 * 4 + 4;
const DESCRIPTION: &str = "features.json";

/// Features of one module.
pub struct FeatureStore {
    folder: PathBuf,
    key: u32,
}

impl FeatureStore {
    /// Opens the store of module `module` (from 0) of a run, or makes it. `weights` and `pictures` are checksums of
    /// what computes them and of what they are of.
    ///
    /// # Errors
    /// What is there already are features of something else; the folder cannot be made.
    pub fn open(run: &Path, module: usize, config: &RunConfig, weights: u32, pictures: u32) -> Result<Self> {
        let folder = folder_of(run, module);
        make_folder(&folder)?;
        let mut is = pictures_of(config);
        is["pictures"] = format!("{pictures:08x}").into();
        is["weights"] = format!("{weights:08x}").into();
        let path = folder.join(DESCRIPTION);
        let text = serde_json::to_string_pretty(&is).map_err(|e| Error::file(&path, e.to_string()))?;
        match fs::read_to_string(&path) {
            Ok(there) => {
                let was: Value = serde_json::from_str(&there).unwrap_or_default();
                // Read back, as `was` is: reading a number may move its last digit.
                let is: Value = serde_json::from_str(&text).unwrap_or_default();
                if let Some(difference) = difference(&was, &is) {
                    return Err(Error::file(
                        &folder,
                        format!(
                            "these are features of another configuration: {difference}; go on with the run's own, or \
                             remove this folder to have them computed again"
                        ),
                    ));
                }
            }
            Err(_) => write_atomic(&path, |file| file.write_all(text.as_bytes()))?,
        }
        Ok(Self { folder, key: checksum(&[text.as_bytes()]) })
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The same, where there is one.
    ///
    /// # Errors
    /// What is there are features of something else.
    pub fn existing(
        run: &Path,
        module: usize,
        config: &RunConfig,
        weights: u32,
        pictures: u32,
    ) -> Result<Option<Self>> {
        let there = folder_of(run, module).is_dir();
        there.then(|| Self::open(run, module, config, weights, pictures)).transpose()
    }

    /// Whether this batch is stored.
    pub fn has(&self, batch: usize) -> bool {
        self.file(batch).is_file()
    }

    /// Stores a batch's features `[batch, channels, height, width]` in float32.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, batch: usize, features: &TensorData) -> Result<()> {
        let path = self.file(batch);
        let dims: [usize; 4] = features.shape().dims();
        let values: Vec<f32> = features.iter::<f32>().collect();
        let bytes = encode(&values, dims, self.key).map_err(|e| Error::file(&path, plain_cause(&e)))?;
        write_atomic(&path, |file| file.write_all(&bytes))
    }

    /// Reads a batch's features.
    ///
    /// # Errors
    /// The file is missing, damaged, or of another store.
    pub fn read(&self, batch: usize) -> Result<TensorData> {
        let path = self.file(batch);
        let bytes = fs::read(&path).map_err(|e| Error::file(&path, plain_cause(&e)))?;
        let (values, dims) = decode(&bytes, self.key)
            .map_err(|why| Error::file(&path, format!("{why}; remove this file to have it computed again")))?;
        Ok(TensorData::new(values, dims))
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
    }

    fn file(&self, batch: usize) -> PathBuf {
        self.folder.join(format!("batch-{batch:06}.features"))
    }
}

/// What decides, but for files and weights, what features are of.
fn pictures_of(config: &RunConfig) -> Value {
    let (data, train) = (&config.data, &config.train);
    json!({
        "seed": config.seed,
        "data.dataset": data.dataset,
        "data.train_split": data.train_split,
        "data.synthetic_resolution": data.synthetic_resolution,
        "data.synthetic_count": data.synthetic_count,
        "augment": config.augment,
        "train.resolution": train.resolution,
        "train.batch_size": train.batch_size,
        "train.precision": train.precision,
    })
}

/// Refuses to go on with a staged run on other images than it began with: its features, stored or to be stored, would be of
/// others than its labels.
///
/// # Errors
/// The first key that has changed.
pub fn check_unchanged(before: &RunConfig, now: &RunConfig) -> Result<()> {
    let of = |config: &RunConfig| {
        let mut is = pictures_of(config);
        is["train.stored_batches"] = config.train.stored_batches.into();
        is
    };
    match difference(&of(before), &of(now)) {
        Some(difference) => Err(Error::usage(format!(
            "{difference}: a staged run goes on as it began; leave that as it was, or start a new run with another --out"
        ))),
        None => Ok(()),
    }
}

fn folder_of(run: &Path, module: usize) -> PathBuf {
    run.join("features").join(format!("module{}", module + 1))
}

/// Removes a module's features, which are not read again. What cannot be removed does no harm.
pub fn remove(run: &Path, module: usize) {
    let _ = fs::remove_dir_all(folder_of(run, module));
    let _ = fs::remove_dir(run.join("features")); // where it is empty
}

fn difference(was: &Value, is: &Value) -> Option<String> {
    let is = is.as_object()?;
    let (key, value) = is.iter().find(|(key, value)| was.get(key) != Some(value))?;
    Some(match (key.as_str(), was.get(key)) {
        ("pictures", Some(_)) => "the pictures were others".into(),
        ("weights", Some(_)) => "the module that computed them had other weights".into(),
        (_, Some(before)) => format!("{key} is {value} and was {before}"),
        (_, None) => format!("{DESCRIPTION} does not say what {key} was"),
    })
}

fn checksum(parts: &[&[u8]]) -> u32 {
    let mut crc = Crc::new();
    parts.iter().for_each(|part| crc.update(part));
    crc.sum()
}

fn encode(values: &[f32], dims: [usize; 4], key: u32) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; HEADER];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&key.to_le_bytes());
    for (place, dim) in bytes[12..28].chunks_exact_mut(4).zip(dims) {
        place.copy_from_slice(&(dim as u32).to_le_bytes());
    }
    let mut planes = vec![0; values.len() * 4];
    for (i, value) in values.iter().enumerate() {
        for (plane, byte) in value.to_le_bytes().into_iter().enumerate() {
            planes[plane * values.len() + i] = byte;
        }
    }
    let mut encoder = ZlibEncoder::new(bytes, Compression::fast());
    encoder.write_all(&planes)?;
    let mut bytes = encoder.finish()?;
    let sum = checksum(&[&bytes[..28], &bytes[HEADER..]]);
    bytes[28..HEADER].copy_from_slice(&sum.to_le_bytes());
    Ok(bytes)
}

/// Values and shape of a file of features; `key` is the store's.
///
/// # Errors
/// Why it cannot be, as a clause.
pub fn decode(bytes: &[u8], key: u32) -> Result<(Vec<f32>, [usize; 4]), String> {
    if bytes.len() < HEADER || &bytes[..8] != MAGIC {
        return Err("is no file of features".into());
    }
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if word(28) != checksum(&[&bytes[..28], &bytes[HEADER..]]) {
        return Err("is damaged: its checksum is wrong".into());
    }
    if word(8) != key {
        return Err("holds features of another configuration".into());
    }
    let dims = [12, 16, 20, 24].map(|at| word(at) as usize);
    let wrong = || "is damaged: it does not hold as many values as it says".to_string();
    let number = dims.iter().try_fold(1usize, |number, &dim| number.checked_mul(dim)).ok_or_else(wrong)?;
    let expected = number.checked_mul(4).ok_or_else(wrong)?;
    // Grows with what comes out, whatever the header says.
    let mut planes = Vec::new();
    let limit = expected as u64 + 1;
    ZlibDecoder::new(&bytes[HEADER..]).take(limit).read_to_end(&mut planes).map_err(|e| format!("is damaged: {e}"))?;
    if planes.len() != expected {
        return Err(wrong());
    }
    let value = |i: usize| f32::from_le_bytes([0, 1, 2, 3].map(|plane| planes[plane * number + i]));
    Ok(((0..number).map(value).collect(), dims))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DatasetKind, defaults_for};

    #[test]
    fn values_come_back_to_the_bit_and_damage_is_seen() {
        let values = [0.0f32, -1.5, f32::MIN_POSITIVE, 3e38, 0.1, -0.0];
        let bytes = encode(&values, [1, 2, 1, 3], 7).unwrap();
        let (read, dims) = decode(&bytes, 7).unwrap();
        assert_eq!(dims, [1, 2, 1, 3]);
        assert!(read.iter().zip(values).all(|(a, b)| a.to_bits() == b.to_bits()));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped, 7).is_err(), "bit {bit}");
        }
        assert!((0..bytes.len()).all(|end| decode(&bytes[..end], 7).is_err()));
        assert!(decode(&bytes, 8).unwrap_err().contains("another configuration"));
        // As many values as a machine has no memory for, and none of them there.
        assert!(decode(&encode(&[], [usize::MAX; 4], 7).unwrap(), 7).is_err());
        assert!(decode(&encode(&[], [60000, 60000, 1, 1], 7).unwrap(), 7).is_err());
    }

    #[test]
    fn features_of_something_else_are_refused() {
        let run = tempfile::tempdir().unwrap();
        let mut config = defaults_for(DatasetKind::Synthetic);
        let store = FeatureStore::open(run.path(), 0, &config, 5, 1).unwrap();
        let features = TensorData::new(vec![1f32, 2.0], [1, 2, 1, 1]);
        store.write(3, &features).unwrap();
        let again = FeatureStore::open(run.path(), 0, &config, 5, 1).unwrap();
        assert!(again.has(3) && !again.has(2));
        assert_eq!(again.read(3).unwrap(), features);
        assert!(again.read(2).unwrap_err().to_string().contains("batch-000002"));
        let refused = |config: &RunConfig, weights| {
            FeatureStore::open(run.path(), 0, config, weights, 1).err().expect("it is refused").to_string()
        };
        assert!(refused(&config, 6).contains("other weights"));
        config.seed += 1;
        assert!(refused(&config, 5).contains("seed is 2 and was 1"), "{}", refused(&config, 5));
        remove(run.path(), 0);
        assert!(!run.path().join("features").exists());
    }
}
