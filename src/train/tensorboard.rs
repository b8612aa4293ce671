//! Event files that TensorBoard reads: `RUN/tensorboard/events.out.tfevents.<seconds>.infoseg`.
//!
//! A file is a row of records (length, its checksum, an `Event` message, its checksum: TensorFlow's `record_writer.h`);
//! checksums are CRC-32C, masked. Only those fields of `event.proto` and `summary.proto` that a run needs are written.

use crate::files::{make_folder, plain_cause};
use crate::{Error, Result};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// An open event file.
pub struct EventFile {
    path: PathBuf,
    file: File,
}

/// Most buckets of a histogram.
const BUCKETS: usize = 30;

impl EventFile {
    /// Begins a new file beside those of earlier parts of the run. What they say of steps after `first_step` is void.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(run: &Path, first_step: usize) -> Result<Self> {
        let folder = run.join("tensorboard");
        make_folder(&folder)?;
        // A run that is resumed within a second gets a name of its own all the same.
        let began = now() as u64;
        let name = |number: u32| folder.join(format!("events.out.tfevents.{began}.infoseg.{number}"));
        let path = (0..).map(name).find(|path| !path.exists()).expect("some number is unused");
        let file = File::create(&path).map_err(|cause| Error::file(&path, plain_cause(&cause)))?;
        let mut events = Self { path, file };
        events.event(0, |event| event.bytes(3, b"brain.Event:2"))?;
        if first_step > 0 {
            // SessionLog.START: steps from here on are made again.
            events.event(first_step + 1, |event| event.message(7, |log| log.integer(1, 1)))?;
        }
        Ok(events)
    }

    /// Numbers of a step, by tag.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn scalars(&mut self, step: usize, values: &[(String, f64)]) -> Result<()> {
        self.event(step, |event| {
            event.message(5, |summary| {
                for (tag, value) in values {
                    summary.message(1, |entry| {
                        entry.bytes(1, tag.as_bytes());
                        entry.float(2, *value as f32);
                    });
                }
            });
        })
    }

    /// An image `[height, width]`, encoded as PNG.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn picture(&mut self, step: usize, tag: &str, size: [usize; 2], png: &[u8]) -> Result<()> {
        self.event(step, |event| {
            event.message(5, |summary| {
                summary.message(1, |entry| {
                    entry.bytes(1, tag.as_bytes());
                    entry.message(4, |image| {
                        image.integer(1, size[0] as u64);
                        image.integer(2, size[1] as u64);
                        image.integer(3, 3); // RGB
                        image.bytes(4, png);
                    });
                });
            });
        })
    }

    /// How values are spread; those that are not finite are left out.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn histogram(&mut self, step: usize, tag: &str, values: &[f32]) -> Result<()> {
        let finite = || values.iter().filter(|value| value.is_finite()).map(|&value| f64::from(value));
        let (low, high) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low > high {
            return Ok(());
        }
        let width = ((high - low) / BUCKETS as f64).max(f64::MIN_POSITIVE);
        let mut counts = vec![0.0; BUCKETS];
        finite().for_each(|value| counts[(((value - low) / width) as usize).min(BUCKETS - 1)] += 1.0);
        let limits: Vec<f64> =
            (1..=BUCKETS).map(|i| if i == BUCKETS { high } else { low + width * i as f64 }).collect();
        self.event(step, |event| {
            event.message(5, |summary| {
                summary.message(1, |entry| {
                    entry.bytes(1, tag.as_bytes());
                    entry.message(5, |histogram| {
                        histogram.double(1, low);
                        histogram.double(2, high);
                        histogram.double(3, finite().count() as f64);
                        histogram.double(4, finite().sum());
                        histogram.double(5, finite().map(|value| value * value).sum());
                        histogram.doubles(6, &limits);
                        histogram.doubles(7, &counts);
                    });
                });
            });
        })
    }

    fn event(&mut self, step: usize, fill: impl FnOnce(&mut Message)) -> Result<()> {
        let mut event = Message::default();
        event.double(1, now());
        event.integer(2, step as u64);
        fill(&mut event);
        self.record(&event.0).map_err(|cause| Error::file(&self.path, plain_cause(&cause)))
    }

    fn record(&mut self, data: &[u8]) -> io::Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(data.len() + 16);
        record.extend(length);
        record.extend(masked(&length).to_le_bytes());
        record.extend(data);
        record.extend(masked(data).to_le_bytes());
        self.file.write_all(&record)
    }
}

/// Seconds since 1970: for people to read; nothing here is computed with it.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xA282_EAD8)
}

/// A protocol-buffer message.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u64, kind: u64) {
        self.varint(field << 3 | kind);
    }

    fn integer(&mut self, field: u64, value: u64) {
        self.key(field, 0);
        self.varint(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
    }

    fn float(&mut self, field: u64, value: f32) {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.key(field, 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }

    fn doubles(&mut self, field: u64, values: &[f64]) {
        let packed: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.bytes(field, &packed);
    }

    fn message(&mut self, field: u64, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(field, &inner.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_what_tensorflow_writes() {
        // The first record of any event file but for its time: from TensorBoard's own writer.
        let mut event = Message::default();
        event.double(1, 0.0);
        event.bytes(3, b"brain.Event:2");
        assert_eq!(event.0, b"\x09\0\0\0\0\0\0\0\0\x1a\x0dbrain.Event:2");
        assert_eq!(masked(b""), 0xA282_EAD8);
        let mut message = Message::default();
        message.integer(2, 300);
        assert_eq!(message.0, [0x10, 0xAC, 0x02]);
    }

    #[test]
    fn files_of_one_run_stand_beside_each_other() {
        let run = tempfile::tempdir().unwrap();
        for first_step in [0, 7] {
            let mut events = EventFile::create(run.path(), first_step).unwrap();
            events.scalars(1, &[("loss".into(), 0.5)]).unwrap();
            events.histogram(1, "empty", &[f32::NAN]).unwrap();
            events.histogram(1, "constant", &[2.0, 2.0]).unwrap();
        }
        assert_eq!(std::fs::read_dir(run.path().join("tensorboard")).unwrap().count(), 2);
    }
}
