//! Numbers and times as sentences have them.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_numbers_read_as_people_say_them() {
        assert_eq!([42.3, 200.0, 18420.0].map(duration), ["42s", "3m20s", "5h07m"]);
        assert_eq!([0, 1, 2].map(|number| counted(number, "picture")), ["0 pictures", "1 picture", "2 pictures"]);
    }
}
