//! A workload to try a gateway on: it says what it saw, over HTTP, gRPC, WebSocket, TCP and UDP.
//!
//! `diolkos echo` runs one; `diolkos serve` runs those that the folder asks for: Pods whose image is
//! `diolkos.io/echo`, on the Pod's own address.

mod door;
mod grpc;
mod http;
mod stream;
mod websocket;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use self::door::Door;

/// What an echo workload calls itself and where it listens.
#[derive(Clone, Debug, Default)]
pub(crate) struct EchoSettings {
    /// Its name in answers.
    pub(crate) workload: String,
    /// HTTP/1.1, HTTP/2 with prior knowledge, gRPC, WebSocket.
    pub(crate) http: Vec<SocketAddr>,
    /// Every line comes back.
    pub(crate) tcp: Vec<SocketAddr>,
    /// Every datagram comes back.
    pub(crate) udp: Vec<SocketAddr>,
    /// Only mesh peers get in over TCP: mTLS, and answers name the caller's SPIFFE ID.
    pub(crate) mesh: Option<identity::ServerTlsConfig>,
}

/// A running echo workload; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Echo {
    /// Protocol and bound address, in the order of the settings.
    pub(crate) addresses: Vec<(&'static str, SocketAddr)>,
    tasks: JoinSet<()>,
}

impl Echo {
    /// Binds every address and serves.
    ///
    /// # Errors
    /// If an address cannot be bound; the error names it.
    pub(crate) async fn start(settings: EchoSettings) -> io::Result<Self> {
        let mut echo = Self { addresses: Vec::new(), tasks: JoinSet::new() };
        let workload: Arc<str> = settings.workload.into();
        for address in settings.http {
            let door =
                Door::bind(address, settings.mesh.clone()).await.map_err(|error| at(address, error))?;
            echo.addresses.push(("http", door.address()?));
            let workload = Arc::clone(&workload);
            echo.tasks
                .spawn(door.serve(move |stream, caller| http::connection(stream, workload.clone(), caller)));
        }
        for address in settings.tcp {
            let door =
                Door::bind(address, settings.mesh.clone()).await.map_err(|error| at(address, error))?;
            echo.addresses.push(("tcp", door.address()?));
            let workload = Arc::clone(&workload);
            echo.tasks
                .spawn(door.serve(move |stream, caller| stream::echo(stream, workload.clone(), caller)));
        }
        for address in settings.udp {
            let socket = UdpSocket::bind(address).await.map_err(|error| at(address, error))?;
            echo.addresses.push(("udp", socket.local_addr()?));
            echo.tasks.spawn(stream::serve_udp(socket, Arc::clone(&workload)));
        }
        Ok(echo)
    }

    /// Serves until it is dropped.
    pub(crate) async fn run(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

fn at(address: SocketAddr, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{address}: {error}"))
}
