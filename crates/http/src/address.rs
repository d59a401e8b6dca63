//! Whose request it is: the client's address by the trusted-proxy rule.
//!
//! Headers that name an address are believed only when the connection comes from a trusted network:
//! anybody else could write them.

use hyper::{HeaderMap, header::HeaderName};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `X-Forwarded-For`
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `X-Real-IP`
pub const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// `X-Forwarded-Host`
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// `X-Forwarded-Proto`
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The networks whose word on addresses is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Trusts these networks and no other.
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> TrustedProxies {
        TrustedProxies(networks)
    }

    /// Reads `10.0.0.0/8`, `2001:db8::/32` or a single address.
    ///
    /// # Errors
    /// With the text that is no network, and what one looks like.
    pub fn parse<S: AsRef<str>>(networks: &[S]) -> Result<TrustedProxies, String> {
        let one = |text: &S| {
            let text = text.as_ref().trim();
            text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
                format!("{text:?} is not a network such as 10.0.0.0/8, or an address such as 10.0.0.7")
            })
        };
        networks.iter().map(one).collect::<Result<_, _>>().map(TrustedProxies)
    }

    /// Whether `address` lies in a trusted network. IPv4 seen through an IPv6 socket is IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|net| net.contains(&address))
    }

    /// The client's address: from a trusted peer the first public entry of `X-Forwarded-For`, then of
    /// `X-Real-IP`, then of `Forwarded`; otherwise, and when none of them has one, the peer itself.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if self.0.is_empty() || !self.contains(peer) {
            return peer.to_canonical();
        }
        let entries = |name: &HeaderName| first_public(headers, name, |entry| Some(entry));
        entries(&X_FORWARDED_FOR)
            .or_else(|| entries(&X_REAL_IP))
            .or_else(|| first_public(headers, &hyper::header::FORWARDED, forwarded_for))
            .unwrap_or_else(|| peer.to_canonical())
    }
}

/// Whether a request was passed on by somebody: then a peer on loopback is a proxy, not a local user.
#[must_use]
pub fn was_forwarded(headers: &HeaderMap) -> bool {
    [&X_FORWARDED_FOR, &X_REAL_IP, &hyper::header::FORWARDED, &hyper::header::VIA]
        .into_iter()
        .any(|name| headers.contains_key(name))
}

/// Whether the client's own connection was encrypted, as the last proxy of those in front says: the last entry is the
/// one that no client can write. To be believed of a trusted peer only.
#[must_use]
pub fn was_encrypted(headers: &HeaderMap) -> bool {
    let last = |name: &HeaderName| {
        let lists = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        lists.flat_map(|list| list.split(',')).last()
    };
    if let Some(proto) = last(&X_FORWARDED_PROTO) {
        return proto.trim().eq_ignore_ascii_case("https");
    }
    let element = last(&hyper::header::FORWARDED).unwrap_or_default();
    element.split(';').filter_map(|pair| pair.split_once('=')).any(|(name, value)| {
        name.trim().eq_ignore_ascii_case("proto")
            && value.trim().trim_matches('"').eq_ignore_ascii_case("https")
    })
}

fn first_public(
    headers: &HeaderMap,
    name: &HeaderName,
    entry: impl Fn(&str) -> Option<&str>,
) -> Option<IpAddr> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|part| address(entry(part)?))
        .find(|&a| is_public(a))
}

/// The `for=` of one element of a `Forwarded` header.
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value)
    })
}

/// An address as proxies write it: bare, with a port, in brackets, in quotes.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"').trim();
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let parsed =
        bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|with_port| with_port.ip()));
    parsed.map(|a: IpAddr| a.to_canonical())
}

/// Whether an address can be somebody's on the internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(a: Ipv4Addr) -> bool {
    let [first, second, third, _] = a.octets();
    let shared = first == 100 && (64..128).contains(&second); // carrier-grade NAT, RFC 6598
    let protocol = first == 192 && second == 0 && third == 0; // IETF assignments
    // Documentation networks (203.0.113.0/24 …) are nobody's, so taking them for public harms nobody and
    // lets examples be run as printed.
    let benchmark = first == 198 && (second == 18 || second == 19);
    !(a.is_private()
        || a.is_loopback()
        || a.is_link_local()
        || a.is_multicast()
        || first == 0
        || first >= 240
        || shared
        || protocol
        || benchmark)
}

