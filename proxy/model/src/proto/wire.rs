//! [`Wire`]: encode and decode beside each other, and the shapes that messages are made of.

use std::collections::BTreeMap;

use super::error::DecodeError;
use crate::HostPattern;

/// A value of the IR with its form on the wire. `decode(encode(x)) == x` for every value within the ranges that
/// the IR documents.
///
/// Both directions take structs apart field by field without `..`: a field that is new in the IR or in a message
/// does not compile until it travels.
pub trait Wire: Sized {
    /// The form on the wire.
    type Message;

    /// Writes the value.
    fn encode(&self) -> Self::Message;

    /// Reads what [`Wire::encode`] writes.
    ///
    /// # Errors
    /// If a field is missing, out of range, malformed, or of a kind that this version does not know.
    fn decode(message: Self::Message) -> Result<Self, DecodeError>;
}

/// An enum without data: `wire_enum!(Ir, Wire { Variant, … })` with the same variants on both sides, or
/// `Variant = WireVariant`.
macro_rules! wire_enum {
    ($ir:ident { $($variant:ident $(= $other:ident)?),+ $(,)? }) => {
        impl Wire for $ir {
            type Message = i32;

            fn encode(&self) -> i32 {
                let value = match self {
                    $(Self::$variant => wire_enum!(@name $ir $variant $($other)?),)+
                };
                value.into()
            }

            fn decode(message: i32) -> Result<Self, DecodeError> {
                match pb::$ir::try_from(message) {
                    $(Ok(wire_enum!(@name $ir $variant $($other)?)) => Ok(Self::$variant),)+
                    Ok(pb::$ir::Unspecified) => Err(DecodeError::new("is missing")),
                    Err(_) => Err(DecodeError::new(format!("is {message}, which this version does not know"))),
                }
            }
        }
    };
    (@name $ir:ident $variant:ident) => { pb::$ir::$variant };
    (@name $ir:ident $variant:ident $other:ident) => { pb::$ir::$other };
}
pub(super) use wire_enum;

/// Writes a list.
pub(super) fn encode_all<'a, T: Wire + 'a>(values: impl IntoIterator<Item = &'a T>) -> Vec<T::Message> {
    values.into_iter().map(T::encode).collect()
}

/// Writes a field that may be absent.
pub(super) fn encode_option<T: Wire>(value: Option<&T>) -> Option<T::Message> {
    value.map(T::encode)
}

/// Reads a field that always holds something.
pub(super) fn field<T: Wire>(name: &str, message: T::Message) -> Result<T, DecodeError> {
    T::decode(message).map_err(|error| error.at(name))
}

/// Reads a message that must be there.
pub(super) fn required<T: Wire>(name: &str, message: Option<T::Message>) -> Result<T, DecodeError> {
    let message = message.ok_or_else(|| DecodeError::new("is missing").at(name))?;
    field(name, message)
}

/// Reads a oneof. One that is not set may be one whose variant is newer than this reader: refused, because a
/// default could be weaker than what was meant.
pub(super) fn one_of<T: Wire>(name: &str, message: Option<T::Message>) -> Result<T, DecodeError> {
    field(name, variant(message).map_err(|error| error.at(name))?)
}

/// The oneof that is all of its message; see [`one_of`].
pub(super) fn variant<T>(kind: Option<T>) -> Result<T, DecodeError> {
    kind.ok_or_else(|| DecodeError::new("is not set, or to a kind that this version does not know"))
}

/// Reads a message whose absence means something.
pub(super) fn optional<T: Wire>(name: &str, message: Option<T::Message>) -> Result<Option<T>, DecodeError> {
    message.map(|message| field(name, message)).transpose()
}

/// Reads a list.
pub(super) fn list<T: Wire>(name: &str, messages: Vec<T::Message>) -> Result<Vec<T>, DecodeError> {
    let numbered = messages.into_iter().enumerate();
    numbered.map(|(index, message)| field(&format!("{name}[{index}]"), message)).collect()
}

/// Reads a map of host patterns, each of which occurs once.
pub(super) fn by_host<E, V>(
    name: &str,
    entries: Vec<E>,
    read: impl Fn(E) -> Result<(HostPattern, V), DecodeError>,
) -> Result<BTreeMap<HostPattern, V>, DecodeError> {
    let mut map = BTreeMap::new();
    for (index, entry) in entries.into_iter().enumerate() {
        let place = |error: DecodeError| error.at(format!("{name}[{index}]"));
        let (host, value) = read(entry).map_err(place)?;
        if map.contains_key(&host) {
            return Err(place(DecodeError::new(format!("is {host}, which occurs twice")).at("host")));
        }
        map.insert(host, value);
    }
    Ok(map)
}
