//! PROXY headers: sound, cut short, malicious.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn named(source: &str, destination: &str) -> Option<Endpoints> {
    Some(Endpoints { source: source.parse().unwrap(), destination: destination.parse().unwrap() })
}

fn v2(version_command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([version_command, family]);
    bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    bytes.extend(body);
    bytes
}

const V4_BODY: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0x1f, 0x90, 0, 80];

fn v4_with(tlvs: &[u8]) -> Vec<u8> {
    v2(0x21, 0x11, &[&V4_BODY[..], tlvs].concat())
}

/// Every header here is sound.
fn sound() -> Vec<(Vec<u8>, Option<Endpoints>)> {
    let v4 = named("192.0.2.1:8080", "198.51.100.2:80");
    let v6 = named("[2001:db8::1]:1", "[2001:db8::2]:65535");
    let mut v6_body = Vec::new();
    for address in ["2001:db8::1", "2001:db8::2"] {
        v6_body.extend(address.parse::<std::net::Ipv6Addr>().unwrap().octets());
    }
    v6_body.extend([0, 1, 255, 255]);
    vec![
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 8080 80\r\n".to_vec(), v4),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n".to_vec(), v6),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (b"PROXY UNKNOWN what ever ffff:: 1 2 3\r\n".to_vec(), None),
        (b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n".to_vec(), named("0.0.0.0:0", "0.0.0.0:0")),
        (v2(0x21, 0x11, &V4_BODY), v4),
        (v2(0x21, 0x21, &v6_body), v6),
        (v2(0x20, 0x00, b""), None),
        (v2(0x20, 0x11, b"rubbish that LOCAL says to skip"), None),
        (v2(0x21, 0x00, b""), None),
        (v2(0x21, 0x00, b"\x01\xff\xff ignored"), None),
        (v2(0x21, 0x12, &V4_BODY), None),
        (v2(0x21, 0x31, &[b'/'; 216]), None),
        (v4_with(b"\x01\x00\x02h2\x02\x00\x00"), v4),
        (v4_with(&[&b"\x04\x0f\x00"[..], &[0; 0xf00]].concat()), v4),
    ]
}

#[test]
fn sound_headers_parse_and_every_proper_prefix_is_incomplete() {
    for (header, endpoints) in sound() {
        for end in 0..header.len() {
            assert_eq!(parse(&header[..end]), Ok(Parsed::Incomplete), "{header:?} to {end}");
        }
        let length = header.len();
        for rest in [&b""[..], b"\r\n", b"GET / HTTP/1.1\r\n", b"PROXY UNKNOWN\r\n"] {
            let bytes = [&header[..], rest].concat();
            assert_eq!(parse(&bytes), Ok(Parsed::Header { length, endpoints }), "{header:?}");
        }
    }
}

