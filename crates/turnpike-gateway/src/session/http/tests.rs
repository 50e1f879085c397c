//! Byte scripts.
