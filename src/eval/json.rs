//! Reports as JSON: scores by name, null where there is none, and a row of a matrix on one line.

use crate::files::{plain_cause, write_atomic};
use crate::{Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Serializer;
use serde_json::ser::{Formatter, PrettyFormatter};
use std::io::{self, Write};
use std::path::Path;

/// Scores by name, in order.
pub(super) type Named = serde_json::Map<String, serde_json::Value>;

pub(super) fn named<'a>(names: impl Iterator<Item = &'a str>, scores: &[Option<f64>]) -> Named {
    names.zip(scores).map(|(name, score)| (name.to_string(), (*score).into())).collect()
}

pub(super) fn nan_if_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// Writes a report, in full or not at all.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(path: impl AsRef<Path>, report: &impl Serialize) -> Result<()> {
    write_atomic(path, |writer| {
        let layout = RowsOnLines { pretty: PrettyFormatter::new(), arrays: 0 };
        report.serialize(&mut Serializer::with_formatter(&mut *writer, layout))?;
        writer.write_all(b"\n")
    })
}

/// Reads a report; `kind` says which, such as "a report of segeval".
///
/// # Errors
/// The file cannot be read or is no such report.
pub(super) fn read<T: DeserializeOwned>(path: impl AsRef<Path>, kind: &str) -> Result<T> {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path).map_err(|error| Error::file(path, plain_cause(&error)))?;
    serde_json::from_str(&text).map_err(|error| Error::file(path, format!("is not {kind}: {error}")))
}

/// serde_json's own layout for people, but an array inside another is one line: a number a line would make a million
/// lines of a confusion matrix of a thousand classes.
struct RowsOnLines {
    pretty: PrettyFormatter<'static>,
    /// How many arrays are open.
    arrays: usize,
}

impl Formatter for RowsOnLines {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.arrays += 1;
        if self.arrays > 1 { writer.write_all(b"[") } else { self.pretty.begin_array(writer) }
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.arrays -= 1;
        if self.arrays > 0 { writer.write_all(b"]") } else { self.pretty.end_array(writer) }
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        match (self.arrays > 1, first) {
            (false, _) => self.pretty.begin_array_value(writer, first),
            (true, true) => Ok(()),
            (true, false) => writer.write_all(b", "),
        }
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.pretty.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_a_matrix_is_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let report = serde_json::json!({ "a": { "b": null }, "rows": [[1, 2], [], [3]], "flat": [1, 2], "none": [] });
        write(&path, &report).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = [
            "{",
            "  \"a\": {",
            "    \"b\": null",
            "  },",
            "  \"rows\": [",
            "    [1, 2],",
            "    [],",
            "    [3]",
            "  ],",
            "  \"flat\": [",
            "    1,",
            "    2",
            "  ],",
            "  \"none\": []",
            "}",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        assert_eq!(read::<serde_json::Value>(&path, "a report").unwrap(), report);
    }
}
