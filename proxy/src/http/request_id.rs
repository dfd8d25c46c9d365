//! Request IDs: random UUIDs (RFC 9562 §5.4), written without formatting machinery.

use bytes::Bytes;
use http::HeaderValue;

/// A new request ID.
pub(crate) fn generate() -> HeaderValue {
    // Version 4, variant 10: the rest is random.
    let random = fastrand::u128(..);
    let bits = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let mut text = [b'-'; 36];
    let mut nibbles = (0..32).rev().map(|place| ((bits >> (place * 4)) & 0xf) as u8);
    for (place, byte) in text.iter_mut().enumerate() {
        if matches!(place, 8 | 13 | 18 | 23) {
            continue;
        }
        let nibble = nibbles.next().unwrap_or_default();
        *byte = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    }
    HeaderValue::from_maybe_shared(Bytes::copy_from_slice(&text))
        .expect("hexadecimal digits and dashes are visible")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_like_a_random_uuid() {
        let (a, b) = (generate(), generate());
        assert_ne!(a, b);
        let text = a.to_str().unwrap();
        let groups: Vec<_> = text.split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12]);
        assert_eq!(text.as_bytes()[14], b'4');
        assert!(matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }
}
