//! Checkpoints of other programs: safetensors, and PyTorch's zip and legacy containers with a pickle inside.
#![no_main]

use infoseg::weights::Checkpoint;
use infoseg_fuzz::with_files;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    with_files(&[("weights.pth", bytes)], |folder| {
        if let Ok(checkpoint) = Checkpoint::read(&folder.join("weights.pth")) {
            let _ = checkpoint.model();
        }
    });
});
