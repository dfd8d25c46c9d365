//! The rules for the certificates between leaf and root that webpki does not check (X18, X20 to X22).

use std::time::SystemTime;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::VerifyError;
use super::leaf::{readable, system_time};

/// Checks one intermediate of a path. `trust_domain` is the leaf's; none under profile `linkerd-dns`.
pub(super) fn check(
    parsed: &X509Certificate<'_>,
    trust_domain: Option<&str>,
    now: SystemTime,
) -> Result<(), VerifyError> {
    let malformed = |error: x509_parser::error::X509Error| VerifyError::Malformed {
        position: 0,
        detail: error.to_string(),
    };
    if now >= system_time(parsed.validity().not_after) {
        return Err(VerifyError::IssuerOutsideValidity);
    }
    if let Some(usage) = parsed.key_usage().map_err(malformed)?
        && !usage.value.key_cert_sign()
    {
        return Err(VerifyError::IssuerMayNotSign);
    }
    let names = parsed.subject_alternative_name().map_err(malformed)?;
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        if let GeneralName::URI(uri) = name {
            check_uri(uri, trust_domain)?;
        }
    }
    Ok(())
}

/// A signing certificate's SPIFFE ID is its trust domain's, without a path (X.509-SVID §3.2). Other URIs are its own
/// affair.
fn check_uri(uri: &str, trust_domain: Option<&str>) -> Result<(), VerifyError> {
    let Some((scheme, rest)) = uri.split_once("://") else { return Ok(()) };
    if !scheme.eq_ignore_ascii_case("spiffe") {
        return Ok(());
    }
    if rest.contains('/') {
        return Err(VerifyError::IssuerIsWorkload(readable(uri)));
    }
    match trust_domain {
        Some(own) if rest != own => Err(VerifyError::IssuerOfOtherTrustDomain(readable(uri))),
        _ => Ok(()),
    }
}
