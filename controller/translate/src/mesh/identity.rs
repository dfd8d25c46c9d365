//! Who a Gateway is in its mesh: by GatewayParameters of the Gateway and of its class, field by field.

mod source;

use std::sync::Arc;

use api::Object;
use api::ObjectKey;
use api::gateway_api::Gateway;
use api::own::{self, GatewayParameters, MeshIdentity, MeshKind};
use identity::{TrustBundle, X509Svid};
use model::{GatewayIdentity, IdentityName, IdentitySource, KeyPair, PeerProfile, TrustAnchors};

use self::source::Source;
use super::{DEFAULT_TRUST_DOMAIN, chain};
use crate::context::Context;
use crate::mesh::service_account_id;
use crate::problem::Problem;
use crate::status::Verdict;

/// Who a Gateway is in its mesh.
#[derive(Clone, Debug)]
pub(crate) struct GatewayMesh {
    /// Its name in snapshots; it is there even if nobody is it.
    pub(crate) identity: IdentityName,
    /// Its trust domain.
    pub(crate) trust_domain: Arc<str>,
    /// By which rules its peers are verified.
    pub(crate) profile: PeerProfile,
    /// Why it is nobody.
    pub(crate) closed: Option<Arc<str>>,
    /// Parameters speak of a mesh, so the identity is fetched even if nothing needs it yet.
    pub(crate) is_stated: bool,
}

/// What parameters say of the mesh of one Gateway.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wanted<'a> {
    kind: Option<(MeshKind, &'a GatewayParameters)>,
    trust_domain: Option<&'a str>,
    identity: Option<(&'a MeshIdentity, &'a GatewayParameters)>,
    /// Who speaks of a mesh at all; the narrowest of them.
    by: Option<&'a GatewayParameters>,
}

/// A Gateway whose identity is asked for.
pub(crate) struct Applicant<'a> {
    /// The Gateway.
    pub(crate) gateway: &'a Gateway,
    /// What its parameters say.
    pub(crate) wanted: Wanted<'a>,
}

impl<'a> Wanted<'a> {
    /// Field by field the Gateway's word, else its class's.
    pub(crate) fn of(class: Option<&'a GatewayParameters>, gateway: Option<&'a GatewayParameters>) -> Self {
        let both: Vec<_> = [gateway, class].into_iter().flatten().collect();
        let said: Vec<(&own::GatewayMesh, &GatewayParameters)> =
            both.iter().filter_map(|by| Some((by.spec.mesh.as_ref()?, *by))).collect();
        Self {
            kind: said.iter().find_map(|(mesh, by)| Some((mesh.kind?, *by))),
            trust_domain: said.iter().find_map(|(mesh, _)| Some(mesh.trust_domain.as_ref()?.as_str())),
            identity: said.iter().find_map(|(mesh, by)| Some((mesh.identity.as_ref()?, *by))),
            by: said.first().map(|(_, by)| *by),
        }
    }

    /// Whether a key pair is an SVID of the own trust domain, and its roots are roots. (What needs a clock is checked by
    /// who uses it; this much is mostly what is wrong.)
    fn is_svid(&self, pair: Option<&Arc<KeyPair>>, roots: &TrustAnchors) -> Result<(), String> {
        let Some(pair) = pair else { return Err("it holds no key pair".to_owned()) };
        let profile = match self.kind() {
            MeshKind::Linkerd => PeerProfile::LinkerdDns,
            MeshKind::Istio => PeerProfile::Istio,
            MeshKind::Auto | MeshKind::Spiffe | MeshKind::None => PeerProfile::SpiffeStrict,
        };
        let svid = X509Svid::from_pem(&pair.certificate_chain, pair.private_key.expose(), profile);
        let svid = svid.map_err(|error| format!("tls.crt is no SVID: {}", chain(&error)))?;
        TrustBundle::from_pem(&roots.0).map_err(|error| format!("ca.crt is no bundle: {}", chain(&error)))?;
        let own = self.trust_domain.unwrap_or(DEFAULT_TRUST_DOMAIN);
        match svid.id().trust_domain() {
            Some(domain) if domain.to_string() != own => Err(format!(
                "{} is not of trust domain {own}, which mesh.trustDomain says or leaves unsaid",
                svid.id()
            )),
            _ => Ok(()),
        }
    }

