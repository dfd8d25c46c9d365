//! Numbers and addresses as text, without the formatting machinery: a line holds a dozen of them.

use std::io::Write;
use std::net::SocketAddr;

/// Appends a number in decimal.
pub(super) fn decimal(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut begin = digits.len();
    for place in digits.iter_mut().rev() {
        // The remainder is below 10.
        *place = b'0' + (value % 10) as u8;
        begin -= 1;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(begin..).unwrap_or_default());
}

/// Appends `10.0.0.1:80` or `[::1]:80`.
pub(super) fn address(out: &mut Vec<u8>, address: SocketAddr) {
    let SocketAddr::V4(address) = address else {
        let _ = write!(out, "{address}");
        return;
    };
    let mut separator = None;
    for octet in address.ip().octets() {
        out.extend(separator);
        decimal(out, octet.into());
        separator = Some(b'.');
    }
    out.push(b':');
    decimal(out, address.port().into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_display_writes() {
        for value in [0, 1, 9, 10, 99, 100, 12_345, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            decimal(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
        }
        for text in ["0.0.0.0:0", "255.255.255.255:65535", "10.2.30.4:8080", "[::1]:80", "[fe80::1%3]:1"] {
            let mut out = Vec::new();
            address(&mut out, text.parse().unwrap());
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
