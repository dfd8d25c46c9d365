//! SPIFFE IDs and trust domains as users write them: the grammar of the SPIFFE standard, in its canonical form only.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A SPIFFE ID of a workload: `spiffe://example.org/ns/shop/sa/cart`. IDs are compared byte by byte, so only the
/// canonical form is taken: scheme and trust domain in lower case, no `.` segments, no trailing slash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId(Box<str>);

/// Why a text is no SPIFFE ID of a workload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no SPIFFE ID; {}", SPIFFE_ID_MEND)]
pub struct ParseSpiffeIdError {
    text: String,
}

impl SpiffeId {
    /// The ID as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its trust domain.
    pub fn trust_domain(&self) -> &str {
        self.parts().0
    }

    /// Its path, from the first slash on.
    pub fn path(&self) -> &str {
        self.parts().1
    }

    fn parts(&self) -> (&str, &str) {
        let rest = self.0.strip_prefix(SCHEME).unwrap_or_default();
        rest.find('/').and_then(|slash| rest.split_at_checked(slash)).unwrap_or((rest, ""))
    }
}

impl FromStr for SpiffeId {
    type Err = ParseSpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let sound = || {
            let (domain, path) = text.strip_prefix(SCHEME)?.split_once('/')?;
            let segments_hold = path.split('/').all(|segment| {
                !matches!(segment, "" | "." | "..")
                    && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
            });
            (text.len() <= MAX_ID && is_trust_domain(domain) && segments_hold).then_some(())
        };
        match sound() {
            Some(()) => Ok(Self(text.into())),
            None => Err(ParseSpiffeIdError { text: text.to_owned() }),
        }
    }
}

impl JsonSchema for SpiffeId {
    fn schema_name() -> Cow<'static, str> {
        "SpiffeId".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // The regular expressions of an API server know no look-around, hence the second half.
        let rule = "self.matches('^spiffe://[a-z0-9._-]{1,255}(/[A-Za-z0-9._-]+)+$') \
                    && !self.matches('/[.]{1,2}(/|$)')";
        json_schema!({
            "type": "string",
            "maxLength": MAX_ID,
            "x-kubernetes-validations": [{"rule": rule, "message": SPIFFE_ID_MEND}],
        })
    }
}

/// A SPIFFE trust domain: `cluster.local`, `example.org`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(Box<str>);

/// Why a text is no trust domain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no trust domain; {}", TRUST_DOMAIN_MEND)]
pub struct ParseTrustDomainError {
    text: String,
}

impl TrustDomain {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustDomain {
    type Err = ParseTrustDomainError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_trust_domain(text) {
            Ok(Self(text.into()))
        } else {
            Err(ParseTrustDomainError { text: text.to_owned() })
        }
    }
}

impl JsonSchema for TrustDomain {
    fn schema_name() -> Cow<'static, str> {
        "TrustDomain".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": MAX_TRUST_DOMAIN,
            "x-kubernetes-validations": [{"rule": "self.matches('^[a-z0-9._-]+$')", "message": TRUST_DOMAIN_MEND}],
        })
    }
}

macro_rules! written_as_text {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

written_as_text!(SpiffeId TrustDomain);

/// SPIFFE-ID §2.1.
fn is_trust_domain(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    !text.is_empty() && text.len() <= MAX_TRUST_DOMAIN && text.bytes().all(known)
}

const SCHEME: &str = "spiffe://";

/// SPIFFE-ID §2.3: at most so many bytes need be supported.
const MAX_ID: usize = 2048;

/// SPIFFE-ID §2.1.
const MAX_TRUST_DOMAIN: usize = 255;

const SPIFFE_ID_MEND: &str = "write it as spiffe://TRUST-DOMAIN/PATH: the trust domain in lower case without \
                              port, the path without empty or dot segments and without a slash at its end";

const TRUST_DOMAIN_MEND: &str =
    "write a name in lower case without scheme, port or path, such as cluster.local";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_taken_in_canonical_form_only() {
        let id: SpiffeId = "spiffe://example.org/ns/shop/sa/cart".parse().unwrap();
        assert_eq!((id.trust_domain(), id.path()), ("example.org", "/ns/shop/sa/cart"));
        for text in [
            "",
            "spiffe://",
            "spiffe://example.org",
            "spiffe://example.org/",
            "spiffe:///ns/a",
            "SPIFFE://example.org/a",
            "spiffe://Example.org/a",
            "spiffe://example.org:443/a",
            "spiffe://user@example.org/a",
            "spiffe://example.org/a/",
            "spiffe://example.org//a",
            "spiffe://example.org/a/../b",
            "spiffe://example.org/./b",
            "spiffe://example.org/a%20b",
            "spiffe://example.org/a?b",
            "spiffe://example.org/a#b",
            "spiffe://example.org/ä",
            "https://example.org/a",
            " spiffe://example.org/a",
        ] {
            assert!(text.parse::<SpiffeId>().is_err(), "{text}");
        }
        assert!(format!("spiffe://a/{}", "b".repeat(2048)).parse::<SpiffeId>().is_err());
    }

    #[test]
    fn trust_domains_are_names_in_lower_case() {
        assert!("cluster.local".parse::<TrustDomain>().is_ok());
        for text in ["", "Cluster.local", "spiffe://a", "a:1", "a/b", "*", "a b"] {
            assert!(text.parse::<TrustDomain>().is_err(), "{text}");
        }
        assert!("a".repeat(256).parse::<TrustDomain>().is_err());
    }
}
