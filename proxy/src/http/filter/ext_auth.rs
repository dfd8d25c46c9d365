//! External authorisation: a server is asked whether the request may pass. GEP-1494; Envoy's `ext_authz`.

mod form;
mod grpc;
mod message;
mod verdict;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::timeout;

pub(crate) use self::verdict::HeaderEdit;
use self::verdict::Verdict;
use super::Flow;
use crate::compiled::{CompiledAuthProtocol, CompiledBackendRef, CompiledExternalAuth};
use crate::http::body::source::Filled;
use crate::http::body::{BodyError, RequestBody};
use crate::http::error::Error;
use crate::http::exchange::Exchange;
use crate::http::inbound::Inbound;
use crate::telemetry::flags::Flags;
use crate::upstream::{BackendHandle, PickHints, UpstreamBody};

/// Bytes of an authorisation server's answer that are read.
const MAX_ANSWER: usize = 64 * 1024;

/// Asks, and does what the answer says.
///
/// # Errors
/// The server cannot be asked and the filter does not fail open, or the request's body is too long for it.
pub(super) async fn check(
    auth: &CompiledExternalAuth,
    inbound: &mut Inbound,
    exchange: &mut Exchange,
) -> Result<Flow, Error> {
    // A body that is asked about must be whole: what the server has not seen it cannot judge.
    let body = hold(auth.body_bytes, inbound).await?;
    let asked = match &auth.backend {
        CompiledBackendRef::Backend(backend) => ask(auth, backend, body, inbound, exchange).await,
        CompiledBackendRef::Invalid { reason, .. } => Err(reason.clone()),
    };
    match asked {
        Ok(Verdict::Allow(edits)) => {
            edits.apply(&mut inbound.parts)?;
            inbound.response_edits.extend(edits.response);
            Ok(Flow::Continue)
        }
        Ok(Verdict::Deny(answer)) => {
            exchange.flag(Flags::UNAUTHORIZED_EXTERNAL);
            exchange.explain("ext_authz_denied");
            Ok(Flow::Respond(answer))
        }
        Err(reason) if auth.fail_open => {
            tracing::debug!(%reason, "Authorisation server cannot be asked; the request passes");
            Ok(Flow::Continue)
        }
        Err(reason) => Err(Error::Authorization(reason)),
    }
}

async fn hold(limit: usize, inbound: &mut Inbound) -> Result<Bytes, Error> {
    if limit == 0 {
        return Ok(Bytes::new());
    }
    let Some(shared) = inbound.payload.share() else { return Ok(Bytes::new()) };
    match shared.fill(limit).await.map_err(Error::Body)? {
        Filled::Whole => Ok(shared.held(limit)),
        Filled::Partial => Err(Error::Body(BodyError::TooLarge)),
    }
}

async fn ask(
    auth: &CompiledExternalAuth,
    backend: &Arc<BackendHandle>,
    body: Bytes,
    inbound: &Inbound,
    exchange: &Exchange,
) -> Result<Verdict, Arc<str>> {
    let request = match &auth.protocol {
        CompiledAuthProtocol::Grpc { allowed_headers } => {
            grpc::question(allowed_headers, body, inbound, exchange)
        }
        CompiledAuthProtocol::Http { path, allowed_headers, .. } => {
            form::question(path, allowed_headers, body, inbound)
        }
    }?;
    let answer = timeout(auth.timeout, send(backend, request, exchange)).await;
    let answer = answer.unwrap_or_else(|_| Err("no answer in time".into()))?;
    match &auth.protocol {
        CompiledAuthProtocol::Grpc { .. } => grpc::verdict(&answer, inbound.dialect),
        CompiledAuthProtocol::Http { allowed_response_headers, .. } => {
            Ok(form::verdict(answer, allowed_response_headers))
        }
    }
}

/// An authorisation server's whole answer.
struct Answer {
    head: http::response::Parts,
    body: Bytes,
    trailers: Option<http::HeaderMap>,
}

async fn send(
    backend: &Arc<BackendHandle>,
    request: Request<RequestBody>,
    exchange: &Exchange,
) -> Result<Answer, Arc<str>> {
    let upstreams = &exchange.connection.core.upstreams;
    let mut picked = upstreams.pick(backend, &PickHints::default()).map_err(|error| error.to_string())?;
    let response = upstreams
        .dispatch(backend, &mut picked, request)
        .await
        .map_err(|failure| failure.error.to_string())?;
    read(response).await
}

async fn read(response: Response<UpstreamBody<RequestBody>>) -> Result<Answer, Arc<str>> {
    let (head, mut body) = response.into_parts();
    if body.size_hint().lower() > MAX_ANSWER as u64 {
        return Err("the answer is too long".into());
    }
    let (mut all, mut trailers) = (BytesMut::new(), None);
    while let Some(frame) = body.frame().await {
        match frame.map_err(|error| error.to_string())?.into_data() {
            Ok(data) if all.len() + data.len() > MAX_ANSWER => return Err("the answer is too long".into()),
            Ok(data) => all.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok(Answer { head, body: all.freeze(), trailers })
}
