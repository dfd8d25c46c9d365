//! Compiled rules: what a matched request goes through and where it is sent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use model::{Origin, PathRewrite, Retry, SessionPersistence, Timeouts};

use super::{CompiledFilter, WeightedPick};
use crate::upstream::BackendHandle;
use crate::upstream::budget::BudgetWindow;

/// What happens to a request that a match chose.
#[derive(Debug)]
pub struct CompiledRule {
    /// The route that wrote it.
    pub origin: Origin,
    /// Its place in that route, from 0.
    pub index: usize,
    /// Its name there.
    pub name: Option<Arc<str>>,
    /// `NAMESPACE/ROUTE/RULE` (its name, else its index): `route_name` in logs and metrics.
    pub label: Arc<str>,
    /// In order, before the action.
    pub filters: Box<[CompiledFilter]>,
    /// What to do.
    pub action: CompiledAction,
}

/// What to do with a request.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all rules forward, and a box would cost them a cache miss"
)]
pub enum CompiledAction {
    /// Send it to a backend.
    Forward(CompiledForward),
    /// Answer with another location.
    Redirect(CompiledRedirect),
    /// Answer directly.
    Respond {
        /// HTTP status.
        status: StatusCode,
        /// Body text; also `grpc-message`.
        body: Bytes,
    },
}

/// Forwarding to one of several backends.
#[derive(Debug)]
pub struct CompiledForward {
    /// Chosen by weight; nothing to pick answers 500.
    pub backends: WeightedPick<CompiledTarget>,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Retries; none means never.
    pub retry: Option<Retry>,
    /// Requests and retries of late, for the retry's own budget. Begins anew when the rule changes.
    pub budget: BudgetWindow,
    /// Keeps a client at one endpoint; from the rule, else from the backend by [`CompiledForward::session`].
    pub session: Option<SessionPersistence>,
}

impl CompiledForward {
    /// The session persistence that holds for a target: the rule's, else its backend's.
    pub fn session<'c>(&'c self, target: &'c CompiledTarget) -> Option<&'c SessionPersistence> {
        self.session
            .as_ref()
            .or_else(|| target.backend.handle().and_then(|handle| handle.spec.session.as_ref()))
    }
}

/// A redirect. Absent parts stay as the request has them.
#[derive(Debug)]
pub struct CompiledRedirect {
    /// `http` or `https`.
    pub scheme: Option<Arc<str>>,
    /// Host to name.
    pub host: Option<Arc<str>>,
    /// Port to name. None: the well-known port of `scheme` if that is set, else the listener's.
    pub port: Option<u16>,
    /// Path to name.
    pub path: Option<PathRewrite>,
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
}

/// One of the backends of a rule.
#[derive(Debug)]
pub struct CompiledTarget {
    /// Where to.
    pub backend: CompiledBackendRef,
    /// Filters for this backend alone, after the rule's.
    pub filters: Box<[CompiledFilter]>,
}

/// A backend, or the answer in place of one that could not be resolved.
#[derive(Clone, Debug)]
pub enum CompiledBackendRef {
    /// A live upstream.
    Backend(Arc<BackendHandle>),
    /// Unresolvable: answers `status`, never somebody else's backend.
    Invalid {
        /// Why, for the log.
        reason: Arc<str>,
        /// 500 or 503.
        status: StatusCode,
    },
}

impl CompiledBackendRef {
    /// The live upstream, if there is one.
    pub fn handle(&self) -> Option<&Arc<BackendHandle>> {
        match self {
            Self::Backend(handle) => Some(handle),
            Self::Invalid { .. } => None,
        }
    }
}

/// A rule of a TCPRoute, TLSRoute or UDPRoute.
#[derive(Debug)]
pub struct CompiledL4 {
    /// The route that wrote it.
    pub origin: Origin,
    /// `NAMESPACE/ROUTE`, for logs and metrics.
    pub label: Arc<str>,
    /// Chosen by weight, per connection or session.
    pub targets: WeightedPick<CompiledTarget>,
    /// No byte in either direction: the connection or session ends.
    pub idle_timeout: Duration,
}
