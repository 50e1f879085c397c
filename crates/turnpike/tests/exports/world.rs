//! A shop, and somebody who has bought a port in each of two networks.

use std::net::Ipv4Addr;

use testbed::authority::Authority;
use testbed::client::{curl, curled};
use testbed::dns::NameServer;
use testbed::origin::Origin;
use testbed::turnpike::{Builder, Subscription, Turnpike};
use testbed::{Running, eventually};

/// A name that only our name server knows: whoever reaches it had it resolved by the gateway.
pub(crate) const NAME: &str = "origin.example";

/// The protocols that every port speaks, as `?protocol=` names them.
pub(crate) const PROTOCOLS: [&str; 5] = ["vless", "shadowsocks", "shadowsocks-aead", "socks5", "http"];

pub(crate) struct World {
    pub(crate) shop: Turnpike,
    /// Each with the address of its exit, in the order in which profiles list them.
    pub(crate) bought: [(Subscription, &'static str); 2],
    /// The URL of the account, which leads to both.
    pub(crate) own_url: String,
    pub(crate) origin: Origin,
    _names: NameServer,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of(Turnpike::with())
    }

    /// Ports speak TLS, under a name that everybody here knows, with what this authority issues for that.
    pub(crate) fn with_tls(authority: &Authority) -> Self {
        authority.issue(&["localhost"], 2090);
        let builder = Turnpike::with().set("gateway.public_host", "\"localhost\"");
        let world = Self::of(builder.certified(authority));
        let has_tls = || {
            let told = world.shop.ask("subscriptions").expect_status(200).json();
            told["subscriptions"][0]["protocols"]["https"].is_string()
        };
        eventually("links tell of TLS", has_tls);
        world
    }

    fn of(builder: Builder) -> Self {
        let names = NameServer::knowing(&[(NAME, Ipv4Addr::LOCALHOST)]);
        let shop = builder
            .set("gateway.dns_servers", &format!("[\"{}\"]", names.address()))
            .network("NL-AMS")
            .pool("nl-1", &["127.0.0.11"])
            .network("DE-BER")
            .pool("de-1", &["127.0.0.21"])
            .start();
        let bought = [(shop.buy("NL-AMS"), "127.0.0.11"), (shop.buy("DE-BER"), "127.0.0.21")];
        Self {
            own_url: shop.subscription_url(),
            shop,
            bought,
            origin: Origin::http(),
            _names: names,
        }
    }

    /// The origin by its name.
    pub(crate) fn named_url(&self) -> String {
        format!("http://{NAME}:{}/", self.origin.address().port())
    }

    /// Whoever uses this client leaves by this address, to the origin by its address and by its name.
    #[track_caller]
    pub(crate) fn leaves_by(&self, client: &Running, address: &str) {
        for scheme in ["http", "socks5h"] {
            let proxy = format!("{scheme}://{}", client.socks());
            for url in [&self.origin.url("/"), &self.named_url()] {
                assert_eq!(curled(&["--proxy", &proxy, url]), address, "{scheme} {url}");
            }
        }
    }

    /// Nothing gets out through this client, not even past the proxy.
    #[track_caller]
    pub(crate) fn lets_nothing_out(&self, client: &Running) {
        let before = self.origin.visits().len();
        for scheme in ["http", "socks5h"] {
            let proxy = format!("{scheme}://{}", client.socks());
            let output = curl(&["--fail", "--proxy", &proxy, &self.origin.url("/")]);
            assert!(
                !output.status.success() || output.stdout.is_empty(),
                "{scheme}: {output:?}"
            );
        }
        assert_eq!(self.origin.visits().len(), before);
    }

    /// From now on nothing is live.
    pub(crate) fn suspend(&self) {
        self.shop.run(&["account", "suspend", &self.shop.email]);
    }
}

/// What a URL gives in a format.
#[track_caller]
pub(crate) fn loaded(url: &str, query: &str) -> String {
    curled(&["--fail", &format!("{url}?{query}")])
}
