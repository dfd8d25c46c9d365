//! The names that tie the maps of a snapshot together, and the object that a value came from.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Makes the name from its text.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text of the name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name! {
    /// Names a socket: `NAMESPACE/GATEWAY/PORT` and, for datagrams, `/udp`.
    ListenerName
}
name! {
    /// Names a route table: `NAMESPACE/GATEWAY/SECTION`, or `NAMESPACE/LISTENERSET/SECTION@listenerset`.
    RouteTableName
}
name! {
    /// Names a backend: `service/NAMESPACE/NAME/PORT`, with a suffix where the same Service is spoken to in
    /// another way (`/grpc`).
    BackendName
}
name! {
    /// Names a key pair: `NAMESPACE/SECRET`.
    SecretName
}
name! {
    /// Names an identity of the gateway's own: `NAMESPACE/SERVICEACCOUNT`.
    IdentityName
}
name! {
    /// Names a SPIFFE trust domain.
    TrustDomainName
}

/// The object that a value came from, for logs, `explain` and status: `HTTPRoute shop/cart`.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// Kind as written, `HTTPRoute`.
    pub kind: Arc<str>,
    /// Namespace; empty for cluster-scoped kinds.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl Origin {
    /// An origin from its three parts.
    pub fn new(kind: impl Into<Arc<str>>, namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}
