//! What a network device has: its addresses.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use if_addrs::{IfAddr, Interface};
use ipnet::IpNet;

use crate::dial::Families;

/// How long the list of all devices is used for dials; asking the kernel for it takes longer than a name that is cached.
const SNAPSHOT_AGE: Duration = Duration::from_secs(1);

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
