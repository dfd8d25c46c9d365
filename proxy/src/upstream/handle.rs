//! A backend as the proxy holds it: policy, prebuilt TLS, members, and the live state that outlives them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use identity::{ClientAlpn, ClientTlsConfig, client_config};
use model::{
    Backend, BackendName, BackendProtocol, ClientTls, EndpointSet, KeyPair, SecretName, UpstreamTls,
};
use tracing::warn;

use crate::mesh::MeshIdentities;
use crate::telemetry::metrics::BackendMetrics;
use crate::upstream::budget::BudgetWindow;
use crate::upstream::circuit::CircuitCounters;
use crate::upstream::clock::Moment;
use crate::upstream::members::Members;

/// Why a backend cannot be held. The snapshot that holds it is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BackendError {
    /// The client certificate is not in the snapshot.
    #[error("backend {backend} wants client certificate {secret}, which the snapshot does not have")]
    NoSecret {
        /// The backend.
        backend: BackendName,
        /// The missing name.
        secret: SecretName,
    },
}

/// A backend: what routes point to. Cheap to share; one for all cores.
#[derive(Debug)]
pub struct BackendHandle {
    /// Its name.
    pub name: BackendName,
    /// Its policy.
    pub spec: Arc<Backend>,
    /// TLS to its endpoints.
    pub tls: BackendTls,
    /// What was made of the client certificate; compared at the next build.
    certificate: Option<Arc<KeyPair>>,
    /// Changes with whatever makes existing connections unfit for new requests.
    pub(crate) transport: TransportId,
    /// What outlives a configuration.
    pub(crate) live: Arc<BackendLive>,
    zone: Arc<str>,
    source: ArcSwap<EndpointSet>,
    members: ArcSwap<Members>,
}

/// TLS to the endpoints, prebuilt.
#[derive(Debug)]
pub enum BackendTls {
    /// None is asked for.
    Plain,
    /// With a verified peer.
    Tls {
        /// With ALPN by the backend's protocol.
        requests: ClientTlsConfig,
        /// With ALPN `http/1.1` alone, for upgrades.
        upgrade: ClientTlsConfig,
        /// Without ALPN, for bytes that are not ours to understand.
        bytes: ClientTlsConfig,
    },
    /// It is asked for and cannot be had: no connection is made.
    Closed {
        /// Why, for the log.
        reason: Arc<str>,
    },
}

/// What a backend keeps over changes of its policy.
#[derive(Debug, Default)]
pub struct BackendLive {
    /// Circuit counters.
    pub circuit: Arc<CircuitCounters>,
    /// Requests and retries of late.
    pub budget: BudgetWindow,
    /// For scrapes.
    pub metrics: BackendMetrics,
    /// Held while an ejection is decided, so that two cores cannot both take the last place.
    pub(crate) ejecting: std::sync::Mutex<()>,
}

/// Names a way to talk to a backend within this process: protocol, TLS, connection settings.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(crate) struct TransportId(u64);

