//! sslocal of shadowsocks-rust, by those who wrote the methods of 2022.

use std::process::Command;

use testbed::client::{curled, sslocal};
use testbed::turnpike::Subscription;

use crate::links::Shadowsocks;
use crate::world::{EXIT, World};
use testbed::Running;

/// What fits into a packet of Ethernet, and more.
const LENGTHS: &[usize] = &[1, 2, 100, 512, 1_200, 1_350, 1_472, 1_473, 8_193, 30_000];

/// The longest payload of UDP over IPv4.
const LONGEST_DATAGRAM: usize = 65_507;

/// Of what each answer's sender takes, an IPv4 address and a port; and of every tag.
const SENDER: usize = 1 + 4 + 2;
const TAG: usize = 16;

/// A subscription, and the client with these arguments, of the user's port apart.
fn configured(arguments: impl FnOnce(&Subscription) -> Vec<String>) -> Option<(World, Running)> {
    let program = sslocal()?;
    let world = World::new();
    let arguments = arguments(&world.bought);
    let client = Running::start(|_, port| {
        let mut command = Command::new(program);
        // Both TCP and UDP.
        command.args(["-U", "-b", &format!("127.0.0.1:{port}")]).args(arguments);
        command
    });
    Some((world, client))
}

/// All that it is good for; `front` is what stands before the sender's address in the server's packets.
#[track_caller]
fn serves(front: usize, arguments: impl FnOnce(&Subscription) -> Vec<String>) {
    let Some((world, client)) = configured(arguments) else {
        return;
    };
    world.connects(&client);
    world.holds_many(&client);
    world.half_closes(&client);
    // The origin puts whom it has seen in front of what it sends back.
    let longest = LONGEST_DATAGRAM - front - SENDER - TAG - format!("{EXIT} ").len();
    world.exchanges(&client, &[LENGTHS, &[longest]].concat());
    assert_eq!(world.talks_to_many(&client), 1);
}

/// The same by a method that no link of the API's names, with the password as the API shows it.
#[track_caller]
fn serves_by(method: &str, salt: usize) {
    serves(salt, |bought| {
        let link = Shadowsocks::read(&bought.shadowsocks);
        let server = format!("{}:{}", link.host, link.port);
        let told = ["-s", &server, "-m", method, "-k", &bought.password];
        told.map(str::to_owned).to_vec()
    });
}

/// A link, as it is.
fn by_link(link: &str) -> Vec<String> {
    ["--server-url", link].map(str::to_owned).to_vec()
}

#[test]
fn the_link_of_2022_as_it_is() {
    // Session and number; type, time, the client's session, and the padding's length.
    serves(8 + 8 + 1 + 8 + 8 + 2, |bought| {
        assert!(bought.shadowsocks.starts_with("ss://2022-blake3-aes-128-gcm:"));
        by_link(&bought.shadowsocks)
    });
}

#[test]
fn the_subscription_urls_link_for_older_clients_as_it_is() {
    serves(32, |bought| {
        let url = format!("{}?format=links&protocol=shadowsocks-aead", bought.subscription_url);
        by_link(curled(&[&url]).trim_end())
    });
}

#[test]
fn chacha20() {
    serves_by("chacha20-ietf-poly1305", 32);
}

#[test]
fn aes_256() {
    serves_by("aes-256-gcm", 32);
}

#[test]
fn aes_128() {
    serves_by("aes-128-gcm", 16);
}
