//! The life of a request, top to bottom. Performance-critical path.
//!
//! [`handle`]: door → server by host → who the client is → listener filters → route → rule filters → action →
//! response filters → the answer, whose body tells the log when it ends.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::answer::{AnswerBody, Limits};
use super::body::RequestBody;
use super::connection::{Connection, Tls, lets_in};
use super::core::Live;
use super::error::Error;
use super::exchange::{Exchange, X_REQUEST_ID};
use super::filter::{self, Flow};
use super::inbound::Inbound;
use super::upgrade::Tunnel;
use super::{door, forward, hop, request_id, respond};
use crate::compiled::{
    CompiledAction, CompiledProtocol, CompiledRule, CompiledServer, CompiledTlsInner, CompiledTlsServer,
};
use crate::mesh::Fate;
use crate::overload::Pressure;
use crate::upstream::UpstreamBody;

/// What a request has come to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// An answer of our own.
    Local(Response<Bytes>),
    /// The endpoint's.
    Upstream(Response<UpstreamBody<RequestBody>>, Limits),
    /// The endpoint has switched protocols; a tunnel without a byte for the given time is cut.
    Switched(Response<()>, OnUpgrade, Option<Duration>),
}

/// Where an answer of 101 leaves its tunnel for whoever drives the connection.
pub(crate) type Outlet = Cell<Option<Tunnel>>;

/// Answers a request. Never fails: what goes wrong is an answer too.
pub(crate) async fn handle(
    connection: Rc<Connection>,
    outlet: Rc<Outlet>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let live = connection.live();
    let (parts, incoming) = request.into_parts();
    let last = connection.begin_request(live.listener.connection.limits.requests_per_connection);
    // A mesh connection whose certificate is about to end takes its last request too.
    if last || connection.fate() > Fate::Live {
        connection.closing.set(true);
    }
    let mut exchange = Exchange::begin(connection, live.clone(), &parts);
    let mut inbound = Inbound::new(parts, incoming);
    exchange.meter = inbound.payload.meter().cloned();
    exchange.grpc = inbound.dialect == respond::Dialect::Grpc;
    let outcome = serve(&live, &mut inbound, &mut exchange).await;
    Ok(finish(outcome, &inbound, exchange, &outlet))
}

async fn serve(live: &Live, inbound: &mut Inbound, exchange: &mut Exchange) -> Outcome {
    match enter(live, inbound, exchange) {
        Ok(server) => pass(server, inbound, exchange).await,
        Err(error) => fail(&error, inbound, exchange),
    }
}

/// What happens before anybody's rules are asked.
fn enter<'l>(
    live: &'l Live,
    inbound: &mut Inbound,
    exchange: &mut Exchange,
) -> Result<&'l CompiledServer, Error> {
    let connection = exchange.connection.clone();
    if inbound.parts.version < Version::HTTP_2 && connection.scan.take() {
        return Err(Error::Malformed("more than one length of the body"));
    }
    let policy = &live.listener.connection;
    inbound.admitted = door::admit(&mut inbound.parts, &policy.limits)?;
    if inbound.parts.method == Method::TRACE && exchange.meter.is_some() {
        // RFC 9110 §9.3.8.
        return Err(Error::Malformed("TRACE has no body"));
    }
    if connection.core.overload.pressure() >= Pressure::ShedStreams {
        return Err(Error::Overload);
    }
    let server = server(live, &connection, inbound.host())?;
    inbound.hop = hop::strip(&mut inbound.parts.headers);
    announce(live, server, &connection, inbound);
    exchange.note_announced(&mut inbound.parts.headers);
    Ok(server)
}

/// The Gateway API listener that the request belongs to.
fn server<'l>(live: &'l Live, connection: &Connection, host: &str) -> Result<&'l CompiledServer, Error> {
    let tls = connection.tls.as_ref();
    let chosen = tls.and_then(|tls| tls.server.as_ref());
    match (&live.listener.protocol, tls, chosen) {
        (CompiledProtocol::Http(servers), _, None) => {
            if !lets_in(live.listener.mesh.as_ref(), tls.and_then(|tls| tls.mesh.as_ref())) {
                connection.closing.set(true);
                return Err(Error::Misdirected);
            }
            servers.find(host).map(Arc::as_ref).ok_or(Error::NoRoute)
        }
        (CompiledProtocol::Tls(servers), Some(tls), Some(chosen)) => {
            if live.listener.misdirected(chosen, host) {
                return Err(Error::Misdirected);
            }
            let name = tls.server_name.as_deref().unwrap_or_default();
            tls_server(servers.find(name), tls, chosen).ok_or_else(|| {
                connection.closing.set(true);
                Error::Misdirected
            })
        }
        // The port changed its protocol under an old connection.
        _ => Err(Error::Misdirected),
    }
}

/// The server that the handshake chose, as it is now. None if the SNI belongs to another server since, or the
/// client-certificate policy has changed: this client was not asked for what is demanded, and has to come again.
fn tls_server<'l>(
    server: Option<&'l CompiledTlsServer>,
    tls: &Tls,
    chosen: &CompiledServer,
) -> Option<&'l CompiledServer> {
    match server? {
        CompiledTlsServer::Terminate { inner: CompiledTlsInner::Http(server), client_auth, mesh, .. }
            if *client_auth == tls.client_auth && server.is_same(chosen) =>
        {
            let known = match (mesh, &tls.mesh) {
                (None, None) => true,
                (Some(mesh), Some(peer)) => peer.admitted(mesh),
                (None, Some(_)) | (Some(_), None) => false,
            };
            known.then_some(server)
        }
        _ => None,
    }
}

