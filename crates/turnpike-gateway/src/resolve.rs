//! Names to addresses, per exit: cached, joined, bounded.