fn is_public_v6(a: Ipv6Addr) -> bool {
    // Global unicast is 2000::/3; everything else is local, multicast, mapped or unassigned.
    a.segments()[0] & 0xe000 == 0x2000
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::{FORWARDED, HeaderValue};

    fn check(trusted: &[&str], peer: &str, headers: &[(HeaderName, &'static str)], want: &str) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_static(value));
        }
        let got = TrustedProxies::parse(trusted).unwrap().client(peer.parse().unwrap(), &map);
        assert_eq!(got, want.parse::<IpAddr>().unwrap(), "{trusted:?} {peer} {headers:?}");
    }

    #[test]
    fn only_a_trusted_peer_is_believed() {
        let sent = [(X_FORWARDED_FOR, "8.8.8.8")];
        check(&[], "10.0.0.1", &sent, "10.0.0.1");
        check(&["192.168.0.0/16"], "10.0.0.1", &sent, "10.0.0.1");
        check(&["10.0.0.0/8"], "10.0.0.1", &sent, "8.8.8.8");
        check(&["10.0.0.0/8"], "::ffff:10.0.0.1", &sent, "8.8.8.8");
        check(&["10.0.0.1"], "10.0.0.1", &sent, "8.8.8.8");
        check(&[], "::ffff:10.0.0.1", &sent, "10.0.0.1");
    }

    #[test]
    fn the_first_public_entry_counts() {
        let trusted = &["10.0.0.0/8", "fd00::/8"];
        for (headers, want) in [
            (&[(X_FORWARDED_FOR, "192.168.1.5, 8.8.8.8, 9.9.9.9")][..], "8.8.8.8"),
            (&[(X_FORWARDED_FOR, "unknown, 10.1.1.1"), (X_FORWARDED_FOR, "8.8.4.4:4711")], "8.8.4.4"),
            (&[(X_FORWARDED_FOR, "[2606:4700::1]:443")], "2606:4700::1"),
            (&[(X_FORWARDED_FOR, "2606:4700::1")], "2606:4700::1"),
            (&[(X_FORWARDED_FOR, "::ffff:8.8.8.8")], "8.8.8.8"),
            (&[(X_FORWARDED_FOR, "203.0.113.7")], "203.0.113.7"),
            (&[(X_FORWARDED_FOR, ""), (X_REAL_IP, "192.168.0.1, 1.1.1.1")], "1.1.1.1"),
            (&[(FORWARDED, "for=10.0.0.9;proto=http, For=\"[2606:4700::2]:80\";by=x")], "2606:4700::2"),
            (&[(X_REAL_IP, "1.1.1.1"), (FORWARDED, "for=8.8.8.8")], "1.1.1.1"),
            (&[(X_FORWARDED_FOR, "10.0.0.1, 100.64.1.1, 169.254.1.1, 127.0.0.1, fd00::1")], "10.0.0.1"),
            (&[], "10.0.0.1"),
        ] {
            check(trusted, "10.0.0.1", headers, want);
        }
    }

    #[test]
    fn the_last_proxy_says_whether_a_connection_is_encrypted() {
        for (headers, want) in [
            (&[][..], false),
            (&[(X_FORWARDED_PROTO, "https")], true),
            (&[(X_FORWARDED_PROTO, "HTTPS")], true),
            (&[(X_FORWARDED_PROTO, "http")], false),
            (&[(X_FORWARDED_PROTO, "https, http")], false),
            (&[(X_FORWARDED_PROTO, "https"), (FORWARDED, "proto=http")], true),
            (&[(FORWARDED, "for=1.2.3.4;proto=\"https\"")], true),
            (&[(FORWARDED, "for=1.2.3.4;proto=https, for=10.0.0.1")], false),
        ] {
            let headers: HeaderMap =
                headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
            assert_eq!(was_encrypted(&headers), want, "{headers:?}");
        }
    }

    #[test]
    fn a_bad_network_is_named() {
        let text = TrustedProxies::parse(&["10.0.0.0/8", "10.0.0.0/33"]).unwrap_err();
        assert!(text.contains("10.0.0.0/33"), "{text}");
    }
}
