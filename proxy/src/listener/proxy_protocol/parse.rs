//! Parsing of PROXY headers: pure, over the bytes that have arrived so far.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What the bytes so far are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Parsed {
    /// The beginning of a header; more bytes are needed.
    Incomplete,
    /// No header.
    Absent,
    /// A whole header.
    Header {
        /// Its bytes; what follows belongs to the client.
        length: usize,
        /// Whom it named, unless it leaves that to the connection.
        endpoints: Option<Endpoints>,
    },
}

/// The connection that the load balancer accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Endpoints {
    /// The client.
    pub source: SocketAddr,
    /// Where it connected to.
    pub destination: SocketAddr,
}

/// Bytes that begin like a header and go on otherwise.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Malformed {
    /// Version 1 without its end within 107 bytes.
    #[error("version 1 header is longer than 107 bytes")]
    LineTooLong,
    /// Version 1 with other fields than the specification's.
    #[error("version 1 header has a bad {0}")]
    Field(&'static str),
    /// The version nibble is not 2.
    #[error("binary header of version {0}")]
    Version(u8),
    /// Neither LOCAL nor PROXY.
    #[error("unknown command {0}")]
    Command(u8),
    /// Neither known family nor known transport.
    #[error("unknown family and transport {0:#04x}")]
    Family(u8),
    /// More than 4096 bytes after the fixed part.
    #[error("binary header of {0} bytes is longer than 4096")]
    TooLong(u16),
    /// The length does not hold the family's addresses.
    #[error("binary header is too short for its addresses")]
    Addresses,
    /// A type-length-value field runs over the end of the header.
    #[error("type-length-value field overruns the header")]
    Tlv,
    /// The header's CRC32c is wrong.
    #[error("checksum is wrong")]
    Checksum,
}

/// Looks at the bytes that have arrived so far.
///
/// # Errors
/// It is a header by its first bytes, but not sound.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Malformed> {
    if let Some(rest) = bytes.strip_prefix(SIGNATURE) {
        parse_v2(bytes, rest)
    } else if bytes.starts_with(V1) {
        parse_v1(bytes)
    } else if SIGNATURE.starts_with(bytes) || V1.starts_with(bytes) {
        Ok(Parsed::Incomplete)
    } else {
        Ok(Parsed::Absent)
    }
}

fn parse_v1(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let window = bytes.get(..MAX_V1).unwrap_or(bytes);
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() >= MAX_V1 { Err(Malformed::LineTooLong) } else { Ok(Parsed::Incomplete) };
    };
    let line = window.get(V1.len()..end).and_then(|line| std::str::from_utf8(line).ok());
    let line = line.ok_or(Malformed::Field("text"))?;
    let length = end + 2;
    let mut fields = line.split(' ');
    let family = fields.next();
    if family == Some("UNKNOWN") {
        // The rest of the line must be ignored.
        return Ok(Parsed::Header { length, endpoints: None });
    }
    let ipv4 = match family {
        Some("TCP4") => true,
        Some("TCP6") => false,
        _ => return Err(Malformed::Field("family")),
    };
    let source = address(fields.next(), ipv4).ok_or(Malformed::Field("source address"))?;
    let destination = address(fields.next(), ipv4).ok_or(Malformed::Field("destination address"))?;
    let source_port = port(fields.next()).ok_or(Malformed::Field("source port"))?;
    let destination_port = port(fields.next()).ok_or(Malformed::Field("destination port"))?;
    if fields.next().is_some() {
        return Err(Malformed::Field("end"));
    }
    let endpoints = Endpoints {
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    };
    Ok(Parsed::Header { length, endpoints: Some(endpoints) })
}

fn address(field: Option<&str>, ipv4: bool) -> Option<IpAddr> {
    let field = field?;
    if ipv4 {
        field.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
    } else {
        field.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
    }
}

/// Decimal without sign or leading zeros.
fn port(field: Option<&str>) -> Option<u16> {
    let field = field?;
    let plain = field.bytes().all(|byte| byte.is_ascii_digit()) && (field == "0" || !field.starts_with('0'));
    if plain { field.parse().ok() } else { None }
}

