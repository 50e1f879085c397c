//! Times as people read them.

use turnpike_shop::types::UnixMillis;

/// `26 Nov 2026, 11:12 UTC`.
pub(crate) fn moment(at: UnixMillis) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(
        // Beyond the year 9999, which no clock of ours shows.
        |_| "-".to_owned(),
        |at| at.strftime("%-d %b %Y, %H:%M UTC").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_for_people() {
        assert_eq!(moment(UnixMillis(1_760_000_000_000)), "9 Oct 2025, 08:53 UTC");
        assert_eq!(moment(UnixMillis(i64::MAX)), "-");
    }
}
