//! SOCKS4, SOCKS4a and SOCKS5 sessions (RFC 1928, 1929).
