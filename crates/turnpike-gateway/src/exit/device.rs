//! What a network device has: its addresses.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use if_addrs::{IfAddr, Interface};
use ipnet::IpNet;

use crate::dial::Families;

/// How long the list of all devices is used for dials; asking the kernel for it takes longer than a name that is cached.
const SNAPSHOT_AGE: Duration = Duration::from_secs(1);

/// The device of what leaves the machine by no other.
const LOOPBACK: &str = "lo";

/// One address of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeviceAddress {
    pub(super) address: IpAddr,
    /// The network that is directly behind it.
    pub(super) network: Option<IpNet>,
}

/// The addresses by which a device can reach anything; none where it is gone, down, or has link-local ones only.
pub(super) fn addresses(device: &str) -> Vec<DeviceAddress> {
    interfaces()
        .iter()
        .filter(|interface| is_of(interface, device))
        .map(|interface| DeviceAddress {
            address: interface.ip(),
            network: network(interface),
        })
        .collect()
}

/// The network that is directly behind one address of a device.
pub(super) fn network(interface: &Interface) -> Option<IpNet> {
    let prefix = match &interface.addr {
        IfAddr::V4(v4) => v4.prefixlen,
        IfAddr::V6(v6) => v6.prefixlen,
    };
    IpNet::new(interface.ip(), prefix).ok()
}

/// The families of which a device had an address a moment ago. Both where it had none: then binding to it must fail,
/// which says why.
pub(super) fn families(device: &str) -> Families {
    let mut families = Families { v4: false, v6: false };
    for interface in snapshot().iter().filter(|one| is_of(one, device)) {
        match interface.ip() {
            IpAddr::V4(_) => families.v4 = true,
            IpAddr::V6(_) => families.v6 = true,
        }
    }
    if families.v4 || families.v6 {
        families
    } else {
        Families { v4: true, v6: true }
    }
}

/// The devices that had this address a moment ago. What is set on loopback's leaves by any other, so that one is none.
pub(super) fn of_address(address: IpAddr) -> Vec<String> {
    let devices = snapshot();
    let own = devices.iter().filter(|one| one.ip() == address && one.name != LOOPBACK);
    own.map(|one| one.name.clone()).collect()
}

/// Whether `address` is directly behind some device, and not behind one of `own`. Where none of `own` is known, nothing
/// can be said.
pub(super) fn is_beside(address: IpAddr, own: &[String]) -> bool {
    is_beside_among(&snapshot(), address, own)
}

fn is_beside_among(devices: &[Interface], address: IpAddr, own: &[String]) -> bool {
    let behind: Vec<&Interface> = devices
        .iter()
        .filter(|one| one.is_oper_up() && network(one).is_some_and(|network| network.contains(&address)))
        .collect();
    !own.is_empty() && !behind.is_empty() && !behind.iter().any(|one| own.contains(&one.name))
}

fn is_of(interface: &Interface, device: &str) -> bool {
    interface.name == device && !interface.is_link_local() && interface.is_oper_up()
}

/// Every address of this machine.
pub(super) fn interfaces() -> Vec<Interface> {
    if_addrs::get_if_addrs().unwrap_or_default()
}

/// All devices of this machine, at most a second old. The machine has them once, whatever gateways run in the process.
fn snapshot() -> Arc<[Interface]> {
    static LAST: Mutex<Option<(Instant, Arc<[Interface]>)>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    match last.as_ref() {
        Some((at, devices)) if at.elapsed() < SNAPSHOT_AGE => Arc::clone(devices),
        _ => {
            let devices: Arc<[Interface]> = interfaces().into();
            *last = Some((Instant::now(), Arc::clone(&devices)));
            devices
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use if_addrs::{IfOperStatus, Ifv4Addr};

    use super::*;

    fn interface(name: &str, ip: [u8; 4], prefixlen: u8) -> Interface {
        let net = ipnet::Ipv4Net::new(ip.into(), prefixlen).unwrap();
        Interface {
            name: name.to_owned(),
            addr: IfAddr::V4(Ifv4Addr {
                ip: ip.into(),
                netmask: net.netmask(),
                prefixlen,
                broadcast: None,
            }),
            index: None,
            oper_status: IfOperStatus::Up,
            is_p2p: false,
        }
    }

    #[test]
    fn what_is_behind_another_device_is_beside_an_exit() {
        let devices = [
            interface("eth0", [192, 168, 1, 10], 24),
            interface("wan1", [192, 168, 8, 100], 24),
            interface("wan2", [192, 168, 8, 100], 24),
            interface("ppp0", [10, 64, 0, 7], 32),
        ];
        let is_beside = |address: [u8; 4], own: &[&str]| {
            let own: Vec<String> = own.iter().map(|&name| name.to_owned()).collect();
            is_beside_among(&devices, address.into(), &own)
        };
        let router = [192, 168, 1, 1];
        assert!(is_beside(router, &["wan1"]));
        assert!(is_beside(router, &["ppp0"]));
        assert!(!is_beside(router, &["eth0"]));
        assert!(!is_beside(router, &["wan1", "eth0"]), "an address may be on both");
        assert!(!is_beside(router, &[]), "an address of a prefix is on no device");
        // Modems of one make have the same network behind them.
        assert!(!is_beside([192, 168, 8, 1], &["wan1"]));
        assert!(!is_beside([192, 168, 8, 1], &["wan2"]));
        assert!(is_beside([192, 168, 8, 1], &["ppp0"]));
        // A carrier's name server is private and behind its carrier's device only.
        assert!(!is_beside([10, 0, 0, 53], &["ppp0"]));
        assert!(!is_beside([9, 9, 9, 9], &["wan1"]));
    }
}
