//! Redeeming coupons.
