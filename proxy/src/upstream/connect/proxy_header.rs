//! The PROXY protocol header that is sent to endpoints (HAProxy's proxy-protocol.txt, 2.1 and 2.2).

use std::net::{IpAddr, SocketAddr};

use crate::upstream::pick::ProxySource;

/// The text form. No source, or addresses of different families: `UNKNOWN`.
pub(crate) fn v1(source: Option<ProxySource>) -> Vec<u8> {
    let Some((client, server)) = source.and_then(same_family) else {
        return b"PROXY UNKNOWN\r\n".to_vec();
    };
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (client.port(), server.port());
    format!("PROXY {family} {} {} {from} {to}\r\n", client.ip(), server.ip()).into_bytes()
}

/// The binary form. No source: command LOCAL, the proxy's own connection.
pub(crate) fn v2(source: Option<ProxySource>) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    let Some((client, server)) = source.and_then(same_family) else {
        // Version 2, LOCAL; family unspecified; no address bytes.
        header.extend([0x20, 0x00, 0x00, 0x00]);
        return header;
    };
    let (family, length) = if client.is_ipv4() { (0x11, 12u16) } else { (0x21, 36u16) };
    header.extend([0x21, family]);
    header.extend(length.to_be_bytes());
    for address in [client, server] {
        match address.ip() {
            IpAddr::V4(ip) => header.extend(ip.octets()),
            IpAddr::V6(ip) => header.extend(ip.octets()),
        }
    }
    header.extend(client.port().to_be_bytes());
    header.extend(server.port().to_be_bytes());
    header
}

/// Both ends in one family; an IPv4 address may travel as an IPv4-mapped IPv6 one.
fn same_family(source: ProxySource) -> Option<(SocketAddr, SocketAddr)> {
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (client, server) = (plain(source.client), plain(source.server));
    (client.is_ipv4() == server.is_ipv4()).then_some((client, server))
}

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn source(client: &str, server: &str) -> Option<ProxySource> {
        Some(ProxySource { client: client.parse().unwrap(), server: server.parse().unwrap() })
    }

    #[test]
    fn text_form() {
        assert_eq!(v1(source("1.2.3.4:5", "6.7.8.9:80")), b"PROXY TCP4 1.2.3.4 6.7.8.9 5 80\r\n");
        assert_eq!(v1(source("[::1]:5", "[::2]:80")), b"PROXY TCP6 ::1 ::2 5 80\r\n");
        assert_eq!(v1(source("[::ffff:1.2.3.4]:5", "6.7.8.9:80")), b"PROXY TCP4 1.2.3.4 6.7.8.9 5 80\r\n");
        assert_eq!(v1(source("[::1]:5", "6.7.8.9:80")), b"PROXY UNKNOWN\r\n");
        assert_eq!(v1(None), b"PROXY UNKNOWN\r\n");
    }

    #[test]
    fn binary_form() {
        let header = v2(source("1.2.3.4:5", "6.7.8.9:80"));
        assert_eq!(header[..12], SIGNATURE);
        assert_eq!(header[12..], [0x21, 0x11, 0, 12, 1, 2, 3, 4, 6, 7, 8, 9, 0, 5, 0, 80]);
        let header = v2(source("[::1]:5", "[::2]:80"));
        assert_eq!(header[12..16], [0x21, 0x21, 0, 36]);
        assert_eq!(header.len(), 16 + 36);
        assert_eq!(v2(None)[12..], [0x20, 0, 0, 0]);
    }
}
