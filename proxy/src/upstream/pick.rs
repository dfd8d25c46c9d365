//! Performance-critical path. One endpoint for one request: session first, then tiers by fitness, within the
//! backend's limit of requests.
//!
//! If no member is fit, health is disregarded and all members are candidates: checks that fail everywhere say
//! more about the checks than about the endpoints, and a wrong pick costs no more than the refusal would.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::Backend;

use crate::mesh::Link;
use crate::upstream::circuit::RequestPermit;
use crate::upstream::clock::Moment;
use crate::upstream::endpoint::{EndpointId, EndpointState, EndpointToken, Member};
use crate::upstream::error::{CircuitLimit, UpstreamError, UpstreamErrorKind};
use crate::upstream::handle::BackendHandle;
use crate::upstream::members::{Draw, Members};
use crate::upstream::outlier;

/// What is known of the request.
#[derive(Clone, Copy, Debug, Default)]
pub struct PickHints<'a> {
    /// Hash of the affinity's value ([`crate::upstream::hash::of_bytes`]); none picks at random.
    pub hash: Option<u64>,
    /// The endpoint token that a session carries.
    pub session: Option<&'a str>,
    /// Endpoints that failed this request before; taken only if nothing else is left.
    pub exclude: &'a [EndpointId],
    /// For a PROXY header towards the endpoint.
    pub source: Option<ProxySource>,
}

/// The downstream connection, as a PROXY header tells it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ProxySource {
    /// The client.
    pub client: SocketAddr,
    /// Where it connected to.
    pub server: SocketAddr,
}

/// A picked endpoint. Counts as in flight there, and against the backend's requests, until it is dropped: hold it
/// to the end of the response body.
#[derive(Debug)]
pub struct Picked {
    backend: Arc<BackendHandle>,
    member: Arc<Member>,
    pub(crate) source: Option<ProxySource>,
    pub(crate) attempt: Attempt,
    _permit: RequestPermit,
}

/// What happened on the way, for the access log.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    /// The address that was connected to.
    pub remote: Option<SocketAddr>,
    /// Our end of the connection.
    pub local: Option<SocketAddr>,
    /// The verified peer of a mesh connection.
    pub peer: Option<Arc<Link>>,
    /// Whether the connection had been used before.
    pub reused: bool,
    /// Whether the request went out as HTTP/2.
    pub http2: bool,
    /// From asking for a connection to having it.
    pub connect: Option<Duration>,
    /// When the request was handed to the connection.
    pub sent: Option<Moment>,
    /// When the response head came.
    pub head: Option<Moment>,
}

impl Picked {
    /// The endpoint.
    pub fn member(&self) -> &Arc<Member> {
        &self.member
    }

    /// The endpoint's live state.
    pub fn endpoint(&self) -> &Arc<EndpointState> {
        &self.member.state
    }

    /// For [`PickHints::exclude`].
    pub fn id(&self) -> EndpointId {
        self.member.state.id
    }

    /// For a session.
    pub fn token(&self) -> EndpointToken {
        self.member.state.token
    }

    /// The backend that it was picked from.
    pub fn backend(&self) -> &Arc<BackendHandle> {
        &self.backend
    }

    /// Addresses and times of the last try.
    pub fn attempt(&self) -> &Attempt {
        &self.attempt
    }

    /// Notes a failure that only the caller can see: a try that timed out.
    pub fn note_failure(&self) {
        outlier::note(&self.backend, &self.member.state, false, Moment::now());
    }

    /// Notes a connection that was made or an answer below 500.
    pub(crate) fn note_success(&self, now: Moment) {
        outlier::note(&self.backend, &self.member.state, true, now);
    }

    /// Notes an answer's head.
    pub(crate) fn note_answer(&mut self, status: http::StatusCode, now: Moment) {
        outlier::note(&self.backend, &self.member.state, !status.is_server_error(), now);
        if self.backend.spec.balance.algorithm == model::Algorithm::PeakEwma
            && let Some(sent) = self.attempt.sent
        {
            self.member.state.ewma.note(now.since(sent), now);
        }
        self.attempt.head = Some(now);
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.member.state.end();
    }
}

/// Picks an endpoint.
///
/// # Errors
/// No endpoint at all, or the backend's limit of requests is reached.
pub fn pick(backend: &Arc<BackendHandle>, hints: &PickHints<'_>) -> Result<Picked, UpstreamError> {
    let now = Moment::now();
    let Some(permit) = backend.live.circuit.request(backend.spec.circuit.requests) else {
        backend.live.metrics.circuit_open.inc();
        return Err(UpstreamError::unsent(UpstreamErrorKind::CircuitOpen(CircuitLimit::Requests)));
    };
    let members = backend.members();
    let member = choose(&members, &backend.spec, hints, now, &mut || fastrand::u64(..))
        .ok_or_else(|| UpstreamError::unsent(UpstreamErrorKind::NoHealthyEndpoint))?;
    if let Some(budget) = &backend.spec.retry_budget {
        backend.live.budget.note_request(budget, now);
    }
    member.state.begin();
    Ok(Picked {
        backend: Arc::clone(backend),
        member: Arc::clone(member),
        source: hints.source,
        attempt: Attempt::default(),
        _permit: permit,
    })
}

fn choose<'m>(
    members: &'m Members,
    spec: &Backend,
    hints: &PickHints<'_>,
    now: Moment,
    random: &mut dyn FnMut() -> u64,
) -> Option<&'m Arc<Member>> {
    let excluded = |member: &Member| hints.exclude.contains(&member.state.id);
    if let Some(token) = hints.session.and_then(EndpointToken::parse)
        && let Some(member) = members.by_token(token)
        && member.fit(now)
        && !excluded(member)
    {
        return Some(member);
    }
    let mut draw = Draw { balance: &spec.balance, now, hash: hints.hash, random };
    let best = members.pick(&mut draw, &|member| member.fit(now) && !excluded(member));
    best.or_else(|| members.pick(&mut draw, &|member| member.fit(now)))
        .or_else(|| members.pick(&mut draw, &|_| true))
}

#[cfg(test)]
mod tests;
