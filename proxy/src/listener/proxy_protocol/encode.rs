//! Writing PROXY headers towards endpoints.

use std::net::{IpAddr, SocketAddr};

use model::SendProxyProtocol;

use super::parse::SIGNATURE;

/// Appends the header that names the client and where it connected to; nothing for `Off`. If the two are of
/// different families, both are written as IPv6 (IPv4 mapped).
pub fn encode(out: &mut Vec<u8>, version: SendProxyProtocol, source: SocketAddr, destination: SocketAddr) {
    let (source_ip, destination_ip) = one_family(source.ip(), destination.ip());
    let source = SocketAddr::new(source_ip, source.port());
    let destination = SocketAddr::new(destination_ip, destination.port());
    match version {
        SendProxyProtocol::Off => {}
        SendProxyProtocol::V1 => encode_v1(out, source, destination),
        SendProxyProtocol::V2 => encode_v2(out, source, destination),
    }
}

fn one_family(source: IpAddr, destination: IpAddr) -> (IpAddr, IpAddr) {
    let (source, destination) = (source.to_canonical(), destination.to_canonical());
    if source.is_ipv4() == destination.is_ipv4() {
        return (source, destination);
    }
    let mapped = |ip| match ip {
        IpAddr::V4(ip) => IpAddr::V6(ip.to_ipv6_mapped()),
        IpAddr::V6(_) => ip,
    };
    (mapped(source), mapped(destination))
}

fn encode_v1(out: &mut Vec<u8>, source: SocketAddr, destination: SocketAddr) {
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let line = format!(
        "PROXY {family} {} {} {} {}\r\n",
        source.ip(),
        destination.ip(),
        source.port(),
        destination.port()
    );
    out.extend_from_slice(line.as_bytes());
}

fn encode_v2(out: &mut Vec<u8>, source: SocketAddr, destination: SocketAddr) {
    out.extend_from_slice(SIGNATURE);
    // Version 2, command PROXY; stream over IPv4 or IPv6; length of the addresses.
    let (family, length) = if source.is_ipv4() { (0x11, 12_u16) } else { (0x21, 36) };
    out.extend_from_slice(&[0x21, family]);
    out.extend_from_slice(&length.to_be_bytes());
    for ip in [source.ip(), destination.ip()] {
        match ip {
            IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
        }
    }
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
}
