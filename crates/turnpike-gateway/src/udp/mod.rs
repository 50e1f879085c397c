//! UDP of SOCKS5 associations, on the subscription's own port number (RFC 1928 §7).
