//! The clock of a connection, on a paused clock: an in-memory stream on one side, hyper's codec on the other.

use std::net::SocketAddr;
use std::sync::Arc;

use model::*;
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use super::*;
use crate::compiled::{BuildContext, Compiled};
use crate::http::connection::Addresses;
use crate::http::core::{Core, Live, Slot};
use crate::http::forwarded::Client;
use crate::listener::registry::Registry;
use crate::overload::Overload;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::{Metrics, SourceLabels};
use crate::telemetry::trace::Tracer;
use crate::upstream::{Resolver, Upstreams};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// A snapshot whose one listener answers everything itself.
fn compiled(limits: ListenerLimits) -> Compiled {
    let mut snapshot = Snapshot::default();
    let origin = || Origin::new("Gateway", "ns", "gw");
    let server =
        HttpServer { owner: origin(), section: "http".into(), port: 80, routes: "t".into(), filters: vec![] };
    let listener = Listener {
        gateway: origin(),
        addresses: vec![],
        port: 80,
        protocol: Protocol::Http([(HostPattern::Any, server)].into()),
        connection: ConnectionPolicy { limits, ..ConnectionPolicy::default() },
    };
    snapshot.listeners.insert("l".into(), listener);
    let rule = Rule {
        origin: origin(),
        index: 0,
        name: None,
        filters: vec![],
        action: Action::Respond { status: 200, body: "yes".into() },
        set_by: Default::default(),
    };
    let hosts = [(HostPattern::Any, vec![RouteMatch { when: Match::default(), rule: 0 }])].into();
    snapshot.routes.insert("t".into(), Arc::new(RouteTable { hosts, rules: vec![rule] }));
    Compiled::build(&Arc::new(snapshot), None, &BuildContext::default()).unwrap()
}

struct Served {
    client: DuplexStream,
    registry: Rc<Registry>,
    slot: Rc<Slot>,
    connection: Rc<Connection>,
    task: JoinHandle<()>,
}

/// Serves HTTP/1.1 on an in-memory stream.
fn serve(limits: ListenerLimits) -> Served {
    let metrics = Metrics::new(1, SourceLabels::default());
    let runtime = tokio::runtime::Handle::current();
    let upstreams = Upstreams::new(Arc::new(Resolver::system(runtime.clone())));
    let tracer = Tracer::new(metrics.clone(), runtime);
    let core =
        Rc::new(Core::new(upstreams, AccessLog::off().core(0), metrics.clone(), tracer, Overload::new()));
    let listener = compiled(limits).listeners["l"].clone();
    let slot = Slot::new(Live::new(listener, &metrics));
    let registry: Rc<Registry> = Rc::default();
    let address: SocketAddr = "192.0.2.1:4711".parse().unwrap();
    let client = Client::new(address.ip(), false, None, None, &Arc::default());
    let addresses = Addresses { remote: address, local: address };
    let connection = Rc::new(Connection::new(core, slot.clone(), client, addresses, None));
    let (ours, theirs) = duplex(64 * 1024);
    let registered = registry.register();
    let task = spawn_local({
        let connection = connection.clone();
        async move { http1(Prefixed::new(theirs), connection, &registered).await }
    });
    Served { client: ours, registry, slot, connection, task }
}

impl Served {
    async fn ask(&mut self) {
        self.client.write_all(GET).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nyes") {
            answer.push(self.client.read_u8().await.unwrap());
        }
    }

    /// Seconds until the proxy closes the connection.
    async fn closed(&mut self) -> u64 {
        let begin = Instant::now();
        let mut rest = Vec::new();
        let _ = self.client.read_to_end(&mut rest).await;
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
        begin.elapsed().as_secs()
    }
}

fn limits(edit: impl FnOnce(&mut ListenerLimits)) -> ListenerLimits {
    let mut limits = ListenerLimits::default();
    edit(&mut limits);
    limits
}

#[tokio::test(start_paused = true)]
async fn the_first_head_has_its_time() {
    LocalSet::new()
        .run_until(async {
            let mut silent = serve(limits(|_| {}));
            assert_eq!(silent.closed().await, 10);
            let mut slow = serve(limits(|_| {}));
            slow.client.write_all(b"GET / HT").await.unwrap();
            assert_eq!(slow.closed().await, 10);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_later_head_has_its_time_from_its_first_byte() {
    LocalSet::new()
        .run_until(async {
            let mut served = serve(limits(|_| {}));
            served.ask().await;
            tokio::time::sleep(Duration::from_secs(7)).await;
            served.client.write_all(b"GET / HT").await.unwrap();
            assert_eq!(served.closed().await, 10);
            let mut parked = serve(limits(|_| {}));
            parked.ask().await;
            tokio::time::sleep(Duration::from_secs(60)).await;
            parked.client.write_all(b"GET / HT").await.unwrap();
            assert_eq!(parked.closed().await, 10);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_parked_and_serves_again() {
    LocalSet::new()
        .run_until(async {
            let mut served = serve(limits(|limits| limits.max_age = Duration::from_secs(10_000)));
            for _ in 0..5 {
                served.ask().await;
                tokio::time::sleep(Duration::from_secs(100)).await;
            }
            assert_eq!(served.connection.requests.get(), 5);
            let waited = served.closed().await;
            assert!((190..=250).contains(&waited), "idle time-out of 300 s, 100 have passed: {waited}");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_connection_lives_on_and_an_old_one_ends() {
    LocalSet::new()
        .run_until(async {
            let mut served = serve(limits(|limits| limits.max_age = Duration::from_secs(100)));
            for _ in 0..9 {
                served.ask().await;
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
            assert!(served.closed().await <= 11);
            served.task.await.unwrap();
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn parked_connections_hear_of_the_end() {
    LocalSet::new()
        .run_until(async {
            for end in [
                (|served: &Served| served.registry.advance(DrainPhase::Draining)) as fn(&Served),
                |served| served.registry.purge_idle(),
                |served| {
                    served.slot.leave();
                    served.registry.wake_all();
                },
            ] {
                let mut served = serve(limits(|_| {}));
                served.ask().await;
                tokio::time::sleep(Duration::from_secs(60)).await;
                end(&served);
                assert_eq!(served.closed().await, 0);
                served.task.await.unwrap();
            }
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn idle_connections_hear_of_the_end() {
    LocalSet::new()
        .run_until(async {
            let mut served = serve(limits(|_| {}));
            served.ask().await;
            served.registry.advance(DrainPhase::Draining);
            assert_eq!(served.closed().await, 0);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_cut() {
    LocalSet::new()
        .run_until(async {
            let served = serve(limits(|_| {}));
            // More answers than the stream and the codec's buffers hold.
            let asked = GET.repeat(3_000);
            let (mut read, mut write) = tokio::io::split(served.client);
            let sent = spawn_local(async move {
                let _ = write.write_all(&asked).await;
                write
            });
            let begin = Instant::now();
            served.task.await.unwrap();
            assert!((300..=460).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
            let _ = sent.await;
            let mut rest = Vec::new();
            let _ = read.read_to_end(&mut rest).await;
            served.connection.closing.set(true);
        })
        .await;
}
