//! The wire form of the IR, between a controller and its proxies: resources of package `diolkos.v1`.
//!
//! The messages are described in `proxy/model/proto`. Decoding is strict, because a part that a proxy does not
//! understand may be a part that restricts: what is missing, out of range, unknown or superfluous refuses the
//! resource and names the field. Names of one resource in another are not looked up here:
//! [`Snapshot::dangling`] does that once the snapshot is whole.

mod backend;
mod endpoint;
mod error;
mod filter;
mod listener;
mod mesh;
mod route;
mod secret;
mod settings;
mod value;
mod wire;

/// The messages, as generated.
#[expect(clippy::large_enum_variant, reason = "messages live for the time of a conversion only")]
#[path = "proto/generated/diolkos.v1.rs"]
pub mod pb;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::Arc;

use prost::Message;

pub use self::error::DecodeError;
pub use self::wire::Wire;
use crate::{
    Backend, EndpointSet, FederatedDomain, GatewayIdentity, GatewaySettings, KeyPair, Listener, RouteTable,
    Snapshot,
};

/// The one name that a resource of kind [`ResourceKind::Settings`] has.
pub const SETTINGS_NAME: &str = "settings";

/// One value of a map of a [`Snapshot`], or its settings, as it travels.
#[derive(Clone, Eq, PartialEq)]
pub struct Resource {
    /// [`ResourceKind::type_url`] of what `bytes` holds.
    pub type_url: String,
    /// The key in the map of the snapshot; unique among resources of one type.
    pub name: String,
    /// The encoded message. Equal values give equal bytes.
    pub bytes: Vec<u8>,
}

/// The bytes may be a private key.
impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { type_url, name, bytes } = self;
        f.debug_struct("Resource")
            .field("type_url", type_url)
            .field("name", name)
            .field("bytes", &format_args!("({})", bytes.len()))
            .finish()
    }
}

/// The types of resources. What is referred to comes before what refers to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub enum ResourceKind {
    /// [`Snapshot::settings`].
    Settings,
    /// A value of [`Snapshot::secrets`]. No other resource holds key material.
    Secret,
    /// A value of [`Snapshot::identities`].
    Identity,
    /// A value of [`Snapshot::trust_domains`].
    TrustDomain,
    /// A value of [`Snapshot::backends`].
    Backend,
    /// A value of [`Snapshot::endpoints`].
    Endpoints,
    /// A value of [`Snapshot::routes`].
    RouteTable,
    /// A value of [`Snapshot::listeners`].
    Listener,
}

impl ResourceKind {
    /// Every kind, in the order of [`encode_snapshot`].
    pub const ALL: [Self; 8] = [
        Self::Settings,
        Self::Secret,
        Self::Identity,
        Self::TrustDomain,
        Self::Backend,
        Self::Endpoints,
        Self::RouteTable,
        Self::Listener,
    ];

    /// The name of the message type, as `google.protobuf.Any` and xDS write it.
    pub const fn type_url(self) -> &'static str {
        match self {
            Self::Settings => "type.googleapis.com/diolkos.v1.Settings",
            Self::Secret => "type.googleapis.com/diolkos.v1.Secret",
            Self::Identity => "type.googleapis.com/diolkos.v1.Identity",
            Self::TrustDomain => "type.googleapis.com/diolkos.v1.TrustDomain",
            Self::Backend => "type.googleapis.com/diolkos.v1.Backend",
            Self::Endpoints => "type.googleapis.com/diolkos.v1.Endpoints",
            Self::RouteTable => "type.googleapis.com/diolkos.v1.RouteTable",
            Self::Listener => "type.googleapis.com/diolkos.v1.Listener",
        }
    }

    /// The kind that a type URL names; none if it is not ours.
    pub fn from_type_url(type_url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == type_url)
    }
}

/// A resource that is refused, and with it the snapshot.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("resource {name:?} of type {type_url} is refused")]
pub struct ResourceError {
    /// Its type.
    pub type_url: String,
    /// Its name.
    pub name: String,
    /// Why.
    #[source]
    pub source: DecodeError,
}

