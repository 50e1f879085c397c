//! What a network device has: its addresses.

use std::net::IpAddr;

use ipnet::IpNet;

/// One address of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeviceAddress {
    pub(crate) address: IpAddr,
    /// The network that the device says is directly behind it.
    pub(crate) network: Option<IpNet>,
}

/// The addresses by which a device can reach anything; none where it is gone, down, or has link-local ones only.
pub(crate) fn addresses(device: &str) -> Vec<DeviceAddress> {
    let Ok(interfaces) = if_addrs::get_if_addrs() else {
        return Vec::new();
    };
    interfaces
        .into_iter()
        .filter(|interface| interface.name == device && !interface.is_link_local())
        .filter(|interface| interface.oper_status != if_addrs::IfOperStatus::Down)
        .map(|interface| {
            let address = interface.ip();
            let prefix = match interface.addr {
                if_addrs::IfAddr::V4(v4) => v4.prefixlen,
                if_addrs::IfAddr::V6(v6) => v6.prefixlen,
            };
            DeviceAddress {
                address,
                network: IpNet::new(address, prefix).ok(),
            }
        })
        .collect()
}
