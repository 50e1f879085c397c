//! Lengths of time as operators write them: `30s`, `15m`, `72h`, `30d`.

use std::time::Duration;

/// Nothing here lasts longer; sums and products of such durations stay far below what fits a number of milliseconds.
const LONGEST_DAYS: u64 = 36_500;
const SECONDS_OF_A_DAY: u64 = 86_400;

/// The duration that `text` spells: a whole number and one of `s`, `m`, `h`, `d`. Absent where it spells none, or one beyond a
/// hundred years.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let number = text.strip_suffix(unit)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => SECONDS_OF_A_DAY,
        _ => return None,
    };
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds = number.parse::<u64>().ok()?.checked_mul(seconds)?;
    (seconds <= LONGEST_DAYS * SECONDS_OF_A_DAY).then(|| Duration::from_secs(seconds))
}

/// The same in words of the largest unit that fits evenly: `30d`, `90m`.
pub(crate) fn in_units(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (size, unit) = [(SECONDS_OF_A_DAY, "d"), (3_600, "h"), (60, "m")]
        .into_iter()
        .find(|(size, _)| seconds > 0 && seconds.is_multiple_of(*size))
        .unwrap_or((1, "s"));
    format!("{}{unit}", seconds / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit_is_a_duration_and_nothing_else_is() {
        for (text, seconds) in [
            ("0s", 0),
            ("30s", 30),
            ("15m", 900),
            ("72h", 259_200),
            ("30d", 2_592_000),
        ] {
            assert_eq!(parse(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "s",
            "30",
            "30x",
            "-1s",
            "+1s",
            "1.5h",
            " 1h",
            "1 h",
            "1h ",
            "1H",
            "1h30m",
            "36501d",
            "١h",
            "1ä",
            "99999999999999999999d",
            "999999999999999999d",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_duration_is_written_in_its_largest_even_unit() {
        for text in ["0s", "90s", "15m", "90m", "5h", "3d"] {
            assert_eq!(parse(text).map(in_units).as_deref(), Some(text));
        }
        assert_eq!(parse("72h").map(in_units).as_deref(), Some("3d"));
    }
}
