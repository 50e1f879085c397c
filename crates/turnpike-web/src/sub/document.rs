//! A profile as all formats write it: its ports under labels of their own, and what is said of the whole.

use std::collections::HashSet;

use turnpike_shop::profile::{Extent, Profile, Standing};
use turnpike_shop::subscription::Subscription;

use crate::api::subscription::{label, subscription_url};
use crate::error::ApiError;

/// How much of an owner's note is shown.
const NOTE_LENGTH: usize = 40;

/// A profile that is being written.
pub(super) struct Document<'a> {
    /// What is written.
    pub(super) profile: &'a Profile,
    /// The live subscriptions, oldest first.
    pub(super) ports: Vec<Port<'a>>,
    /// Where customers reach the shop.
    pub(super) shop_url: &'a str,
    /// Where the profile itself was loaded from.
    pub(super) own_url: String,
}

/// A live subscription.
pub(super) struct Port<'a> {
    /// What it is called, as no other of the profile.
    pub(super) label: String,
    /// All that is known of it.
    pub(super) subscription: &'a Subscription,
}

impl<'a> Document<'a> {
    pub(super) fn new(profile: &'a Profile, shop_url: &'a str, token: &str) -> Self {
        let mut taken = HashSet::new();
        let ports = profile
            .live
            .iter()
            .map(|subscription| Port {
                label: unlike(&mut taken, described(subscription)),
                subscription,
            })
            .collect();
        Self {
            profile,
            ports,
            shop_url,
            own_url: subscription_url(shop_url, token),
        }
    }

    /// The shop, as people name it: the host of its URL.
    pub(super) fn shop(&self) -> &str {
        let bare = self.shop_url.split_once("://").map_or(self.shop_url, |(_, rest)| rest);
        bare.split('/').next().unwrap_or(bare)
    }

    /// What a client calls the whole.
    pub(super) fn title(&self) -> String {
        match (&self.profile.extent, self.ports.first()) {
            (Extent::Subscription(_), Some(port)) => format!("{} {}", self.shop(), port.label),
            _ => self.shop().to_owned(),
        }
    }

    /// What to tell a person where nothing can be used; absent where something can.
    pub(super) fn notice(&self) -> Option<String> {
        match (self.profile.standing, self.profile.ends_at) {
            (Standing::Live, _) => None,
            (Standing::Suspended, _) => Some(format!("Suspended: ask {}", self.shop())),
            (Standing::Ended, Some(_)) => Some(format!("Ended: renew at {}", self.shop())),
            (Standing::Ended, None) => Some(format!("Nothing to use: buy at {}", self.shop())),
        }
    }

    /// Refuses what takes TLS where no port has it.
    pub(super) fn needs_tls(&self, field: &str) -> Result<(), ApiError> {
        if self.ports.is_empty() || self.ports.iter().any(|port| port.subscription.tls.is_some()) {
            return Ok(());
        }
        Err(ApiError::Field {
            field: field.to_owned(),
            rule: "no port here has a certificate, so none speaks HTTPS; take http".to_owned(),
        })
    }
}

/// Its label, and the owner's note where there is one.
fn described(subscription: &Subscription) -> String {
    let label = label(subscription);
    let cleaned: String = subscription
        .user_note
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    let words: Vec<&str> = cleaned.split_whitespace().collect();
    let note: String = words.join(" ").chars().take(NOTE_LENGTH).collect();
    if note.is_empty() {
        label
    } else {
        format!("{label} - {}", note.trim_end())
    }
}

/// A name that has not been given before: with a number behind it where need be. Two gateways may have the same port.
fn unlike(taken: &mut HashSet<String>, name: String) -> String {
    let mut number = 1;
    let mut candidate = name.clone();
    while !taken.insert(candidate.clone()) {
        number += 1;
        candidate = format!("{name} ({number})");
    }
    candidate
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use turnpike_shop::subscription::Tls;
    use turnpike_shop::traffic::Total;
    use turnpike_shop::types::{AccountId, UnixMillis};

    use super::*;
    use crate::api::subscription::tests::sample;

    pub(in crate::sub) fn of_account(live: Vec<Subscription>) -> Profile {
        Profile {
            account: AccountId::try_from("a".repeat(24)).unwrap(),
            extent: Extent::Account,
            standing: if live.is_empty() {
                Standing::Ended
            } else {
                Standing::Live
            },
            ends_at: Some(UnixMillis(1_762_592_000_999)),
            live,
            traffic: Total { up: 3, down: 40 },
            allowed: None,
        }
    }

    /// A profile, written.
    pub(in crate::sub) fn written<T>(profile: &Profile, write: impl FnOnce(&Document<'_>) -> T) -> T {
        write(&Document::new(profile, "https://shop.example", "token"))
    }

    /// Two subscriptions with all that can make trouble: TLS and none, an IPv6 host, a note.
    pub(in crate::sub) fn two() -> Vec<Subscription> {
        let with_tls = Subscription {
            tls: Some(Tls {
                server_name: "proxy.example.com".to_owned(),
            }),
            user_note: String::new(),
            ..sample()
        };
        let by_ipv6 = Subscription {
            host: "2001:db8::1".to_owned(),
            port: 12_002,
            user_note: "=HYPERLINK(\"x\"),\r\n'ünï' #: {\u{2028}}".to_owned(),
            ..sample()
        };
        vec![with_tls, by_ipv6]
    }

    #[test]
    fn no_two_ports_have_the_same_label() {
        let noted = |note: &str| Subscription {
            user_note: note.to_owned(),
            ..sample()
        };
        let profile = of_account(vec![
            noted(""),
            noted(" (2)"),
            noted(""),
            noted(""),
            noted("a\n\tb\u{7f} "),
        ]);
        let labels = written(&profile, |document| {
            document.ports.iter().map(|port| port.label.clone()).collect::<Vec<_>>()
        });
        assert_eq!(
            labels,
            [
                "12001 - NL - Private",
                "12001 - NL - Private - (2)",
                "12001 - NL - Private (2)",
                "12001 - NL - Private (3)",
                "12001 - NL - Private - a b",
            ]
        );
    }

    #[test]
    fn a_note_is_cut_between_letters() {
        let profile = of_account(vec![Subscription {
            user_note: "ü".repeat(100),
            ..sample()
        }]);
        written(&profile, |document| {
            assert_eq!(
                document.ports[0].label.chars().count(),
                "12001 - NL - Private - ".len() + 40
            );
        });
    }
}
