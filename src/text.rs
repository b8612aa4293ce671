//! Numbers, times and foreign messages as sentences have them.

/// `42s`, `3m20s`, `5h07m`.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// `1 picture`, `2 pictures`.
pub fn counted(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// A message of the TOML reader, in one line and without the names of Rust's types.
pub(crate) fn plain_toml(message: &str) -> String {
    let mut message = message.trim().replace('\n', "; ");
    for (technical, words) in [
        ("expected usize", "expected a whole number, 0 or more"),
        ("expected u64", "expected a whole number, 0 or more"),
        ("expected u16", "expected a whole number from 0 to 65535"),
        ("expected u8", "expected a whole number from 0 to 255"),
        ("expected f32", "expected a number"),
        ("expected f64", "expected a number"),
        ("expected a sequence", "expected a list such as [1, 2]"),
        ("expected a boolean", "expected true or false"),
        ("expected path string", "expected a path in quotes"),
        ("expected a string", "expected text in quotes"),
    ] {
        message = message.replace(technical, words);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_numbers_read_as_people_say_them() {
        assert_eq!([42.3, 200.0, 18420.0].map(duration), ["42s", "3m20s", "5h07m"]);
        assert_eq!([0, 1, 2].map(|number| counted(number, "picture")), ["0 pictures", "1 picture", "2 pictures"]);
    }

    #[test]
    fn types_of_rust_are_not_named() {
        let message = plain_toml("invalid value: integer `300`, expected u8\n");
        assert_eq!(message, "invalid value: integer `300`, expected a whole number from 0 to 255");
    }
}
