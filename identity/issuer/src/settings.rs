//! What an issuer is told once, at its start; and what it is told while it runs.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use identity::{Clock, SpiffeId, TrustDomain};
use model::{FederatedDomain, TrustDomainName};
use rustls_pki_types::CertificateDer;

use crate::ca::{CaKey, UpstreamAuthority};

/// Settings of an issuer. [`IssuerSettings::new`] serves nothing but the process that it is in.
#[derive(Clone, Debug)]
pub struct IssuerSettings {
    /// The trust domain that it issues for.
    pub trust_domain: TrustDomain,
    /// Folder for roots, keys and tokens (0700, files 0600); none: they live and die with the process.
    pub state: Option<PathBuf>,
    /// What signs.
    pub ca: CaKind,
    /// Lives of what is issued.
    pub lives: Lives,
    /// How many, how fast, how big.
    pub limits: Limits,
    /// The issuer's own SPIFFE ID; none: `spiffe://TRUST-DOMAIN/diolkos/issuer`.
    pub own_id: Option<SpiffeId>,
    /// DNS names of the issuer's own certificate on the Istio CA port.
    pub dns_names: Vec<String>,
    /// Where the Istio CA protocol is served, over TLS; port 0 takes a free one.
    pub istio_ca: Option<SocketAddr>,
    /// Metadata `clusterid` that callers of the Istio CA must send, if they send any.
    pub cluster_id: String,
    /// Path of the Workload API's Unix socket.
    pub workload_api: Option<PathBuf>,
    /// Where the bundle is published.
    pub bundle: Option<BundleSettings>,
    /// How often consumers should fetch the bundle.
    pub refresh_hint: Duration,
    /// Administration over HTTP: loopback only.
    pub admin: Option<SocketAddr>,
    /// Metrics over HTTP.
    pub metrics: Option<SocketAddr>,
    /// Service-account tokens that are verified with published keys.
    pub jwt_callers: Option<JwtCallers>,
    /// Service-account tokens that the Kubernetes API server reviews.
    pub token_review: Option<TokenReview>,
    /// Whether a current SVID of ours is proof enough for the next one. It keeps a workload going while whoever reviews
    /// tokens is away; without it, a pod that is deleted gets nothing more.
    pub svid_renewal: bool,
    /// The time.
    pub clock: Clock,
}

impl IssuerSettings {
    /// A self-signed CA in memory, no address served, every other value at its default.
    pub fn new(trust_domain: TrustDomain) -> Self {
        Self {
            trust_domain,
            state: None,
            ca: CaKind::default(),
            lives: Lives::default(),
            limits: Limits::default(),
            own_id: None,
            dns_names: Vec::new(),
            istio_ca: None,
            cluster_id: "Kubernetes".to_owned(),
            workload_api: None,
            bundle: None,
            refresh_hint: Duration::from_secs(300),
            admin: None,
            metrics: None,
            jwt_callers: None,
            token_review: None,
            svid_renewal: true,
            clock: Clock::system(),
        }
    }
}

/// What signs.
#[derive(Clone, Debug)]
pub enum CaKind {
    /// Our own ECDSA P-256 root, rotated with overlap.
    SelfSigned {
        /// Life of a root; at least six times the longest life of an SVID.
        ttl: Duration,
    },
    /// An intermediate (or root) that somebody else writes to files; watched.
    Files(CaFiles),
    /// A CA whose key somebody else holds: a device, a key service.
    Held {
        /// Signs for us.
        key: Arc<dyn CaKey>,
        /// The signing certificate, then those above it, as DER.
        chain: Vec<CertificateDer<'static>>,
        /// Roots of the trust domain.
        roots: Vec<CertificateDer<'static>>,
    },
    /// An intermediate that an authority above us signs.
    Upstream {
        /// The authority.
        authority: Arc<dyn UpstreamAuthority>,
        /// Life to ask for.
        ttl: Duration,
    },
}

impl Default for CaKind {
    fn default() -> Self {
        Self::SelfSigned { ttl: Duration::from_secs(30 * 24 * 3600) }
    }
}

/// Files of a CA, all PEM.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CaFiles {
    /// The signing certificate, maybe followed by those above it.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Roots of the trust domain.
    pub roots: PathBuf,
    /// More certificates between the signing one and the roots (Istio's `cert-chain.pem`).
    pub chain: Option<PathBuf>,
}

impl CaFiles {
    /// `tls.crt`, `tls.key`, `ca.crt`, as cert-manager writes them to a Secret.
    pub fn cert_manager(folder: &std::path::Path) -> Self {
        Self {
            certificate: folder.join("tls.crt"),
            key: folder.join("tls.key"),
            roots: folder.join("ca.crt"),
            chain: None,
        }
    }