#[test]
fn malicious_headers_are_refused() {
    for (bytes, expected) in [
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 8080 80\n\n".to_vec(), None),
        (b"PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n".to_vec(), Some(Malformed::Field("family"))),
        (b"PROXY tcp4 1.1.1.1 2.2.2.2 1 2\r\n".to_vec(), Some(Malformed::Field("family"))),
        (b"PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n".to_vec(), Some(Malformed::Field("family"))),
        (b"PROXY TCP4 ::1 2.2.2.2 1 2\r\n".to_vec(), Some(Malformed::Field("source address"))),
        (b"PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n".to_vec(), Some(Malformed::Field("source address"))),
        (b"PROXY TCP6 1.1.1.1 ::2 1 2\r\n".to_vec(), Some(Malformed::Field("source address"))),
        (b"PROXY TCP4 1.1.1.1 host 1 2\r\n".to_vec(), Some(Malformed::Field("destination address"))),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n".to_vec(), Some(Malformed::Field("source port"))),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n".to_vec(), Some(Malformed::Field("source port"))),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 02\r\n".to_vec(), Some(Malformed::Field("destination port"))),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n".to_vec(), Some(Malformed::Field("destination port"))),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n".to_vec(), Some(Malformed::Field("end"))),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n".to_vec(), Some(Malformed::Field("end"))),
        (b"PROXY TCP4 1.1.1.1\t2.2.2.2 1 2\r\n".to_vec(), Some(Malformed::Field("source address"))),
        (b"PROXY \xff\xfe\r\n".to_vec(), Some(Malformed::Field("text"))),
        ([&b"PROXY UNKNOWN "[..], &[b'a'; 93]].concat(), Some(Malformed::LineTooLong)),
        ([&b"PROXY UNKNOWN "[..], &[b'a'; 200], b"\r\n"].concat(), Some(Malformed::LineTooLong)),
        (v2(0x11, 0x11, &V4_BODY), Some(Malformed::Version(1))),
        (v2(0x31, 0x11, &V4_BODY), Some(Malformed::Version(3))),
        (v2(0x22, 0x11, &V4_BODY), Some(Malformed::Command(2))),
        (v2(0x21, 0x41, &V4_BODY), Some(Malformed::Family(0x41))),
        (v2(0x21, 0x13, &V4_BODY), Some(Malformed::Family(0x13))),
        (v2(0x21, 0x11, &V4_BODY[..11]), Some(Malformed::Addresses)),
        (v2(0x21, 0x21, &V4_BODY), Some(Malformed::Addresses)),
        (v2(0x21, 0x31, &V4_BODY), Some(Malformed::Addresses)),
        (v2(0x21, 0x11, &[0; 4097]), Some(Malformed::TooLong(4097))),
        (v4_with(b"\x01"), Some(Malformed::Tlv)),
        (v4_with(b"\x01\x00"), Some(Malformed::Tlv)),
        (v4_with(b"\x01\x00\x03h2"), Some(Malformed::Tlv)),
        (v4_with(b"\x01\xff\xffh2"), Some(Malformed::Tlv)),
        (v4_with(b"\x03\x00\x03abc"), Some(Malformed::Tlv)),
        (v4_with(b"\x03\x00\x04\0\0\0\0"), Some(Malformed::Checksum)),
    ] {
        let parsed = parse(&bytes);
        match expected {
            Some(malformed) => assert_eq!(parsed, Err(malformed), "{bytes:?}"),
            // Bare line feeds never end the line: it stays incomplete until it is too long.
            None => assert_eq!(parsed, Ok(Parsed::Incomplete), "{bytes:?}"),
        }
    }
}

#[test]
fn other_first_bytes_are_no_header() {
    for bytes in
        [&b"GET / HTTP/1.1\r\n"[..], b"PRI * HTTP/2.0\r\n", b"PROXI", b"\x16\x03\x01", b"\r\n\r\n\0\r\nQUIZ"]
    {
        assert_eq!(parse(bytes), Ok(Parsed::Absent), "{bytes:?}");
    }
}

