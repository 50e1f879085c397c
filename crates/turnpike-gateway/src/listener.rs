//! One listening port: accept, hand over, refuse when full.
