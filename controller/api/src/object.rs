//! What every object shares: its kind, its key, its metadata; and one type that holds any of them.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::core::{
    ClusterTrustBundle, ConfigMap, EndpointSlice, Namespace, Pod, Secret, Service, ServiceAccount,
};
use crate::gateway_api::{
    BackendTlsPolicy, Gateway, GatewayClass, GrpcRoute, HttpRoute, ListenerSet, ReferenceGrant, TcpRoute,
    TlsRoute, UdpRoute, XBackend, XBackendTrafficPolicy,
};
use crate::istio::PeerAuthentication;
use crate::own::{
    self, BackendPolicy, FederatedTrustDomain, GatewayParameters, ListenerPolicy, TrafficPolicy,
    WorkloadRegistration,
};

/// A kind of object that Diolkos reads.
pub trait Object: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// API group; empty for Kubernetes' core.
    const GROUP: &'static str;
    /// The version that [`Serialize`] writes.
    const VERSION: &'static str;
    /// Every version that is read; all have the same shape.
    const VERSIONS: &'static [&'static str];
    /// Kind, as in YAML.
    const KIND: &'static str;
    /// Plural, as in the API server's paths.
    const PLURAL: &'static str;
    /// Whether an object lives in a namespace.
    const NAMESPACED: bool;

    /// Standard metadata.
    fn metadata(&self) -> &ObjectMeta;

    /// Standard metadata, to change it.
    fn metadata_mut(&mut self) -> &mut ObjectMeta;

    /// The name; empty if the object has none yet.
    fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    /// The namespace; empty for a cluster-scoped object.
    fn namespace(&self) -> &str {
        self.metadata().namespace.as_deref().unwrap_or_default()
    }

    /// Group, kind, namespace and name.
    fn key(&self) -> ObjectKey {
        ObjectKey::of::<Self>(self.namespace(), self.name())
    }

    /// The `apiVersion` that is written.
    fn api_version() -> String {
        api_version(Self::GROUP, Self::VERSION)
    }

    /// The whole object as JSON, with `apiVersion` and `kind`.
    fn to_value(&self) -> Result<Value, serde_json::Error> {
        let mut value = serde_json::to_value(self)?;
        if let Some(fields) = value.as_object_mut() {
            fields.insert("apiVersion".to_owned(), Self::api_version().into());
            fields.insert("kind".to_owned(), Self::KIND.into());
        }
        Ok(value)
    }
}

/// Which object: there is at most one of each key.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// API group; empty for Kubernetes' core.
    pub group: String,
    /// Kind, as in YAML.
    pub kind: String,
    /// Namespace; empty for a cluster-scoped object.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// The key of an object of any group and kind.
    pub fn new(
        group: impl Into<String>,
        kind: impl Into<String>,
        namespace: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self { group: group.into(), kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }

    /// The key of an object of a kind that is known when compiled.
    pub fn of<T: Object>(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self::new(T::GROUP, T::KIND, namespace, name)
    }
}

impl fmt::Display for ObjectKey {
    /// `HTTPRoute shop/cart`; `GatewayClass diolkos` without a namespace.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, namespace, name, .. } = self;
        match namespace.as_str() {
            "" => write!(formatter, "{kind} {name}"),
            _ => write!(formatter, "{kind} {namespace}/{name}"),
        }
    }
}

/// What is known about a kind without having an object of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindInfo {
    /// API group; empty for Kubernetes' core.
    pub group: &'static str,
    /// The versions that are read, the one that is written first.
    pub versions: &'static [&'static str],
    /// Kind, as in YAML.
    pub kind: &'static str,
    /// Plural, as in the API server's paths.
    pub plural: &'static str,
    /// Whether an object lives in a namespace.
    pub namespaced: bool,
}

impl KindInfo {
    /// What is known about a Rust type.
    pub const fn of<T: Object>() -> Self {
        Self {
            group: T::GROUP,
            versions: T::VERSIONS,
            kind: T::KIND,
            plural: T::PLURAL,
            namespaced: T::NAMESPACED,
        }
    }

    /// The supported kind of this group and name, whichever version.
    pub fn find(group: &str, kind: &str) -> Option<&'static Self> {
        KINDS.iter().find(|known| known.group == group && known.kind == kind)
    }
}

