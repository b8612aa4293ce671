//! PyTorch's `.pth` and `.pt`: zip and legacy containers, read by `pytorch-reader`, which interprets the pickle as inert
//! data and never runs what a file asks for.

use super::Weights;
use crate::files::plain_cause;
use crate::{Error, Result};
use burn::tensor::DType;
use pytorch_reader::{PytorchError, PytorchReader};
use std::collections::BTreeMap;
use std::path::Path;

/// Keys under which training programs put the weights beside optimizer and epoch.
const STATE_DICTS: [&str; 4] = ["state_dict", "model", "model_state_dict", "net"];

/// Reads a file; float16, bfloat16 and float64 become float32, whole numbers (`num_batches_tracked`) are left out. Where
/// the weights are under a key such as `state_dict`, only they are read, without it.
///
/// # Errors
/// The file is missing, cut off, no PyTorch file, or holds no tensor.
pub fn read(path: &Path) -> Result<Weights> {
    let reader = PytorchReader::new(path).map_err(|error| Error::file(path, explain(&error)))?;
    let mut tensors: BTreeMap<_, _> = reader.into_tensors().into_iter().collect();
    for key in STATE_DICTS {
        let prefix = format!("{key}.");
        if tensors.keys().any(|name| name.starts_with(&prefix)) {
            tensors = tensors
                .into_iter()
                .filter_map(|(name, tensor)| Some((name.strip_prefix(&prefix)?.to_string(), tensor)))
                .collect();
            break;
        }
    }
    let mut weights = Weights::default();
    for (name, tensor) in tensors {
        let dtype = match tensor.dtype() {
            pytorch_reader::DType::F32 => DType::F32,
            pytorch_reader::DType::F16 => DType::F16,
            pytorch_reader::DType::BF16 => DType::BF16,
            pytorch_reader::DType::F64 => DType::F64,
            _ => continue,
        };
        let bytes = tensor.read().map_err(|error| Error::file(path, damaged(&plain_cause(&error))))?;
        weights.insert(&name, bytes, tensor.shape(), dtype);
    }
    if weights.tensors.is_empty() {
        return Err(Error::file(path, "holds no float tensor; expected a PyTorch state dict (torch.save)"));
    }
    Ok(weights)
}

fn damaged(cause: &str) -> String {
    format!("is no whole PyTorch file ({cause}); copy or download it again")
}

fn explain(error: &PytorchError) -> String {
    match error {
        PytorchError::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => damaged("it ends too early"),
        PytorchError::Io(error) => format!("cannot be read: {}", plain_cause(error)),
        PytorchError::Pickle(error) => damaged(&format!("its pickle cannot be read: {error}")),
        error => damaged(&error.to_string()),
    }
}
