//! What an order costs.
#![allow(unused_variables)]

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
    unimplemented!("S2")
}
