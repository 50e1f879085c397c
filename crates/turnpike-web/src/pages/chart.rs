//! Traffic by day: a picture made here, and the numbers beside it.

use turnpike_shop::traffic::Day;

use super::sizes::bytes;
use super::when::day;

/// The picture's measures, in its own units.
const WIDTH: i64 = 720;
const HEIGHT: i64 = 120;

/// A chart and its table.
pub(crate) struct Chart {
    pub(crate) bars: Vec<Bar>,
    pub(crate) days: Vec<Line>,
    pub(crate) total: String,
    pub(crate) is_empty: bool,
}

/// A day's bar: what came above what went.
pub(crate) struct Bar {
    pub(crate) x: i64,
    pub(crate) width: i64,
    pub(crate) down_y: i64,
    pub(crate) down_height: i64,
    pub(crate) up_y: i64,
    pub(crate) up_height: i64,
}

/// A day's numbers.
pub(crate) struct Line {
    pub(crate) day: String,
    pub(crate) up: String,
    pub(crate) down: String,
}

impl Chart {
    pub(crate) fn of(days: &[Day]) -> Self {
        let moved = |day: &Day| day.up.saturating_add(day.down);
        let most = days.iter().map(moved).max().unwrap_or(0);
        let step = WIDTH / i64::try_from(days.len().max(1)).unwrap_or(WIDTH).max(1);
        // A day with anything at all is seen.
        let height = |bytes: i64| match bytes {
            0 => 0,
            some => i64::try_from(i128::from(some) * i128::from(HEIGHT) / i128::from(most.max(1)))
                .unwrap_or(0)
                .max(1),
        };
        let bars = days.iter().zip(0_i64..).map(|(day, number)| {
            let (up_height, down_height) = (height(day.up), height(day.down));
            Bar {
                x: number * step + 2,
                width: (step - 4).max(1),
                up_y: HEIGHT - up_height,
                up_height,
                down_y: HEIGHT - up_height - down_height,
                down_height,
            }
        });
        let total = days.iter().map(moved).fold(0, i64::saturating_add);
        Self {
            bars: bars.collect(),
            days: days
                .iter()
                .rev()
                .map(|one| Line {
                    day: day(one.start),
                    up: bytes(one.up),
                    down: bytes(one.down),
                })
                .collect(),
            total: bytes(total),
            is_empty: most == 0,
        }
    }
}
