//! The proxy as a whole: the only file that knows every module. Wires them, and takes snapshots in.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use model::{ListenerName, Snapshot};
use socket2::Socket;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info, warn};

use crate::admin::{Admin, Controls, Port, Surface};
use crate::compiled::{BuildContext, Compiled};
use crate::drain::{BlockReady, DrainPhase, DrainSignal, Readiness};
use crate::listener::bind::{Change, Sockets};
use crate::mesh::{MeshIdentities, Sources};
use crate::overload::{ListenerGate, Overload};
use crate::settings::{LogControl, Settings};
use crate::telemetry::access_log::{AccessLog, AccessLogFormat};
use crate::telemetry::metrics::{BackendSample, Metrics};
use crate::telemetry::trace::Tracer;
use crate::upstream::clock::Moment;
use crate::upstream::{HealthChecker, Resolver};
use crate::worker::{Order, Shared, Worker};

/// A running proxy. Dropped, it ends at once; [`Proxy::shutdown`] drains it first.
#[derive(Debug)]
pub struct Proxy {
    applied: watch::Receiver<Applied>,
    stop: mpsc::UnboundedSender<Stop>,
    control: Option<JoinHandle<()>>,
    metrics: Arc<Metrics>,
    log: AccessLog,
    surfaces: Surfaces,
}

/// Where the proxy can be asked about itself; none: off.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Surfaces {
    /// Administration.
    pub admin: Option<SocketAddr>,
    /// Readiness.
    pub health: Option<SocketAddr>,
    /// Metrics.
    pub metrics: Option<SocketAddr>,
}

/// What has become of the latest snapshot.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Applied {
    /// Counts the snapshots that came; 0: none yet.
    pub generation: u64,
    /// Why the snapshot is not served; the one before it still is.
    pub error: Option<String>,
    /// What became of each listener: where it listens, or why it does not.
    pub listeners: BTreeMap<ListenerName, Result<Vec<SocketAddr>, String>>,
}

/// How to end.
#[derive(Clone, Copy, Debug)]
enum Stop {
    /// Readiness fails, then connections end, then they are cut.
    Drain,
    /// Connections are cut.
    Now,
}

impl Proxy {
    /// Starts the threads. The proxy serves what comes through `snapshots`, from the first one on.
    ///
    /// # Errors
    /// A thread, a runtime, the access log, or a surface's port cannot be had.
    pub fn start(settings: Settings, snapshots: watch::Receiver<Arc<Snapshot>>) -> io::Result<Self> {
        let count = settings.worker_count();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let metrics = Metrics::new(count, settings.source.clone());
        let overload = Overload::new();
        let log = AccessLog::start(settings.access_log.clone(), count)?;
        metrics.observe(&overload, &log);
        let (drain, drain_watch) = DrainSignal::new();
        let readiness = Readiness::new(drain_watch.clone());
        let tracer = Tracer::new(metrics.clone(), runtime.handle().clone());
        let shared = Shared {
            resolver: Arc::new(Resolver::system(runtime.handle().clone())),
            log: log.clone(),
            metrics: metrics.clone(),
            tracer,
            overload: overload.clone(),
            drain: drain_watch,
        };
        let workers =
            (0..count).map(|core| Worker::start(core, shared.clone())).collect::<io::Result<Vec<_>>>()?;
        let (applied_sender, applied) = watch::channel(Applied::default());
        let (stop, stops) = mpsc::unbounded_channel();
        let (bound, surfaces) = std::sync::mpsc::channel();
        let compiled = Arc::<ArcSwapOption<Compiled>>::default();
        let served = compiled.clone();
        metrics.observe_backends(move |each| sample_backends(&served, each));
        let identities = Arc::<ArcSwap<MeshIdentities>>::default();
        let mesh = identities.clone();
        metrics.observe_identities(move || mesh.load().collectors());
        let admin = Arc::new(Admin {
            compiled: compiled.clone(),
            identities: identities.clone(),
            metrics: metrics.clone(),
            overload,
            readiness: readiness.clone(),
            controls: controls(&settings.log, stop.clone()),
        });
        let control = Control {
            unready: Some(readiness.block("no snapshot has been applied")),
            health: HealthChecker::new(runtime.handle().clone(), shared.resolver.clone()),
            sockets: Sockets::new(settings.bind, count),
            sources: Sources::new(settings.issuer.clone(), settings.start_identity.clone()),
            identities,
            settings,
            shared,
            workers,
            gates: Arc::default(),
            compiled,
            applied: applied_sender,
            drain,
        };
        let control = std::thread::Builder::new().name("control".into()).spawn(move || {
            runtime.block_on(async {
                let surfaces = serve_surfaces(&control.settings, &admin).await;
                let failed = surfaces.is_err();
                // Whoever starts the proxy waits for this.
                let _ = bound.send(surfaces);
                if !failed {
                    control.run(snapshots, stops).await;
                }
            });
        })?;
        let surfaces = surfaces.recv().map_err(io::Error::other)??;
        Ok(Self { applied, stop, control: Some(control), metrics, log, surfaces })
    }

