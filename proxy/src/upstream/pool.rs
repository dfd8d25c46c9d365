//! Performance-critical path. One core's connections to one endpoint: idle HTTP/1.1 ones last in first out,
//! shared HTTP/2 ones, and the requests that wait for either.
//!
//! A request that finds no connection queues here, and a connection is opened for it in a task of its own. Whatever
//! comes first serves the queue's head: the new connection, or one that another request gives back. So a
//! cancelled request wastes no connection, and a failed connection fails exactly one request (HTTP/2: all that
//! waited for it).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use model::Backend;
use tokio::sync::oneshot;

use crate::mesh::Link;
use crate::upstream::circuit::CircuitCounters;
use crate::upstream::clock::Moment;
use crate::upstream::dispatch::UNSAID_STREAMS;
use crate::upstream::error::UpstreamError;

/// One core's connections to one endpoint, spoken to in one way.
#[derive(Debug)]
pub(crate) struct Pool<B> {
    /// The latest last.
    idle: RefCell<VecDeque<Http1<B>>>,
    shared: RefCell<Vec<Rc<Http2<B>>>>,
    waiting: RefCell<VecDeque<Waiter<B>>>,
    /// Connections that are being opened.
    pub(crate) opening: Cell<usize>,
    /// Set once the endpoint chose HTTP/2, or if it must: one connection then serves all.
    pub(crate) http2: Cell<bool>,
    /// Streams that the endpoint allowed on its last HTTP/2 connection: what a new one starts with.
    pub(crate) streams: Rc<Cell<usize>>,
    policy: Policy,
    pub(crate) circuit: Arc<CircuitCounters>,
}

type Waiter<B> = oneshot::Sender<Result<Lease<B>, UpstreamError>>;

/// What the backend says of its connections; fixed for the life of a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) idle_timeout: Duration,
    /// 0 is no limit.
    pub(crate) max_requests: u32,
    /// Connections of the backend over all cores; 0 is no limit.
    pub(crate) connections: u32,
    /// Each connection is bound to one client (PROXY header): none is used twice.
    pub(crate) single_use: bool,
}

impl Policy {
    pub(crate) fn new(backend: &Backend) -> Self {
        Self {
            idle_timeout: backend.connection.idle_timeout,
            max_requests: backend.connection.max_requests,
            connections: backend.circuit.connections,
            single_use: backend.connection.proxy_protocol != model::SendProxyProtocol::Off,
        }
    }
}

/// An HTTP/1.1 connection. Whoever has it has it alone; dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Http1<B> {
    pub(crate) sender: http1::SendRequest<B>,
    pub(crate) facts: Facts,
    /// Requests so far.
    served: u32,
    idle_since: Moment,
}

/// An HTTP/2 connection that requests share. Out of the pool, it ends with its last stream.
#[derive(Debug)]
pub(crate) struct Http2<B> {
    pub(crate) sender: RefCell<http2::SendRequest<B>>,
    pub(crate) facts: Facts,
    /// Streams that the endpoint allows; its driver keeps it current.
    limit: Rc<Cell<usize>>,
    streams: Cell<usize>,
    served: Cell<u32>,
    idle_since: Cell<Moment>,
}

/// The ends of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) local: Option<SocketAddr>,
    pub(crate) remote: SocketAddr,
    /// The verified peer of a mesh connection, and whether it may still be asked.
    pub(crate) peer: Option<Arc<Link>>,
}

impl Facts {
    /// Whether a request may begin: a mesh connection takes none once a certificate is about to end.
    fn usable(&self) -> bool {
        self.peer.as_ref().is_none_or(|peer| peer.usable())
    }
}

/// A connection, or a share of one, for one request.
#[derive(Debug)]
pub(crate) enum Lease<B> {
    Http1(Http1Lease<B>),
    Http2(Http2Lease<B>),
}

/// An HTTP/1.1 connection on loan. Dropped without [`Http1Lease::give_back`], it is closed.
#[derive(Debug)]
pub(crate) struct Http1Lease<B> {
    pub(crate) connection: Http1<B>,
    pool: Rc<Pool<B>>,
}

/// A stream's place on an HTTP/2 connection.
#[derive(Debug)]
pub(crate) struct Http2Lease<B> {
    pub(crate) connection: Rc<Http2<B>>,
    pool: Rc<Pool<B>>,
    /// Whether the connection had carried a request before.
    reused: bool,
}

