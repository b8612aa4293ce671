//! PyTorch's `.pth` and `.pt`: zip and legacy containers, read by `pytorch-reader`, which interprets the pickle as inert
//! data and never runs what a file asks for.

use super::Weights;
use crate::files::plain_cause;
use crate::{Error, Result};
use burn::tensor::DType;
use pytorch_reader::{PytorchError, PytorchReader, Tensor};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A file whose tensors are named but not read yet.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    /// Those of float numbers, by the file's names.
    pub(super) tensors: BTreeMap<String, (Tensor, DType)>,
}

impl File {
    /// Reads the names. Whole numbers (`num_batches_tracked`) are left out.
    ///
    /// # Errors
    /// The file is missing, cut off, no PyTorch file, or holds no tensor.
    pub fn open(path: &Path) -> Result<Self> {
        let reader = PytorchReader::new(path).map_err(|error| Error::file(path, explain(&error)))?;
        let with_type = |(name, tensor): (String, Tensor)| {
            let dtype = match tensor.dtype() {
                pytorch_reader::DType::F32 => DType::F32,
                pytorch_reader::DType::F16 => DType::F16,
                pytorch_reader::DType::BF16 => DType::BF16,
                pytorch_reader::DType::F64 => DType::F64,
                _ => return None,
            };
            Some((name, (tensor, dtype)))
        };
        let tensors: BTreeMap<_, _> = reader.into_tensors().into_iter().filter_map(with_type).collect();
        if tensors.is_empty() {
            return Err(Error::file(path, "holds no float tensor; expected a PyTorch state dict (torch.save)"));
        }
        Ok(Self { path: path.to_path_buf(), tensors })
    }

    /// Reads the tensors that have a new name here, under that; float16, bfloat16 and float64 become float32.
    ///
    /// # Errors
    /// The file is cut off.
    pub fn read(&self, names: &BTreeMap<String, String>) -> Result<Weights> {
        let mut weights = Weights::default();
        for (name, (tensor, dtype)) in &self.tensors {
            let Some(name) = names.get(name) else { continue };
            let bytes = tensor.read().map_err(|error| Error::file(&self.path, damaged(&plain_cause(&error))))?;
            weights.insert(name, bytes, tensor.shape(), *dtype);
        }
        Ok(weights)
    }
}

fn damaged(cause: &str) -> String {
    format!("is no whole PyTorch or safetensors file ({cause}); if it is meant to be one, copy or download it again")
}

fn explain(error: &PytorchError) -> String {
    match error {
        PytorchError::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => damaged("it ends too early"),
        PytorchError::Io(error) => format!("cannot be read: {}", plain_cause(error)),
        PytorchError::Pickle(error) => damaged(&format!("its pickle cannot be read: {error}")),
        error => damaged(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::source::Source;
    use burn::tensor::TensorData;

    /// See eval/weights/fixtures.py, which wrote them.
    fn fixture(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
    }

    fn read(path: &Path) -> Result<Weights> {
        Source::read(path).map(|source| source.weights)
    }

    fn expected() -> Vec<(&'static str, TensorData)> {
        vec![
            ("bn1.bias", TensorData::from([0.25f32, 3.0])),
            ("bn1.running_var", TensorData::from([0.1f32])),
            ("bn1.weight", TensorData::from([1.5f32, -2.0])),
            ("conv1.weight", TensorData::from([[[[0.0f32], [0.5], [1.0]], [[1.5], [2.0], [2.5]]]])),
        ]
    }

    #[test]
    fn both_containers_give_float32_and_leave_counters_out() {
        for name in ["zip.pth", "legacy.pth"] {
            let weights = read(&fixture(name)).unwrap();
            let read: Vec<(&str, TensorData)> = weights.tensors.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
            assert_eq!(read, expected(), "{name}");
        }
    }

    #[test]
    fn of_a_training_checkpoint_only_the_weights_are_read() {
        let weights = read(&fixture("training.pth")).unwrap();
        let names: Vec<&String> = weights.tensors.keys().collect();
        let expected = expected();
        assert_eq!(names, expected.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    }

    #[test]
    fn a_pickle_that_asks_for_a_command_runs_none() {
        for name in ["malicious.pth", "malicious.pkl.pth"] {
            let error = read(&fixture(name)).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        assert!(!Path::new("infoseg-was-here").exists());
    }

    #[test]
    fn cut_off_and_foreign_files_are_told() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["zip.pth", "legacy.pth", "training.pth"] {
            let whole = std::fs::read(fixture(name)).unwrap();
            for length in [0, 1, 10, whole.len() / 2, whole.len() - 1] {
                let path = folder.path().join(name);
                std::fs::write(&path, &whole[..length]).unwrap();
                let error = read(&path).unwrap_err().to_string();
                assert!(error.contains(name) && !error.contains('\n'), "{length}: {error}");
            }
        }
        let path = folder.path().join("picture.pth");
        std::fs::write(&path, b"\x89PNG\r\n\x1a\n and more than that").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("is no whole PyTorch or safetensors file"), "{error}");
    }
}
