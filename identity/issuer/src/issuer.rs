//! An issuer at work: wires the parts, and is what others hold of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use identity::proto::istio::istio_certificate_service_server::IstioCertificateServiceServer;
use identity::{Issue, IssueError, SpiffeId, TrustBundles};
use model::Secret;
use rustls_pki_types::CertificateDer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::body::Body;
use tonic::codegen::Service as _;

use crate::admin::{self, Surface};
use crate::audit::{Method, Who};
use crate::bundle_endpoint::{self, WebCertificate};
use crate::ca::authority::{Authority, AuthorityError};
use crate::ca::line::unix;
use crate::ca::{Acknowledger, Overlap, Rotation, RotationError};
use crate::caller::Callers;
use crate::csr;
use crate::istio_ca::IstioCa;
use crate::limits::Gates;
use crate::metrics::Metrics;
use crate::mint::{Mint, Order, X509};
use crate::own::Own;
use crate::refusal::Refusal;
use crate::registry::Registry;
use crate::serve::{self, Door};
use crate::settings::{BundleServer, Configuration, IssuerSettings, SettingsError};
use crate::status::{Addresses, IssuerStatus};
use crate::tls::{Clients, Serving, server_config};
use crate::workload_api::{Socket, SocketError, WorkloadApi};

/// An issuer at work. Clones are the same issuer; with the last one it stops, and its sockets close.
#[derive(Clone, Debug)]
pub struct Issuer {
    shared: Arc<Shared>,
    _running: Arc<DropGuard>,
}

/// What the parts of an issuer share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) authority: Arc<Authority>,
    pub(crate) mint: Arc<Mint>,
    pub(crate) registry: Arc<Registry>,
    addresses: Addresses,
    own_id: SpiffeId,
}

/// Why an issuer does not start, or does not do what it is told.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// The settings cannot be.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The CA.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// An address cannot be bound.
    #[error("{what} cannot listen on {address}")]
    Bind {
        /// Which service.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// The Workload API's socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The issuer's own certificate, or that of the bundle endpoint.
    #[error("the issuer's own certificate cannot be served: {0}")]
    Certificate(String),
    /// There is no such registration.
    #[error("there is no registration {0:?}")]
    NoRegistration(String),
}

impl Issuer {
    /// Starts an issuer on the current tokio runtime. When it returns, its sockets are bound and its CA can sign.
    ///
    /// # Errors
    /// [`IssuerError`]. Above all: state on disk that cannot be trusted is not replaced by a new root.
    pub async fn start(settings: IssuerSettings) -> Result<Self, IssuerError> {
        settings.check()?;
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let metrics = Arc::new(Metrics::new());
        let authority = Authority::start(&settings).await?;
        let registry = Arc::new(Registry::new(settings.trust_domain.clone(), settings.clock.clone()));
        registry.merge(&authority.current().bundle, &TrustBundles::default());
        let mint = Arc::new(Mint {
            trust_domain: settings.trust_domain.clone(),
            authority: authority.clone(),
            lives: settings.lives,
            gates: Gates::new(&settings.limits),
            metrics: metrics.clone(),
            clock: settings.clock.clone(),
        });
        let mut start =
            Start { settings: &settings, stop: &stop, mint: &mint, addresses: Addresses::default() };
        start.spawn(authority.clone().run());
        start.spawn(registry.clone().run(authority.bundle()));
        let own_id = settings.own_spiffe_id()?;
        let own = start.own(&own_id).await?;
        start.istio_ca(&own, &registry).await?;
        start.bundle(&own).await?;
        start.workload_api(&registry).await?;
        let admin = bind("administration", settings.admin).await?;
        let metrics_port = bind("metrics", settings.metrics).await?;
        start.addresses.admin = address(admin.as_ref());
        start.addresses.metrics = address(metrics_port.as_ref());
        let addresses = start.addresses.clone();
        let shared = Arc::new(Shared { authority, mint: mint.clone(), registry, addresses, own_id });
        for (listener, surface) in [(admin, Surface::Admin), (metrics_port, Surface::Metrics)] {
            if let Some(listener) = listener {
                start.spawn(admin::serve(listener, surface, shared.clone(), start.door()));
            }
        }
        Ok(Self { shared, _running: Arc::new(guard) })
    }

    /// Where it serves, with the ports that the system chose.
    pub fn addresses(&self) -> &Addresses {
        &self.shared.addresses
    }

    /// Tells it the whole truth about registrations and other trust domains.
    pub fn configure(&self, configuration: Configuration) {
        self.shared.registry.configure(configuration);
    }

