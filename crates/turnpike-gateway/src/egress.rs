//! May we dial this? The destination rule, judged on the address that is dialled.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// What the rule says of one address and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may be dialled.
    Allowed,
    /// It may not: the words say what it is ("a private address").
    Refused(&'static str),
}

/// Which destinations a gateway refuses. Everything that is not public unicast is refused, in every spelling.
#[derive(Debug, Clone)]
pub struct DestinationPolicy {
    allow: Vec<IpNet>,
    own: Vec<IpAddr>,
}

impl DestinationPolicy {
    /// Refuses everything that is not public, and `own`, but for what `allow` has.
    #[must_use]
    pub fn new(allow: Vec<IpNet>, own: Vec<IpAddr>) -> Self {
        Self { allow, own }
    }

    /// Judges one destination; `allow_smtp` opens port 25.
    #[must_use]
    pub fn judge(&self, destination: SocketAddr, allow_smtp: bool) -> Verdict {
        let _ = (destination, allow_smtp, &self.allow, &self.own);
        unimplemented!("helper W")
    }

    /// Judges a name before it is resolved.
    #[must_use]
    pub fn judge_name(&self, name: &str) -> Verdict {
        let _ = name;
        unimplemented!("helper W")
    }
}
