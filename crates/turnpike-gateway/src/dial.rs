//! Resolving names once, caching, and dialling what the destination rule allows (RFC 8305).
