//! Forwarding: one backend by weight, an endpoint by balance, tries within time limits.
//! Performance-critical path.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use tokio::time::{Instant, sleep, timeout_at};

use super::answer::Limits;
use super::body::RequestBody;
use super::error::{Error, Side};
use super::exchange::Exchange;
use super::filter::{self, Flow, mirror};
use super::inbound::Inbound;
use super::request::Outcome;
use super::retry::Retries;
use super::session::Stickiness;
use super::{hop, upgrade};
use crate::compiled::{CompiledBackendRef, CompiledForward, CompiledRule, CompiledTarget};
use crate::telemetry::flags::Flags;
use crate::upstream::{BackendHandle, PickHints, ProxySource, UpstreamBody, UpstreamErrorKind};

/// Sends the request to one of the rule's backends.
///
/// # Errors
/// There is no valid backend, or it cannot be reached, or it is too slow.
pub(crate) async fn forward(
    forward: &CompiledForward,
    rule: &Arc<CompiledRule>,
    inbound: &mut Inbound,
    exchange: &mut Exchange,
) -> Result<Outcome, Error> {
    let target = forward.backends.pick().ok_or(Error::NoBackend)?;
    let backend = match &target.backend {
        CompiledBackendRef::Backend(backend) => backend,
        CompiledBackendRef::Invalid { reason, status } => {
            return Err(Error::InvalidBackend { reason: reason.clone(), status: *status });
        }
    };
    exchange.note_route(rule, Some(backend));
    if let Flow::Respond(response) = filter::request(&target.filters, inbound, exchange).await? {
        return Ok(Outcome::Local(response));
    }
    let core = exchange.connection.core.clone();
    mirror::send(&rule.filters, inbound, &core);
    mirror::send(&target.filters, inbound, &core);
    let idle = limit(forward.timeouts.idle);
    if let Some(idle) = idle {
        exchange.allow_idle(idle);
    }
    let deadline = limit(forward.timeouts.request).map(|limit| exchange.start + limit);
    let response = {
        let tries = pin!(tries(forward, target, backend, inbound, exchange));
        by(deadline, tries).await.unwrap_or(Err(Error::RequestTimeout))?
    };
    conclude(response, target, inbound, Limits { deadline, idle })
}

/// GEP-1742: zero means no limit.
fn limit(limit: Option<Duration>) -> Option<Duration> {
    limit.filter(|limit| !limit.is_zero())
}

/// Runs a future up to a moment; none if that passed first. Pinned by the caller: handed over by value it would
/// have its room twice in the request's state.
async fn by<F: Future>(deadline: Option<Instant>, future: Pin<&mut F>) -> Option<F::Output> {
    match deadline {
        Some(deadline) => timeout_at(deadline, future).await.ok(),
        None => Some(future.await),
    }
}

type Answer = Response<UpstreamBody<RequestBody>>;

/// Tries until an answer stands or no try is left.
async fn tries(
    forward: &CompiledForward,
    target: &CompiledTarget,
    backend: &Arc<BackendHandle>,
    inbound: &mut Inbound,
    exchange: &mut Exchange,
) -> Result<Answer, Error> {
    let mut retries = Retries::new(forward.retry.as_ref(), &forward.budget);
    if retries.armed() {
        inbound.payload.share();
    }
    let stickiness = Stickiness::of(forward, target, backend, inbound, exchange);
    let method = inbound.parts.method.clone();
    let try_limit = limit(forward.timeouts.backend_request);
    if let Some(asked) = inbound.upgrade().cloned() {
        let headers = &mut inbound.parts.headers;
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, asked);
    }
    loop {
        let keep = retries.armed();
        let request = build(inbound, keep);
        pick(backend, &stickiness, &retries, exchange)?;
        let deadline = try_limit.map(|limit| Instant::now() + limit);
        let result = {
            let attempt = pin!(attempt(backend, exchange, request));
            by(deadline, attempt).await
        };
        let result = result.unwrap_or_else(|| {
            if let Some(picked) = &exchange.picked {
                picked.note_failure();
            }
            Err(Error::TryTimeout)
        });
        let wanted = match &result {
            Ok(response) => retries.wants_status(response.status()),
            Err(error) => retries.wants_error(error, &method),
        };
        if wanted && inbound.payload.replayable() && retries.take(backend) {
            drop(result);
            retries.excluded.extend(exchange.picked.take().map(|picked| picked.id()));
            exchange.retries += 1;
            backend.live().metrics.retries.inc();
            sleep(retries.backoff()).await;
            continue;
        }
        let failed = matches!(&result, Err(error) if error.side() == Side::Upstream);
        if wanted || (failed && retries.exhausted()) {
            exchange.flag(Flags::RETRY_LIMIT);
        }
        let mut response = result?;
        if let Some(picked) = &exchange.picked {
            stickiness.keep(picked.token(), response.headers_mut());
        }
        return Ok(response);
    }
}

/// The request of a try. While another may follow, the head stays here and a copy goes.
fn build(inbound: &mut Inbound, keep: bool) -> Request<RequestBody> {
    let body = inbound.payload.take().unwrap_or_default();
    if keep {
        return inbound.copy(body);
    }
    let version = inbound.parts.version;
    let method = inbound.parts.method.clone();
    let mut parts = std::mem::replace(&mut inbound.parts, empty_parts());
    // What the answer still depends on.
    inbound.parts.version = version;
    inbound.parts.method = method;
    parts.extensions = http::Extensions::new();
    Request::from_parts(parts, body)
}

fn empty_parts() -> Parts {
    Request::new(()).into_parts().0
}

fn pick(
    backend: &Arc<BackendHandle>,
    stickiness: &Stickiness<'_>,
    retries: &Retries<'_>,
    exchange: &mut Exchange,
) -> Result<(), Error> {
    let connection = &exchange.connection;
    let hints = PickHints {
        hash: stickiness.hash(),
        session: stickiness.token(),
        exclude: &retries.excluded,
        source: Some(ProxySource { client: connection.remote, server: connection.local }),
    };
    let picked = connection.core.upstreams.pick(backend, &hints).map_err(Error::Upstream)?;
    exchange.picked = Some(picked);
    Ok(())
}

/// One try: up to the head of the answer.
async fn attempt(
    backend: &Arc<BackendHandle>,
    exchange: &mut Exchange,
    request: Request<RequestBody>,
) -> Result<Answer, Error> {
    let Exchange { picked: Some(picked), connection, .. } = exchange else { return Err(Error::NoBackend) };
    match connection.core.upstreams.dispatch(backend, picked, request).await {
        Ok(response) => Ok(response),
        Err(failure) => {
            let body = exchange.meter.as_ref().and_then(|meter| meter.failure());
            match (failure.error.kind == UpstreamErrorKind::RequestBody, body) {
                // The client's doing is told as such.
                (true, Some(body)) => Err(Error::Body(body)),
                _ => Err(Error::Upstream(failure.error)),
            }
        }
    }
}

/// What is left to do with the endpoint's answer.
fn conclude(
    mut response: Answer,
    target: &CompiledTarget,
    inbound: &Inbound,
    limits: Limits,
) -> Result<Outcome, Error> {
    let granted = hop::strip(response.headers_mut()).upgrade;
    filter::response(&target.filters, response.headers_mut(), &inbound.sharing);
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Outcome::Upstream(response, limits));
    }
    let protocol = upgrade::agreed(inbound.upgrade(), granted).ok_or(Error::Upgrade)?;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
    let upstream = hyper::upgrade::on(&mut response);
    Ok(Outcome::Switched(response.map(drop), upstream, limits.idle))
}
