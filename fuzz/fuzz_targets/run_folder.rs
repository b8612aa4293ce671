//! What a run folder says of itself: the manifest of a checkpoint, its state, the log, the report.
#![no_main]

use flate2::Crc;
use infoseg::eval::ClassificationReport;
use infoseg::eval::report::Report;
use infoseg::train::checkpoint::{self, State};
use infoseg::train::metrics::Metrics;
use infoseg_fuzz::{choice, with_files};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((what, bytes)) = choice(bytes, 4) else { return };
    match what {
        0 => drop(serde_json::from_slice::<State>(bytes)),
        1 => with_files(&[("metrics.jsonl", bytes)], |folder| drop(Metrics::read(&folder.join("metrics.jsonl")))),
        2 => with_files(&[("report.json", bytes)], |folder| {
            let path = folder.join("report.json");
            let _ = (Report::read(&path), ClassificationReport::read(&path));
        }),
        _ => {
            // Its last line is a checksum of those before it.
            let mut crc = Crc::new();
            crc.update(bytes);
            crc.update(b"\n");
            let manifest = [bytes, format!("\n{:08x}\n", crc.sum()).as_bytes()].concat();
            let files: [(&str, &[u8]); 2] =
                [("checkpoints/step-000001/manifest.txt", &manifest), ("checkpoints/step-000001/state.json", b"{}")];
            with_files(&files, |run| drop(checkpoint::last(run)));
        }
    }
});