/// Writes a snapshot as resources, sorted by kind as in [`ResourceKind::ALL`], then by name. Equal snapshots give
/// equal resources.
pub fn encode_snapshot(snapshot: &Snapshot) -> Vec<Resource> {
    let Snapshot { listeners, routes, backends, endpoints, secrets, identities, trust_domains, settings } =
        snapshot;
    let mut resources = vec![resource(ResourceKind::Settings, SETTINGS_NAME, settings)];
    resources.extend(secrets.iter().map(|(name, pair)| resource(ResourceKind::Secret, name, &**pair)));
    resources.extend(
        identities.iter().map(|(name, identity)| resource(ResourceKind::Identity, name, &**identity)),
    );
    resources.extend(
        trust_domains.iter().map(|(name, domain)| resource(ResourceKind::TrustDomain, name, &**domain)),
    );
    resources
        .extend(backends.iter().map(|(name, backend)| resource(ResourceKind::Backend, name, &**backend)));
    resources.extend(endpoints.iter().map(|(name, set)| resource(ResourceKind::Endpoints, name, &**set)));
    resources.extend(routes.iter().map(|(name, table)| resource(ResourceKind::RouteTable, name, &**table)));
    resources
        .extend(listeners.iter().map(|(name, listener)| resource(ResourceKind::Listener, name, listener)));
    resources
}

/// Reads the resources of one snapshot, in any order.
///
/// # Errors
/// If a resource is of an unknown type, has no name or one that another of its type has, or holds what
/// [`Wire::decode`] refuses; or if there are no settings, which every snapshot has.
pub fn decode_snapshot(resources: impl IntoIterator<Item = Resource>) -> Result<Snapshot, ResourceError> {
    let mut snapshot = Snapshot::default();
    let mut settings = BTreeMap::new();
    for Resource { type_url, name, bytes } in resources {
        insert(&mut snapshot, &mut settings, &type_url, &name, &bytes).map_err(|source| ResourceError {
            type_url,
            name,
            source,
        })?;
    }
    snapshot.settings = settings.remove(SETTINGS_NAME).ok_or_else(|| ResourceError {
        type_url: ResourceKind::Settings.type_url().to_owned(),
        name: SETTINGS_NAME.to_owned(),
        source: DecodeError::new("is missing"),
    })?;
    Ok(snapshot)
}

fn resource<T: Wire<Message: Message>>(kind: ResourceKind, name: impl fmt::Display, value: &T) -> Resource {
    Resource {
        type_url: kind.type_url().to_owned(),
        name: name.to_string(),
        bytes: value.encode().encode_to_vec(),
    }
}

fn insert(
    snapshot: &mut Snapshot,
    settings: &mut BTreeMap<String, GatewaySettings>,
    type_url: &str,
    name: &str,
    bytes: &[u8],
) -> Result<(), DecodeError> {
    let kind = ResourceKind::from_type_url(type_url)
        .ok_or_else(|| DecodeError::new("is of a type that this version does not know"))?;
    if name.is_empty() || (kind == ResourceKind::Settings && name != SETTINGS_NAME) {
        return Err(DecodeError::new("has a name that no resource of its type has"));
    }
    match kind {
        ResourceKind::Settings => once(settings, name, read::<GatewaySettings>(bytes)?),
        ResourceKind::Secret => once(&mut snapshot.secrets, name, Arc::new(read::<KeyPair>(bytes)?)),
        ResourceKind::Identity => {
            once(&mut snapshot.identities, name, Arc::new(read::<GatewayIdentity>(bytes)?))
        }
        ResourceKind::TrustDomain => {
            once(&mut snapshot.trust_domains, name, Arc::new(read::<FederatedDomain>(bytes)?))
        }
        ResourceKind::Backend => once(&mut snapshot.backends, name, Arc::new(read::<Backend>(bytes)?)),
        ResourceKind::Endpoints => once(&mut snapshot.endpoints, name, Arc::new(read::<EndpointSet>(bytes)?)),
        ResourceKind::RouteTable => once(&mut snapshot.routes, name, Arc::new(read::<RouteTable>(bytes)?)),
        ResourceKind::Listener => once(&mut snapshot.listeners, name, read::<Listener>(bytes)?),
    }
}

fn once<K: for<'a> From<&'a str> + Ord, V>(
    map: &mut BTreeMap<K, V>,
    name: &str,
    value: V,
) -> Result<(), DecodeError> {
    match map.entry(name.into()) {
        Entry::Vacant(place) => {
            place.insert(value);
            Ok(())
        }
        Entry::Occupied(_) => Err(DecodeError::new("occurs twice")),
    }
}

/// Reads one message. The parser skips fields that it does not know, and what it keeps is then shorter than what
/// came: such a field may restrict something, so it refuses the message.
fn read<T: Wire<Message: Message + Default>>(bytes: &[u8]) -> Result<T, DecodeError> {
    let message = T::Message::decode(bytes)
        .map_err(|error| DecodeError::new(format!("does not parse as its type: {error}")))?;
    if message.encoded_len() != bytes.len() {
        return Err(DecodeError::new("has a field that this version does not know"));
    }
    T::decode(message)
}

#[cfg(test)]
mod tests;
