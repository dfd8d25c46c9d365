//! The runtime form of a snapshot: matchers built, names resolved, TLS configurations ready. Immutable.
//!
//! Built off the hot path by [`Compiled::build`] and swapped in as a whole. What did not change is shared with
//! the previous one, and so keeps its state: rotations, session tickets, everything behind a backend.
//!
//! | file | what |
//! |---|---|
//! | `build`   | from a [`model::Snapshot`] and the previous [`Compiled`] to the next |
//! | `hosts`   | [`HostTable`]: most specific host pattern first |
//! | `table`   | [`CompiledTable`]: from [`Facts`] to a rule |
//! | `routes`, `paths`, `bucket` | the index of one host pattern |
//! | `matches`, `query` | conditions and the one function that checks them |
//! | `rule`, `filter`, `pick` | what a rule does, and the weighted choice |
//! | `tls`, `mesh` | TLS servers, and mesh peers as clients |

mod bucket;
mod build;
mod error;
mod filter;
mod hosts;
mod matches;
mod mesh;
mod paths;
mod pick;
mod query;
mod routes;
mod rule;
mod table;
mod tls;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use model::{BackendName, ConnectionPolicy, GatewaySettings, ListenerName, Origin, RouteTableName, Snapshot};

pub use self::build::BuildContext;
pub use self::error::CompileError;
pub use self::filter::{
    CompiledAuthProtocol, CompiledCors, CompiledExternalAuth, CompiledFilter, CompiledHeaderEdit,
    CompiledMirror, CompiledRewrite, CorsList, CorsOrigins,
};
pub use self::hosts::{HostMatches, HostTable};
pub use self::matches::{CompiledMatch, CompiledPath, CompiledValue, Unmet};
pub use self::mesh::{CompiledMesh, CompiledMeshListener};
pub use self::pick::WeightedPick;
pub use self::rule::{
    CompiledAction, CompiledBackendRef, CompiledForward, CompiledL4, CompiledRedirect, CompiledRule,
    CompiledTarget,
};
pub use self::table::{CompiledTable, Facts, Routed};
pub use self::tls::{ClientAuthMode, CompiledTlsInner, CompiledTlsServer};
use crate::upstream::BackendHandle;

/// One generation of configuration, ready to serve.
#[derive(Debug)]
pub struct Compiled {
    /// Counts the snapshots that were applied.
    pub generation: u64,
    /// Sockets.
    pub listeners: BTreeMap<ListenerName, Arc<CompiledListener>>,
    /// Route tables; servers share them.
    pub tables: BTreeMap<RouteTableName, Arc<CompiledTable>>,
    /// Upstreams.
    pub backends: HashMap<BackendName, Arc<BackendHandle>, ahash::RandomState>,
    /// What it was built from, for dumps and for the next build.
    pub snapshot: Arc<Snapshot>,
}

/// A socket and what arrives on it.
#[derive(Debug)]
pub struct CompiledListener {
    /// Its name in the snapshot.
    pub name: ListenerName,
    /// The Gateway that owns it.
    pub gateway: Origin,
    /// Addresses to listen on; empty means the proxy's default.
    pub addresses: Vec<IpAddr>,
    /// The port.
    pub port: u16,
    /// Who may connect, how, how much.
    pub connection: Arc<ConnectionPolicy>,
    /// Mesh peers, where TLS is looked for (protocols HTTP and TCP).
    pub mesh: Option<CompiledMeshListener>,
    /// What is spoken.
    pub protocol: CompiledProtocol,
}

/// What is spoken on a port.
#[derive(Debug)]
pub enum CompiledProtocol {
    /// Plaintext HTTP; the request's host picks the server.
    Http(HostTable<Arc<CompiledServer>>),
    /// TLS; the SNI picks the server.
    Tls(HostTable<CompiledTlsServer>),
    /// Opaque TCP. None: connections are closed.
    Tcp(Option<Arc<CompiledL4>>),
    /// Datagrams. None: they are dropped.
    Udp(Option<Arc<CompiledL4>>),
}

/// A Gateway API listener that speaks HTTP.
#[derive(Debug)]
pub struct CompiledServer {
    /// The Gateway or ListenerSet that wrote it.
    pub owner: Origin,
    /// The listener's name there.
    pub section: Arc<str>,
    /// The port as the user wrote it: redirects and `X-Forwarded-Port` name this one.
    pub port: u16,
    /// Its routes.
    pub routes: Arc<CompiledTable>,
    /// Filters that run before a route is matched.
    pub filters: Box<[CompiledFilter]>,
}

impl Compiled {
    /// What holds for the proxy as a whole.
    pub fn settings(&self) -> &GatewaySettings {
        &self.snapshot.settings
    }
}

impl CompiledListener {
    /// Whether a request for `host`, on a connection whose SNI chose `chosen`, belongs to another server of this
    /// port: 421 (RFC 9110 §15.5.20; Gateway API `GatewayHTTPSListenerDetectMisdirectedRequests`).
    ///
    /// A host that no server owns is not misdirected; it has no route. `chosen` may come from an earlier
    /// generation.
    pub fn misdirected(&self, chosen: &CompiledServer, host: &str) -> bool {
        match &self.protocol {
            CompiledProtocol::Tls(servers) => servers.find(host).is_some_and(|owner| !owner.serves(chosen)),
            CompiledProtocol::Http(_) | CompiledProtocol::Tcp(_) | CompiledProtocol::Udp(_) => false,
        }
    }
}

impl CompiledServer {
    /// Whether both are the same Gateway API listener, maybe of different generations.
    pub fn is_same(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || (self.section == other.section && self.owner == other.owner)
    }
}
