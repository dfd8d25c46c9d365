//! The issuer in the same process: it gives the gateway, sample workloads and registered ones their identities.

use std::sync::Arc;

use identity::Issue;
use issuer::{BundleServer, BundleSettings, Issuer, IssuerSettings};

use crate::arguments::Serve;
use crate::exit::{Failure, chain};
use crate::issuing;
use crate::sample::Mesh;

/// A running issuer and the one trust domain that it issues for.
#[derive(Debug)]
pub(super) struct Embedded {
    issuer: Issuer,
    trust_domain: Arc<str>,
}

impl Embedded {
    /// Starts it for the trust domain that the objects name.
    pub(super) async fn start(serve: &Serve, wanted: &translate::IssuerConfig) -> Result<Self, Failure> {
        let trust_domain = wanted.trust_domain.as_deref().unwrap_or(TRUST_DOMAIN);
        let mut settings = IssuerSettings::new(issuing::trust_domain(trust_domain)?);
        settings.state.clone_from(&serve.issuer_state);
        settings.workload_api.clone_from(&serve.workload_api);
        settings.admin = serve.issuer_admin;
        settings.bundle =
            serve.bundle.map(|address| BundleSettings { address, profile: BundleServer::Spiffe });
        let issuer = Issuer::start(settings).await;
        let issuer = issuer.map_err(|error| Failure::Settings(format!("the issuer: {}", chain(&error))))?;
        Ok(Self { issuer, trust_domain: trust_domain.into() })
    }

    /// For the proxy.
    pub(super) fn issue(&self) -> Arc<dyn Issue> {
        Arc::new(self.issuer.clone())
    }

    /// For sample workloads.
    pub(super) fn mesh(&self) -> Mesh {
        Mesh { issuer: self.issue(), trust_domain: Arc::clone(&self.trust_domain) }
    }

    /// Takes over what the objects say now.
    pub(super) fn follow(&self, wanted: &translate::IssuerConfig) {
        if let Some(other) = wanted.trust_domain.as_ref().filter(|name| **name != self.trust_domain) {
            tracing::warn!(
                trust_domain = %other,
                issues_for = %self.trust_domain,
                "The built-in issuer knows one trust domain; restart to change it"
            );
        }
        self.issuer.configure(issuing::configuration(wanted));
    }
}

/// Where no object names one; Kubernetes and Istio have the same default.
const TRUST_DOMAIN: &str = "cluster.local";