/// Takes away what an unbelieved client says of others, and says who it is.
fn announce(live: &Live, server: &CompiledServer, connection: &Connection, inbound: &mut Inbound) {
    let policy = &live.listener.connection.forwarded;
    let client = &connection.client;
    client.judge(connection.mesh_id(), &live.listener.connection);
    let headers = &mut inbound.parts.headers;
    client.sanitise(headers, policy);
    let host = headers.get(header::HOST).cloned();
    let (_, port) = client.entrance(headers, server.port);
    client.announce(headers, host.as_ref(), &live.port(port));
    client.announce_certificate(headers, policy);
    if !client.believed() || !headers.contains_key(X_REQUEST_ID) {
        headers.insert(X_REQUEST_ID, request_id::generate());
    }
    if inbound.hop.trailers {
        // gRPC needs it (RFC 9110 §10.1.4); it is said anew for our own hop.
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// Listener filters, route, rule.
async fn pass(server: &CompiledServer, inbound: &mut Inbound, exchange: &mut Exchange) -> Outcome {
    match filter::request(&server.filters, inbound, exchange).await {
        Ok(Flow::Continue) => {}
        Ok(Flow::Respond(response)) => return Outcome::Local(response),
        Err(error) => return fail(&error, inbound, exchange),
    }
    let routed = server.routes.route(&inbound.facts());
    let (rule, prefix) = match routed {
        Some(routed) if inbound.admitted.parameters && !routed.parameters => {
            return fail(&Error::Malformed("the path has parameters"), inbound, exchange);
        }
        Some(routed) => (routed.rule, routed.prefix),
        None => return fail(&Error::NoRoute, inbound, exchange),
    };
    inbound.prefix = prefix;
    exchange.note_route(rule, None);
    let mut outcome = match act(server, rule, inbound, exchange).await {
        Ok(outcome) => outcome,
        Err(error) => fail(&error, inbound, exchange),
    };
    let headers = outcome.headers_mut();
    filter::response(&rule.filters, headers, &inbound.sharing);
    inbound.response_edits.iter().for_each(|edit| edit.apply(headers));
    outcome
}

/// Rule filters, then what the rule does.
async fn act(
    server: &CompiledServer,
    rule: &Arc<CompiledRule>,
    inbound: &mut Inbound,
    exchange: &mut Exchange,
) -> Result<Outcome, Error> {
    if let Flow::Respond(response) = filter::request(&rule.filters, inbound, exchange).await? {
        return Ok(Outcome::Local(response));
    }
    match &rule.action {
        CompiledAction::Forward(forward) => forward::forward(forward, rule, inbound, exchange).await,
        CompiledAction::Redirect(redirect) => {
            let (scheme, port) = exchange.connection.client.entrance(&inbound.parts.headers, server.port);
            let query = inbound.parts.uri.query();
            let origin = filter::redirect::Origin { scheme, host: inbound.host(), port, query };
            filter::redirect::answer(redirect, origin, inbound.matched()).map(Outcome::Local)
        }
        CompiledAction::Respond { status, body } => {
            Ok(Outcome::Local(respond::message(*status, body.clone(), inbound.dialect)))
        }
    }
}

/// The answer to an error.
pub(crate) fn fail(error: &Error, inbound: &Inbound, exchange: &mut Exchange) -> Outcome {
    exchange.note_error(error);
    Outcome::Local(respond::error(error, inbound.dialect))
}

/// The last edits of the head, and the exchange goes into the body.
fn finish(
    outcome: Outcome,
    inbound: &Inbound,
    mut exchange: Exchange,
    outlet: &Outlet,
) -> Response<AnswerBody> {
    let version = inbound.parts.version;
    let closing = exchange.connection.closing.get();
    let mut response = match outcome {
        Outcome::Upstream(response, limits) => {
            let (parts, body) = response.into_parts();
            exchange.note_head(parts.status, &parts.headers, "via_upstream");
            Response::from_parts(parts, AnswerBody::upstream(body, exchange, limits))
        }
        Outcome::Local(response) => {
            let (mut parts, mut body) = response.into_parts();
            if inbound.parts.method == Method::HEAD && !body.is_empty() {
                parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
                body = Bytes::new();
            }
            exchange.note_head(parts.status, &parts.headers, "direct_response");
            Response::from_parts(parts, AnswerBody::full(body, exchange))
        }
        Outcome::Switched(response, upstream, idle) => {
            exchange.note_head(response.status(), response.headers(), "via_upstream");
            outlet.replace(Some(Tunnel::new(upstream, exchange, idle)));
            response.map(|()| AnswerBody::switched())
        }
    };
    if version < Version::HTTP_2 {
        *response.version_mut() = Version::HTTP_11;
        if closing && response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
    response
}

impl Outcome {
    fn headers_mut(&mut self) -> &mut HeaderMap {
        match self {
            Self::Local(response) => response.headers_mut(),
            Self::Upstream(response, _) => response.headers_mut(),
            Self::Switched(response, ..) => response.headers_mut(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use super::*;

    fn size_of_future<A, B, C, F: Future>(_: fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn requests_stay_small() {
        // HTTP/1 keeps one of these for each connection, HTTP/2 one for each stream.
        let size = size_of_future(handle);
        assert!(size <= 5120, "{size}");
        assert!(size_of::<AnswerBody>() <= 832, "{}", size_of::<AnswerBody>());
    }
}
