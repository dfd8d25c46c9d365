//! One trust domain's bundle: begun with the bootstrap bundle, fetched, kept.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use model::{BootstrapBundle, BundleEndpoint, BundleProfile, ClientTls, FederatedDomain, PeerProfile};
use spiffe::TrustDomain;
use tracing::{info, warn};

use super::{Context, DomainStatus, lock};
use crate::bundle::{BundleError, MAX_REFRESH, MIN_REFRESH, TrustBundle, TrustBundles};
use crate::dial::chain_of;
use crate::https::{FetchError, HttpsUrl, fetch};
use crate::id::{IdError, WorkloadId};
use crate::tls::ConfigError;
use crate::tls::client::{ClientAlpn, ClientTlsConfig, client_config};
use crate::tls::mesh_client::pinned_client_config;

/// Follows one trust domain.
pub(super) struct Follower {
    context: Context,
    trust_domain: TrustDomain,
    domain: Arc<FederatedDomain>,
    status: Arc<Mutex<DomainStatus>>,
}

/// Why there is no newer bundle. The last good one stays.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    /// The URL, the network, the server.
    #[error("the bundle cannot be fetched")]
    Fetch(#[from] FetchError),
    /// The document.
    #[error("the bundle cannot be used")]
    Bundle(#[from] BundleError),
    /// `https_spiffe` with an ID that is none.
    #[error("the bundle server's SPIFFE ID cannot be used")]
    ServerId(#[from] IdError),
    /// `https_spiffe` needs a bundle to begin with.
    #[error("there is no bundle of {0} to verify the bundle server by: give a bootstrap bundle")]
    NothingToVerifyBy(Arc<str>),
}

impl Follower {
    pub(super) fn new(
        context: Context,
        trust_domain: TrustDomain,
        domain: Arc<FederatedDomain>,
        status: Arc<Mutex<DomainStatus>>,
    ) -> Self {
        Self { context, trust_domain, domain, status }
    }

    /// Begins with the bootstrap bundle, or with none.
    pub(super) fn bootstrap(&self) {
        let bundle = self.domain.bootstrap.as_ref().map(|bundle| match bundle {
            BootstrapBundle::Document(text) => TrustBundle::from_document(text.as_bytes()),
            BootstrapBundle::Pem(anchors) => TrustBundle::from_pem(&anchors.0),
        });
        match bundle {
            Some(Ok(bundle)) => self.take(bundle),
            Some(Err(error)) => {
                self.forget();
                self.failed(&FollowError::Bundle(error));
            }
            None => self.forget(),
        }
    }

    fn forget(&self) {
        self.context.bundles.send_if_modified(|bundles| bundles.0.remove(&self.trust_domain).is_some());
    }

    /// Fetches for ever; without an endpoint there is nothing to do.
    pub(super) async fn run(self) {
        self.show();
        let Some(endpoint) = &self.domain.endpoint else { return };
        loop {
            let pause = match self.fetch(endpoint).await {
                Ok(bundle) => {
                    let pause = refresh(&bundle);
                    self.take(bundle);
                    self.fetched();
                    jittered(pause)
                }
                Err(error) => {
                    self.failed(&error);
                    let failures = lock(&self.status).failures;
                    jittered(retry(failures))
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn fetch(&self, endpoint: &BundleEndpoint) -> Result<TrustBundle, FollowError> {
        let url = HttpsUrl::parse(&endpoint.url)?;
        let document = match &endpoint.profile {
            BundleProfile::HttpsWeb => fetch(&self.context.dialer, &url, |host| self.web(host)).await?,
            BundleProfile::HttpsSpiffe { server_id } => {
                let server = WorkloadId::parse_spiffe(server_id)?;
                let known = self.context.bundles.borrow().clone();
                // The latest of the server's own trust domain, which need not be the one that is asked for.
                let of = server.trust_domain().and_then(|domain| known.0.get_key_value(domain));
                let Some((domain, bundle)) = of else {
                    let domain = server.trust_domain().map(ToString::to_string).unwrap_or_default();
                    return Err(FollowError::NothingToVerifyBy(domain.into()));
                };
                let known = TrustBundles([(domain.clone(), Arc::clone(bundle))].into());
                fetch(&self.context.dialer, &url, |host| self.spiffe(host, &known, &server)).await?
            }
        };
        let bundle = TrustBundle::from_document(&document)?;
        if let Some(held) = self.context.bundles.borrow().0.get(&self.trust_domain) {
            held.check_successor(&bundle)?;
        }
        Ok(bundle)
    }

    /// `https_web`: the system's roots and the host's name.
    fn web(&self, host: &str) -> Result<ClientTlsConfig, ConfigError> {
        let roots = self.context.web_roots.clone();
        let tls = ClientTls { server_name: host.into(), roots, names: Vec::new(), certificate: None };
        client_config(&tls, None, ClientAlpn::Http1)
    }

    /// `https_spiffe`: one SPIFFE ID, by its trust domain's bundle. The host is for SNI alone.
    fn spiffe(
        &self,
        host: &str,
        bundles: &TrustBundles,
        server: &WorkloadId,
    ) -> Result<ClientTlsConfig, ConfigError> {
        let ids = std::slice::from_ref(server);
        let clock = self.context.clock.clone();
        // SNI is for names, not for addresses.
        let sni = host.parse::<IpAddr>().is_err().then_some(host);
        pinned_client_config(bundles, ids, PeerProfile::SpiffeStrict, clock, sni, ClientAlpn::Http1)
    }

    fn take(&self, bundle: TrustBundle) {
        let changed = self.context.bundles.send_if_modified(|bundles| {
            if bundles.0.get(&self.trust_domain).is_some_and(|held| **held == bundle) {
                return false;
            }
            bundles.0.insert(self.trust_domain.clone(), Arc::new(bundle));
            true
        });
        if changed {
            info!(trust_domain = %self.trust_domain, "Federated bundle changed");
        }
        self.show();
    }

    /// Brings the status up to what is held.
    fn show(&self) {
        let held = self.context.bundles.borrow().0.get(&self.trust_domain).cloned().unwrap_or_default();
        let mut status = lock(&self.status);
        status.roots = held.x509.len();
        status.jwt_keys = held.jwt.len();
        status.sequence = held.sequence;
    }

    fn fetched(&self) {
        let now = self.context.clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut status = lock(&self.status);
        status.fetched_at = Some(now.as_secs());
        status.failures = 0;
        status.last_error = None;
    }

    fn failed(&self, error: &FollowError) {
        let text = chain_of(error);
        warn!(trust_domain = %self.trust_domain, error = %text, "Federated bundle not refreshed");
        let mut status = lock(&self.status);
        status.failures = status.failures.saturating_add(1);
        status.last_error = Some(text);
    }
}

/// How long a bundle is good for: as it says, within limits; five minutes if it does not say.
fn refresh(bundle: &TrustBundle) -> Duration {
    bundle.refresh_hint.map_or(DEFAULT_REFRESH, |hint| hint.clamp(MIN_REFRESH, MAX_REFRESH))
}

/// How long to wait after failures: from five seconds, doubling, to five minutes.
fn retry(failures: u32) -> Duration {
    FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(DEFAULT_REFRESH)
}

/// Up to a tenth less, so that those who started together do not ask together.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(1.0 - fastrand::f64() * 0.1)
}

/// SPIFFE Federation §4.1.
const DEFAULT_REFRESH: Duration = Duration::from_secs(300);
const FIRST_RETRY: Duration = Duration::from_secs(5);