impl TransportId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl BackendHandle {
    /// Holds a backend. `zone` is the proxy's own; empty if unknown. `mesh` holds the identities that run.
    ///
    /// An equal policy yields `previous` itself, with `endpoints` taken over in place: endpoints are facts, and
    /// hold even if the rest of the snapshot is refused. A new policy keeps the live state of the old one.
    /// TLS material that cannot be used closes the backend ([`BackendTls::Closed`]) and nothing else.
    ///
    /// # Errors
    /// The client certificate that the policy names is not among `secrets`.
    pub fn build(
        name: &BackendName,
        spec: &Arc<Backend>,
        endpoints: &Arc<EndpointSet>,
        secrets: &BTreeMap<SecretName, Arc<KeyPair>>,
        zone: &str,
        mesh: &MeshIdentities,
        previous: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, BackendError> {
        let certificate = certificate(name, spec, secrets)?;
        if let Some(previous) = previous
            && previous.spec == *spec
            && previous.certificate == certificate
            && *previous.zone == *zone
        {
            previous.update_endpoints(endpoints, mesh);
            return Ok(Arc::clone(previous));
        }
        let kept = previous.map(|previous| previous.members.load_full());
        let members = Members::build(name, spec, endpoints, zone, mesh, kept.as_deref(), Moment::now());
        let same_transport = previous.filter(|previous| {
            previous.spec.protocol == spec.protocol
                && previous.spec.tls == spec.tls
                && previous.spec.connection == spec.connection
                && previous.certificate == certificate
        });
        Ok(Arc::new(Self {
            name: name.clone(),
            spec: Arc::clone(spec),
            tls: BackendTls::build(name, spec, certificate.as_deref()),
            certificate,
            transport: same_transport.map_or_else(TransportId::next, |previous| previous.transport),
            live: previous.map(|previous| Arc::clone(&previous.live)).unwrap_or_default(),
            zone: zone.into(),
            source: ArcSwap::new(Arc::clone(endpoints)),
            members: ArcSwap::from_pointee(members),
        }))
    }

    /// Takes over a new set of endpoints; those that stay keep their state.
    pub fn update_endpoints(&self, endpoints: &Arc<EndpointSet>, mesh: &MeshIdentities) {
        let kept = self.members.load_full();
        if *self.source.load_full() == **endpoints && kept.are_of(mesh) {
            return;
        }
        let now = Moment::now();
        let members = Members::build(&self.name, &self.spec, endpoints, &self.zone, mesh, Some(&kept), now);
        self.members.store(Arc::new(members));
        self.source.store(Arc::clone(endpoints));
    }

    /// Goes by these identities, with the endpoints that it has: those of a snapshot that was refused do not run on.
    pub fn return_to(&self, mesh: &MeshIdentities) {
        self.update_endpoints(&self.source.load_full(), mesh);
    }

    /// The members now.
    pub fn members(&self) -> arc_swap::Guard<Arc<Members>> {
        self.members.load()
    }

    /// Circuit counters and retry budget.
    pub fn live(&self) -> &Arc<BackendLive> {
        &self.live
    }
}

fn certificate(
    name: &BackendName,
    spec: &Backend,
    secrets: &BTreeMap<SecretName, Arc<KeyPair>>,
) -> Result<Option<Arc<KeyPair>>, BackendError> {
    match &spec.tls {
        UpstreamTls::Tls(ClientTls { certificate: Some(secret), .. }) => match secrets.get(secret) {
            Some(pair) => Ok(Some(Arc::clone(pair))),
            None => Err(BackendError::NoSecret { backend: name.clone(), secret: secret.clone() }),
        },
        UpstreamTls::Tls(_) | UpstreamTls::Plain | UpstreamTls::Closed { .. } => Ok(None),
    }
}

impl BackendTls {
    fn build(name: &BackendName, spec: &Backend, certificate: Option<&KeyPair>) -> Self {
        let tls = match &spec.tls {
            UpstreamTls::Plain => return Self::Plain,
            UpstreamTls::Closed { reason } => return Self::Closed { reason: Arc::clone(reason) },
            UpstreamTls::Tls(tls) => tls,
        };
        let alpn = match spec.protocol {
            BackendProtocol::Auto => ClientAlpn::Http,
            BackendProtocol::Http1 => ClientAlpn::Http1,
            BackendProtocol::Http2 => ClientAlpn::Http2,
            BackendProtocol::Tcp | BackendProtocol::Udp => ClientAlpn::None,
        };
        match client_config(tls, certificate, alpn) {
            Ok(requests) => Self::Tls {
                upgrade: requests.with_alpn(ClientAlpn::Http1),
                bytes: requests.with_alpn(ClientAlpn::None),
                requests,
            },
            Err(error) => {
                warn!(%error, backend = %name, "Backend is closed because its TLS settings cannot be used");
                Self::Closed { reason: error.to_string().into() }
            }
        }
    }
}
