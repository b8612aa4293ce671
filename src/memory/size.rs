//! Amounts of memory as people write them.

use crate::Error;
use std::{fmt, str::FromStr};

/// Bytes; text form `8GiB`, `512 MiB`, `6GB`, `8589934592`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemorySize(pub u64);

/// Units and their bytes; of those that begin alike the longer comes first.
const UNITS: [(&str, u64); 10] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("b", 1),
    ("", 1),
];

impl FromStr for MemorySize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let lower = text.trim().to_lowercase();
        let end = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
        let (number, unit) = (lower[..end].parse::<f64>(), lower[end..].trim());
        let unit = UNITS.iter().find(|(name, _)| *name == unit);
        match (number, unit) {
            // A bare 8 means GiB to the person who types it, and no one means eight bytes.
            (Ok(number), Some(&("", _))) if number < (1 << 20) as f64 => Err(without_unit(text)),
            (Ok(number), Some(&(_, bytes))) if number > 0.0 && number * (bytes as f64) < (1u64 << 62) as f64 => {
                Ok(Self((number * bytes as f64) as u64))
            }
            _ => Err(without_unit(text)),
        }
    }
}

fn without_unit(text: &str) -> Error {
    Error::usage(format!("\"{text}\" is not an amount of memory; write a number and a unit, such as 8GiB or 6000MB"))
}

impl fmt::Display for MemorySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&human(self.0))
    }
}

/// `1.25 GiB`, `310 MiB`, `98 KiB`.
pub fn human(bytes: u64) -> String {
    const GIB: f64 = (1u64 << 30) as f64;
    let bytes = bytes as f64;
    match bytes / GIB {
        gib if gib >= 1.0 => format!("{gib:.2} GiB"),
        gib if gib * 1024.0 >= 1.0 => format!("{:.0} MiB", gib * 1024.0),
        gib => format!("{:.0} KiB", gib * 1024.0 * 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_with_either_kind_of_unit() {
        for (text, bytes) in [("8GiB", 8 << 30), ("512 mib", 512 << 20), ("6GB", 6_000_000_000), ("1.5GiB", 3 << 29)] {
            assert_eq!(text.parse::<MemorySize>().unwrap(), MemorySize(bytes), "{text}");
        }
        assert_eq!("8589934592".parse::<MemorySize>().unwrap(), MemorySize(8 << 30));
        assert_eq!((human(5 << 28).as_str(), human(310 << 20).as_str()), ("1.25 GiB", "310 MiB"));
        assert_eq!(human(100_000), "98 KiB");
    }

    #[test]
    fn an_unreadable_amount_tells_the_form() {
        for text in ["", "8", "8 gigs", "GiB", "-1GiB", "0", "1..2GB", "9e99GiB", "99999999999TiB"] {
            let message = text.parse::<MemorySize>().unwrap_err().to_string();
            assert!(message.contains("such as 8GiB"), "{text}: {message}");
        }
    }
}
