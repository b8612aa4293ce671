//! Checks of one configuration key: what its type cannot say.

use crate::size::Resolution;
use std::fmt::Display;

/// Smallest side of an image: at output stride 16 it leaves a 2×2 feature map.
const MIN_SIDE: usize = 32;

/// An invalid key, with its message.
#[derive(Debug)]
pub struct Problem {
    /// Dotted key at fault.
    pub key: &'static str,
    /// `key = value: what is wrong; what would do`.
    pub message: String,
}

/// What came out of a check.
pub type Checked = Result<(), Problem>;

/// A problem with a key.
pub fn problem(key: &'static str, value: impl Display, message: impl Display) -> Problem {
    Problem { key, message: format!("{key} = {value}: {message}") }
}

pub fn ensure(ok: bool, key: &'static str, value: impl Display, must: impl Display) -> Checked {
    if ok { Ok(()) } else { Err(problem(key, value, must)) }
}

pub fn at_least(minimum: usize, key: &'static str, value: usize) -> Checked {
    ensure(value >= minimum, key, value, format_args!("must be at least {minimum}"))
}

pub fn between(smallest: usize, largest: usize, key: &'static str, value: usize) -> Checked {
    at_least(smallest, key, value)?;
    ensure(value <= largest, key, value, format_args!("must be at most {largest}"))
}

/// Far above any network in use; keeps a slip of the keyboard from asking for more memory than there is.
pub const MAX_CHANNELS: usize = 8192;

pub fn probability(key: &'static str, value: f32) -> Checked {
    ensure((0.0..=1.0).contains(&value), key, value, "must be between 0 and 1")
}

pub fn positive(key: &'static str, value: f64) -> Checked {
    ensure(value.is_finite() && value > 0.0, key, value, "must be a number above 0")
}

pub fn not_negative(key: &'static str, value: f64) -> Checked {
    ensure(value.is_finite() && value >= 0.0, key, value, "must be 0 or more")
}

pub fn size(key: &'static str, size: Resolution) -> Checked {
    let Resolution { height, width } = size;
    let small = height < MIN_SIDE || width < MIN_SIDE;
    ensure(!small, key, format!("\"{size}\""), format_args!("must be at least {MIN_SIDE}x{MIN_SIDE}"))?;
    let large = height > Resolution::MAX_SIDE || width > Resolution::MAX_SIDE;
    ensure(!large, key, format!("\"{size}\""), format_args!("must be at most {0}x{0}", Resolution::MAX_SIDE))
}

pub fn channels(key: &'static str, list: &[usize]) -> Checked {
    let ok = (1..=16).contains(&list.len()) && list.iter().all(|value| (1..=MAX_CHANNELS).contains(value));
    let message = format_args!("must be a list of 1 to 16 whole numbers, each from 1 to {MAX_CHANNELS}");
    ensure(ok, key, format!("{list:?}"), message)
}

/// A choice as the file has it.
pub fn said(choice: impl serde::Serialize) -> String {
    toml::Value::try_from(choice).map_or_else(|_| String::new(), |value| value.to_string())
}
