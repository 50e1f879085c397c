//! A shop, somebody who has bought something, and what they want to reach through their client.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};

use testbed::client::{curl, curled};
use testbed::dns::NameServer;
use testbed::eventually;
use testbed::origin::{Origin, pattern};
use testbed::turnpike::{Builder, Subscription, Turnpike};

use crate::socks::{Datagrams, connect};
use testbed::Running;

/// A name that only our name server knows: whoever reaches it had it resolved by the gateway.
pub(crate) const NAME: &str = "origin.example";

/// The exit that was bought, told by its address; and that of all exits of IPv6 on a machine that has only this one.
pub(crate) const EXIT: &str = "127.0.0.11";
const EXIT_V6: &str = "::1";

/// As much in each direction of a connection.
const BULK: usize = 64 * 1024 * 1024;

/// As many at once.
const TUNNELS: usize = 200;

pub(crate) struct World {
    pub(crate) shop: Turnpike,
    pub(crate) bought: Subscription,
    has_v6: bool,
    _names: NameServer,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of(Turnpike::with())
    }

    /// The same with a shop of this kind.
    pub(crate) fn of(with: Builder) -> Self {
        let has_v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        let addresses: &[&str] = if has_v6 { &[EXIT, EXIT_V6] } else { &[EXIT] };
        Self::with(with, &format!("addresses = {addresses:?}"), has_v6)
    }

    /// The same with this exit, as the catalogue has it. Nobody leaves by IPv6.
    pub(crate) fn by_exit(with: Builder, exit: &str) -> Self {
        Self::with(with, exit, false)
    }

    fn with(with: Builder, exit: &str, has_v6: bool) -> Self {
        let names = NameServer::knowing(&[(NAME, Ipv4Addr::LOCALHOST)]);
        let shop = with
            .set("gateway.dns_servers", &format!("[\"{}\"]", names.address()))
            .set("gateway.allow_destinations", "[\"127.0.0.0/8\", \"::1/128\"]")
            .network("NL-AMS")
            .exit("nl-1", &format!("{exit}\ndrain_seconds = 0"))
            .start();
        Self {
            bought: shop.buy("NL-AMS"),
            shop,
            has_v6,
            _names: names,
        }
    }

    /// The subscription with its present credentials.
    pub(crate) fn subscription(&self) -> Subscription {
        self.shop.subscription(&self.bought.id)
    }

    /// Everything that TCP is good for, by address and by name.
    #[track_caller]
    pub(crate) fn connects(&self, client: &Running) {
        let origin = Origin::http();
        let proxy = ["--proxy", &format!("socks5h://{}", client.socks())];
        let through = |url: &str| curled(&[&proxy[..], &[url]].concat());
        assert_eq!(through(&origin.url("/")), EXIT);
        assert_eq!(through(&format!("http://{NAME}:{}/", origin.address().port())), EXIT);
        if self.has_v6 {
            let origin = Origin::http_at(Ipv6Addr::LOCALHOST.into());
            assert_eq!(through(&origin.url("/")), EXIT_V6);
        }

        let bytes = pattern(BULK);
        let sent = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(sent.path(), &bytes).unwrap();
        let data = format!("@{}", sent.path().display());
        let posted = curl(&[&proxy[..], &["--data-binary", &data, &origin.url("/echo")]].concat());
        assert!(
            posted.stdout == bytes,
            "what was posted came back otherwise: {posted:.300?}"
        );
        let fetched = curl(&[&proxy[..], &[&origin.url(&format!("/bytes/{BULK}"))]].concat());
        assert!(fetched.stdout == bytes, "what was fetched came otherwise");
    }

    /// Many tunnels at once, each with data on its way.
    #[track_caller]
    pub(crate) fn holds_many(&self, client: &Running) {
        let echo = Origin::echo();
        let mut tunnels: Vec<_> = (0..TUNNELS).map(|_| connect(client.socks(), echo.address())).collect();
        let said = pattern(20_000);
        for tunnel in &mut tunnels {
            tunnel.write_all(&said).unwrap();
        }
        for tunnel in &mut tunnels {
            let mut heard = vec![0; said.len()];
            tunnel
                .read_exact(&mut heard)
                .unwrap_or_else(|error| panic!("{:?}: {error}", tunnel.local_addr()));
            assert!(heard == said);
        }
    }

    /// A user who finishes first hears all the same what is still to be said.
    #[track_caller]
    pub(crate) fn half_closes(&self, client: &Running) {
        let echo = Origin::echo();
        let mut tunnel = connect(client.socks(), echo.address());
        let said = pattern(20_000);
        tunnel.write_all(&said).unwrap();
        tunnel.shutdown(Shutdown::Write).unwrap();
        let mut heard = Vec::new();
        tunnel.read_to_end(&mut heard).unwrap();
        assert!(heard == said, "{} of {} bytes", heard.len(), said.len());
    }

    /// Datagrams of these lengths there and back.
    #[track_caller]
    pub(crate) fn exchanges(&self, client: &Running, lengths: &[usize]) {
        let origin = Origin::udp();
        let (from, datagrams) = (origin.address(), Datagrams::through(client));
        for length in lengths {
            let content = text(*length);
            let expected = [format!("{EXIT} ").as_bytes(), &content].concat();
            datagrams.answers("127.0.0.1", from.port(), &content, Some(from), &expected);
        }
        if self.has_v6 {
            let origin = Origin::udp_at(Ipv6Addr::LOCALHOST.into());
            let (from, datagrams) = (origin.address(), Datagrams::through(client));
            let expected = format!("{EXIT_V6} by IPv6");
            datagrams.answers("::1", from.port(), b"by IPv6", Some(from), expected.as_bytes());
        }
    }

    /// A datagram to a name, which the gateway resolves, arrives.
    #[track_caller]
    pub(crate) fn sends_by_name(&self, client: &Running) {
        let (origin, datagrams) = (Origin::udp(), Datagrams::through(client));
        datagrams.send(NAME, origin.address().port(), b"by name");
        eventually("it arrives", || origin.visitors() == [EXIT.parse::<IpAddr>().unwrap()]);
    }

    /// One socket of the user's talks to four, by address and by name; at how many ports they have seen it.
    #[track_caller]
    pub(crate) fn talks_to_many(&self, client: &Running) -> usize {
        let (named, datagrams) = (Origin::udp(), Datagrams::through(client));
        let expected = format!("{EXIT} by name");
        // Clients differ in whom they say that it is from: the name or its address.
        datagrams.answers(NAME, named.address().port(), b"by name", None, expected.as_bytes());
        talks_to_three(&datagrams, named)
    }

    /// The same with three by address, for who cannot write names.
    #[track_caller]
    pub(crate) fn talks_to_many_by_address(&self, client: &Running) -> usize {
        talks_to_three(&Datagrams::through(client), Origin::udp())
    }
}

