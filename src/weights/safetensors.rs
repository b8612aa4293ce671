//! The safetensors format.

use super::Weights;
use crate::files::{plain_cause, write_atomic};
use crate::{Error, Result};
use burn::tensor::{DType, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;

/// Reads a file; float16, bfloat16 and float64 become float32, whole numbers (PyTorch's `num_batches_tracked`) are left
/// out. Also returns the text entries of its header.
///
/// # Errors
/// The file is missing, cut off or no safetensors file.
pub fn read(path: &Path) -> Result<(Weights, HashMap<String, String>)> {
    let bytes = fs::read(path).map_err(|e| Error::file(path, format!("cannot be read: {}", plain_cause(&e))))?;
    let damaged = |cause: &dyn std::fmt::Display| {
        Error::file(path, format!("is no whole safetensors file ({cause}); copy or download it again"))
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|cause| damaged(&cause))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|cause| damaged(&cause))?;
    let mut weights = Weights::default();
    for (name, view) in file.iter() {
        let dtype = match view.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            Dtype::F64 => DType::F64,
            _ => continue,
        };
        weights.insert(name, view.data().to_vec(), view.shape(), dtype);
    }
    Ok((weights, header.metadata().clone().unwrap_or_default()))
}

/// Writes a file with these text entries in its header.
///
/// `counters` are names of int64 scalars that hold 0, for readers that ask for them (PyTorch's `num_batches_tracked`).
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, weights: &Weights, counters: &[String], header: HashMap<String, String>) -> Result<()> {
    let of = |name: &str, dtype, shape: Vec<usize>, bytes| {
        TensorView::new(dtype, shape, bytes)
            .map_err(|cause| Error::file(path, format!("cannot be written: {name}: {cause}")))
    };
    let zero = 0i64.to_le_bytes();
    let mut views = Vec::with_capacity(weights.tensors.len() + counters.len());
    for (name, data) in &weights.tensors {
        views.push((name, of(name, Dtype::F32, data.shape().to_vec(), data.as_bytes())?));
    }
    for name in counters {
        views.push((name, of(name, Dtype::I64, Vec::new(), &zero)?));
    }
    let mut bytes =
        serialize(views, Some(header)).map_err(|cause| Error::file(path, format!("cannot be written: {cause}")))?;
    sort_entries(&mut bytes);
    write_atomic(path, |file| file.write_all(&bytes))
}

/// Puts the header's text entries in order, which the crate writes as a hash map has them: the same weights are the same
/// bytes, whenever they are written.
fn sort_entries(bytes: &mut [u8]) {
    const KEY: &str = "__metadata__";
    let Some((length, rest)) = bytes.split_first_chunk_mut::<8>() else { return };
    let Some(json) = rest.get_mut(..u64::from_le_bytes(*length) as usize) else { return };
    let Ok(mut header) = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(json) else { return };
    if let Some(serde_json::Value::Object(entries)) = header.get_mut(KEY) {
        entries.sort_keys();
    }
    // As long as before, but for the blanks that fill it up.
    let Ok(mut sorted) = serde_json::to_vec(&header) else { return };
    if sorted.len() <= json.len() {
        sorted.resize(json.len(), b' ');
        json.copy_from_slice(&sorted);
    }
}

impl Weights {
    /// Adds a tensor of little-endian bytes, as float32.
    pub(super) fn insert(&mut self, name: &str, bytes: Vec<u8>, shape: &[usize], dtype: DType) {
        let data = TensorData::from_bytes_vec(bytes, shape.to_vec(), dtype).convert::<f32>();
        self.tensors.insert(name.to_string(), data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_counters_are_not_weights() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let mut weights = Weights::default();
        weights.tensors.insert("a.weight".into(), TensorData::from([[1.5f32, -2.0], [0.0, 4.0]]));
        weights.tensors.insert("b".into(), TensorData::from([7.0f32]));
        let header = HashMap::from([("made_by".to_string(), "a test".to_string())]);
        write(&path, &weights, &["a.num_batches_tracked".into()], header.clone()).unwrap();
        assert_eq!(read(&path).unwrap(), (weights.clone(), header));
        // Hash maps of the same entries come in other orders.
        let entries = || (0..6).map(|i| (format!("key{i}"), "value".to_string())).collect();
        let write = || {
            write(&path, &weights, &[], entries()).unwrap();
            fs::read(&path).unwrap()
        };
        let first = write();
        assert!((0..5).all(|_| write() == first));
        assert_eq!(read(&path).unwrap(), (weights, entries()));
    }

    #[test]
    fn halves_become_float32() {
        let mut weights = Weights::default();
        weights.insert("half", [0x00, 0x3E, 0x00, 0xC0].to_vec(), &[2], DType::F16); // 1.5, -2
        weights.insert("brain", [0xC0, 0x3F].to_vec(), &[1], DType::BF16); // 1.5
        assert_eq!(weights.tensors["half"], TensorData::from([1.5f32, -2.0]));
        assert_eq!(weights.tensors["brain"], TensorData::from([1.5f32]));
    }

    #[test]
    fn a_cut_off_file_and_a_folder_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let mut weights = Weights::default();
        weights.tensors.insert("a".into(), TensorData::from([1.0f32; 64]));
        write(&path, &weights, &[], HashMap::new()).unwrap();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("a.safetensors") && error.contains("is no whole safetensors file"), "{error}");
        let error = read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("it is a folder"), "{error}");
    }
}
