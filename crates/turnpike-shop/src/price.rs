//! What an order costs.

use crate::catalogue::Discount;
use crate::types::{Cents, Quantity, RepeatCount};

/// A price and how it came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// Before the coupon.
    pub full: Cents,
    /// What the coupon takes off; never more than `full`.
    pub discount: Cents,
    /// What is paid.
    pub total: Cents,
}

/// Plan price x repeat x quantity, less the coupon: rounded in the customer's favour, never below zero.
/// Absent where the product is larger than money can be.
#[must_use]
pub fn of(unit: Cents, repeat: RepeatCount, quantity: Quantity, discount: Option<Discount>) -> Option<Price> {
    let full = unit.0.checked_mul(repeat.value())?.checked_mul(quantity.value())?;
    let discount = match discount {
        None => 0,
        Some(Discount::Fixed(cents)) => cents.0.clamp(0, full),
        Some(Discount::Percent(percent)) => share(full, percent.min(100)),
    };
    Some(Price {
        full: Cents(full),
        discount: Cents(discount),
        total: Cents(full - discount),
    })
}

/// So many per cent of `full`, the broken cent to the customer. Whole hundreds and the rest are taken apart, so that nothing
/// grows larger than `full`.
fn share(full: i64, percent: u8) -> i64 {
    let percent = i64::from(percent);
    let broken = (full % 100) * percent;
    let broken_up = broken / 100 + i64::from(broken % 100 > 0);
    (full / 100) * percent + broken_up
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's broken assumption should stop it")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same rule, the slow way: pay for each cent apart, in a wide type.
    fn naive(unit: i64, repeat: u64, quantity: u64, discount: Option<Discount>) -> Option<i64> {
        let full = (0..repeat * quantity).try_fold(0_i64, |sum, _| sum.checked_add(unit))?;
        let due_in_hundredths = match discount {
            None => i128::from(full) * 100,
            Some(Discount::Percent(percent)) => i128::from(full) * (100 - i128::from(percent)),
            Some(Discount::Fixed(cents)) => (i128::from(full) - i128::from(cents.0)) * 100,
        };
        i64::try_from(due_in_hundredths.max(0).div_euclid(100)).ok()
    }

    fn discounts() -> impl Strategy<Value = Option<Discount>> {
        prop_oneof![
            Just(None),
            (1_u8..=100).prop_map(|percent| Some(Discount::Percent(percent))),
            (1_i64..=2_000_000).prop_map(|cents| Some(Discount::Fixed(Cents(cents)))),
            (1_i64..=i64::MAX).prop_map(|cents| Some(Discount::Fixed(Cents(cents)))),
        ]
    }

    fn prices() -> impl Strategy<Value = i64> {
        prop_oneof![0_i64..=200, 0_i64..=1_000_000, (i64::MAX / 12_000)..=i64::MAX]
    }

    proptest! {
        #[test]
        fn a_price_is_what_the_naive_rule_says(
            unit in prices(),
            repeat in 1_u64..=100,
            quantity in 1_u64..=100,
            discount in discounts(),
        ) {
            let price = of(Cents(unit), repeat.try_into().unwrap(), quantity.try_into().unwrap(), discount);
            prop_assert_eq!(price.map(|price| price.total.0), naive(unit, repeat, quantity, discount));
        }

        #[test]
        fn a_price_is_its_full_price_less_its_discount_and_never_negative(
            unit in prices(),
            repeat in 1_u64..=100,
            discount in discounts(),
        ) {
            if let Some(price) = of(Cents(unit), repeat.try_into().unwrap(), Quantity::ONE, discount) {
                prop_assert!(price.total.0 >= 0 && price.discount.0 >= 0);
                prop_assert_eq!(price.total.0 + price.discount.0, price.full.0);
            }
        }
    }

    #[test]
    fn a_broken_cent_goes_to_the_customer() {
        let price = |unit, discount| {
            of(Cents(unit), RepeatCount::ONE, Quantity::ONE, Some(discount))
                .unwrap()
                .total
        };
        assert_eq!(price(999, Discount::Percent(10)), Cents(899));
        assert_eq!(price(1, Discount::Percent(1)), Cents(0));
        assert_eq!(price(1200, Discount::Percent(100)), Cents(0));
        assert_eq!(price(400, Discount::Fixed(Cents(500))), Cents(0));
    }
}
