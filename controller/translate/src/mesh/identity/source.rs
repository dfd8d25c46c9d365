//! Where a Gateway's identity comes from.

use std::sync::Arc;
use std::time::Duration;

use api::core::{ConfigMap, Secret};
use api::gateway_api::Gateway;
use api::own::{self, GatewayParameters, MeshIdentity, MeshKind, WellKnownRoots};
use api::{Object, ObjectKey};
use model::{IdentitySource, IstioCa, LinkerdCa, RootsFrom, TrustAnchors};

use super::{DEFAULT_TRUST_DOMAIN, Wanted, fault};
use crate::context::Context;
use crate::grants::Referrer;
use crate::inputs::MeshFacts;
use crate::problem::Problem;

/// A source, and what is wrong with it.
pub(super) struct Source {
    pub(super) source: IdentitySource,
    pub(super) faults: Vec<Problem>,
}

/// Whether the built-in issuer is who is asked.
pub(super) fn is_built_in(wanted: &Wanted<'_>, facts: &MeshFacts) -> bool {
    match (wanted.kind(), wanted.identity) {
        (MeshKind::None | MeshKind::Linkerd | MeshKind::Istio, None) | (MeshKind::None, Some(_)) => false,
        (_, Some((identity, _))) => identity.built_in.is_some(),
        (MeshKind::Spiffe, None) => facts.built_in,
        (MeshKind::Auto, None) => facts.built_in && !facts.istio_ca,
    }
}

impl Source {
    /// The source that a Gateway's parameters name, or that goes with its mesh.
    pub(super) fn of(gateway: &Gateway, wanted: &Wanted<'_>, context: &mut Context<'_>) -> Self {
        let facts = context.index.inputs().mesh.clone();
        let mut reader = Reader { gateway, wanted, context };
        let read = match (wanted.kind(), wanted.identity) {
            (MeshKind::None, _) => {
                let by = wanted.kind.map(|(_, by)| by.key().to_string()).unwrap_or_default();
                return closed(format!("mesh.kind of {by} is None"), Vec::new());
            }
            (_, Some((identity, by))) => reader.stated(identity, by, &facts),
            (MeshKind::Istio, None) => reader.istio_ca(&own::IstioCa::default(), None),
            (MeshKind::Linkerd, None) => reader.linkerd(&own::LinkerdIdentity::default(), None),
            (MeshKind::Auto, None) if facts.istio_ca => reader.istio_ca(&own::IstioCa::default(), None),
            (MeshKind::Auto | MeshKind::Spiffe, None) => reader.built_in(None, None, &facts),
        };
        match read {
            Ok(source) => Self { source, faults: Vec::new() },
            Err(fault) => closed(fault.message.clone(), vec![*fault]),
        }
    }
}

fn closed(reason: String, faults: Vec<Problem>) -> Source {
    Source { source: IdentitySource::Closed { reason: reason.into() }, faults }
}

struct Reader<'r, 'w, 'a> {
    gateway: &'r Gateway,
    wanted: &'r Wanted<'w>,
    context: &'r mut Context<'a>,
}

type Read = Result<IdentitySource, Box<Problem>>;

