//! An issuer with a clock that the test turns, and everything that it needs around it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use identity::verify::{Role, verify_chain};
use identity::{Clock, Hand, Issue, SpiffeId, TrustBundles, TrustDomain};
use issuer::{
    BundleServer, BundleSettings, CaKind, Configuration, Issuer, IssuerSettings, IssuerStatus, JwksSource,
    JwtCallers, Limits, Lives, Registration, Selectors,
};
use model::PeerProfile;
use rustls_pki_types::CertificateDer;
use serde_json::Value;
use tempfile::TempDir;

use crate::audit::Log;
use crate::client::{self, Client, Shown};
use crate::token::{self, TokenKey};

pub(crate) const TD: &str = "cluster.local";
pub(crate) const CART: &str = "spiffe://cluster.local/ns/shop/sa/cart";

/// Everything that a test needs.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) issuer: Issuer,
    pub(crate) hand: Hand,
    pub(crate) clock: Clock,
    pub(crate) log: Log,
    pub(crate) tokens: TokenKey,
    pub(crate) temp: TempDir,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// With other settings.
    pub(crate) async fn start_with(change: impl FnOnce(&mut IssuerSettings)) -> Self {
        // TLS libraries elsewhere look at the system's clock, so ours begins where that one is.
        Self::start_at(SystemTime::now(), change).await
    }

    /// At another time.
    pub(crate) async fn start_at(start: SystemTime, change: impl FnOnce(&mut IssuerSettings)) -> Self {
        let log = Log::capture();
        let temp = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::by_hand(start);
        let tokens = TokenKey::new("k1");
        std::fs::write(temp.path().join("jwks.json"), tokens.jwks()).unwrap();
        let mut settings = settings(&temp, clock.clone());
        change(&mut settings);
        let issuer = Issuer::start(settings).await.unwrap();
        Self { issuer, hand, clock, log, tokens, temp }
    }

    /// The bundle of the issuer's own trust domain.
    pub(crate) fn bundles(&self) -> TrustBundles {
        self.issuer.bundles().borrow().clone()
    }

    pub(crate) fn roots(&self) -> Vec<CertificateDer<'static>> {
        self.bundles().0.get(&trust_domain()).unwrap().x509.clone()
    }

    pub(crate) fn client(&self) -> Client {
        Client {
            address: self.issuer.addresses().istio_ca.unwrap(),
            roots: self.roots(),
            clock: self.clock.clone(),
        }
    }

    /// The claims of a pod of shop/cart.
    pub(crate) fn claims(&self) -> Value {
        token::claims("shop", "cart", self.clock.now())
    }

    pub(crate) fn token(&self) -> String {
        self.tokens.sign(&self.claims())
    }

    /// A certificate for shop/cart, by its token.
    pub(crate) async fn cart(&self) -> Shown {
        let (csr, key) = client::csr(|_| {});
        let answer = self.client().call(None, client::request(Some(&self.token()), &csr)).await.unwrap();
        Shown { chain: client::split(&answer).0, key: key.serialize_der() }
    }

    /// Whether a peer with these bundles believes a chain now.
    pub(crate) fn believes(&self, bundles: &TrustBundles, chain: &[CertificateDer<'static>]) -> bool {
        verify_chain(chain, bundles, Role::Any, PeerProfile::SpiffeStrict, self.clock.now()).is_ok()
    }

    /// Moves the clock.
    pub(crate) fn pass(&self, time: Duration) {
        self.hand.advance(time);
    }

    /// Waits until the issuer's status says so.
    pub(crate) async fn until(&self, what: &str, reached: impl Fn(&IssuerStatus) -> bool) -> IssuerStatus {
        let waiting = async {
            loop {
                let status = self.issuer.status();
                if reached(&status) {
                    return status;
                }
                tokio::task::yield_now().await;
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(status) => status,
            Err(_) => panic!("{what} did not happen: {:#?}", self.issuer.status()),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }
}

fn settings(temp: &TempDir, clock: Clock) -> IssuerSettings {
    let any = "127.0.0.1:0".parse().unwrap();
    let mut settings = IssuerSettings::new(trust_domain());
    settings.ca = CaKind::SelfSigned { ttl: Duration::from_secs(10 * 24 * 3600) };
    settings.lives = Lives { max_svid: Duration::from_secs(24 * 3600), ..Lives::default() };
    settings.limits = Limits { caller_rate: 1, caller_burst: 1000, ..Limits::default() };
    settings.dns_names = vec!["issuer.test".to_owned()];
    settings.istio_ca = Some(any);
    settings.workload_api = Some(temp.path().join("api.sock"));
    settings.bundle = Some(BundleSettings { address: any, profile: BundleServer::Spiffe });
    settings.admin = Some(any);
    settings.metrics = Some(any);
    settings.jwt_callers = Some(JwtCallers {
        jwks: JwksSource::File(temp.path().join("jwks.json")),
        issuer: token::ISSUER.to_owned(),
        audiences: vec![token::AUDIENCE.to_owned()],
        pod_bound: false,
        ca: None,
    });
    settings.clock = clock;
    settings
}

pub(crate) fn trust_domain() -> TrustDomain {
    TrustDomain::new(TD).unwrap()
}

pub(crate) fn id(text: &str) -> SpiffeId {
    SpiffeId::new(text).unwrap()
}

/// Selectors that this process matches.
pub(crate) fn ourselves() -> Selectors {
    use std::os::unix::fs::MetadataExt;
    let uid = std::fs::metadata("/proc/self").unwrap().uid();
    Selectors { uid: Some(uid), path: std::env::current_exe().ok(), ..Selectors::default() }
}

/// A configuration of registrations alone.
pub(crate) fn registered<const N: usize>(registrations: [(&str, Registration); N]) -> Configuration {
    let registrations = registrations.into_iter().map(|(name, registration)| (Arc::from(name), registration));
    Configuration { registrations: registrations.collect(), federated: BTreeMap::new() }
}

/// How long a loaded machine may take for what is due.
const PATIENCE: Duration = Duration::from_secs(30);
