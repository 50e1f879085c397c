//! Which program asks, told by its User-Agent, and the format that it reads.

use http::HeaderValue;

use super::format::Format;

/// What programs say of themselves, in lower case, and what they read. The first that fits counts: many name others, whose formats
/// they read as well.
const AGENTS: [(&str, Format); 24] = [
    // "NekoBox/Android/1.3 (Prefer ClashMeta Format)" says it outright; sing-box is inside, but reads no profile by itself.
    ("prefer clashmeta", Format::Clash),
    // sing-box for Android, iOS, macOS and tvOS: "SFA/1.12.0 (Build 500; sing-box 1.12.0)". They are the system's VPN.
    ("sfa/", Format::SingBoxTun),
    ("sfi/", Format::SingBoxTun),
    ("sfm/", Format::SingBoxTun),
    ("sft/", Format::SingBoxTun),
    // "HiddifyNext/2.1.5 (android) like ClashMeta v2ray sing-box": built on the last. It has a VPN of its own.
    ("hiddify", Format::SingBox),
    ("karing", Format::SingBox),
    ("sing-box", Format::SingBox),
    ("singbox", Format::SingBox),
    // "clash-verge/v2.4", "ClashX", "FlClash/0.8", "clash.meta/1.19", "Stash/3.1 Clash/1.9".
    ("clash", Format::Clash),
    ("mihomo", Format::Clash),
    ("stash", Format::Clash),
    // Lists of links, in base64.
    ("v2ray", Format::Base64),
    ("shadowrocket", Format::Base64),
    ("v2box", Format::Base64),
    ("streisand", Format::Base64),
    ("happ", Format::Base64),
    ("quantumult", Format::Base64),
    ("loon", Format::Base64),
    ("nekoray", Format::Base64),
    ("nekobox", Format::Base64),
    // Outline's keys name one server, by a method from before 2022.
    ("outline", Format::Outline),
    // "shadowsocks-rust/1.25", "ShadowsocksX-NG", "Shadowsocks/5.3 Android".
    ("shadowsocks", Format::Sip008),
    // People, who look: all browsers begin so. Last, since some programs do too.
    ("mozilla/", Format::Links),
];

/// The format for whoever says this; base64, which most clients read, where nobody known does.
pub(super) fn format(agent: Option<&HeaderValue>) -> Format {
    let said = agent
        .map(|agent| String::from_utf8_lossy(agent.as_bytes()).to_ascii_lowercase())
        .unwrap_or_default();
    AGENTS
        .iter()
        .find(|(word, _)| said.contains(word))
        .map_or(Format::Base64, |(_, format)| *format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_get_what_they_read() {
        for (agent, expected) in [
            (
                "SFA/1.12.4 (Build 582; sing-box 1.12.4; language en_US)",
                Format::SingBoxTun,
            ),
            (
                "SFI/1.11.4 (Build 1; sing-box 1.11.4; language de_DE)",
                Format::SingBoxTun,
            ),
            ("SFM/1.12.4 (Build 1; sing-box 1.12.4)", Format::SingBoxTun),
            ("sing-box 1.14.4", Format::SingBox),
            (
                "HiddifyNext/2.1.5 (android) like ClashMeta v2ray sing-box",
                Format::SingBox,
            ),
            ("Karing/1.2.7.1201 (android) sing-box", Format::SingBox),
            ("NekoBox/Android/1.3.8 (Prefer ClashMeta Format)", Format::Clash),
            ("NekoRay/4.0 (Prefer ClashMeta Format)", Format::Clash),
            ("clash-verge/v2.4.2", Format::Clash),
            ("clash.meta/v1.19.13", Format::Clash),
            ("mihomo/1.19.13", Format::Clash),
            ("ClashX Pro/1.118.0", Format::Clash),
            ("Stash/3.1.0 Clash/1.9.0", Format::Clash),
            ("FlClash/v0.8.87", Format::Clash),
            ("v2rayN/7.12", Format::Base64),
            ("v2rayNG/1.10.5", Format::Base64),
            ("Shadowrocket/2070 CFNetwork/1410.0.3 Darwin/22.6.0", Format::Base64),
            ("Outline/1.14 iOS", Format::Outline),
            ("shadowsocks-rust/1.25.0", Format::Sip008),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                Format::Links,
            ),
            ("curl/7.88.1", Format::Base64),
            ("Python-urllib/3.11", Format::Base64),
            ("", Format::Base64),
        ] {
            assert_eq!(format(HeaderValue::from_str(agent).ok().as_ref()), expected, "{agent}");
        }
        assert_eq!(format(None), Format::Base64);
        assert_eq!(
            format(HeaderValue::from_bytes(b"\xff\xfe").ok().as_ref()),
            Format::Base64
        );
    }
}
