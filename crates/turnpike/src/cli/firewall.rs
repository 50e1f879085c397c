//! `turnpike firewall`: the rules that bring connections for all ports to one socket.

use std::net::IpAddr;

use anyhow::bail;

use super::Ended;
use super::output::print;
use crate::config::{Config, Gateway};

const EXAMPLES: &str = "\
Examples:
  turnpike firewall | nft -f -                          put the rules in force, in place of those before
  turnpike firewall > /etc/nftables.d/turnpike.nft      keep them for the next start of the machine
  nft delete table inet turnpike                        take them away";

const ABOUT: &str = "\
Print the nftables rules that gateway.listen_mode = \"redirect\" needs

They send connections for any port of gateway.ports, on the addresses of gateway.bind, to gateway.redirect_port, those that this machine \
makes to itself too, and touch nothing else. They replace what this command printed before: print them again when the configuration has \
changed.";

/// What `turnpike firewall` is told: nothing, the configuration has it all.
#[derive(Debug, clap::Args)]
#[command(about = ABOUT.split_once('\n').map_or(ABOUT, |(first, _)| first), long_about = ABOUT, after_help = EXAMPLES)]
pub(super) struct Args {}

pub(super) fn run(config: &Config) -> anyhow::Result<Ended> {
    let Some(to) = config.gateway.redirect_port else {
        bail!(
            "every port is listened on, so that there is nothing to redirect; \
             set gateway.listen_mode = \"redirect\" for one socket in place of {} of them",
            config.gateway.ports.len()
        );
    };
    print(&rules(&config.gateway, to))?;
    Ok(Ended::Well)
}

/// `dnat` to a port alone leaves the address as it was, which `redirect` would replace by the device's first one: then SOCKS would be
/// told another address than the client had dialled, and a listener on the second would hear nothing.
fn rules(gateway: &Gateway, to: u16) -> String {
    let (first, last) = (gateway.ports.start(), gateway.ports.end());
    let chain = |name: &str, hook: &str| {
        let rules: String = gateway
            .bind
            .iter()
            .map(|address| {
                format!(
                    "        {} tcp dport {first}-{last} dnat to :{to}\n",
                    destined_for(*address)
                )
            })
            .collect();
        format!("    chain {name} {{\n        type nat hook {hook}; policy accept;\n{rules}    }}\n")
    };
    format!(
        "# Made by `turnpike firewall`.\ntable inet turnpike\ndelete table inet turnpike\ntable inet turnpike {{\n{}{}}}\n",
        chain("arriving", "prerouting priority -100"),
        chain("from_here", "output priority -100")
    )
}

/// What packets for an address that is listened on have in common; what is only passed on is none of them.
fn destined_for(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) if address.is_unspecified() => "meta nfproto ipv4 fib daddr type local".to_owned(),
        IpAddr::V6(address) if address.is_unspecified() => "meta nfproto ipv6 fib daddr type local".to_owned(),
        IpAddr::V4(address) => format!("ip daddr {address}"),
        IpAddr::V6(address) => format!("ip6 daddr {address}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's broken assumption should stop it")]
mod tests {
    use super::*;

    #[test]
    fn rules_are_for_the_addresses_that_are_listened_on() {
        let gateway = Gateway {
            bind: ["0.0.0.0", "2001:db8::1"]
                .map(|address| address.parse().unwrap())
                .to_vec(),
            ports: 13_000..=14_000,
            ..Config::default().gateway
        };
        insta::assert_snapshot!(rules(&gateway, 12_000), @r"
        # Made by `turnpike firewall`.
        table inet turnpike
        delete table inet turnpike
        table inet turnpike {
            chain arriving {
                type nat hook prerouting priority -100; policy accept;
                meta nfproto ipv4 fib daddr type local tcp dport 13000-14000 dnat to :12000
                ip6 daddr 2001:db8::1 tcp dport 13000-14000 dnat to :12000
            }
            chain from_here {
                type nat hook output priority -100; policy accept;
                meta nfproto ipv4 fib daddr type local tcp dport 13000-14000 dnat to :12000
                ip6 daddr 2001:db8::1 tcp dport 13000-14000 dnat to :12000
            }
        }
        ");
    }
}
