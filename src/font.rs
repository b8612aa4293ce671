//! The typeface of plots, sheets and built-in digits.

/// DejaVu Sans, as a TrueType file.
pub(crate) static FONT: &[u8] = include_bytes!("../assets/DejaVuSans.ttf");