    /// `ca-cert.pem`, `ca-key.pem`, `root-cert.pem`, `cert-chain.pem`: Istio's Secret `cacerts`.
    pub fn istio(folder: &std::path::Path) -> Self {
        Self {
            certificate: folder.join("ca-cert.pem"),
            key: folder.join("ca-key.pem"),
            roots: folder.join("root-cert.pem"),
            chain: Some(folder.join("cert-chain.pem")),
        }
    }
}

/// Lives of what is issued.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lives {
    /// Of an X.509-SVID whose caller does not say.
    pub svid: Duration,
    /// The longest that is granted; more is refused, not shortened.
    pub max_svid: Duration,
    /// Of a JWT-SVID.
    pub jwt_svid: Duration,
}

impl Default for Lives {
    fn default() -> Self {
        Self {
            svid: Duration::from_secs(3600),
            max_svid: Duration::from_secs(24 * 3600),
            jwt_svid: Duration::from_secs(300),
        }
    }
}

/// Bounds. What is over them is refused at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Requests per second of one caller, sustained.
    pub caller_rate: u32,
    /// Requests of one caller at once.
    pub caller_burst: u32,
    /// Signatures under way.
    pub signing: usize,
    /// Requests that wait for a signature.
    pub queue: usize,
    /// Connections of one listener.
    pub connections: usize,
    /// Bytes of a gRPC message.
    pub message_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            caller_rate: 5,
            caller_burst: 50,
            signing: 4,
            queue: 256,
            connections: 4096,
            message_bytes: 64 * 1024,
        }
    }
}

/// Where and how the bundle is published.
#[derive(Clone, Debug)]
pub struct BundleSettings {
    /// Address; port 0 takes a free one.
    pub address: SocketAddr,
    /// How the server authenticates itself.
    pub profile: BundleServer,
}

/// How a bundle endpoint authenticates itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BundleServer {
    /// `https_spiffe`: by the issuer's own SVID.
    Spiffe,
    /// `https_web`: by these files (PEM), watched.
    Web {
        /// The chain, leaf first.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
}

/// Service-account tokens that are verified with published keys, without an API server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JwtCallers {
    /// The keys.
    pub jwks: JwksSource,
    /// Claim `iss`.
    pub issuer: String,
    /// One of these must be in claim `aud`.
    pub audiences: Vec<String>,
    /// Whether a token must be bound to a pod.
    pub pod_bound: bool,
    /// PEM file: what the server of a URL must chain to; none: the system's roots.
    pub ca: Option<PathBuf>,
}

/// Where a JWKS is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum JwksSource {
    /// A file, read again when it changes.
    File(PathBuf),
    /// An `https` URL, fetched again every five minutes.
    Url(String),
}

impl JwksSource {
    /// `https://…` is a URL, all else a file.
    pub fn parse(text: &str) -> Self {
        if text.starts_with("https://") || text.starts_with("http://") {
            Self::Url(text.to_owned())
        } else {
            Self::File(text.into())
        }
    }
}

/// How tokens are reviewed by the Kubernetes API server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenReview {
    /// `https://HOST:PORT`.
    pub api_server: String,
    /// PEM file: what the API server's certificate must chain to; read again for each connection.
    pub ca: PathBuf,
    /// Our own token; read again for each call.
    pub token: PathBuf,
    /// One of these must be in the reviewed token; never empty.
    pub audiences: Vec<String>,
}

impl TokenReview {
    /// As a pod sees its API server; the audience is Istio's.
    ///
    /// # Errors
    /// A variable that every pod has is not set.
    pub fn in_cluster() -> Result<Self, std::env::VarError> {
        let host = std::env::var("KUBERNETES_SERVICE_HOST")?;
        let port = std::env::var("KUBERNETES_SERVICE_PORT")?;
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let account = std::path::Path::new("/var/run/secrets/kubernetes.io/serviceaccount");
        Ok(Self {
            api_server: format!("https://{host}:{port}"),
            ca: account.join("ca.crt"),
            token: account.join("token"),
            audiences: vec!["istio-ca".to_owned()],
        })
    }
}

/// What an issuer is told while it runs.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// Workloads that the Workload API serves (WorkloadRegistration), by name.
    pub registrations: BTreeMap<Arc<str>, Registration>,
    /// Other trust domains (FederatedTrustDomain).
    pub federated: BTreeMap<TrustDomainName, Arc<FederatedDomain>>,
}

