//! What a plan limits, and what a subscription has used of it.
//!
//! A subscription keeps what it has bought: a catalogue that changes does not change it, a renewal does. Limits of the moment
//! (connections, addresses, speed) are those of the plan that it was bought or renewed by last. Traffic adds up like time: each
//! order gives so much, what is left stays, and the whole is spent before the subscription has to be renewed.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::store::{Row, Value};
use crate::types::{RepeatCount, Span};

/// Bytes of the unit that plans sell traffic by.
pub const GIGABYTE: i64 = 1_000_000_000;

/// The least that a trial of a plan with a traffic limit gets, where the plan itself gives that much: its share by time may be
/// less than one page.
const LEAST_TRIAL_TRAFFIC: i64 = GIGABYTE / 10;

/// What may be used; each absent where there is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Client connections at a time.
    pub max_connections: Option<i64>,
    /// Addresses that clients connect from at about the same time; an IPv6 one is its /64.
    pub max_source_addresses: Option<i64>,
    /// Speed each way, all connections together, in millions of bits per second.
    pub mbit_per_second: Option<i64>,
    /// Bytes, both directions together: what one period of a plan gives, or all that a subscription has bought.
    pub traffic_bytes: Option<i64>,
}

impl Limits {
    /// From a row with the columns of a plan or a subscription.
    ///
    /// # Errors
    /// [`Error::Failed`] where a column is missing.
    pub(crate) fn read(row: &Row) -> Result<Self> {
        Ok(Self {
            max_connections: row.optional_int("max_connections")?,
            max_source_addresses: row.optional_int("max_source_addresses")?,
            mbit_per_second: row.optional_int("mbit_per_second")?,
            traffic_bytes: row.optional_int("traffic_bytes")?,
        })
    }

    /// For a statement: connections, addresses, speed, traffic.
    pub(crate) fn values(&self) -> [Value; 4] {
        [
            self.max_connections,
            self.max_source_addresses,
            self.mbit_per_second,
            self.traffic_bytes,
        ]
        .map(int_or_null)
    }

    /// The traffic of an order of so many periods.
    ///
    /// # Errors
    /// [`Error::Failed`] where it is beyond counting.
    pub(crate) fn traffic_of(&self, repeat: RepeatCount) -> Result<Option<i64>> {
        let Some(bytes) = self.traffic_bytes else {
            return Ok(None);
        };
        bytes.checked_mul(repeat.value()).map(Some).ok_or_else(|| {
            Error::Failed(format!(
                "{} times {bytes} bytes of traffic is beyond counting",
                repeat.value()
            ))
        })
    }

    /// The traffic of a trial: the share of the plan's that its time is of the plan's time, and no less than
    /// [`LEAST_TRIAL_TRAFFIC`] where the plan gives as much.
    #[must_use]
    pub fn traffic_of_trial(&self, trial: Span, duration: Span) -> Option<i64> {
        let whole = self.traffic_bytes?;
        let share = i128::from(whole) * i128::from(trial.0) / i128::from(duration.0.max(1));
        let share = i64::try_from(share).unwrap_or(whole);
        Some(share.max(LEAST_TRIAL_TRAFFIC).min(whole))
    }
}

pub(crate) fn int_or_null(value: Option<i64>) -> Value {
    value.map_or(Value::NullInt, Value::Int)
}

/// What a subscription has moved, as far as it has been recorded (a few seconds ago at most).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes from the customer, ever.
    pub bytes_up: i64,
    /// Bytes to the customer, ever.
    pub bytes_down: i64,
    /// Bytes of both that are not of the present allowance: moved while there was none.
    pub before: i64,
}

impl Usage {
    /// From a row with `bytes_up` and `bytes_down` (NULL where nothing was recorded yet) and `traffic_before`.
    ///
    /// # Errors
    /// [`Error::Failed`] where a column is missing.
    pub(crate) fn read(row: &Row) -> Result<Self> {
        Ok(Self {
            bytes_up: row.optional_int("bytes_up")?.unwrap_or(0),
            bytes_down: row.optional_int("bytes_down")?.unwrap_or(0),
            before: row.int("traffic_before")?,
        })
    }

    /// Bytes both ways, ever.
    #[must_use]
    pub fn moved(&self) -> i64 {
        self.bytes_up.saturating_add(self.bytes_down)
    }

    /// Bytes that count against the allowance; where there is none, all.
    #[must_use]
    pub fn used(&self) -> i64 {
        self.moved().saturating_sub(self.before).max(0)
    }

    /// What is left of the allowance; absent where there is none.
    #[must_use]
    pub fn left(&self, limits: &Limits) -> Option<i64> {
        Some(limits.traffic_bytes?.saturating_sub(self.used()).max(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_gets_its_share_by_time_and_enough_to_try() {
        for (gigabytes, trial, expected) in [
            (7_200, Span::hours(1), 10 * GIGABYTE),
            (1, Span::hours(1), LEAST_TRIAL_TRAFFIC),
            (1, Span::days(60), GIGABYTE),
        ] {
            let limits = Limits {
                traffic_bytes: Some(gigabytes * GIGABYTE),
                ..Limits::default()
            };
            assert_eq!(limits.traffic_of_trial(trial, Span::days(30)), Some(expected));
        }
        let small = Limits {
            traffic_bytes: Some(5),
            ..Limits::default()
        };
        assert_eq!(small.traffic_of_trial(Span::hours(1), Span::days(30)), Some(5));
        assert_eq!(Limits::default().traffic_of_trial(Span::hours(1), Span::days(30)), None);
    }

    #[test]
    fn what_is_left_is_never_less_than_nothing() {
        let limits = Limits {
            traffic_bytes: Some(10),
            ..Limits::default()
        };
        let usage = Usage {
            bytes_up: 8,
            bytes_down: 7,
            before: 3,
        };
        assert_eq!((usage.moved(), usage.used(), usage.left(&limits)), (15, 12, Some(0)));
        assert_eq!(usage.left(&Limits::default()), None);
    }
}
