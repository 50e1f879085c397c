//! Why somebody was refused, in words for the customer: what was wrong, and how to mend it.

use std::borrow::Cow;
use std::fmt;

use turnpike_wire::sniff::Guess;
use turnpike_wire::vless;

use crate::exit::DialError;
use crate::limits::Denied;

/// What somebody spoke, or seems to have spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Unknown,
    Http,
    Socks4,
    Socks5,
    Vless,
    Shadowsocks,
    Tls,
}

impl Protocol {
    /// In the order of the enum.
    pub(crate) const ALL: [Self; 7] = [
        Self::Unknown,
        Self::Http,
        Self::Socks4,
        Self::Socks5,
        Self::Vless,
        Self::Shadowsocks,
        Self::Tls,
    ];

    /// As records name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Http => "http",
            Self::Socks4 => "socks4",
            Self::Socks5 => "socks5",
            Self::Vless => "vless",
            Self::Shadowsocks => "shadowsocks",
            Self::Tls => "tls",
        }
    }
}

impl From<Guess> for Protocol {
    fn from(guess: Guess) -> Self {
        match guess {
            Guess::Vless { .. } => Self::Vless,
            Guess::Shadowsocks => Self::Shadowsocks,
            Guess::Tls => Self::Tls,
            Guess::Socks5 => Self::Socks5,
            Guess::Nothing => Self::Unknown,
        }
    }
}

