//! What the proxy is told once, at its start.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use identity::{Identity, Issue, SourceContext};
use model::{GatewayIdentity, IdentityName};

use crate::telemetry::access_log::AccessLogTarget;
use crate::telemetry::metrics::SourceLabels;

/// Static settings; what changes at run time is in the [`model::Snapshot`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where listeners without addresses of their own listen.
    pub bind: IpAddr,
    /// Data workers; 0: one for each core that the process may use (cgroup quotas count).
    pub workers: usize,
    /// Administration, loopback by default; none: off. Port 0 takes a free one.
    pub admin: Option<SocketAddr>,
    /// Readiness; none: off.
    pub health: Option<SocketAddr>,
    /// Metrics; none: off.
    pub metrics: Option<SocketAddr>,
    /// Where the access log goes.
    pub access_log: AccessLogTarget,
    /// The proxy's own zone; empty if unknown.
    pub zone: Arc<str>,
    /// Who the proxy is, for Istio's metric labels.
    pub source: SourceLabels,
    /// After a stop is asked for, readiness fails at once and listeners stay open for this long, unless the
    /// snapshot says otherwise (reliability-security.md §1.1).
    pub drain_delay: Duration,
    /// From then on connections have until this long after the stop was asked for, unless the snapshot says
    /// otherwise.
    pub drain_deadline: Duration,
    /// The issuer in the same process, for identities of the built-in source.
    pub issuer: Option<Arc<dyn Issue>>,
    /// Starts identities.
    pub start_identity: StartIdentity,
    /// The process's own log.
    pub log: LogControl,
}

/// How the source of an identity is started. The default asks whom the configuration names; a test puts its own there.
#[derive(Clone)]
pub struct StartIdentity(pub Arc<StartFn>);

/// Starts a source on the current runtime: its handle, and the source itself.
pub type StartFn = dyn Fn(&IdentityName, &GatewayIdentity, SourceContext) -> (Identity, Box<dyn WorkingSource>)
    + Send
    + Sync;

/// The source of an identity, at work; dropped, it stops.
pub trait WorkingSource: Send + Sync {
    /// Takes over what has changed around it: Secrets and other trust domains.
    fn update(&self, context: SourceContext);
}

impl WorkingSource for identity::Running {
    fn update(&self, context: SourceContext) {
        Self::update(self, context);
    }
}

impl Default for StartIdentity {
    fn default() -> Self {
        Self(Arc::new(|name, spec, context| {
            let (identity, running) = identity::start(name, spec, context);
            (identity, Box::new(running))
        }))
    }
}

impl fmt::Debug for StartIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StartIdentity")
    }
}

/// Sets the log filter, or says what is wrong with the text.
pub type SetLogLevel = dyn Fn(&str) -> Result<(), String> + Send + Sync;

/// How the administration reads and changes the process's log filter; the process decides how.
#[derive(Clone)]
pub struct LogControl {
    /// The filter now, as `tracing-subscriber` writes it.
    pub level: Arc<dyn Fn() -> String + Send + Sync>,
    /// Sets the filter.
    pub set_level: Arc<SetLogLevel>,
}

impl fmt::Debug for LogControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogControl")
    }
}

impl Default for LogControl {
    /// For a process whose log cannot be changed.
    fn default() -> Self {
        Self {
            level: Arc::new(|| "fixed".to_owned()),
            set_level: Arc::new(|_| Err("the log filter of this process is fixed".to_owned())),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            workers: 0,
            admin: Some(loopback(15000)),
            health: Some(loopback(15021)),
            metrics: Some(loopback(15020)),
            access_log: AccessLogTarget::Off,
            zone: Arc::from(""),
            source: SourceLabels::default(),
            drain_delay: Duration::from_secs(15),
            drain_deadline: Duration::from_secs(45),
            issuer: None,
            start_identity: StartIdentity::default(),
            log: LogControl::default(),
        }
    }
}

impl Settings {
    /// How many data workers there will be.
    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        }
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}