impl Reader<'_, '_, '_> {
    fn stated(&mut self, identity: &MeshIdentity, by: &GatewayParameters, facts: &MeshFacts) -> Read {
        if let Some(ca) = &identity.istio_ca {
            return self.istio_ca(ca, Some(by));
        }
        if let Some(api) = &identity.workload_api {
            let socket = api.socket.as_deref().unwrap_or(WORKLOAD_API);
            return Ok(IdentitySource::WorkloadApi { socket: socket.into() });
        }
        if let Some(linkerd) = &identity.linkerd {
            return self.linkerd(linkerd, Some(by));
        }
        if let Some(files) = &identity.files {
            return self.files(files, by);
        }
        self.built_in(identity.built_in.as_ref(), Some(by), facts)
    }

    /// Says a fault of the parameters, or of the Gateway if none say anything.
    fn fault(
        &self,
        by: Option<&GatewayParameters>,
        field: &str,
        message: String,
        mend: &str,
    ) -> Box<Problem> {
        match by.or(self.wanted.by) {
            Some(by) => fault(&by.key(), &format!("spec.mesh.identity.{field}"), message, mend).into(),
            None => fault(&self.gateway.key(), "spec.infrastructure.parametersRef", message, mend).into(),
        }
    }

    fn built_in(
        &self,
        wanted: Option<&own::BuiltInIdentity>,
        by: Option<&GatewayParameters>,
        facts: &MeshFacts,
    ) -> Read {
        if !facts.built_in {
            let message = "there is no built-in issuer here".to_owned();
            let mend = "start one, or name another source in mesh.identity of GatewayParameters";
            // A Gateway that has never heard of a mesh is not to blame for having none.
            return match (by, self.wanted.by) {
                (None, None) => Ok(IdentitySource::Closed { reason: message.into() }),
                (Some(by), _) => Err(self.fault(Some(by), "builtIn", message, mend)),
                (None, Some(by)) => Err(fault(&by.key(), "spec.mesh.kind", message, mend).into()),
            };
        }
        if let (Some(own), Some(issuer)) = (self.wanted.trust_domain, &self.context.mesh.issuer_domain)
            && own != &**issuer
        {
            let message = format!("the built-in issuer is of trust domain {issuer}, not {own}");
            let mend = "use its trust domain, or another source";
            return Err(match self.wanted.by {
                Some(by) => fault(&by.key(), "spec.mesh.trustDomain", message, mend).into(),
                None => self.fault(by, "builtIn", message, mend),
            });
        }
        let ttl = wanted.and_then(|wanted| wanted.ttl).map_or(DEFAULT_TTL, Into::into);
        Ok(IdentitySource::BuiltIn { ttl })
    }

    fn istio_ca(&mut self, wanted: &own::IstioCa, by: Option<&GatewayParameters>) -> Read {
        let text =
            |said: &Option<String>, default: &str| -> Arc<str> { said.as_deref().unwrap_or(default).into() };
        let address = match (&wanted.address, wanted.revision.as_deref()) {
            (Some(address), _) => address.as_str().into(),
            (None, None | Some("" | "default")) => ISTIOD.into(),
            (None, Some(revision)) => format!("istiod-{revision}.istio-system.svc:15012").into(),
        };
        let roots = match &wanted.root {
            None => RootsFrom::File(ISTIO_ROOT.into()),
            Some(own::IstioRoot { well_known: Some(WellKnownRoots::System), .. }) => RootsFrom::System,
            Some(own::IstioRoot { path: Some(path), .. }) => RootsFrom::File(path.as_str().into()),
            Some(own::IstioRoot { config_map, .. }) => {
                let name = config_map.as_deref().unwrap_or_default();
                let anchors = self.config_map(self.gateway.namespace(), name, "root-cert.pem");
                RootsFrom::Pem(anchors.map_err(|message| {
                    let mend = "create it, as Istio does in every namespace, or name root.path";
                    self.fault(by, "istioCA.root.configMap", message, mend)
                })?)
            }
        };
        Ok(IdentitySource::IstioCa(IstioCa {
            address,
            roots,
            token: text(&wanted.token_path, ISTIO_TOKEN),
            cluster_id: text(&wanted.cluster_id, "Kubernetes"),
            ttl: wanted.ttl.map_or(DEFAULT_TTL, Into::into),
            crl: Some(text(&wanted.crl_path, ISTIO_CRL)),
        }))
    }

    fn linkerd(&mut self, wanted: &own::LinkerdIdentity, by: Option<&GatewayParameters>) -> Read {
        let control = wanted.namespace.as_deref().unwrap_or("linkerd");
        let domain = self.wanted.trust_domain.unwrap_or(DEFAULT_TRUST_DOMAIN);
        let roots = match &wanted.root_path {
            Some(path) => RootsFrom::File(path.as_str().into()),
            None => {
                let anchors = self.config_map(control, "linkerd-identity-trust-roots", "ca-bundle.crt");
                RootsFrom::Pem(anchors.map_err(|message| {
                    self.fault(
                        by,
                        "linkerd",
                        message,
                        "name rootPath, or the namespace of Linkerd's control plane",
                    )
                })?)
            }
        };
        let name = |account: &str, namespace: &str| -> Arc<str> {
            format!("{account}.{namespace}.serviceaccount.identity.{control}.{domain}").into()
        };
        let account = format!("{}-{}", self.gateway.name(), self.gateway.spec.gateway_class_name);
        Ok(IdentitySource::Linkerd(LinkerdCa {
            address: format!("linkerd-identity-headless.{control}.svc:8080").into(),
            server_name: name("linkerd-identity", control),
            name: name(&account, self.gateway.namespace()),
            roots,
            token: wanted.token_path.as_deref().unwrap_or(LINKERD_TOKEN).into(),
        }))
    }

    fn files(&mut self, wanted: &own::IdentityFiles, by: &GatewayParameters) -> Read {
        let Some(name) = &wanted.secret_name else {
            let path = |path: &Option<String>| path.as_deref().map(Arc::from);
            let (certificate, key, roots) =
                (path(&wanted.certificate_path), path(&wanted.key_path), path(&wanted.roots_path));
            return match (certificate, key, roots) {
                (Some(certificate), Some(key), Some(roots)) => {
                    Ok(IdentitySource::Files { certificate, key, roots, crl: path(&wanted.crl_path) })
                }
                _ => Err(self.fault(
                    Some(by),
                    "files",
                    "certificatePath, keyPath and rootsPath must all be given".to_owned(),
                    "or name secretName",
                )),
            };
        };
        let read = self.secret(&ObjectKey::of::<Secret>(self.gateway.namespace(), name));
        read.map_err(|message| {
            let mend = "give it tls.crt, tls.key and ca.crt, or name another";
            self.fault(Some(by), "files.secretName", message, mend)
        })
    }

    fn secret(&mut self, key: &ObjectKey) -> Result<IdentitySource, String> {
        let granted = self.context.index.grants.check(Referrer::of(self.gateway), key.clone());
        let granted = granted.map_err(|error| error.to_string())?;
        let certificates = &mut self.context.certificates;
        let key_pair = certificates.key_pair(&granted).map_err(|error| error.to_string())?;
        let roots = certificates.trust_anchors(&granted).map_err(|error| error.to_string())?;
        let svid = self.wanted.is_svid(certificates.secret(&key_pair), &roots);
        svid.map_err(|error| format!("{key}: {error}"))?;
        let crl = certificates.revocation_lists(&granted).filter(|text| !text.trim().is_empty());
        if let Some(text) = &crl {
            let lists =
                identity::revocation_lists(text).map_err(|error| format!("ca-crl.pem of {key}: {error}"))?;
            // Nobody is revoked by a text that is none; whoever wrote it meant somebody.
            if lists.is_empty() {
                return Err(format!("ca-crl.pem of {key} holds no PEM block X509 CRL"));
            }
        }
        Ok(IdentitySource::Secret { key_pair, roots, crl })
    }

    /// CA certificates of a key of a ConfigMap. Not of a user's: a mesh's control plane publishes them there.
    fn config_map(&self, namespace: &str, name: &str, key: &'static str) -> Result<TrustAnchors, String> {
        let object = ObjectKey::of::<ConfigMap>(namespace, name);
        let map = self.context.index.find::<ConfigMap>(namespace, name);
        let map = map.ok_or_else(|| format!("{object} does not exist"))?;
        let pem = map.data.as_ref().and_then(|data| data.get(key));
        let pem = pem.ok_or_else(|| format!("{object} has no {key} in its data"))?;
        identity::validate_roots(pem)
            .map_err(|error| format!("{object} holds no sound CA certificates in {key}: {error}"))?;
        Ok(TrustAnchors(pem.as_str().into()))
    }
}

/// As Istio's agents and Linkerd's proxies ask for.
const DEFAULT_TTL: Duration = Duration::from_secs(24 * 60 * 60);

const ISTIOD: &str = "istiod.istio-system.svc:15012";
const ISTIO_ROOT: &str = "/var/run/secrets/istio/root-cert.pem";
const ISTIO_TOKEN: &str = "/var/run/secrets/tokens/istio-token";
const ISTIO_CRL: &str = "/var/run/secrets/istio/crl/ca-crl.pem";
const LINKERD_TOKEN: &str = "/var/run/secrets/tokens/linkerd-identity-token";
const WORKLOAD_API: &str = "unix:///run/spire/agent.sock";
