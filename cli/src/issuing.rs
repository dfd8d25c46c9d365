//! What the issuer is told, out of what translation found in the objects.

use issuer::{Configuration, Registration, Selectors};
use translate::{IssuerConfig, output};

use crate::exit::Failure;

/// A trust domain as somebody wrote it.
pub(crate) fn trust_domain(text: &str) -> Result<identity::TrustDomain, Failure> {
    identity::TrustDomain::new(text)
        .map_err(|error| Failure::Settings(format!("trust domain {text:?}: {error}")))
}

/// The registrations and foreign domains of the objects. Translation has checked them: what the issuer reads
/// otherwise is left out and logged.
pub(crate) fn configuration(config: &IssuerConfig) -> Configuration {
    let registrations = config.registrations.iter().filter_map(|(name, wanted)| match registration(wanted) {
        Ok(registration) => Some((name.clone(), registration)),
        Err(error) => {
            tracing::error!(%error, registration = %name, "Registration is left out");
            None
        }
    });
    Configuration { registrations: registrations.collect(), federated: config.federated.clone() }
}

fn registration(wanted: &output::Registration) -> Result<Registration, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let id = identity::SpiffeId::new(&*wanted.spiffe_id).map_err(|error| text(&error))?;
    let selectors = Selectors {
        uid: wanted.selectors.uid,
        gid: wanted.selectors.gid,
        path: wanted.selectors.path.as_deref().map(Into::into),
        pod_uid: wanted.selectors.pod_uid.as_deref().map(Into::into),
    };
    let domains = wanted.federates_with.as_ref().map(|domains| {
        domains
            .iter()
            .map(|domain| identity::TrustDomain::new(domain.as_str()))
            .collect::<Result<Vec<_>, _>>()
    });
    Ok(Registration {
        ttl: wanted.ttl,
        dns_names: wanted.dns_names.iter().map(ToString::to_string).collect(),
        federates_with: domains.transpose().map_err(|error| text(&error))?,
        hint: wanted.hint.to_string(),
        ..Registration::new(id, selectors)
    })
}
