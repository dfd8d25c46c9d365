//! The mesh: who each Gateway is, which other trust domains are believed, what the built-in issuer is told.

mod federation;
mod identity;
mod peer_authentication;
mod registrations;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::own::MeshPeerMatch;
use model::{FederatedDomain, GatewayIdentity, IdentityName, PeerMatch, TrustDomainName};

use crate::context::Context;
use crate::output::IssuerConfig;

pub(crate) use self::identity::{Applicant, GatewayMesh, Wanted, identities};
pub(crate) use self::peer_authentication::PeerAuthentications;

/// What is known of the mesh as a whole.
#[derive(Debug, Default)]
pub(crate) struct Mesh {
    /// Identities of all Gateways: those that are used are put into snapshots.
    pub(crate) identities: BTreeMap<IdentityName, Arc<GatewayIdentity>>,
    /// Other trust domains.
    pub(crate) federated: BTreeMap<TrustDomainName, Arc<FederatedDomain>>,
    /// The trust domain of the built-in issuer.
    pub(crate) issuer_domain: Option<Arc<str>>,
}

impl Mesh {
    /// Whether Gateways are not all the same workload. Then a meshed backend is another one for each of them.
    pub(crate) fn has_several_identities(&self) -> bool {
        self.identities.len() > 1
    }
}

/// Looks at WorkloadRegistrations and FederatedTrustDomains, once the Gateways' identities are known.
pub(crate) fn gather(context: &mut Context<'_>) -> IssuerConfig {
    federation::gather(context);
    let registrations = registrations::gather(context);
    let mesh = &context.mesh;
    IssuerConfig {
        trust_domain: mesh.issuer_domain.clone(),
        registrations,
        federated: mesh.federated.clone(),
    }
}

/// Peers as a policy names them. What the API server would have refused matches nobody.
pub(crate) fn peer_matches(peers: &[MeshPeerMatch]) -> Vec<PeerMatch> {
    let one = |peer: &MeshPeerMatch| match (&peer.spiffe_id, &peer.trust_domain, &peer.namespace) {
        (Some(id), None, None) => Some(PeerMatch::Id(id.as_str().into())),
        (None, Some(domain), None) => Some(PeerMatch::TrustDomain(domain.as_str().into())),
        (None, Some(domain), Some(namespace)) => Some(PeerMatch::Namespace {
            trust_domain: domain.as_str().into(),
            namespace: namespace.as_str().into(),
        }),
        _ => None,
    };
    peers.iter().filter_map(one).collect()
}

/// The SPIFFE ID of a service account, in the form that Istio has made common.
pub(crate) fn service_account_id(trust_domain: &str, namespace: &str, account: &str) -> Arc<str> {
    format!("spiffe://{trust_domain}/ns/{namespace}/sa/{account}").into()
}

/// What an error says, and what is behind it where it does not say that itself.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source()).map(ToString::to_string);
    causes.fold(
        error.to_string(),
        |text, cause| {
            if text.contains(&cause) { text } else { format!("{text}: {cause}") }
        },
    )
}

/// The trust domain of a mesh that nobody has named.
pub(crate) const DEFAULT_TRUST_DOMAIN: &str = "cluster.local";