    /// Begins a rotation of the root.
    ///
    /// # Errors
    /// [`RotationError`] names both roots if one is under way.
    pub async fn rotate_root(&self, overlap: Overlap) -> Result<Rotation, RotationError> {
        self.shared.rotate(overlap).await
    }

    /// How it fares.
    pub fn status(&self) -> IssuerStatus {
        self.shared.status()
    }

    /// Registers a consumer of the bundle that a rotation waits for, until the result is dropped.
    pub fn acknowledger(&self, name: &str) -> Acknowledger {
        self.shared.authority.acknowledger(name)
    }

    /// Makes a token with which a machine gets its first SVID, once.
    ///
    /// # Errors
    /// There is no such registration, or the state cannot be written.
    pub async fn bootstrap_token(
        &self,
        registration: &str,
        life: Duration,
    ) -> Result<Secret<String>, IssuerError> {
        self.shared.bootstrap_token(registration, life).await
    }

    /// Counters and gauges, as Prometheus reads them.
    pub fn metrics_text(&self) -> String {
        self.shared.refresh_gauges();
        self.shared.mint.metrics.text()
    }
}

impl Issue for Issuer {
    fn issue<'a>(
        &'a self,
        id: &'a SpiffeId,
        csr_der: &'a [u8],
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Vec<CertificateDer<'static>>, IssueError>> {
        Box::pin(async move {
            let who = Who { method: Method::InProcess, caller: id.to_string(), peer: String::new() };
            let order = Order { id, dns_names: &[], ttl: Some(ttl), max_ttl: None, roots_go_along: false };
            let mint = &self.shared.mint;
            let issued = match csr::parse(csr_der) {
                Ok(csr) => mint.issue(&who, order, &csr).await,
                Err(error) => Err(mint.refuse(&who, X509, Some(id), error.into())),
            };
            match issued {
                Ok(issued) => Ok(issued.chain),
                Err(
                    refusal @ (Refusal::Overloaded
                    | Refusal::RateLimited
                    | Refusal::NotReady(_)
                    | Refusal::VerifierAway(_)
                    | Refusal::Internal(_)),
                ) => Err(IssueError::Failed(refusal.to_string())),
                Err(refusal) => Err(IssueError::Refused(refusal.to_string())),
            }
        })
    }

    fn bundles(&self) -> watch::Receiver<TrustBundles> {
        self.shared.registry.bundles()
    }
}

impl Shared {
    pub(crate) fn status(&self) -> IssuerStatus {
        let current = self.authority.current();
        let (issued, refused) = self.mint.metrics.totals();
        let bundles = self.registry.bundles();
        let federated = bundles.borrow().0.keys().map(ToString::to_string).collect::<Vec<_>>();
        let own = self.mint.trust_domain.as_str();
        IssuerStatus {
            trust_domain: own.to_owned(),
            spiffe_id: self.own_id.to_string(),
            sequence: current.bundle.sequence.unwrap_or_default(),
            roots: current.roots.clone(),
            jwt_keys: current.keys.clone(),
            signing: current
                .signer
                .as_ref()
                .map(|signer| signer.fingerprint().to_string())
                .unwrap_or_default(),
            signing_not_after: current
                .signer
                .as_ref()
                .map(|signer| unix(signer.not_after()))
                .unwrap_or_default(),
            registrations: self.registry.configuration().registrations.len(),
            federated: federated.into_iter().filter(|name| name != own).collect(),
            addresses: self.addresses.clone(),
            issued,
            refused,
        }
    }

    /// Rotates, and shows the new bundle to everybody before it returns.
    pub(crate) async fn rotate(&self, overlap: Overlap) -> Result<Rotation, RotationError> {
        let rotation = self.authority.rotate(overlap).await;
        self.registry.merge_own(&self.authority.current().bundle);
        rotation
    }

    pub(crate) async fn bootstrap_token(
        &self,
        registration: &str,
        life: Duration,
    ) -> Result<Secret<String>, IssuerError> {
        if self.registry.registration(registration).is_none() {
            return Err(IssuerError::NoRegistration(registration.to_owned()));
        }
        Ok(self.authority.make_bootstrap_token(registration, life).await?)
    }

    pub(crate) fn refresh_gauges(&self) {
        let current = self.authority.current();
        let metrics = &self.mint.metrics;
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        metrics.sequence.set(signed(current.bundle.sequence.unwrap_or_default()));
        metrics.roots.set(signed(current.bundle.x509.len() as u64));
        let not_after = current.signer.as_ref().map(|signer| unix(signer.not_after())).unwrap_or_default();
        metrics.signing_not_after.set(signed(not_after));
    }
}