    /// What has become of the latest snapshot.
    pub fn applied(&self) -> watch::Receiver<Applied> {
        self.applied.clone()
    }

    /// Where the proxy can be asked about itself.
    pub fn surfaces(&self) -> Surfaces {
        self.surfaces
    }

    /// The metrics of the process.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The access log, for rotation.
    pub fn access_log(&self) -> &AccessLog {
        &self.log
    }

    /// Begins the drain; a second call cuts it short.
    pub fn drain(&self) {
        let _ = self.stop.send(Stop::Drain);
    }

    /// Drains and waits for the end. Blocks.
    pub fn shutdown(mut self) {
        self.drain();
        self.join();
    }

    fn join(&mut self) {
        if let Some(control) = self.control.take()
            && control.join().is_err()
        {
            error!("The control thread has panicked");
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.stop.send(Stop::Now);
        self.join();
    }
}

/// Binds the surfaces and serves them on the runtime that this runs on.
async fn serve_surfaces(settings: &Settings, admin: &Arc<Admin>) -> io::Result<Surfaces> {
    let serve = async |surface, address: Option<SocketAddr>| {
        let Some(address) = address else { return Ok(None) };
        let port = Port::bind(address, surface).await.map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen on {address} for {surface:?}: {error}"))
        })?;
        let address = port.local_address()?;
        tokio::spawn(port.serve(admin.clone()));
        io::Result::Ok(Some(address))
    };
    Ok(Surfaces {
        admin: serve(Surface::Admin, settings.admin).await?,
        health: serve(Surface::Health, settings.health).await?,
        metrics: serve(Surface::Metrics, settings.metrics).await?,
    })
}

