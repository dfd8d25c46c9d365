//! What a request knows of the connection that it came on.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use identity::WorkloadId;
use model::MeshMode;

use super::core::{Core, Live, Slot};
use super::forwarded::Client;
use super::framing::HeadScan;
use crate::compiled::{ClientAuthMode, CompiledMesh, CompiledMeshListener, CompiledServer};
use crate::mesh::{Fate, LiveIdentity, Tie};
use crate::telemetry::flags::Flags;

/// A downstream connection that speaks HTTP. Shared by its requests; lives on one core.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The core's tools.
    pub(crate) core: Rc<Core>,
    /// The listener that it came in at.
    pub(crate) slot: Rc<Slot>,
    /// Who the client is.
    pub(crate) client: Client,
    /// The client's address and port: from a believed PROXY header, if there was one.
    pub(crate) remote: SocketAddr,
    /// Where it connected to.
    pub(crate) local: SocketAddr,
    /// What TLS said; none in plaintext.
    pub(crate) tls: Option<Tls>,
    /// Watches HTTP/1 heads; unused with HTTP/2.
    pub(crate) scan: HeadScan,
    /// Requests that have begun.
    pub(crate) requests: Cell<u32>,
    /// Requests under way, to the last byte of their answers.
    pub(crate) in_flight: Cell<u32>,
    /// The connection ends as soon as it may: the answer says so.
    pub(crate) closing: Cell<bool>,
    /// Bytes read and written, TLS's own left out.
    pub(crate) moved: Cell<u64>,
    /// A write or flush waits for the client.
    pub(crate) blocked: Cell<bool>,
    /// The longest time without a byte that a route under way allows.
    pub(crate) stalled: Cell<Duration>,
    /// Why the connection was cut, for the requests that were under way.
    pub(crate) cut: Cell<Flags>,
}

/// Whether a port that looks for mesh TLS, as it is now, lets in who came earlier; none: a client in the clear.
pub(crate) fn lets_in(listener: Option<&CompiledMeshListener>, peer: Option<&MeshPeer>) -> bool {
    let Some(listener) = listener else { return true };
    match (peer, &listener.peers) {
        (None, _) => listener.mode == MeshMode::Permissive,
        (Some(peer), Ok(mesh)) => peer.admitted(mesh),
        (Some(_), Err(_)) => false,
    }
}

/// The two ends of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    /// The client.
    pub(crate) remote: SocketAddr,
    /// Where it connected to.
    pub(crate) local: SocketAddr,
}

/// What TLS said of a connection.
#[derive(Debug)]
pub(crate) struct Tls {
    /// The SNI, canonical; none if the client sent none.
    pub(crate) server_name: Option<Arc<str>>,
    /// The server that the SNI chose, of the generation at accept; none on a port that looks for mesh TLS in front of
    /// HTTP.
    pub(crate) server: Option<Arc<CompiledServer>>,
    /// What the client was asked for.
    pub(crate) client_auth: ClientAuthMode,
    /// The client showed a certificate that verified.
    pub(crate) mutual: bool,
    /// The identity in it.
    pub(crate) peer_id: Option<Arc<str>>,
    /// Who the client is to the mesh, where it was asked.
    pub(crate) mesh: Option<MeshPeer>,
}

/// A client of a mesh listener.
#[derive(Debug)]
pub(crate) struct MeshPeer {
    /// Its verified identity and the connection's standing; none: it showed no certificate.
    pub(crate) tie: Option<Rc<Tie>>,
    /// Who we are to it, if we have shown our SVID.
    pub(crate) own: Option<WorkloadId>,
    /// By which identity it was verified.
    judge: Arc<LiveIdentity>,
    /// What it was last found to be let in by.
    admitted_by: RefCell<Arc<CompiledMesh>>,
}

impl MeshPeer {
    /// A client that a handshake by `mesh` has let in.
    pub(crate) fn new(tie: Option<Rc<Tie>>, own: Option<WorkloadId>, mesh: Arc<CompiledMesh>) -> Self {
        Self { tie, own, judge: Arc::clone(&mesh.live), admitted_by: RefCell::new(mesh) }
    }

    /// Its verified identity.
    pub(crate) fn id(&self) -> Option<&WorkloadId> {
        self.tie.as_ref().map(|tie| &tie.peer.id)
    }

    /// Whether it is let in by the listener as it is now. Looked at anew only when that has changed.
    pub(crate) fn admitted(&self, mesh: &Arc<CompiledMesh>) -> bool {
        if Arc::ptr_eq(&self.admitted_by.borrow(), mesh) {
            return true;
        }
        let admitted = mesh.admits(self.id(), &self.judge);
        if admitted {
            self.admitted_by.replace(Arc::clone(mesh));
        }
        admitted
    }
}

impl Connection {
    pub(crate) fn new(
        core: Rc<Core>,
        slot: Rc<Slot>,
        client: Client,
        addresses: Addresses,
        tls: Option<Tls>,
    ) -> Self {
        Self {
            core,
            slot,
            client,
            remote: addresses.remote,
            local: addresses.local,
            tls,
            scan: HeadScan::default(),
            requests: Cell::new(0),
            in_flight: Cell::new(0),
            closing: Cell::new(false),
            moved: Cell::new(0),
            blocked: Cell::new(false),
            stalled: Cell::new(Duration::ZERO),
            cut: Cell::new(Flags::NONE),
        }
    }

    /// The standing of a mesh peer's connection.
    pub(crate) fn tie(&self) -> Option<&Rc<Tie>> {
        self.tls.as_ref()?.mesh.as_ref()?.tie.as_ref()
    }

    /// How a mesh peer's connection stands; others live.
    pub(crate) fn fate(&self) -> Fate {
        self.tie().map_or(Fate::Live, |tie| tie.fate())
    }

    /// The identity of a mesh peer.
    pub(crate) fn mesh_id(&self) -> Option<&WorkloadId> {
        self.tls.as_ref()?.mesh.as_ref()?.id()
    }

    /// The client's verified identity.
    pub(crate) fn peer_id(&self) -> Option<&str> {
        self.tls.as_ref()?.peer_id.as_deref()
    }

    /// The listener's present generation.
    pub(crate) fn live(&self) -> Rc<Live> {
        self.slot.live()
    }

    /// Counts a request; true: it is the last that the limit allows.
    pub(crate) fn begin_request(&self, limit: u32) -> bool {
        let requests = self.requests.get() + 1;
        self.requests.set(requests);
        self.in_flight.set(self.in_flight.get() + 1);
        limit > 0 && requests >= limit
    }

    pub(crate) fn end_request(&self) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
    }
}