/// Why somebody was refused. Nothing of what he sent is in it, and nothing of where he wanted to go but its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// No credentials were sent at all.
    NoPassword,
    WrongUser,
    WrongPassword,
    /// A SOCKS5 client that cannot log in by password.
    NoLoginOffered,
    /// Too many bad credentials from this address: they are not answered for a while.
    Throttled,
    /// A VLESS head with another id.
    WrongId,
    Version,
    Flow,
    Command,
    /// What may be Shadowsocks, and opens with no key of the subscription.
    WrongKey,
    /// The client's clock is so many seconds ahead of ours; negative for behind.
    Clock(i64),
    /// What a client says was sent before this gateway's start, when nothing was remembered of replays yet.
    JustStarted,
    Replay,
    TooManyStreams,
    /// Opens with the subscription's key, and is then not what it should be.
    BrokenSeal,
    /// Behind a good request: a chunk that does not open.
    BrokenChunk,
    /// The same: one that is longer than its method allows.
    LongChunk,
    /// It ended in the middle of a chunk or a frame.
    CutOff,
    /// What came in a stream of mux is no frame of it.
    MuxFrame,
    /// What came in a stream of datagrams is none.
    DatagramFrame,
    /// A datagram of a Shadowsocks session that is open, and does not open.
    BrokenDatagram,
    Malformed,
    /// The sentence says what is wrong with it.
    Request(Cow<'static, str>),
    /// The port or the gateway takes no more.
    Closing,
    /// The first bytes are none of the protocols'.
    UnknownProtocol,
    /// They ended before they were any.
    CutShort,
    /// TLS, where there is no certificate.
    NoTls,
    CertificateNotTrusted,
    NoCommonTls,
    TlsFailed,
    Limit(Denied),
    /// Too many connections that have not shown credentials.
    Strangers,
    /// The sentence says what kind of destination it was.
    Destination(Cow<'static, str>),
    /// The sentence says why the exit does not get out.
    Exit(String),
    NoUdp,
    TooManyAssociations,
    TooManyInside,
    /// A datagram that opens with no key, from where there is no association.
    StrangeDatagram,
    /// A SOCKS5 datagram from where there is no association.
    NoAssociation,
    Fragment,
}

impl Reason {
    /// Why a dial was refused by ourselves; absent where it only failed out there.
    pub(crate) fn of_dial(error: &DialError) -> Option<Self> {
        match error {
            DialError::Prohibited(sentence) => Some(Self::Destination(Cow::Owned(sentence.clone()))),
            DialError::ExitUnavailable { .. } => Some(Self::Exit(error.to_string())),
            DialError::NoUdp => Some(Self::NoUdp),
            _ => None,
        }
    }

    /// A word that does not change, for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NoPassword => "no_password",
            Self::WrongUser => "wrong_user",
            Self::WrongPassword => "wrong_password",
            Self::NoLoginOffered => "no_login_offered",
            Self::Throttled => "throttled",
            Self::WrongId => "wrong_id",
            Self::Version => "version",
            Self::Flow => "flow",
            Self::Command => "command",
            Self::WrongKey => "wrong_key",
            Self::Clock(_) => "clock",
            Self::JustStarted => "just_started",
            Self::Replay => "replay",
            Self::TooManyStreams => "too_many_streams",
            Self::BrokenSeal => "broken_seal",
            Self::BrokenChunk => "broken_chunk",
            Self::LongChunk => "long_chunk",
            Self::CutOff => "cut_off",
            Self::MuxFrame => "mux_frame",
            Self::DatagramFrame => "datagram_frame",
            Self::BrokenDatagram => "broken_datagram",
            Self::Malformed => "malformed",
            Self::Request(_) => "request",
            Self::Closing => "closing",
            Self::UnknownProtocol => "unknown_protocol",
            Self::CutShort => "cut_short",
            Self::NoTls => "no_tls",
            Self::CertificateNotTrusted => "certificate_not_trusted",
            Self::NoCommonTls => "no_common_tls",
            Self::TlsFailed => "tls_failed",
            Self::Limit(Denied::Connections(_)) => "connections",
            Self::Limit(Denied::Sources(_)) => "sources",
            Self::Limit(Denied::Traffic) => "traffic",
            Self::Strangers => "too_many_strangers",
            Self::Destination(_) => "destination",
            Self::Exit(_) => "exit",
            Self::NoUdp => "no_udp",
            Self::TooManyAssociations => "too_many_associations",
            Self::TooManyInside => "too_many_inside",
            Self::StrangeDatagram => "strange_datagram",
            Self::NoAssociation => "no_association",
            Self::Fragment => "fragment",
        }
    }

    /// How `turnpike_refusals_total` names its kind.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::NoPassword | Self::WrongUser | Self::WrongPassword | Self::NoLoginOffered | Self::Throttled => {
                "credentials"
            }
            Self::WrongId | Self::WrongKey | Self::UnknownProtocol | Self::NoTls => "unknown_protocol",
            Self::CutShort | Self::CutOff => "cut_short",
            Self::Version
            | Self::Flow
            | Self::Command
            | Self::BrokenSeal
            | Self::BrokenChunk
            | Self::LongChunk
            | Self::MuxFrame
            | Self::DatagramFrame
            | Self::Malformed
            | Self::Request(_) => "request",
            Self::Clock(_) | Self::JustStarted => "clock",
            Self::Replay => "replay",
            Self::TooManyStreams | Self::TooManyAssociations | Self::TooManyInside | Self::Closing => "busy",
            Self::CertificateNotTrusted | Self::NoCommonTls | Self::TlsFailed => "tls",
            Self::Limit(denied) => denied.reason(),
            Self::Strangers => "too_many",
            Self::Destination(_) => "destination",
            Self::Exit(_) => "exit",
            Self::NoUdp => "dial",
            Self::StrangeDatagram | Self::BrokenDatagram | Self::NoAssociation | Self::Fragment => "datagram",
        }
    }

    /// Whether anybody who finds the port can cause it, so that it may be noise.
    pub(super) fn is_noise(&self) -> bool {
        matches!(
            self.kind(),
            "unknown_protocol" | "cut_short" | "tls" | "datagram" | "too_many"
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPassword => {
                "no user name and password were sent: enter those of the subscription (with SOCKS4, user:password as the user). Chromium \
                 sends none with SOCKS5: use HTTP there"
            }
            Self::WrongUser => "the user name is not this subscription's: copy it again, and look whether the port is the right one",
            Self::WrongPassword => {
                "the user name is right and the password is not: copy the present one; new credentials end earlier ones"
            }
            Self::NoLoginOffered => {
                "the client does not offer to log in with a user name and a password: enter them, or use HTTP if it cannot \
                 (Chromium cannot with SOCKS5)"
            }
            Self::Throttled => {
                "more than ten wrong passwords came from this address within a minute, so that they are not answered any more: \
                 find the client that has an old one; the right one still works"
            }
            Self::WrongId => {
                "it is VLESS with another UUID: copy the vless link again; new credentials end earlier ones"
            }
            Self::Version => "the UUID is right, but the version of VLESS is not 0: use another client",
            Self::Flow => "the client asks for a flow: remove \"flow\" (xtls-rprx-vision) from its settings",
            Self::Command => "the client asks for something else than TCP or UDP, which is not served",
            Self::WrongKey => {
                "it opens with no key of this subscription: if it is Shadowsocks, copy password and method again (2022-blake3-aes-128-gcm \
                 takes the password with == behind it); new credentials end earlier ones"
            }
            Self::Clock(ahead) => {
                let (by, way) = (ahead.unsigned_abs(), if *ahead < 0 { "behind" } else { "ahead" });
                return write!(
                    f,
                    "the client's clock is {by} s {way}: set it right (by network time); Shadowsocks 2022 bears 30 s"
                );
            }
            Self::JustStarted => {
                "the gateway has just started, and takes nothing from before: connect again in half a minute"
            }
            Self::Replay => {
                "the same beginning has come before: somebody plays a recording, or something on the way repeats; a client that \
                 is sound need do nothing"
            }
            Self::TooManyStreams => "more than a thousand new connections a second: open fewer, or wait a minute",
            Self::BrokenSeal => {
                "it begins with the right key and goes on with what does not open: something on the way changes it, or the client is broken"
            }
            Self::BrokenChunk => {
                "the connection began well, and then a piece of it did not open: something on the way changes it, or the client is broken"
            }
            Self::LongChunk => {
                "the connection began well, and then had a piece of more than 16,383 bytes, which the older methods of Shadowsocks do not \
                 allow: use another client, or 2022-blake3-aes-128-gcm"
            }
            Self::CutOff => {
                "the connection ended in the middle of a piece: the client was ended, or something on the way has cut it; what was whole \
                 has been passed on"
            }
            Self::MuxFrame => {
                "what came inside is none of mux's frames: switch the client's mux (or XUDP) off, or use a newer client"
            }
            Self::DatagramFrame => {
                "what came inside is none of the datagrams that the client said it would send: use a newer client, or another way for UDP"
            }
            Self::BrokenDatagram => {
                "a datagram of an open Shadowsocks session does not open: something on the way changes it, or somebody has made it up"
            }
            Self::Malformed => "what came is not as the protocol has it: use another client, or a newer one",
            Self::Request(sentence) => sentence,
            Self::Closing => "the gateway is being stopped: connect again in a moment",
            Self::UnknownProtocol => {
                "the first bytes are neither HTTP, SOCKS, VLESS nor Shadowsocks: a scanner, or a program for something else than a proxy"
            }
            Self::CutShort => "it ended, or fell silent for ten seconds, before the request was whole: the client has given up, or its network is too slow",
            Self::NoTls => {
                "it is TLS, which this port does not speak: use http:// and not https:// for the proxy, and VLESS with security=none"
            }
            Self::CertificateNotTrusted => {
                "the client does not trust the certificate: use the host name that the links have, not an address, and see whether its \
                 clock and its certificate authorities are of today"
            }
            Self::NoCommonTls => "the client has no version or cipher of TLS that is spoken here (1.2 and 1.3): use a newer one",
            Self::TlsFailed => "the TLS handshake did not come to its end",
            Self::Limit(denied) => return denied.fmt(f),
            Self::Strangers => {
                "too many connections have shown no credentials yet, from this address or from everywhere: close those that are not used"
            }
            Self::Destination(sentence) => sentence,
            Self::Exit(sentence) => sentence,
            Self::NoUdp => "this subscription's exit does not carry UDP: switch to another network, or use TCP",
            Self::TooManyAssociations => "256 UDP associations are open: close some",
            Self::TooManyInside => "too many streams inside one connection: open fewer, or switch the client's mux off",
            Self::StrangeDatagram => {
                "a datagram opens with no key of this subscription: if it is Shadowsocks, copy password and method again; else it is a \
                 stranger's. Its address may be made up"
            }
            Self::NoAssociation => {
                "a SOCKS5 datagram came from an address that has no UDP association: the client must keep the TCP connection open, and \
                 both must leave its network by one address"
            }
            Self::Fragment => "the client cuts SOCKS5 datagrams into fragments, which are not put together: send smaller ones",
        })
    }
}

impl From<vless::Refused> for Reason {
    fn from(refused: vless::Refused) -> Self {
        match refused {
            vless::Refused::Version => Self::Version,
            vless::Refused::Flow => Self::Flow,
            vless::Refused::Command => Self::Command,
            vless::Refused::Address | vless::Refused::Addons => Self::Malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_clock_is_told_with_its_way() {
        assert!(
            Reason::Clock(-95)
                .to_string()
                .starts_with("the client's clock is 95 s behind:")
        );
        assert!(
            Reason::Clock(31)
                .to_string()
                .starts_with("the client's clock is 31 s ahead:")
        );
    }
}