/// Shows a scrape the backends of the generation that is served.
fn sample_backends(compiled: &ArcSwapOption<Compiled>, each: &mut dyn FnMut(BackendSample<'_>)) {
    let Some(compiled) = compiled.load_full() else { return };
    let now = Moment::now();
    for backend in compiled.backends.values() {
        let (live, members) = (backend.live(), backend.members());
        each(BackendSample {
            name: backend.name.as_str(),
            counters: &live.metrics,
            connections: live.circuit.connections(),
            requests: live.circuit.requests(),
            pending: live.circuit.pending(),
            endpoints: members.len(),
            healthy: members.iter().filter(|member| member.fit(now)).count(),
        });
    }
}

fn controls(log: &LogControl, stop: mpsc::UnboundedSender<Stop>) -> Controls {
    Controls {
        log_level: log.level.clone(),
        set_log_level: log.set_level.clone(),
        drain: Arc::new(move || {
            // Nobody listens any more: the proxy has ended already.
            let _ = stop.send(Stop::Drain);
        }),
    }
}

/// What the control thread holds.
struct Control {
    settings: Settings,
    shared: Shared,
    workers: Vec<Worker>,
    sockets: Sockets,
    gates: Arc<HashMap<ListenerName, Arc<ListenerGate>>>,
    compiled: Arc<ArcSwapOption<Compiled>>,
    sources: Sources,
    /// Those of the generation that is served, for metrics and pages.
    identities: Arc<ArcSwap<MeshIdentities>>,
    applied: watch::Sender<Applied>,
    drain: DrainSignal,
    health: HealthChecker,
    /// Held until the first snapshot is served.
    unready: Option<BlockReady>,
}

/// Memory and descriptors are looked at that often.
const SAMPLE: Duration = Duration::from_millis(250);
/// Sockets that could not be bound are tried again that often.
const REBIND: Duration = Duration::from_secs(2);
/// What the access log has buffered gets that long at the end.
const FLUSH: Duration = Duration::from_secs(2);

impl Control {
    async fn run(
        mut self,
        mut snapshots: watch::Receiver<Arc<Snapshot>>,
        mut stops: mpsc::UnboundedReceiver<Stop>,
    ) {
        let mut sample = tokio::time::interval(SAMPLE);
        let mut rebind = tokio::time::interval(REBIND);
        snapshots.mark_changed();
        let mut sources = true;
        let how = loop {
            tokio::select! {
                changed = snapshots.changed(), if sources => match changed {
                    Ok(()) => {
                        let snapshot = snapshots.borrow_and_update().clone();
                        self.take(snapshot).await;
                    }
                    // Whoever made snapshots is gone: the last good one is served on.
                    Err(_) => sources = false,
                },
                _ = sample.tick() => drop(self.shared.overload.sample()),
                _ = rebind.tick() => self.rebind().await,
                stop = stops.recv() => break stop.unwrap_or(Stop::Now),
            }
        };
        self.end(how, stops).await;
    }

    /// Compiles a snapshot and hands it to the workers; a bad one changes nothing.
    async fn take(&mut self, snapshot: Arc<Snapshot>) {
        let generation = self.applied.borrow().generation + 1;
        let previous = self.compiled.load_full();
        let identities = self.sources.prepare(&snapshot).await;
        let zone = self.settings.zone.clone();
        let context = BuildContext { generation, zone, identities: identities.clone() };
        let built =
            tokio::task::spawn_blocking(move || Compiled::build(&snapshot, previous.as_deref(), &context));
        let error = match built.await {
            Ok(Ok(compiled)) => {
                self.apply(Arc::new(compiled)).await;
                self.identities.store(Arc::new(identities));
                // Only now, when nothing new is done with them, those that are not wanted any more stop.
                return self.sources.commit();
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        self.sources.abandon();
        if let Some(served) = self.compiled.load_full() {
            // Endpoints are taken over even so; identities are not.
            let identities = self.identities.load();
            served.backends.values().for_each(|backend| backend.return_to(&identities));
        }
        self.shared.metrics.compile_errors.inc();
        warn!(%error, generation, "Snapshot refused; the one before it is served on");
        self.applied.send_modify(|applied| {
            applied.generation = generation;
            applied.error = Some(error);
        });
    }

    async fn apply(&mut self, compiled: Arc<Compiled>) {
        let settings = compiled.settings();
        self.shared.overload.configure(settings.memory_limit, settings.connection_limit);
        let format = if settings.access_log_text { AccessLogFormat::Text } else { AccessLogFormat::Json };
        self.shared.log.set_format(format);
        if let Err(error) =
            self.shared.tracer.configure(settings.tracing_otlp.as_ref(), settings.tracing_per_10_000)
        {
            warn!(%error, "Spans are not exported");
        }
        let listeners = self.hand_out(&compiled).await;
        self.health.reconcile(compiled.backends.values());
        self.unready = None;
        self.compiled.store(Some(compiled.clone()));
        self.shared.metrics.snapshot_generation.set(i64::try_from(compiled.generation).unwrap_or(i64::MAX));
        info!(generation = compiled.generation, listeners = listeners.len(), "Snapshot applied");
        self.applied.send_replace(Applied { generation: compiled.generation, error: None, listeners });
    }

    /// Opens and closes sockets, and waits until every worker serves the generation.
    async fn hand_out(
        &mut self,
        compiled: &Arc<Compiled>,
    ) -> BTreeMap<ListenerName, Result<Vec<SocketAddr>, String>> {
        let Change { opened, closed, listeners } = self.sockets.change(compiled);
        for (name, listener) in &listeners {
            if let Err(reason) = listener {
                warn!(%reason, listener = %name, "Listener cannot listen");
            }
        }
        let gates = compiled
            .listeners
            .keys()
            .map(|name| (name.clone(), self.gates.get(name).cloned().unwrap_or_default()));
        self.gates = Arc::new(gates.collect());
        let mut shares: Vec<Vec<(_, Socket)>> = self.workers.iter().map(|_| Vec::new()).collect();
        for (wanted, sockets) in opened {
            for (share, socket) in shares.iter_mut().zip(sockets) {
                share.push((wanted.clone(), socket));
            }
        }
        let mut served = Vec::new();
        for (worker, opened) in self.workers.iter().zip(shares) {
            let (done, wait) = oneshot::channel();
            let order = Order {
                compiled: compiled.clone(),
                opened,
                closed: closed.clone(),
                gates: self.gates.clone(),
                done,
            };
            if worker.orders.send(order).is_ok() {
                served.push(wait);
            }
        }
        for wait in served {
            if wait.await.is_err() {
                error!("A worker has gone");
            }
        }
        listeners
    }

    /// Tries again what could not be bound: the port may be free by now.
    async fn rebind(&mut self) {
        let failed = self.applied.borrow().listeners.values().any(Result::is_err);
        let Some(compiled) = self.compiled.load_full().filter(|_| failed) else { return };
        let listeners = self.hand_out(&compiled).await;
        self.applied.send_if_modified(|applied| {
            let changed = applied.listeners != listeners;
            applied.listeners = listeners;
            changed
        });
    }

    async fn end(self, how: Stop, mut stops: mpsc::UnboundedReceiver<Stop>) {
        if matches!(how, Stop::Drain) {
            let compiled = self.compiled.load_full();
            let settings = compiled.as_ref().map(|compiled| compiled.settings());
            let delay =
                settings.and_then(|settings| settings.drain_delay).unwrap_or(self.settings.drain_delay);
            let deadline =
                settings.and_then(|settings| settings.drain_deadline).unwrap_or(self.settings.drain_deadline);
            info!(?delay, ?deadline, "Draining");
            tokio::select! {
                cut = self.drain.run(delay, deadline) => info!(cut, "Drained"),
                _ = stops.recv() => {}
            }
        }
        self.drain.advance(DrainPhase::Forced);
        let Self { workers, shared, .. } = self;
        for Worker { orders, thread } in workers {
            drop(orders);
            if thread.join().is_err() {
                error!("A worker has panicked");
            }
        }
        shared.log.flush(FLUSH);
    }
}
