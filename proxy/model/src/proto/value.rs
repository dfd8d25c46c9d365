//! Values without a message of their own: texts, numbers in a range, addresses, durations; and origins.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::error::DecodeError;
use super::pb;
use super::wire::{Wire, field};
use crate::{BackendName, HostPattern, IdentityName, Origin, RouteTableName, SecretName, TrustAnchors};

impl Wire for Arc<str> {
    type Message = String;

    fn encode(&self) -> String {
        self.as_ref().to_owned()
    }

    fn decode(message: String) -> Result<Self, DecodeError> {
        Ok(message.into())
    }
}

/// A text that says something: proto3 cannot tell a missing text from an empty one.
fn nonempty(text: String) -> Result<String, DecodeError> {
    if text.is_empty() { Err(DecodeError::new("is missing")) } else { Ok(text) }
}

/// Reads a text that must not be empty.
pub(super) fn text(name: &str, message: String) -> Result<Arc<str>, DecodeError> {
    nonempty(message).map(Arc::from).map_err(|error| error.at(name))
}

macro_rules! wire_name {
    ($($name:ident)+) => {
        $(impl Wire for $name {
            type Message = String;

            fn encode(&self) -> String {
                self.as_str().to_owned()
            }

            fn decode(message: String) -> Result<Self, DecodeError> {
                nonempty(message).map(Self::from)
            }
        })+
    };
}

wire_name!(BackendName IdentityName RouteTableName SecretName);

impl Wire for TrustAnchors {
    type Message = String;

    fn encode(&self) -> String {
        self.0.encode()
    }

    fn decode(message: String) -> Result<Self, DecodeError> {
        nonempty(message).map(|pem| Self(pem.into()))
    }
}

impl Wire for HostPattern {
    type Message = String;

    fn encode(&self) -> String {
        self.to_string()
    }

    /// Only the form that is written: the parser of users' texts also reads upper case, and takes an empty text,
    /// which here is a missing one, for every host.
    fn decode(message: String) -> Result<Self, DecodeError> {
        let pattern: Self = parsed(&nonempty(message.clone())?)?;
        if pattern.to_string() == message {
            Ok(pattern)
        } else {
            Err(DecodeError::new(format!("is {message:?}, which must be written {pattern}")))
        }
    }
}

impl Wire for IpAddr {
    type Message = String;

    fn encode(&self) -> String {
        self.to_string()
    }

    fn decode(message: String) -> Result<Self, DecodeError> {
        parsed(&message)
    }
}

impl Wire for IpNet {
    type Message = String;

    fn encode(&self) -> String {
        self.to_string()
    }

    fn decode(message: String) -> Result<Self, DecodeError> {
        parsed(&message)
    }
}

fn parsed<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, DecodeError> {
    text.parse::<T>().map_err(|error| DecodeError::new(format!("is {text:?}: {error}")))
}

impl Wire for Duration {
    type Message = prost_types::Duration;

    /// Durations of 2^63 seconds and more become the longest one that the wire has; nobody waits that long.
    fn encode(&self) -> prost_types::Duration {
        prost_types::Duration {
            seconds: i64::try_from(self.as_secs()).unwrap_or(i64::MAX),
            nanos: self.subsec_nanos().cast_signed(),
        }
    }

    fn decode(message: prost_types::Duration) -> Result<Self, DecodeError> {
        let prost_types::Duration { seconds, nanos } = message;
        match (u64::try_from(seconds), u32::try_from(nanos)) {
            (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => Ok(Self::new(seconds, nanos)),
            _ => Err(DecodeError::new(format!(
                "is {seconds} s and {nanos} ns, which is negative or has more than a second of nanoseconds"
            ))),
        }
    }
}

impl Wire for Origin {
    type Message = pb::Origin;

    fn encode(&self) -> pb::Origin {
        let Self { kind, namespace, name } = self;
        pb::Origin { kind: kind.encode(), namespace: namespace.encode(), name: name.encode() }
    }

    fn decode(message: pb::Origin) -> Result<Self, DecodeError> {
        let pb::Origin { kind, namespace, name } = message;
        Ok(Self { kind: text("kind", kind)?, namespace: namespace.into(), name: text("name", name)? })
    }
}

/// Provenance: field → the object that set it.
impl Wire for BTreeMap<Arc<str>, Origin> {
    type Message = BTreeMap<String, pb::Origin>;

    fn encode(&self) -> Self::Message {
        self.iter().map(|(name, origin)| (name.encode(), origin.encode())).collect()
    }

    fn decode(message: Self::Message) -> Result<Self, DecodeError> {
        let entries = message.into_iter();
        entries
            .map(|(name, origin)| Ok((name.as_str().into(), field(&format!("[{name:?}]"), origin)?)))
            .collect()
    }
}

/// Reads a number within a range.
pub(super) fn within<T: TryFrom<u32>>(
    name: &str,
    value: u32,
    range: RangeInclusive<u32>,
) -> Result<T, DecodeError> {
    let (low, high) = (range.start(), range.end());
    let out = || DecodeError::new(format!("is {value}, not within {low} to {high}")).at(name);
    if range.contains(&value) { T::try_from(value).map_err(|_| out()) } else { Err(out()) }
}

/// Reads a port.
pub(super) fn port(name: &str, value: u32) -> Result<u16, DecodeError> {
    within(name, value, 1..=65535)
}

/// Reads the status of something that could not be resolved: an error, never a success.
pub(super) fn error_status(name: &str, value: u32) -> Result<u16, DecodeError> {
    within(name, value, 400..=599)
}

/// Reads a list of statuses.
pub(super) fn statuses(
    name: &str,
    values: Vec<u32>,
    range: RangeInclusive<u32>,
) -> Result<Vec<u16>, DecodeError> {
    let numbered = values.into_iter().enumerate();
    numbered.map(|(index, value)| within(&format!("{name}[{index}]"), value, range.clone())).collect()
}

/// Writes an index or a count.
pub(super) fn encode_index(value: usize) -> u64 {
    value as u64
}

/// Reads an index or a count.
pub(super) fn index(name: &str, value: u64) -> Result<usize, DecodeError> {
    usize::try_from(value).map_err(|_| DecodeError::new(format!("is {value}, too large")).at(name))
}

/// Writes why something is closed.
pub(super) fn encode_closed(reason: &Arc<str>) -> pb::Closed {
    pb::Closed { reason: reason.encode() }
}

/// Reads why something is closed.
pub(super) fn closed(message: pb::Closed) -> Arc<str> {
    let pb::Closed { reason } = message;
    reason.into()
}