    fn kind(&self) -> MeshKind {
        self.kind.map(|(kind, _)| kind).unwrap_or_default()
    }
}

/// Who each Gateway is, in the order given: the oldest first. A verdict that is not good says why one is nobody.
pub(crate) fn identities<'a>(
    applicants: &[Applicant<'a>],
    context: &mut Context<'a>,
) -> Vec<(GatewayMesh, Verdict)> {
    let facts = &context.index.inputs().mesh;
    // One issuer has one trust domain: the one that it was started with, else what the oldest Gateway says.
    let stated = applicants.iter().find_map(|applicant| {
        let issued = source::is_built_in(&applicant.wanted, facts);
        applicant.wanted.trust_domain.filter(|_| issued)
    });
    let domain = facts.trust_domain.as_deref().or(stated).unwrap_or(DEFAULT_TRUST_DOMAIN);
    context.mesh.issuer_domain = facts.built_in.then(|| domain.into());
    applicants.iter().map(|applicant| one(applicant, context)).collect()
}

fn one<'a>(applicant: &Applicant<'a>, context: &mut Context<'a>) -> (GatewayMesh, Verdict) {
    let Applicant { gateway, wanted } = applicant;
    let found = Source::of(gateway, wanted, context);
    let trust_domain: Arc<str> = match (wanted.trust_domain, &found.source, &context.mesh.issuer_domain) {
        (Some(domain), ..) => domain.into(),
        (None, IdentitySource::BuiltIn { .. }, Some(domain)) => domain.clone(),
        (None, ..) => DEFAULT_TRUST_DOMAIN.into(),
    };
    let namespace = gateway.namespace();
    // GEP-1762: the name of the ServiceAccount of a Gateway's proxies.
    let account = format!("{}-{}", gateway.name(), gateway.spec.gateway_class_name);
    let says_who = matches!(found.source, IdentitySource::BuiltIn { .. } | IdentitySource::IstioCa(_));
    let profile = profile(wanted.kind(), &found.source);
    let identity = GatewayIdentity {
        spiffe_id: says_who.then(|| service_account_id(&trust_domain, namespace, &account)),
        trust_domain,
        profile,
        source: found.source,
    };
    let mut verdict = Verdict::Yes;
    for fault in found.faults {
        verdict.fail("InvalidMeshIdentity", format!("{}: {}", fault.object, fault.explanation()));
        context.problems.push(fault);
    }
    let closed = match &identity.source {
        IdentitySource::Closed { reason } => Some(reason.clone()),
        _ => None,
    };
    let mesh = GatewayMesh {
        trust_domain: identity.trust_domain.clone(),
        profile,
        closed,
        is_stated: wanted.by.is_some() && wanted.kind() != MeshKind::None,
        identity: enter(gateway, &account, identity, context),
    };
    (mesh, verdict)
}

/// Names an identity. `a` of class `b-c` and `a-b` of class `c` have one ServiceAccount: they share an identity, or
/// the younger has one of its own under the same ID if its parameters differ.
fn enter(
    gateway: &Gateway,
    account: &str,
    identity: GatewayIdentity,
    context: &mut Context<'_>,
) -> IdentityName {
    let name = IdentityName::from(format!("{}/{account}", gateway.namespace()));
    let known = &mut context.mesh.identities;
    let name = match known.get(&name) {
        Some(other) if **other != identity => IdentityName::from(format!("{name}@{}", gateway.name())),
        _ => name,
    };
    known.insert(name.clone(), Arc::new(identity));
    name
}

/// By which rules peers are verified: those of the mesh that was named, else those of whoever issues.
fn profile(kind: MeshKind, source: &IdentitySource) -> PeerProfile {
    match (kind, source) {
        (MeshKind::Linkerd, _) | (_, IdentitySource::Linkerd(_)) => PeerProfile::LinkerdDns,
        (MeshKind::Istio, _) | (MeshKind::Auto, IdentitySource::IstioCa(_)) => PeerProfile::Istio,
        (MeshKind::Auto | MeshKind::Spiffe | MeshKind::None, _) => PeerProfile::SpiffeStrict,
    }
}

/// A fault of parameters: the identity is closed, nothing else is touched.
fn fault(by: &ObjectKey, field: &str, message: impl Into<String>, mend: impl Into<String>) -> Problem {
    Problem::error(by, field, ("", "InvalidMeshIdentity"), message, mend)
}
