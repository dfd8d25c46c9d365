//! ExternalAuth (GEP-1494).

use std::sync::Arc;
use std::time::Duration;

use api::gateway_api::{ExternalAuthFilter, ExternalAuthProtocol as Protocol};
use model::{BackendRef, ExternalAuth, ExternalAuthProtocol, Filter};

use super::super::matches::header_name;
use super::super::{Fault, Site};
use crate::backends::Wire;

/// External authorisation, of a rule or of a listener. Where the server cannot be resolved the filter is closed.
///
/// # Errors
/// A header name or a path that is none.
pub(crate) fn external_auth(
    wanted: &ExternalAuthFilter,
    field: &str,
    site: &mut Site<'_, '_>,
) -> Result<Filter, Fault> {
    let (wire, protocol) = match wanted.protocol {
        Protocol::Grpc => {
            let allowed =
                wanted.grpc.as_ref().map(|grpc| grpc.allowed_headers.as_slice()).unwrap_or_default();
            let allowed_headers = names(allowed, &format!("{field}.grpc.allowedHeaders"))?;
            (Wire::Grpc, ExternalAuthProtocol::Grpc { allowed_headers })
        }
        Protocol::Http => {
            let http = wanted.http.clone().unwrap_or_default();
            let path = prefix(http.path.as_deref().unwrap_or_default(), &format!("{field}.http.path"))?;
            let allowed_headers = names(&http.allowed_headers, &format!("{field}.http.allowedHeaders"))?;
            let field = format!("{field}.http.allowedResponseHeaders");
            let allowed_response_headers = names(&http.allowed_response_headers, &field)?;
            (Wire::Http, ExternalAuthProtocol::Http { path, allowed_headers, allowed_response_headers })
        }
    };
    let body_bytes = wanted.forward_body.as_ref().and_then(|body| body.max_size).unwrap_or(0);
    Ok(match site.resolve(&wanted.backend_ref, wire, &format!("{field}.backendRef")) {
        Ok(name) => Filter::ExternalAuth(ExternalAuth {
            backend: BackendRef::Name(name),
            protocol,
            body_bytes,
            timeout: TIMEOUT,
            fail_open: false,
        }),
        // "this filter MUST fail closed" (HTTPRouteFilter `externalAuth`).
        Err(reason) => Filter::Closed { reason, status: 500 },
    })
}

fn names(texts: &[String], field: &str) -> Result<Vec<Arc<str>>, Fault> {
    texts.iter().enumerate().map(|(index, text)| header_name(text, &format!("{field}[{index}]"))).collect()
}

/// The path that is put before the request's: with a leading slash, without a trailing one.
fn prefix(text: &str, field: &str) -> Result<Arc<str>, Fault> {
    if text.contains(['?', '#', '%']) || text.split('/').any(|segment| matches!(segment, "." | "..")) {
        let message = format_args!("{text:?} is not a plain path");
        return Err(Fault::unsupported(field, message));
    }
    let path = text.trim_matches('/');
    Ok(if path.is_empty() { "".into() } else { format!("/{path}").into() })
}

/// How long one question may take; the API has no field for it.
const TIMEOUT: Duration = Duration::from_secs(1);
