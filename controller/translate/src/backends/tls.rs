//! What TLS to a backend needs: whom to trust, which names to find, who we are (BackendTLSPolicy `validation`).

use api::ObjectKey;
use api::core::{ConfigMap, Secret};
use api::gateway_api::{BackendTlsValidation, SubjectAltName, SubjectAltNameType};
use api::{Object, core::ClusterTrustBundle};
use model::{ClientTls, HostPattern, Roots, SubjectName, TrustAnchors, UpstreamTls};

use crate::certificates::CertificateError;
use crate::context::Context;
use crate::grants::Referrer;
use crate::routes::ClientCertificate;
use crate::status::Verdict;

/// A `validation` that has been looked at. What is wrong with it closes the backend: it is never spoken to in
/// plaintext, nor without a check.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    /// Condition `Accepted`.
    pub(super) accepted: Verdict,
    /// Condition `ResolvedRefs`.
    pub(super) resolved: Verdict,
    tls: Result<ClientTls, String>,
}

impl Checked {
    /// TLS to the backend, as the holder of `certificate`.
    pub(super) fn tls(&self, certificate: &ClientCertificate) -> UpstreamTls {
        let closed = |reason: &str| UpstreamTls::Closed { reason: reason.into() };
        match (&self.tls, certificate) {
            (Err(reason), _) => closed(reason),
            (Ok(_), ClientCertificate::Unresolved { reason }) => closed(reason),
            (Ok(tls), ClientCertificate::None) => UpstreamTls::Tls(tls.clone()),
            (Ok(tls), ClientCertificate::Use(secret)) => {
                UpstreamTls::Tls(ClientTls { certificate: Some(secret.clone()), ..tls.clone() })
            }
        }
    }
}

/// Looks at a `validation` of the object that `referrer` is, in the field `field`.
pub(super) fn check(
    context: &mut Context<'_>,
    validation: &BackendTlsValidation,
    referrer: Referrer<'_>,
    field: &str,
) -> Checked {
    let mut checked = Checked {
        accepted: Verdict::Yes,
        resolved: Verdict::Yes,
        tls: Err("TLS is not configured".to_owned()),
    };
    let server_name = match validation.hostname.parse::<HostPattern>() {
        Ok(HostPattern::Exact(name)) => Ok(name),
        _ => Err(format!("{field}.hostname: {:?} is not the name of a host", validation.hostname)),
    };
    let names = validation.subject_alt_names.iter().enumerate().map(|(index, name)| {
        subject_name(name).map_err(|reason| format!("{field}.subjectAltNames[{index}]: {reason}"))
    });
    let names: Result<Vec<_>, String> = names.collect();
    let roots = roots(context, validation, referrer, field, &mut checked);
    checked.tls =
        (|| Ok(ClientTls { server_name: server_name?, roots: roots?, names: names?, certificate: None }))();
    if let Err(reason) = &checked.tls {
        checked.accepted.fail("Invalid", reason);
    }
    checked
}

fn subject_name(name: &SubjectAltName) -> Result<SubjectName, String> {
    match name.type_ {
        SubjectAltNameType::Hostname => {
            let host = name.hostname.as_deref().unwrap_or_default();
            match host.parse::<HostPattern>() {
                Ok(HostPattern::Any) | Err(_) => Err(format!("hostname {host:?} is not the name of a host")),
                Ok(pattern) => Ok(SubjectName::Dns(pattern.to_string().into())),
            }
        }
        SubjectAltNameType::Uri => match name.uri.as_deref() {
            // "It MUST include both a scheme and a scheme-specific-part."
            Some(uri)
                if uri
                    .split_once(':')
                    .is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty()) =>
            {
                Ok(SubjectName::Uri(uri.into()))
            }
            _ => Err("uri must have a scheme and something after it".to_owned()),
        },
    }
}

fn roots(
    context: &mut Context<'_>,
    validation: &BackendTlsValidation,
    referrer: Referrer<'_>,
    field: &str,
    checked: &mut Checked,
) -> Result<Roots, String> {
    let well_known = validation.well_known_ca_certificates.as_deref().unwrap_or_default();
    if well_known.is_empty() == validation.ca_certificate_refs.is_empty() {
        return Err(format!("{field} must have one of caCertificateRefs and wellKnownCACertificates"));
    }
    match well_known {
        "" => {}
        "System" => return Ok(Roots::System),
        _ => return Err(format!("{field}.wellKnownCACertificates: {well_known:?} is not known; use System")),
    }
    let mut pem = String::new();
    for (index, reference) in validation.ca_certificate_refs.iter().enumerate() {
        let field = format!("{field}.caCertificateRefs[{index}]");
        let (group, kind) = (reference.group.as_str(), reference.kind.as_str());
        // The scope follows from the kind (GEP-5075).
        let namespace = match (group, kind) {
            (ClusterTrustBundle::GROUP, ClusterTrustBundle::KIND) => "",
            (ConfigMap::GROUP, ConfigMap::KIND) | (Secret::GROUP, Secret::KIND) => referrer.namespace,
            _ => {
                let message = format!("{field}: kind {kind} of group {group:?} holds no CA certificates");
                checked.resolved.fail("InvalidKind", message);
                continue;
            }
        };
        let key = ObjectKey::new(group, kind, namespace, &*reference.name);
        let granted = context.index.grants.check(referrer, key).map_err(|error| error.to_string())?;
        match context.certificates.trust_anchors(&granted) {
            Ok(TrustAnchors(anchors)) => {
                pem.push_str(anchors.trim_end());
                pem.push('\n');
            }
            Err(error) => {
                let reason = match error {
                    CertificateError::Kind(..) => "InvalidKind",
                    _ => "InvalidCACertificateRef",
                };
                checked.resolved.fail(reason, format!("{field}: {error}"));
            }
        }
    }
    if pem.is_empty() {
        let Verdict::No { message, .. } = &checked.resolved else {
            return Err(format!("{field}.caCertificateRefs hold no certificate"));
        };
        checked.accepted.fail("NoValidCACertificate", message);
        return Err(message.clone());
    }
    Ok(Roots::Pem(TrustAnchors(pem.into())))
}
