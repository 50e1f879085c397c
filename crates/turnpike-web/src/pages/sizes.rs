//! Sizes as people read them.

use super::texts::texts;

/// `1.2 GB`: powers of a thousand, as plans are sold by.
pub(crate) fn bytes(bytes: i64) -> String {
    let bytes = bytes.max(0);
    for (size, unit) in [
        (1_000_000_000_000, texts().terabytes),
        (1_000_000_000, texts().gigabytes),
        (1_000_000, texts().megabytes),
        (1_000, texts().kilobytes),
    ] {
        if bytes >= size {
            return format!("{}.{} {unit}", bytes / size, (bytes % size) * 10 / size);
        }
    }
    format!("{bytes} {}", texts().bytes)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_written_for_people() {
        for (number, text) in [
            (-1, "0 B"),
            (999, "999 B"),
            (1_990, "1.9 kB"),
            (5_000_000, "5.0 MB"),
            (i64::MAX, "9223372.0 TB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }
}