impl<B> Http1<B> {
    pub(crate) fn new(sender: http1::SendRequest<B>, facts: Facts) -> Self {
        Self { sender, facts, served: 0, idle_since: Moment::default() }
    }
}

impl<B> Http2<B> {
    pub(crate) fn new(sender: http2::SendRequest<B>, facts: Facts, limit: Rc<Cell<usize>>) -> Self {
        Self {
            sender: RefCell::new(sender),
            facts,
            limit,
            streams: Cell::new(0),
            served: Cell::new(0),
            idle_since: Cell::default(),
        }
    }

    fn has_room(&self) -> bool {
        self.streams.get() < self.limit.get()
    }
}

impl<B> Lease<B> {
    pub(crate) fn facts(&self) -> &Facts {
        match self {
            Self::Http1(lease) => &lease.connection.facts,
            Self::Http2(lease) => &lease.connection.facts,
        }
    }

    /// Whether the connection had carried a request before.
    pub(crate) fn reused(&self) -> bool {
        match self {
            Self::Http1(lease) => lease.connection.served > 1,
            Self::Http2(lease) => lease.reused,
        }
    }
}

impl<B> Pool<B> {
    pub(crate) fn new(policy: Policy, http2: bool, circuit: Arc<CircuitCounters>) -> Self {
        Self {
            idle: RefCell::default(),
            shared: RefCell::default(),
            waiting: RefCell::default(),
            opening: Cell::new(0),
            http2: Cell::new(http2),
            streams: Rc::new(Cell::new(UNSAID_STREAMS)),
            policy,
            circuit,
        }
    }

    /// A connection that can take a request now.
    pub(crate) fn take(self: &Rc<Self>, now: Moment) -> Option<Lease<B>> {
        if let Some(lease) = self.take_shared() {
            return Some(lease);
        }
        loop {
            let connection = self.idle.borrow_mut().pop_back()?;
            let fresh = now.since(connection.idle_since) < self.policy.idle_timeout;
            if fresh && connection.facts.usable() && connection.sender.is_ready() {
                return Some(self.lend(connection));
            }
        }
    }

    fn take_shared(self: &Rc<Self>) -> Option<Lease<B>> {
        let mut shared = self.shared.borrow_mut();
        if shared.is_empty() {
            return None;
        }
        shared.retain(|connection| connection.facts.usable() && !connection.sender.borrow().is_closed());
        let position = shared.iter().position(|connection| connection.has_room())?;
        let connection = Rc::clone(shared.get(position)?);
        let lease = self.lend_stream(connection);
        if self.policy.max_requests != 0 && lease.connection.served.get() >= self.policy.max_requests {
            shared.swap_remove(position);
        }
        Some(Lease::Http2(lease))
    }

    fn lend(self: &Rc<Self>, mut connection: Http1<B>) -> Lease<B> {
        connection.served = connection.served.saturating_add(1);
        Lease::Http1(Http1Lease { connection, pool: Rc::clone(self) })
    }

    fn lend_stream(self: &Rc<Self>, connection: Rc<Http2<B>>) -> Http2Lease<B> {
        let served = connection.served.get();
        connection.streams.set(connection.streams.get() + 1);
        connection.served.set(served.saturating_add(1));
        Http2Lease { connection, pool: Rc::clone(self), reused: served > 0 }
    }

