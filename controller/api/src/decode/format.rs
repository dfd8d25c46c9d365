//! Text formats: those that an OpenAPI schema may name, and Kubernetes' own name syntaxes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A `format` of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Byte,
    Date,
    DateTime,
    Ipv4,
    Ipv6,
    /// Integers of a smaller range than JSON's.
    Bounded {
        minimum: i64,
        maximum: i64,
    },
    /// Says something that the type says already, or that an API server does not check either.
    Unchecked,
}

impl Format {
    pub(super) fn named(name: &str) -> Option<Self> {
        let bounded = |minimum: i64, maximum: i64| Some(Self::Bounded { minimum, maximum });
        match name {
            "byte" => Some(Self::Byte),
            "date" => Some(Self::Date),
            "date-time" => Some(Self::DateTime),
            "ipv4" => Some(Self::Ipv4),
            "ipv6" => Some(Self::Ipv6),
            "int32" => bounded(i32::MIN.into(), i32::MAX.into()),
            "uint8" => bounded(0, u8::MAX.into()),
            "uint16" => bounded(0, u16::MAX.into()),
            "uint32" => bounded(0, u32::MAX.into()),
            "uint64" | "uint" => bounded(0, i64::MAX),
            "int64" | "double" | "float" | "password" => Some(Self::Unchecked),
            _ => None,
        }
    }

    /// Whether `text` has this format.
    pub(super) fn holds(self, text: &str) -> bool {
        match self {
            Self::Byte => is_base64(text),
            Self::Date => jiff::civil::Date::from_str(text).is_ok() && text.len() == 10,
            // RFC 3339 allows a space for the T; Kubernetes' time type does not.
            Self::DateTime => {
                text.as_bytes().get(10) == Some(&b'T') && jiff::Timestamp::from_str(text).is_ok()
            }
            Self::Ipv4 => Ipv4Addr::from_str(text).is_ok(),
            Self::Ipv6 => Ipv6Addr::from_str(text).is_ok(),
            Self::Bounded { .. } | Self::Unchecked => true,
        }
    }

    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Byte => "base64",
            Self::Date => "a date such as 2006-01-02",
            Self::DateTime => "a time such as 2006-01-02T15:04:05Z",
            Self::Ipv4 => "an IPv4 address",
            Self::Ipv6 => "an IPv6 address",
            Self::Bounded { .. } | Self::Unchecked => "a value of its type",
        }
    }
}

/// Base64 as Go's decoder takes it, which skips line breaks.
pub(super) fn is_base64(text: &str) -> bool {
    if text.contains(['\n', '\r']) {
        STANDARD.decode(text.replace(['\n', '\r'], "")).is_ok()
    } else {
        STANDARD.decode(text).is_ok()
    }
}

pub(super) fn is_ip(text: &str) -> bool {
    IpAddr::from_str(text).is_ok()
}

pub(super) fn is_cidr(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, bits)| {
        let width = match IpAddr::from_str(address) {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        bits.bytes().all(|byte| byte.is_ascii_digit()) && bits.parse::<u8>().is_ok_and(|bits| bits <= width)
    })
}

/// RFC 1123 label: at most 63 of `[a-z0-9-]`, alphanumeric at both ends.
pub(super) fn is_dns_label(text: &str) -> bool {
    text.len() <= 63 && is_dns_part(text)
}

/// RFC 1123 subdomain: labels (of any length) with dots between them, at most 253 bytes.
pub(super) fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_part)
}

/// Kubernetes' qualified name: `[subdomain/]name`, the name at most 63 of `[A-Za-z0-9_.-]`, alphanumeric at both ends.
pub(super) fn is_qualified_name(text: &str) -> bool {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    prefix.is_none_or(is_dns_subdomain) && is_name(name)
}

/// Value of a label: empty, or as the name of a qualified name.
pub(super) fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_name(text)
}

/// Key of a ConfigMap or Secret.
pub(super) fn is_config_key(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && text != "."
        && text != ".."
        && !text.starts_with("..")
}

fn is_dns_part(text: &str) -> bool {
    let edge =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = text.as_bytes();
    edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}

fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    text.len() <= 63
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kubernetes() {
        let long = "a".repeat(64);
        for (text, label, subdomain, qualified) in [
            ("web", true, true, true),
            ("web-1", true, true, true),
            ("1", true, true, true),
            ("a.b", false, true, true),
            ("-a", false, false, false),
            ("a-", false, false, false),
            ("A", false, false, true),
            ("a_b", false, false, true),
            ("a..b", false, false, true),
            ("a/b", false, false, true),
            ("a.io/b_C", false, false, true),
            ("A.io/b", false, false, false),
            ("/b", false, false, false),
            ("a/b/c", false, false, false),
            ("", false, false, false),
            (&long, false, true, false),
        ] {
            assert_eq!(is_dns_label(text), label, "label {text:?}");
            assert_eq!(is_dns_subdomain(text), subdomain, "subdomain {text:?}");
            assert_eq!(is_qualified_name(text), qualified, "qualified name {text:?}");
        }
    }

    #[test]
    fn formats_take_what_they_name() {
        for (format, good, bad) in [
            ("date-time", "2024-05-01T10:00:00Z", "2024-05-01 10:00:00Z"),
            ("date-time", "2024-05-01T10:00:00.123+02:00", "2024-05-01"),
            ("date", "2024-05-01", "2024-5-1"),
            ("ipv4", "10.0.0.1", "10.0.0.256"),
            ("ipv6", "::1", "10.0.0.1"),
            ("byte", "YWI=", "YWI"),
            ("byte", "YW\nI=", "Y"),
        ] {
            let format = Format::named(format).expect("a known format");
            assert!(format.holds(good), "{good:?}");
            assert!(!format.holds(bad), "{bad:?}");
        }
        assert_eq!(Format::named("hostname"), None);
    }
}
