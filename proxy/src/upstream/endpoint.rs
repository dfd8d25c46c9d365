//! An endpoint's live state: what is in flight, how fast it answers, whether it is fit. Outlives configurations.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use model::{Address, BackendProtocol, Endpoint, Reach};

use crate::mesh::{MeshIdentities, MeshTarget, TargetId};
use crate::upstream::clock::Moment;
use crate::upstream::ewma::Ewma;

/// Names an endpoint's state within this process.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct EndpointId(pub u64);

/// Names an endpoint to its clients: the same on every proxy and after a restart, and says nothing of the address.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct EndpointToken(pub u64);

impl EndpointToken {
    /// The token of an address within a backend.
    pub(crate) fn new(backend: &str, address: &Address, port: u16) -> Self {
        Self(crate::upstream::hash::of_parts(&[backend, &address_text(address)], u64::from(port)))
    }

    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        // `from_str_radix` would take a sign and shorter forms: one endpoint has one spelling.
        let hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        hex.then(|| u64::from_str_radix(text, 16).ok()).flatten().map(Self)
    }
}

impl fmt::Display for EndpointToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// An address as text, for hashing and logs.
pub(crate) fn address_text(address: &Address) -> std::borrow::Cow<'_, str> {
    match address {
        Address::Ip(ip) => ip.to_string().into(),
        Address::Name(name) => name.as_ref().into(),
    }
}

/// What is known of an endpoint, counted by all cores. Kept while the backend names the address.
#[derive(Debug)]
pub struct EndpointState {
    /// Its name within this process.
    pub id: EndpointId,
    /// Its name to clients (session persistence).
    pub token: EndpointToken,
    /// Where.
    pub address: Address,
    /// Port.
    pub port: u16,
    /// When it joined a backend that already had endpoints; the beginning of time for the first ones.
    pub(crate) joined: Moment,
    in_flight: AtomicU32,
    pub(crate) ewma: Ewma,
    /// Failures in a row.
    pub(crate) failures: AtomicU32,
    /// Moment until which it is left out; 0 if it is not.
    pub(crate) ejected_until: AtomicU64,
    /// Ejections that still weigh.
    pub(crate) ejections: AtomicU32,
    /// Set while active health checks fail.
    unfit: AtomicBool,
}

impl EndpointState {
    pub(crate) fn new(backend: &str, endpoint: &Endpoint, joined: Moment) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: EndpointId(NEXT.fetch_add(1, Ordering::Relaxed)),
            token: EndpointToken::new(backend, &endpoint.address, endpoint.port),
            address: endpoint.address.clone(),
            port: endpoint.port,
            joined,
            in_flight: AtomicU32::new(0),
            ewma: Ewma::default(),
            failures: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            ejections: AtomicU32::new(0),
            unfit: AtomicBool::new(false),
        }
    }

    /// Requests (L4: connections) now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether outlier ejection leaves it out at `now`.
    pub fn ejected(&self, now: Moment) -> bool {
        self.ejected_until.load(Ordering::Relaxed) > now.0
    }

    /// Whether active health checks call it fit; so it is until one has failed.
    pub fn passes_checks(&self) -> bool {
        !self.unfit.load(Ordering::Relaxed)
    }

    pub(crate) fn set_passes_checks(&self, fit: bool) {
        self.unfit.store(!fit, Ordering::Relaxed);
    }

    /// Whether it may be picked at `now`.
    pub fn fit(&self, now: Moment) -> bool {
        self.passes_checks() && !self.ejected(now)
    }
}

impl fmt::Display for EndpointState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Ip(ip) => write!(f, "{}", std::net::SocketAddr::new(*ip, self.port)),
            Address::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// An endpoint as the present configuration sees it.
#[derive(Clone, Debug)]
pub struct Member {
    /// What is known of it.
    pub state: Arc<EndpointState>,
    /// What the configuration says of it.
    pub endpoint: Endpoint,
    /// How it is reached.
    pub way: Way,
}

/// How an endpoint is reached. What is meshed has no way in plaintext.
#[derive(Clone, Debug)]
pub enum Way {
    /// As the backend's own TLS says.
    AsBackend,
    /// By mesh mTLS.
    Mesh(Arc<MeshTarget>),
    /// Not at all.
    Closed {
        /// Why, for the log.
        reason: Arc<str>,
    },
}

impl Way {
    /// `mesh` holds the identities of the same configuration.
    pub(crate) fn new(reach: &Reach, protocol: BackendProtocol, mesh: &MeshIdentities) -> Self {
        match reach {
            Reach::AsBackend => Self::AsBackend,
            Reach::Closed { reason } => Self::Closed { reason: Arc::clone(reason) },
            Reach::Mesh(peer) => match mesh.get(&peer.identity) {
                Some(live) => Self::Mesh(live.target(peer, protocol)),
                None => {
                    Self::Closed { reason: format!("the identity {} does not run", peer.identity).into() }
                }
            },
        }
    }

    /// Names the way among those that a connection may have been made in; none: the backend's own.
    pub(crate) fn id(&self) -> Option<TargetId> {
        match self {
            Self::Mesh(target) => Some(target.id),
            Self::AsBackend | Self::Closed { .. } => None,
        }
    }

    /// Whether `mesh` still has the identity that it goes by.
    pub(crate) fn is_of(&self, mesh: &MeshIdentities) -> bool {
        match self {
            Self::Mesh(target) => {
                mesh.get(&target.peer.identity).is_some_and(|live| Arc::ptr_eq(live, &target.live))
            }
            Self::AsBackend | Self::Closed { .. } => true,
        }
    }
}

impl Member {
    /// Whether it may be picked at `now`.
    pub fn fit(&self, now: Moment) -> bool {
        !matches!(self.way, Way::Closed { .. }) && self.state.fit(now)
    }
}
