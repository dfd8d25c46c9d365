//! Sockets: which are wanted, which are open, and one of each for every worker.
//!
//! All sockets of an address are bound before any worker hears of them, so that a port that cannot be had is
//! told at once, and a listener either listens on every core or on none.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};

use model::ListenerName;
use socket2::{Domain, Protocol, Socket, Type};

use crate::compiled::{Compiled, CompiledProtocol};

/// The sockets that are open, in the name of their listeners.
#[derive(Debug)]
pub(crate) struct Sockets {
    default: IpAddr,
    workers: usize,
    open: BTreeMap<Wanted, SocketAddr>,
}

/// A socket that a listener wants.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub(crate) struct Wanted {
    pub(crate) listener: ListenerName,
    pub(crate) address: SocketAddr,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub(crate) enum Kind {
    Stream,
    Datagram,
}

/// What has to change.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// New sockets, one for each worker.
    pub(crate) opened: Vec<(Wanted, Vec<Socket>)>,
    /// To be closed.
    pub(crate) closed: Vec<Wanted>,
    /// What became of each listener.
    pub(crate) listeners: BTreeMap<ListenerName, Result<Vec<SocketAddr>, String>>,
}

/// Connections that may wait to be accepted, on each core.
const BACKLOG: i32 = 4096;

impl Sockets {
    /// None are open. `default` is where listeners without addresses listen.
    pub(crate) fn new(default: IpAddr, workers: usize) -> Self {
        Self { default, workers, open: BTreeMap::new() }
    }

    /// Opens what is new. What is to be closed stays open until the change is handed to the workers.
    pub(crate) fn change(&mut self, compiled: &Compiled) -> Change {
        let wanted = self.wanted(compiled);
        let mut change = Change::default();
        let gone: Vec<_> = self.open.keys().filter(|open| !wanted.contains(open)).cloned().collect();
        for socket in gone {
            self.open.remove(&socket);
            change.closed.push(socket);
        }
        for name in compiled.listeners.keys() {
            change.listeners.insert(name.clone(), Ok(Vec::new()));
        }
        for socket in wanted {
            let name = socket.listener.clone();
            let outcome = self.ensure(socket, &mut change);
            let listener = change.listeners.entry(name).or_insert_with(|| Ok(Vec::new()));
            match (listener, outcome) {
                (Ok(addresses), Ok(address)) => addresses.push(address),
                (listener @ Ok(_), Err(reason)) => *listener = Err(reason),
                (Err(_), _) => {}
            }
        }
        change
    }

    fn wanted(&self, compiled: &Compiled) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        for (name, listener) in &compiled.listeners {
            let kind = match listener.protocol {
                CompiledProtocol::Udp(_) => Kind::Datagram,
                CompiledProtocol::Http(_) | CompiledProtocol::Tls(_) | CompiledProtocol::Tcp(_) => {
                    Kind::Stream
                }
            };
            let default = std::slice::from_ref(&self.default);
            let addresses = if listener.addresses.is_empty() { default } else { &listener.addresses };
            wanted.extend(addresses.iter().map(|address| Wanted {
                listener: name.clone(),
                address: SocketAddr::new(*address, listener.port),
                kind,
            }));
        }
        wanted
    }

    fn ensure(&mut self, socket: Wanted, change: &mut Change) -> Result<SocketAddr, String> {
        if let Some(address) = self.open.get(&socket) {
            return Ok(*address);
        }
        // Workers share ports on purpose (SO_REUSEPORT), so the system would let two listeners share one too,
        // and split its connections between them.
        let rival = self.open.keys().find(|open| {
            open.kind == socket.kind && open.address == socket.address && socket.address.port() != 0
        });
        if let Some(rival) = rival {
            return Err(format!("{} is in use by listener {}", socket.address, rival.listener));
        }
        let (address, sockets) = bind(socket.address, socket.kind, self.workers)
            .map_err(|error| format!("cannot listen on {}: {error}", socket.address))?;
        self.open.insert(socket.clone(), address);
        change.opened.push((socket, sockets));
        Ok(address)
    }
}

/// One socket for each worker on one address; port 0 takes a free port, the same for all.
fn bind(address: SocketAddr, kind: Kind, workers: usize) -> io::Result<(SocketAddr, Vec<Socket>)> {
    if address.port() != 0 {
        // SO_REUSEPORT would let another process of the same user share the port unseen: probe without it.
        drop(open(address, kind, false)?);
    }
    let first = open(address, kind, true)?;
    let address = first.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(open(address, kind, true)?);
    }
    Ok((address, sockets))
}

fn open(address: SocketAddr, kind: Kind, share: bool) -> io::Result<Socket> {
    let (kind, protocol) = match kind {
        Kind::Stream => (Type::STREAM, Protocol::TCP),
        Kind::Datagram => (Type::DGRAM, Protocol::UDP),
    };
    let socket = Socket::new(Domain::for_address(address), kind.nonblocking(), Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        // Old connections in TIME_WAIT must not keep a restarted proxy from its port.
        socket.set_reuse_address(true)?;
    }
    socket.set_reuse_port(share)?;
    socket.bind(&address.into())?;
    if kind == Type::STREAM {
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;

    use model::{Listener, Origin, Snapshot};

    use super::*;
    use crate::compiled::BuildContext;

    fn compiled(listeners: &[(&str, u16)]) -> Compiled {
        let mut snapshot = Snapshot::default();
        for (name, port) in listeners {
            let listener = Listener {
                gateway: Origin::new("Gateway", "ns", "gw"),
                addresses: Vec::new(),
                port: *port,
                protocol: model::Protocol::Http(BTreeMap::new()),
                connection: model::ConnectionPolicy::default(),
            };
            snapshot.listeners.insert((*name).into(), listener);
        }
        Compiled::build(&Arc::new(snapshot), None, &BuildContext::default()).unwrap()
    }

    fn sockets(workers: usize) -> Sockets {
        Sockets::new(IpAddr::from([127, 0, 0, 1]), workers)
    }

    #[test]
    fn each_worker_gets_a_socket_of_the_same_port() {
        let mut sockets = sockets(3);
        let change = sockets.change(&compiled(&[("a", 0)]));
        let address = change.listeners["a"].as_ref().unwrap()[0];
        let (_, opened) = &change.opened[0];
        assert_eq!(opened.len(), 3);
        for socket in opened {
            assert_eq!(socket.local_addr().unwrap().as_socket(), Some(address));
        }
        let again = sockets.change(&compiled(&[("a", 0)]));
        assert!(again.opened.is_empty() && again.closed.is_empty());
        assert_eq!(again.listeners["a"], Ok(vec![address]));
        let none = sockets.change(&compiled(&[]));
        assert_eq!(none.closed.len(), 1);
    }

    #[test]
    fn two_listeners_do_not_share_a_port() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let change = sockets(1).change(&compiled(&[("a", free), ("b", free)]));
        assert!(change.listeners["a"].is_ok());
        let error = change.listeners["b"].as_ref().unwrap_err();
        assert!(error.contains("in use by listener a"), "{error}");
    }

    #[test]
    fn a_port_of_somebody_else_is_an_error_of_that_listener_alone() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let change = sockets(2).change(&compiled(&[("a", port), ("b", 0)]));
        assert!(change.listeners["a"].as_ref().unwrap_err().contains("cannot listen on"));
        assert!(change.listeners["b"].is_ok());
    }
}
