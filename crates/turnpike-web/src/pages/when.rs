//! Times as people read them.

use turnpike_shop::types::{Span, UnixMillis};

use super::texts::texts;

/// `26 Nov 2026, 11:12 UTC`.
pub(crate) fn moment(at: UnixMillis) -> String {
    written(at, texts().moment)
}

/// `26 Nov 2026, 11:12:05 UTC`.
pub(crate) fn moment_exactly(at: UnixMillis) -> String {
    written(at, texts().moment_exactly)
}

/// `2026-11-26T11:12`, as a field for a date and a time holds it; in UTC.
pub(crate) fn field(at: UnixMillis) -> String {
    written(at, "%Y-%m-%dT%H:%M")
}

/// `26 Nov`.
pub(crate) fn day(at: UnixMillis) -> String {
    written(at, texts().of_the_year)
}

/// `2026-11-26T11:12:00Z`.
pub(crate) fn machine(at: UnixMillis) -> String {
    written(at, "%Y-%m-%dT%H:%M:%SZ")
}

/// `3 days`, `1 hour`, `12 min`: rounded down to the unit.
pub(crate) fn span(span: Span) -> String {
    let span = span.0.max(0);
    let units = [
        (Span::days(1).0, texts().one_day, texts().days),
        (Span::hours(1).0, texts().one_hour, texts().hours),
        (Span::minutes(1).0, texts().minutes, texts().minutes),
    ];
    for (size, one, many) in units {
        if span >= size {
            let count = span / size;
            return format!("{count} {}", if count == 1 { one } else { many });
        }
    }
    format!("{} {}", span / 1_000, texts().seconds)
}

fn written(at: UnixMillis, format: &str) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(
        // Beyond the year 9999, which no clock of ours shows.
        |_| "-".to_owned(),
        |at| {
            let month = usize::try_from(jiff::tz::Offset::UTC.to_datetime(at).month() - 1);
            let name = month.ok().and_then(|month| texts().months.split(' ').nth(month));
            at.strftime(&format.replace("%b", name.unwrap_or_default())).to_string()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_for_people() {
        assert_eq!(moment(UnixMillis(1_760_000_000_000)), "9 Oct 2025, 08:53 UTC");
        assert_eq!(
            moment_exactly(UnixMillis(1_760_000_000_000)),
            "9 Oct 2025, 08:53:20 UTC"
        );
        assert_eq!(day(UnixMillis(1_767_222_000_000)), "31 Dec");
        assert_eq!(day(UnixMillis(1_767_225_600_000)), "1 Jan");
        assert_eq!(moment(UnixMillis(i64::MAX)), "-");
        assert_eq!(machine(UnixMillis(1_760_000_000_000)), "2025-10-09T08:53:20Z");
        assert_eq!(span(Span::days(3)), "3 days");
        assert_eq!(span(Span::minutes(119)), "1 hour");
        assert_eq!(span(Span(-5)), "0 s");
    }
}