    /// Queues a request.
    pub(crate) fn wait(&self) -> oneshot::Receiver<Result<Lease<B>, UpstreamError>> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.borrow_mut();
        // Cancelled requests leave their place behind; they go when somebody joins.
        waiting.retain(|waiter| !waiter.is_closed());
        waiting.push_back(sender);
        receiver
    }

    /// Whether more connections should be opened for those that wait.
    pub(crate) fn wants_more(&self) -> bool {
        let waiting = self.waiting.borrow().iter().filter(|waiter| !waiter.is_closed()).count();
        let opening = self.opening.get();
        // A shared connection serves many; one at a time tells how many.
        if self.http2.get() && !self.policy.single_use {
            opening == 0 && waiting > 0
        } else {
            opening < waiting
        }
    }

    /// Takes in a new HTTP/1.1 connection.
    pub(crate) fn add(self: &Rc<Self>, connection: Http1<B>) {
        self.http2.set(false);
        self.hand_over(connection);
    }

    /// Takes in a new HTTP/2 connection.
    pub(crate) fn add_shared(self: &Rc<Self>, connection: Http2<B>) {
        self.http2.set(true);
        let connection = Rc::new(connection);
        if self.policy.single_use {
            self.serve(Lease::Http2(self.lend_stream(connection)));
            return;
        }
        connection.idle_since.set(Moment::now());
        self.shared.borrow_mut().push(connection);
        self.serve_shared();
    }

    /// A connection could not be opened: whoever waited for it is told.
    pub(crate) fn fail(&self, error: &UpstreamError) {
        let everybody = self.http2.get() && !self.policy.single_use;
        loop {
            let Some(waiter) = self.waiting.borrow_mut().pop_front() else { return };
            if waiter.send(Err(error.clone())).is_ok() && !everybody {
                return;
            }
        }
    }

    /// Gives streams to those that wait, while there are both.
    fn serve_shared(self: &Rc<Self>) {
        while self.waiting.borrow().iter().any(|waiter| !waiter.is_closed()) {
            let Some(lease) = self.take_shared() else { return };
            self.serve(lease);
        }
    }

    /// Gives a lease to the first that still waits. An HTTP/1.1 connection that nobody wants becomes idle.
    fn serve(self: &Rc<Self>, mut lease: Lease<B>) {
        loop {
            let waiter = self.waiting.borrow_mut().pop_front();
            let Some(waiter) = waiter else { break };
            match waiter.send(Ok(lease)) {
                Ok(()) => return,
                Err(Ok(back)) => lease = back,
                Err(Err(_)) => return,
            }
        }
        if let Lease::Http1(Http1Lease { mut connection, .. }) = lease {
            connection.served = connection.served.saturating_sub(1);
            self.keep(connection);
        }
    }

    fn hand_over(self: &Rc<Self>, connection: Http1<B>) {
        let waiting = !self.waiting.borrow().is_empty();
        if waiting {
            self.serve(self.lend(connection));
        } else {
            self.keep(connection);
        }
    }

    fn keep(&self, mut connection: Http1<B>) {
        if self.policy.single_use || self.circuit.starved(self.policy.connections) {
            return;
        }
        connection.idle_since = Moment::now();
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= IDLE_CAP {
            idle.pop_front();
        }
        idle.push_back(connection);
    }

    /// Closes one idle connection, to make room for another of the backend. False if there is none.
    pub(crate) fn evict(&self) -> bool {
        if self.idle.borrow_mut().pop_front().is_some() {
            return true;
        }
        let mut shared = self.shared.borrow_mut();
        let unused = shared.iter().position(|connection| connection.streams.get() == 0);
        unused.map(|position| shared.swap_remove(position)).is_some()
    }

    /// Closes what is closed or has been idle too long; with `starved`, one idle connection more. Tells whether
    /// the pool is still of use.
    pub(crate) fn sweep(&self, now: Moment) -> bool {
        let expired = |since: Moment| now.since(since) >= self.policy.idle_timeout;
        self.idle.borrow_mut().retain(|connection| {
            !expired(connection.idle_since) && connection.facts.usable() && connection.sender.is_ready()
        });
        self.shared.borrow_mut().retain(|connection| {
            let unused = connection.streams.get() == 0 && expired(connection.idle_since.get());
            !unused && connection.facts.usable() && !connection.sender.borrow().is_closed()
        });
        if self.circuit.starved(self.policy.connections) {
            self.evict();
        }
        self.opening.get() > 0
            || !self.idle.borrow().is_empty()
            || !self.shared.borrow().is_empty()
            || !self.waiting.borrow().is_empty()
    }
}

impl<B> Http1Lease<B> {
    /// Gives the connection back, if it is fit for another request. It is not while a request body is still
    /// under way, nor after `Connection: close`, nor with bytes left over: hyper is then not ready.
    pub(crate) fn give_back(self) {
        let Self { connection, pool } = self;
        let spent = pool.policy.max_requests != 0 && connection.served >= pool.policy.max_requests;
        let usable = connection.facts.usable() && connection.sender.is_ready();
        if usable && !spent && !pool.policy.single_use {
            pool.hand_over(connection);
        }
    }
}

impl<B> Drop for Http2Lease<B> {
    fn drop(&mut self) {
        self.connection.streams.set(self.connection.streams.get().saturating_sub(1));
        if self.connection.streams.get() == 0 {
            self.connection.idle_since.set(Moment::now());
        }
        if !self.pool.waiting.borrow().is_empty() {
            self.pool.serve_shared();
        }
    }
}

/// Idle HTTP/1.1 connections to one endpoint on one core.
const IDLE_CAP: usize = 256;