/// An issuer that is being started.
struct Start<'a> {
    settings: &'a IssuerSettings,
    stop: &'a CancellationToken,
    mint: &'a Arc<Mint>,
    addresses: Addresses,
}

impl Start<'_> {
    /// Runs a part until the issuer stops.
    fn spawn(&self, part: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = part => {}
            }
        });
    }

    /// Each listener has as many places as the settings say.
    fn door(&self) -> Door {
        Door::new(self.settings.limits.connections, self.mint.metrics.clone(), self.stop.clone())
    }

    /// The issuer's own certificate, if some listener shows it.
    async fn own(&self, id: &SpiffeId) -> Result<Arc<Serving>, IssuerError> {
        let serving = Arc::new(Serving::default());
        let bundle_shows_it =
            self.settings.bundle.as_ref().is_some_and(|bundle| bundle.profile == BundleServer::Spiffe);
        if self.settings.istio_ca.is_none() && !bundle_shows_it {
            return Ok(serving);
        }
        let own = Own {
            mint: self.mint.clone(),
            id: id.clone(),
            dns_names: self.settings.dns_names.clone(),
            serving: serving.clone(),
        };
        let bundle = self.mint.authority.bundle();
        let due = own.renew().await.map_err(IssuerError::Certificate)?;
        self.spawn(own.run(due, bundle));
        Ok(serving)
    }

    async fn istio_ca(&mut self, own: &Arc<Serving>, registry: &Arc<Registry>) -> Result<(), IssuerError> {
        let Some(listener) = bind("the Istio CA", self.settings.istio_ca).await? else { return Ok(()) };
        self.addresses.istio_ca = address(Some(&listener));
        let callers = Callers::new(self.settings, self.mint.authority.clone(), registry.clone());
        let service = IstioCa {
            mint: self.mint.clone(),
            callers: Arc::new(callers),
            cluster_id: self.settings.cluster_id.as_str().into(),
        };
        let server = IstioCertificateServiceServer::new(service)
            .max_decoding_message_size(self.settings.limits.message_bytes);
        let config = server_config(own.clone(), Clients::MayShow, &[b"h2"])
            .map_err(|error| IssuerError::Certificate(error.to_string()))?;
        self.spawn(serve::tls(listener, config, self.door(), move |stream, peer| {
            let server = server.clone();
            serve::http2(stream, move |mut request: http::Request<hyper::body::Incoming>| {
                request.extensions_mut().insert(peer.clone());
                let mut server = server.clone();
                async move { server.call(request.map(Body::new)).await }
            })
        }));
        Ok(())
    }

    async fn bundle(&mut self, own: &Arc<Serving>) -> Result<(), IssuerError> {
        let Some(settings) = &self.settings.bundle else { return Ok(()) };
        let listener = bind("the bundle endpoint", Some(settings.address)).await?;
        self.addresses.bundle = address(listener.as_ref());
        let serving = match &settings.profile {
            BundleServer::Spiffe => own.clone(),
            BundleServer::Web { certificate, key } => {
                let serving = Arc::new(Serving::default());
                let web = WebCertificate::load(certificate, key, serving.clone())
                    .await
                    .map_err(IssuerError::Certificate)?;
                self.spawn(web.run());
                serving
            }
        };
        if let Some(listener) = listener {
            let served = bundle_endpoint::serve(listener, self.mint.authority.clone(), serving, self.door())
                .map_err(|error| IssuerError::Certificate(error.to_string()))?;
            self.spawn(served);
        }
        Ok(())
    }

    async fn workload_api(&mut self, registry: &Arc<Registry>) -> Result<(), IssuerError> {
        let Some(path) = &self.settings.workload_api else { return Ok(()) };
        let socket = Socket::bind(path).await?;
        self.addresses.workload_api = Some(path.clone());
        let api = WorkloadApi { mint: self.mint.clone(), registry: registry.clone() };
        self.spawn(socket.serve(api, self.settings.limits.message_bytes, self.door()));
        Ok(())
    }
}

async fn bind(what: &'static str, address: Option<SocketAddr>) -> Result<Option<TcpListener>, IssuerError> {
    let Some(address) = address else { return Ok(None) };
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(source) => Err(IssuerError::Bind { what, address, source }),
    }
}

fn address(listener: Option<&TcpListener>) -> Option<SocketAddr> {
    listener.and_then(|listener| listener.local_addr().ok())
}