#[test]
fn checksum_is_verified() {
    // The check value of CRC32c over "123456789" is 0xe3069283.
    let header = v4_with(b"\x03\x00\x04\0\0\0\0");
    let mut crc = u32::MAX;
    for byte in &header {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    let mut sound = header.clone();
    let end = sound.len();
    sound[end - 4..].copy_from_slice(&(!crc).to_be_bytes());
    assert!(matches!(parse(&sound), Ok(Parsed::Header { .. })));
    sound[20] ^= 1;
    assert_eq!(parse(&sound), Err(Malformed::Checksum));
}

const TRUSTED: &str = "10.1.2.3:999";
const STRANGER: &str = "192.0.2.9:999";

fn policy(mode: ProxyProtocolMode) -> ProxyProtocol {
    ProxyProtocol { mode, trusted: vec!["10.0.0.0/8".parse().unwrap()] }
}

async fn run(
    mode: ProxyProtocolMode,
    peer: &str,
    writes: &[&[u8]],
) -> Result<(Vec<u8>, Option<Endpoints>), ProxyProtocolError> {
    let (mut client, stream) = tokio::io::duplex(8192);
    let client = async move {
        for bytes in writes {
            client.write_all(bytes).await.unwrap();
            tokio::task::yield_now().await;
        }
        drop(client);
    };
    let server = async {
        let (mut stream, endpoints) =
            read_header(stream, peer.parse().unwrap(), &policy(mode), Duration::from_secs(5)).await?;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        Ok((rest, endpoints))
    };
    tokio::join!(client, server).1
}

#[tokio::test]
async fn nothing_after_the_header_is_eaten_at_any_split() {
    for (header, expected) in sound() {
        let bytes = [&header[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
        for split in (0..bytes.len()).filter(|split| *split < 300) {
            let (first, second) = bytes.split_at(split);
            let (rest, endpoints) =
                run(ProxyProtocolMode::Required, TRUSTED, &[first, second]).await.unwrap();
            assert_eq!((rest.as_slice(), endpoints), (&b"GET / HTTP/1.1\r\n\r\n"[..], expected));
        }
    }
}

#[tokio::test]
async fn mode_and_trust_decide() {
    use ProxyProtocolError::*;
    use ProxyProtocolMode::*;
    let header = b"PROXY TCP4 192.0.2.1 198.51.100.2 8080 80\r\n";
    for (mode, peer, bytes, expected) in [
        (Off, TRUSTED, &header[..], Ok((&header[..], false))),
        (Optional, TRUSTED, header, Ok((b"", true))),
        (Optional, TRUSTED, b"GET /", Ok((b"GET /", false))),
        (Optional, TRUSTED, b"", Ok((b"", false))),
        (Optional, STRANGER, header, Ok((header, false))),
        (Optional, "[::ffff:10.1.2.3]:1", header, Ok((b"", true))),
        (Required, TRUSTED, header, Ok((b"", true))),
        (Required, TRUSTED, b"GET /", Err(Missing)),
        (Required, TRUSTED, b"", Err(Ended)),
        (Required, TRUSTED, b"PROXY TCP4 ", Err(Ended)),
        (Required, STRANGER, header, Err(Untrusted("192.0.2.9".parse().unwrap()))),
        (Optional, TRUSTED, b"PROXY TCP9 \r\n", Err(Malformed(super::Malformed::Field("family")))),
    ] {
        let found = run(mode, peer, &[bytes]).await;
        let found = found.map(|(rest, endpoints)| (rest, endpoints.is_some()));
        let expected = expected.map(|(rest, named)| (rest.to_vec(), named));
        assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{mode:?} {peer} {bytes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn slow_header_is_cut() {
    for (mode, first, refused) in [
        (ProxyProtocolMode::Required, &b"PROXY TCP4 "[..], true),
        (ProxyProtocolMode::Required, b"", true),
        (ProxyProtocolMode::Optional, b"PROXY TCP4 ", true),
        (ProxyProtocolMode::Optional, b"", false),
    ] {
        let (mut client, stream) = tokio::io::duplex(64);
        client.write_all(first).await.unwrap();
        let begin = tokio::time::Instant::now();
        let result =
            read_header(stream, TRUSTED.parse().unwrap(), &policy(mode), Duration::from_secs(5)).await;
        assert_eq!(begin.elapsed().as_secs(), 5);
        assert_eq!(matches!(result, Err(ProxyProtocolError::Timeout)), refused, "{mode:?} {first:?}");
        drop(client);
    }
}

proptest::proptest! {
    #[test]
    fn never_panics_and_never_claims_more_than_there_is(bytes: Vec<u8>, which in 0..3_usize) {
        let start: &[u8] = [&b""[..], b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"][which];
        let bytes = [start, &bytes].concat();
        if let Ok(Parsed::Header { length, .. }) = parse(&bytes) {
            proptest::prop_assert!(length <= bytes.len());
        }
    }
}
