//! What one core shares among its requests, and what a listener is to it at the moment.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use tokio::time::Instant;

use super::body::RequestBody;
use crate::compiled::{CompiledListener, CompiledRule};
use crate::overload::Overload;
use crate::telemetry::access_log::CoreLog;
use crate::telemetry::metrics::{ListenerMetrics, Metrics, RouteLabels, RouteMetrics};
use crate::telemetry::trace::Tracer;
use crate::upstream::{BackendHandle, Upstreams};

/// One core's tools. Lives on that core's thread.
#[derive(Debug)]
pub(crate) struct Core {
    /// Connections to endpoints.
    pub(crate) upstreams: Upstreams<RequestBody>,
    /// The access log.
    pub(crate) log: CoreLog,
    /// Metrics of the process.
    pub(crate) metrics: Arc<Metrics>,
    /// Spans.
    pub(crate) tracer: Arc<Tracer>,
    /// How full the process is.
    pub(crate) overload: Arc<Overload>,
    wall: Cell<(Instant, SystemTime)>,
}

/// How long a pair of monotonic and wall clock is trusted: a step of the wall clock shows within it.
const WALL_TRUST: Duration = Duration::from_secs(1);

impl Core {
    pub(crate) fn new(
        upstreams: Upstreams<RequestBody>,
        log: CoreLog,
        metrics: Arc<Metrics>,
        tracer: Arc<Tracer>,
        overload: Arc<Overload>,
    ) -> Self {
        Self {
            upstreams,
            log,
            metrics,
            tracer,
            overload,
            wall: Cell::new((Instant::now(), SystemTime::now())),
        }
    }

    /// The wall clock at a moment just now, without asking the system each time.
    pub(crate) fn wall(&self, at: Instant) -> SystemTime {
        let (then, wall) = self.wall.get();
        let passed = at.saturating_duration_since(then);
        if passed < WALL_TRUST {
            return wall + passed;
        }
        let now = SystemTime::now();
        self.wall.set((at, now));
        now
    }
}

/// The place of a listener on one core: its present generation. Connections hold the place, requests the
/// generation.
#[derive(Debug)]
pub(crate) struct Slot {
    live: RefCell<Rc<Live>>,
    gone: Cell<bool>,
}

/// A listener in one generation of the configuration, as one core sees it.
#[derive(Debug)]
pub(crate) struct Live {
    /// The listener, with its routes and backends. Held to the last byte of each request that began with it.
    pub(crate) listener: Arc<CompiledListener>,
    /// What the listener counts.
    pub(crate) metrics: Arc<ListenerMetrics>,
    port: OnceCell<(u16, HeaderValue)>,
    #[expect(clippy::redundant_allocation, reason = "a core counts its own users without atomics")]
    routes: RefCell<HashMap<RouteKey, Rc<Arc<RouteMetrics>>, ahash::RandomState>>,
}

/// A rule and a backend by their addresses, which stay while the generation is held.
type RouteKey = (usize, usize);

impl Slot {
    pub(crate) fn new(live: Live) -> Rc<Self> {
        Rc::new(Self { live: RefCell::new(Rc::new(live)), gone: Cell::new(false) })
    }

    /// The present generation: the one load of a request.
    pub(crate) fn live(&self) -> Rc<Live> {
        self.live.borrow().clone()
    }

    /// Takes over the next generation. Requests under way keep theirs.
    pub(crate) fn swap(&self, live: Live) {
        self.live.replace(Rc::new(live));
    }

    /// The listener is not in the configuration any more: its connections are to end.
    pub(crate) fn leave(&self) {
        self.gone.set(true);
    }

    /// Whether the listener is gone.
    pub(crate) fn gone(&self) -> bool {
        self.gone.get()
    }
}

impl Live {
    pub(crate) fn new(listener: Arc<CompiledListener>, metrics: &Metrics) -> Self {
        let metrics = metrics.listener(&listener.name);
        Self { listener, metrics, port: OnceCell::new(), routes: RefCell::default() }
    }

    /// A port as a header value; that of nearly all requests is made once.
    pub(crate) fn port(&self, port: u16) -> HeaderValue {
        let (known, value) = self.port.get_or_init(|| (port, HeaderValue::from(port)));
        if *known == port { value.clone() } else { HeaderValue::from(port) }
    }

    /// The metrics of a rule and the backend that it was sent to.
    #[expect(clippy::redundant_allocation, reason = "a core counts its own users without atomics")]
    pub(crate) fn route_metrics(
        &self,
        metrics: &Metrics,
        rule: &Arc<CompiledRule>,
        backend: Option<&Arc<BackendHandle>>,
    ) -> Rc<Arc<RouteMetrics>> {
        let key = (Arc::as_ptr(rule) as usize, backend.map_or(0, |backend| Arc::as_ptr(backend) as usize));
        let mut routes = self.routes.borrow_mut();
        let handle = routes.entry(key).or_insert_with(|| {
            let backend = backend.map(|backend| (&backend.name, &backend.spec.origin));
            Rc::new(metrics.route(&RouteLabels::new(&rule.label, backend)))
        });
        handle.clone()
    }
}
