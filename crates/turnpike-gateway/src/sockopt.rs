//! `IP_BIND_ADDRESS_NO_PORT`, the one socket option that no safe crate offers.
