//! A data worker: one core's thread, runtime, sockets, connections and pools.

use std::collections::HashMap;
use std::io;
use std::net::{TcpListener as StdListener, UdpSocket as StdUdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use model::ListenerName;
use socket2::Socket;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::timeout;
use tracing::error;

use crate::compiled::Compiled;
use crate::drain::{DrainPhase, DrainSignal, DrainWatch};
use crate::http::core::{Core, Live, Slot};
use crate::listener::accept::accept;
use crate::listener::bind::{Kind, Wanted};
use crate::listener::conn::Tools;
use crate::listener::datagrams::datagrams;
use crate::listener::tls::Handshakes;
use crate::overload::{ListenerGate, Overload, Pressure};
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::{Metrics, set_core};
use crate::telemetry::trace::Tracer;
use crate::udp::DatagramSocket;
use crate::upstream::{Resolver, Upstreams};

/// What all workers share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) log: AccessLog,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tracer: Arc<Tracer>,
    pub(crate) overload: Arc<Overload>,
    pub(crate) drain: DrainWatch,
}

/// A worker's next generation.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) compiled: Arc<Compiled>,
    /// This worker's sockets among those that are new.
    pub(crate) opened: Vec<(Wanted, Socket)>,
    pub(crate) closed: Vec<Wanted>,
    /// Counts of each listener's connections over all workers.
    pub(crate) gates: Arc<HashMap<ListenerName, Arc<ListenerGate>>>,
    /// Told once the generation is served.
    pub(crate) done: oneshot::Sender<()>,
}

/// A worker as the control thread holds it. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) orders: mpsc::UnboundedSender<Order>,
    pub(crate) thread: std::thread::JoinHandle<()>,
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// The thread or its runtime cannot be made.
    pub(crate) fn start(core: usize, shared: Shared) -> io::Result<Self> {
        let (orders, inbox) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name(format!("worker-{core}")).spawn(move || {
            set_core(core);
            let local = LocalSet::new();
            local.block_on(&runtime, serve(core, shared, inbox));
            // What has been told to end gets a moment to say so in the log.
            let _ = runtime.block_on(async { timeout(LAST_WORDS, local).await });
        })?;
        Ok(Self { orders, thread })
    }
}

/// What a worker keeps between orders.
struct State {
    tools: Rc<Tools>,
    slots: HashMap<ListenerName, Rc<Slot>, ahash::RandomState>,
    accepting: HashMap<Wanted, JoinHandle<()>, ahash::RandomState>,
    /// Datagram sockets end by a drain of their own, so that their sessions are logged.
    datagrams: HashMap<Wanted, DrainSignal, ahash::RandomState>,
}

async fn serve(core: usize, shared: Shared, mut inbox: mpsc::UnboundedReceiver<Order>) {
    let upstreams = Upstreams::new(shared.resolver);
    let tools = Rc::new(Tools {
        core: Rc::new(Core::new(
            upstreams,
            shared.log.core(core),
            shared.metrics,
            shared.tracer,
            shared.overload,
        )),
        registry: Rc::default(),
        handshakes: Handshakes::default(),
        drain: shared.drain.clone(),
    });
    let tending = spawn_local(tend(tools.clone()));
    let (mut draining, mut forced) = (shared.drain.clone(), shared.drain.clone());
    let mut state = State {
        tools,
        slots: HashMap::default(),
        accepting: HashMap::default(),
        datagrams: HashMap::default(),
    };
    loop {
        tokio::select! {
            order = inbox.recv() => match order {
                Some(order) => state.obey(order),
                None => break,
            },
            () = draining.draining(), if state.tools.registry.phase() < DrainPhase::Draining => state.stop_accepting(),
            () = forced.forced(), if state.tools.registry.phase() == DrainPhase::Draining => {
                state.tools.registry.advance(DrainPhase::Forced);
            }
        }
    }
    tending.abort();
    state.stop_accepting();
    state.tools.registry.advance(DrainPhase::Forced);
    state.datagrams.values().for_each(|signal| signal.advance(DrainPhase::Forced));
}

/// What tasks get at the end of their worker.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What is done about once a second.
async fn tend(tools: Rc<Tools>) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        tools.core.upstreams.sweep();
        if tools.core.overload.pressure() >= Pressure::CloseIdle {
            tools.registry.purge_idle();
        }
    }
}

impl State {
    fn obey(&mut self, order: Order) {
        for wanted in &order.closed {
            if let Some(task) = self.accepting.remove(wanted) {
                task.abort();
            }
            if let Some(signal) = self.datagrams.remove(wanted) {
                signal.advance(DrainPhase::Forced);
            }
        }
        self.swap(&order.compiled);
        for (wanted, socket) in order.opened {
            let Some(gate) = order.gates.get(&wanted.listener).cloned() else { continue };
            if let Err(error) = self.open(&wanted, socket, gate) {
                error!(%error, listener = %wanted.listener, address = %wanted.address, "Socket cannot be used");
            }
        }
        // The receiver is gone only if the control thread is.
        let _ = order.done.send(());
    }

    /// Puts the next generation in its places; listeners that are gone tell their connections to end.
    fn swap(&mut self, compiled: &Arc<Compiled>) {
        let metrics = &self.tools.core.metrics;
        self.slots.retain(|name, slot| {
            let kept = compiled.listeners.contains_key(name);
            if !kept {
                slot.leave();
            }
            kept
        });
        for (name, listener) in &compiled.listeners {
            let live = Live::new(listener.clone(), metrics);
            match self.slots.get(name) {
                Some(slot) => slot.swap(live),
                None => drop(self.slots.insert(name.clone(), Slot::new(live))),
            }
        }
        self.tools.registry.wake_all();
    }

    fn open(&mut self, wanted: &Wanted, socket: Socket, gate: Arc<ListenerGate>) -> io::Result<()> {
        let Some(slot) = self.slots.get(&wanted.listener).cloned() else { return Ok(()) };
        if self.tools.registry.phase() >= DrainPhase::Draining {
            return Ok(());
        }
        match wanted.kind {
            Kind::Stream => {
                let socket = TcpListener::from_std(StdListener::from(socket))?;
                let task = spawn_local(accept(socket, slot, gate, self.tools.clone()));
                self.accepting.insert(wanted.clone(), task);
            }
            Kind::Datagram => {
                let socket = DatagramSocket::new(StdUdpSocket::from(socket))?;
                let (signal, drain) = DrainSignal::child_of(&self.tools.drain);
                spawn_local(datagrams(socket, slot, gate, drain, self.tools.clone()));
                self.datagrams.insert(wanted.clone(), signal);
            }
        }
        Ok(())
    }

    /// Closes the sockets, and tells connections to end.
    fn stop_accepting(&mut self) {
        self.accepting.drain().for_each(|(_, task)| task.abort());
        self.tools.registry.advance(DrainPhase::Draining);
    }
}