/// A workload outside Kubernetes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Registration {
    /// Who it is; of the issuer's own trust domain.
    pub spiffe_id: SpiffeId,
    /// How it is told from others: every selector that is given must match. None given matches nobody.
    pub selectors: Selectors,
    /// Life of its SVIDs; none: the issuer's default.
    pub ttl: Option<Duration>,
    /// DNS names of its SVIDs.
    pub dns_names: Vec<String>,
    /// Whose bundles it gets beside its own; none: everybody's.
    pub federates_with: Option<Vec<TrustDomain>>,
    /// What it is for, if a workload has several.
    pub hint: String,
}

impl Registration {
    /// A registration with nothing but a name for who matches.
    pub fn new(spiffe_id: SpiffeId, selectors: Selectors) -> Self {
        Self {
            spiffe_id,
            selectors,
            ttl: None,
            dns_names: Vec::new(),
            federates_with: None,
            hint: String::new(),
        }
    }
}

/// What the kernel says of a caller on the Workload API's socket.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Selectors {
    /// Effective user.
    pub uid: Option<u32>,
    /// Effective group.
    pub gid: Option<u32>,
    /// Path of the program, as `/proc/PID/exe` names it.
    pub path: Option<PathBuf>,
    /// The Kubernetes pod that the cgroup is of.
    pub pod_uid: Option<String>,
}

impl Selectors {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What is wrong with settings.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SettingsError(pub(crate) String);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SettingsError {}

impl IssuerSettings {
    /// The issuer's own SPIFFE ID.
    ///
    /// # Errors
    /// It is given and of another trust domain.
    pub(crate) fn own_spiffe_id(&self) -> Result<SpiffeId, SettingsError> {
        let id = match &self.own_id {
            Some(id) => id.clone(),
            None => SpiffeId::from_segments(self.trust_domain.clone(), &["diolkos", "issuer"])
                .map_err(|error| SettingsError(error.to_string()))?,
        };
        if id.trust_domain() != &self.trust_domain || id.path().is_empty() {
            return Err(SettingsError(format!("{id} is no workload of trust domain {}", self.trust_domain)));
        }
        Ok(id)
    }

    /// Checks what can be checked without touching anything.
    ///
    /// # Errors
    /// [`SettingsError`] says what cannot be, and what could.
    pub fn check(&self) -> Result<(), SettingsError> {
        self.own_spiffe_id()?;
        let Lives { svid, max_svid, jwt_svid } = self.lives;
        let wrong = |text: String| Err(SettingsError(text));
        if svid.as_secs() == 0 || jwt_svid.as_secs() == 0 {
            return wrong("the life of an SVID must be at least one second".to_owned());
        }
        if svid > max_svid {
            return wrong(format!("SVIDs of {svid:?} are longer than the maximum, {max_svid:?}"));
        }
        if let CaKind::SelfSigned { ttl } = &self.ca
            && *ttl < max_svid.saturating_mul(CA_LIVES_PER_SVID)
        {
            // SPIRE clips such SVIDs (its issue 5530); a certificate that is shorter than asked surprises.
            return wrong(format!(
                "a CA of {ttl:?} cannot sign SVIDs of {max_svid:?}: it needs {CA_LIVES_PER_SVID} times their life"
            ));
        }
        if self.admin.is_some_and(|address| !address.ip().is_loopback()) {
            return wrong("the admin address must be on loopback".to_owned());
        }
        if self.istio_ca.is_some() && self.dns_names.is_empty() {
            return wrong("the Istio CA needs a DNS name that its callers dial".to_owned());
        }
        if self.jwt_callers.as_ref().is_some_and(|jwt| jwt.audiences.is_empty() || jwt.issuer.is_empty()) {
            return wrong("service-account tokens need an issuer and an audience".to_owned());
        }
        if let Some(JwtCallers { jwks: JwksSource::Url(url), .. }) = &self.jwt_callers
            && !url.starts_with("https://")
        {
            return wrong(format!("keys are fetched over https only, not from {url}"));
        }
        match &self.token_review {
            Some(review) if review.audiences.is_empty() => {
                // Without an audience the API server would take any token of the cluster.
                wrong("token review needs an audience".to_owned())
            }
            Some(review) if !review.api_server.starts_with("https://") => {
                wrong(format!("tokens are reviewed over https only, not by {}", review.api_server))
            }
            _ => Ok(()),
        }
    }
}

/// A CA lives at least this many times as long as what it signs: it is used until 5/6 of its life.
const CA_LIVES_PER_SVID: u32 = 6;
