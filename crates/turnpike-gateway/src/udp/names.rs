//! The names that an association sends to: each is resolved once, and a few datagrams may wait for that.

use std::collections::HashMap;
use std::net::IpAddr;

/// Names remembered per association.
const NAMES: usize = 256;

/// Names being resolved at a time.
const ASKED: usize = 16;

/// Datagrams that wait for one name, and bytes that wait in all.
const WAITING: usize = 16;
const WAITING_BYTES: usize = 128 * 1024;

#[derive(Debug, Default)]
pub(super) struct Names {
    names: HashMap<String, Name>,
    asked: usize,
    waiting_bytes: usize,
}

#[derive(Debug)]
enum Name {
    Known(IpAddr),
    Asked(Vec<(u16, Box<[u8]>)>),
}

impl Names {
    /// What a name was resolved to.
    pub(super) fn address(&self, name: &str) -> Option<IpAddr> {
        match self.names.get(name) {
            Some(Name::Known(address)) => Some(*address),
            _ => None,
        }
    }

    /// Keeps a datagram for a port of `name` until that is resolved, or drops it. Says whether it is to be resolved now.
    pub(super) fn wait(&mut self, name: &str, port: u16, datagram: &[u8]) -> bool {
        let has_room = self.waiting_bytes + datagram.len() <= WAITING_BYTES;
        if let Some(Name::Asked(waiting)) = self.names.get_mut(name) {
            if has_room && waiting.len() < WAITING {
                waiting.push((port, datagram.into()));
                self.waiting_bytes += datagram.len();
            }
            return false;
        }
        if !has_room || self.asked >= ASKED {
            return false;
        }
        if self.names.len() >= NAMES {
            self.forget();
        }
        self.asked += 1;
        self.waiting_bytes += datagram.len();
        let waiting = vec![(port, datagram.into())];
        self.names.insert(name.to_owned(), Name::Asked(waiting));
        true
    }

    /// Enters what has come of a name, and gives back what has waited for it.
    pub(super) fn resolved(&mut self, name: &str, address: Option<IpAddr>) -> Vec<(u16, Box<[u8]>)> {
        let Some(Name::Asked(waited)) = self.names.remove(name) else {
            return Vec::new();
        };
        self.asked -= 1;
        self.waiting_bytes -= waited.iter().map(|(_, datagram)| datagram.len()).sum::<usize>();
        if let Some(address) = address {
            self.names.insert(name.to_owned(), Name::Known(address));
        }
        waited
    }

    /// Forgets what is known.
    pub(super) fn forget(&mut self) {
        self.names.retain(|_, name| matches!(name, Name::Asked(_)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn a_name_is_asked_for_once_and_what_waited_comes_out_in_order() {
        let mut names = Names::default();
        assert!(names.wait("a", 1, b"first"));
        assert!(!names.wait("a", 2, b"second"));
        let waited = names.resolved("a", Some(HERE));
        assert_eq!(waited, [(1, b"first"[..].into()), (2, b"second"[..].into())]);
        assert_eq!(names.address("a"), Some(HERE));
        names.forget();
        assert_eq!(names.address("a"), None);
        assert!(names.wait("a", 1, b"again"));
        assert_eq!(names.resolved("a", None).len(), 1);
        assert_eq!(names.address("a"), None);
        assert!(names.wait("a", 1, b"a failure is not remembered"));
    }

    #[test]
    fn what_waits_is_bounded_in_every_way() {
        let mut names = Names::default();
        for _ in 0..100 {
            names.wait("a", 1, b"x");
        }
        let asked = (0..100)
            .filter(|number| names.wait(&format!("n{number}"), 1, b"x"))
            .count();
        assert_eq!(asked, ASKED - 1, "and the one before");
        assert_eq!(names.resolved("a", None).len(), WAITING);
        assert!(names.wait("long", 1, &[0; 65_507]));
        for _ in 0..10 {
            names.wait("long", 1, &[0; 65_507]);
        }
        assert!(names.waiting_bytes <= WAITING_BYTES);
        assert_eq!(names.resolved("long", None).len(), 2);
        for number in 0..100 {
            names.resolved(&format!("n{number}"), None);
        }
        assert_eq!((names.waiting_bytes, names.asked), (0, 0));
    }

    #[test]
    fn names_known_are_bounded() {
        let mut names = Names::default();
        for number in 0..1_000 {
            let name = format!("n{number}");
            assert!(names.wait(&name, 1, b"x"));
            names.resolved(&name, Some(HERE));
            assert!(names.names.len() <= NAMES);
        }
        assert_eq!(names.address("n999"), Some(HERE));
    }
}
