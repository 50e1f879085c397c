//! socks4