fn parse_v2(bytes: &[u8], rest: &[u8]) -> Result<Parsed, Malformed> {
    // Each byte is judged as soon as it is there: a wrong one does not make us wait for more.
    let Some(version_command) = rest.first() else { return Ok(Parsed::Incomplete) };
    if version_command >> 4 != 2 {
        return Err(Malformed::Version(version_command >> 4));
    }
    let local = match version_command & 0xf {
        0 => true,
        1 => false,
        command => return Err(Malformed::Command(command)),
    };
    let Some(family) = rest.get(1) else { return Ok(Parsed::Incomplete) };
    if family >> 4 > 3 || family & 0xf > 2 {
        return Err(Malformed::Family(*family));
    }
    let Some([high, low]) = rest.get(2..4) else { return Ok(Parsed::Incomplete) };
    let length = u16::from_be_bytes([*high, *low]);
    if usize::from(length) > MAX_V2 {
        return Err(Malformed::TooLong(length));
    }
    let Some(body) = rest.get(4..4 + usize::from(length)) else { return Ok(Parsed::Incomplete) };
    let total = SIGNATURE.len() + 4 + usize::from(length);
    if local {
        // The balancer's own health check: everything after the fixed part is to be discarded.
        return Ok(Parsed::Header { length: total, endpoints: None });
    }
    let (endpoints, fields) = match family {
        0x11 => v4(body).map(|(endpoints, rest)| (Some(endpoints), rest)),
        0x21 => v6(body).map(|(endpoints, rest)| (Some(endpoints), rest)),
        // Datagrams and UNIX sockets do not name the client of a TCP connection.
        _ => body.split_at_checked(address_length(*family)).map(|(_, rest)| (None, rest)),
    }
    .ok_or(Malformed::Addresses)?;
    // An unspecified family has no addresses, and what follows it is to be ignored.
    if family >> 4 != 0 {
        check_fields(bytes.get(..total).ok_or(Malformed::Addresses)?, fields)?;
    }
    Ok(Parsed::Header { length: total, endpoints })
}

fn address_length(family: u8) -> usize {
    match family >> 4 {
        1 => 12,
        2 => 36,
        3 => 216,
        _ => 0,
    }
}

fn v4(body: &[u8]) -> Option<(Endpoints, &[u8])> {
    let (source, rest) = body.split_first_chunk::<4>()?;
    let (destination, rest) = rest.split_first_chunk::<4>()?;
    endpoints(IpAddr::from(*source), IpAddr::from(*destination), rest)
}

fn v6(body: &[u8]) -> Option<(Endpoints, &[u8])> {
    let (source, rest) = body.split_first_chunk::<16>()?;
    let (destination, rest) = rest.split_first_chunk::<16>()?;
    endpoints(IpAddr::from(*source), IpAddr::from(*destination), rest)
}

fn endpoints(source: IpAddr, destination: IpAddr, rest: &[u8]) -> Option<(Endpoints, &[u8])> {
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let (destination_port, rest) = rest.split_first_chunk::<2>()?;
    let endpoints = Endpoints {
        source: SocketAddr::new(source, u16::from_be_bytes(*source_port)),
        destination: SocketAddr::new(destination, u16::from_be_bytes(*destination_port)),
    };
    Some((endpoints, rest))
}

/// Walks the type-length-value fields. None of them is believed, but they must fit, and a checksum must hold.
fn check_fields(header: &[u8], mut fields: &[u8]) -> Result<(), Malformed> {
    while !fields.is_empty() {
        let Some(([kind, high, low], rest)) = fields.split_first_chunk::<3>() else {
            return Err(Malformed::Tlv);
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, rest) = rest.split_at_checked(length).ok_or(Malformed::Tlv)?;
        if *kind == PP2_TYPE_CRC32C {
            let told = u32::from_be_bytes(value.try_into().map_err(|_| Malformed::Tlv)?);
            // The checksum was taken with its own four bytes zeroed.
            let before = header.len().checked_sub(rest.len() + 4).ok_or(Malformed::Tlv)?;
            let head = header.get(..before).ok_or(Malformed::Tlv)?;
            let bytes = head.iter().chain(&[0; 4]).chain(rest);
            if crc32c(bytes) != told {
                return Err(Malformed::Checksum);
            }
        }
        fields = rest;
    }
    Ok(())
}

/// CRC32c (RFC 4960 appendix B), bit by bit: headers are short and checksums in them rare.
fn crc32c<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
            crc = (crc >> 1) ^ carry;
        }
    }
    !crc
}

const V1: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longest version 1 header, its end included.
const MAX_V1: usize = 107;
/// Longest accepted version 2 body. The specification allows 65,535; load balancers send a few hundred.
const MAX_V2: usize = 4096;
const PP2_TYPE_CRC32C: u8 = 0x03;