impl Drop for World {
    /// Where a test fails, what the port has refused says why.
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A shop that does not answer either must not hide what the test has found.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                let reader = self.shop.key(&self.shop.email, &["--read-only"]);
                let refused = reader.ask(&format!("refusals&subscriptionId={}", self.bought.id));
                println!("what the port has refused: {refused:?}");
            }));
        }
    }
}

/// Talks to three more than `first`, in turn; at how many ports all of them have seen the socket.
#[track_caller]
fn talks_to_three(datagrams: &Datagrams, first: Origin) -> usize {
    let origins = [Origin::udp(), Origin::udp(), Origin::udp()];
    for round in ["one", "two"] {
        for origin in &origins {
            let (from, expected) = (origin.address(), format!("{EXIT} {round}"));
            datagrams.answers(
                "127.0.0.1",
                from.port(),
                round.as_bytes(),
                Some(from),
                expected.as_bytes(),
            );
        }
    }
    let visits = origins.iter().chain([&first]).flat_map(Origin::visits);
    let seen: HashSet<_> = visits.map(|visit| visit.from).collect();
    seen.len()
}

/// Printable bytes without repetition, since the origin looks at datagrams as text.
fn text(length: usize) -> Vec<u8> {
    pattern(length).into_iter().map(|byte| b'!' + byte % 94).collect()
}
