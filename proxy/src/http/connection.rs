//! What a request knows of the connection that it came on.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::core::{Core, Live, Slot};
use super::forwarded::Client;
use super::framing::HeadScan;
use crate::compiled::{ClientAuthMode, CompiledServer};
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
    /// The server that the SNI chose, of the generation at accept.
    pub(crate) server: Arc<CompiledServer>,
    /// What the client was asked for.
    pub(crate) client_auth: ClientAuthMode,
    /// The client showed a certificate that verified.
    pub(crate) mutual: bool,
    /// The SPIFFE ID in it.
    pub(crate) spiffe_id: Option<Arc<str>>,
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