/// Why a value is none of the supported objects.
#[derive(Debug, thiserror::Error)]
pub enum FromValueError {
    /// `apiVersion` or `kind` is not there, or no text.
    #[error("an object needs apiVersion and kind")]
    NoKind,
    /// Some other kind.
    #[error("kind {kind} of {api_version} is not known")]
    UnknownKind {
        /// What the object says.
        api_version: String,
        /// What the object says.
        kind: String,
    },
    /// A kind that is planned, but not implemented.
    #[error("{kind}: {message} ({mend})")]
    LaterKind {
        /// What the object says.
        kind: &'static str,
        /// What to write meanwhile.
        mend: &'static str,
        /// What is missing.
        message: &'static str,
    },
    /// A kind that is known, in a version that is not.
    #[error("{kind} has no version {version}; use {}", known.join(" or "))]
    UnknownVersion {
        /// What the object says.
        version: String,
        /// What the object says.
        kind: String,
        /// The versions that are read.
        known: &'static [&'static str],
    },
    /// The fields do not fit the kind's type.
    #[error("{kind} does not have the fields of its kind")]
    Shape {
        /// What the object says.
        kind: &'static str,
        /// Which field, such as `spec.rules[0].name`.
        path: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// What a value lacks of its kind's type, and where.
type ShapeError = serde_path_to_error::Error<serde_json::Error>;

macro_rules! any_object {
    ($($kind:ident),* $(,)?) => {
        /// An object of any supported kind. Cloning shares the object.
        #[derive(Clone, PartialEq)]
        #[expect(missing_docs, reason = "each variant is the kind that it is named after")]
        pub enum AnyObject {
            $($kind(Arc<$kind>),)*
        }

        /// Every supported kind.
        pub const KINDS: &[KindInfo] = &[$(KindInfo::of::<$kind>(),)*];

        impl AnyObject {
            /// Group, kind, namespace and name.
            pub fn key(&self) -> ObjectKey {
                match self {
                    $(Self::$kind(object) => object.key(),)*
                }
            }

            /// Standard metadata.
            pub fn metadata(&self) -> &ObjectMeta {
                match self {
                    $(Self::$kind(object) => Object::metadata(object.as_ref()),)*
                }
            }

            /// What is known about its kind.
            pub fn info(&self) -> KindInfo {
                match self {
                    $(Self::$kind(_) => KindInfo::of::<$kind>(),)*
                }
            }

            /// The object, if it is of this kind.
            pub fn downcast<T: Object>(&self) -> Option<&T> {
                match self {
                    $(Self::$kind(object) => (object.as_ref() as &dyn Any).downcast_ref(),)*
                }
            }

            /// The whole object as JSON, with `apiVersion` and `kind`.
            pub fn to_value(&self) -> Result<Value, serde_json::Error> {
                match self {
                    $(Self::$kind(object) => object.to_value(),)*
                }
            }

            fn of_kind(info: &KindInfo, value: Value) -> Option<Result<Self, ShapeError>> {
                $(if *info == KindInfo::of::<$kind>() {
                    let object = serde_path_to_error::deserialize(value);
                    return Some(object.map(|object| Self::$kind(Arc::new(object))));
                })*
                None
            }
        }

        $(impl From<$kind> for AnyObject {
            fn from(object: $kind) -> Self {
                Self::$kind(Arc::new(object))
            }
        })*
    };
}

any_object!(
    GatewayClass,
    Gateway,
    ListenerSet,
    HttpRoute,
    GrpcRoute,
    TlsRoute,
    TcpRoute,
    UdpRoute,
    ReferenceGrant,
    BackendTlsPolicy,
    XBackend,
    XBackendTrafficPolicy,
    Service,
    EndpointSlice,
    Secret,
    ConfigMap,
    Namespace,
    Pod,
    ServiceAccount,
    ClusterTrustBundle,
    ListenerPolicy,
    TrafficPolicy,
    BackendPolicy,
    GatewayParameters,
    WorkloadRegistration,
    FederatedTrustDomain,
    PeerAuthentication,
);

impl AnyObject {
    /// Reads an object by its `apiVersion` and `kind`.
    ///
    /// The fields are taken as they are: unknown ones are dropped, ranges and rules are not looked at.
    /// That is the work of the strict decoder, which calls this last.
    ///
    /// # Errors
    /// See [`FromValueError`].
    pub fn from_value(mut value: Value) -> Result<Self, FromValueError> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let (Some(api_version), Some(kind)) = (text("apiVersion"), text("kind")) else {
            return Err(FromValueError::NoKind);
        };
        let (group, version) = split_api_version(&api_version);
        let Some(info) = KindInfo::find(group, &kind) else {
            if let Some(&own::LaterKind { kind, message, mend, .. }) = own::later_kind(group, &kind) {
                return Err(FromValueError::LaterKind { kind, message, mend });
            }
            return Err(FromValueError::UnknownKind { api_version, kind });
        };
        if !info.versions.contains(&version) {
            let version = version.to_owned();
            return Err(FromValueError::UnknownVersion { version, kind, known: info.versions });
        }
        // The types of k8s-openapi accept their own version only; all versions have one shape.
        if let (Some(fields), Some(version)) = (value.as_object_mut(), info.versions.first()) {
            fields.insert("apiVersion".to_owned(), self::api_version(info.group, version).into());
            if info.group == own::GROUP {
                fields.entry("spec").or_insert_with(|| Value::Object(Map::new()));
            }
        }
        match Self::of_kind(info, value) {
            Some(Ok(object)) => Ok(object),
            Some(Err(error)) => {
                let path = error.path().to_string();
                Err(FromValueError::Shape { kind: info.kind, path, source: error.into_inner() })
            }
            None => Err(FromValueError::UnknownKind { api_version, kind }),
        }
    }
}

impl fmt::Debug for AnyObject {
    /// The key only: an object may be a Secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.key())
    }
}

/// `apiVersion` of a group and a version: `apps/v1`, or `v1` in the core group.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Group and version of an `apiVersion`.
pub fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

#[cfg(test)]
mod tests;
