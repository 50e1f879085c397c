//! HTTP proxy sessions (RFC 9110, 9112): CONNECT, forwarding, upgrade.
