//! Names that clients write in place of a destination, to say what follows inside the stream. They are nobody's: none is ever
//! resolved.

use crate::address::Host;

/// What such a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Magic {
    /// Many streams and datagrams in one: [`crate::mux`] (Xray writes it wherever the protocol has no command for that).
    Mux,
    /// Datagrams behind a request: [`crate::udp_over_tcp`], version 2 (sing-box, mihomo).
    UdpOverTcp,
    /// Datagrams at once: the same, version 1.
    UdpOverTcpV1,
    /// In a request for datagrams: each has an address of its own, [`crate::packetaddr`] (v2ray 5, sing-box).
    PacketAddr,
}

/// The names, as [`Host`] spells them.
const NAMES: [(&str, Magic); 4] = [
    ("v1.mux.cool", Magic::Mux),
    ("sp.v2.udp-over-tcp.arpa", Magic::UdpOverTcp),
    ("sp.udp-over-tcp.arpa", Magic::UdpOverTcpV1),
    ("sp.packet-addr.v2fly.arpa", Magic::PacketAddr),
];

impl Magic {
    /// Absent where the host is a host.
    #[must_use]
    pub fn of(host: &Host) -> Option<Self> {
        let Host::Name(name) = host else { return None };
        NAMES.iter().find(|(magic, _)| magic == name).map(|(_, magic)| *magic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_however_it_is_spelt_and_others_are_hosts() {
        let of = |name: &str| Host::from_field(name.as_bytes()).as_ref().and_then(Magic::of);
        assert_eq!(of("V1.Mux.Cool."), Some(Magic::Mux));
        assert_eq!(of("sp.v2.udp-over-tcp.arpa"), Some(Magic::UdpOverTcp));
        assert_eq!(of("sp.udp-over-tcp.arpa"), Some(Magic::UdpOverTcpV1));
        assert_eq!(of("sp.packet-addr.v2fly.arpa"), Some(Magic::PacketAddr));
        for host in ["mux.cool", "a.v1.mux.cool", "sp.mux.sing-box.arpa", "192.0.2.1"] {
            assert_eq!(of(host), None, "{host}");
        }
    }
}
