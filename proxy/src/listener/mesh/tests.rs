//! Mesh TLS is told from everything else by the first bytes, however they are cut.

use std::future::Future;

use identity::testing::TestCa;
use identity::{
    ClientAlpn, Identity, MeshAlpn, MeshClient, MeshServer, mesh_client_config, mesh_server_config,
};
use model::{MeshClients, MeshWire, PeerMatch, TlsVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::TlsConnector;

use super::super::tls::Handshakes;
use super::*;
use crate::listener::segments::Segments;
use crate::mesh::LiveIdentity;

const OWN: &str = "spiffe://cluster.local/ns/edge/sa/gw";
const PEER: &str = "spiffe://cluster.local/ns/shop/sa/cart";

fn listener(ca: &TestCa, mode: MeshMode, alpn: MeshAlpn) -> CompiledMeshListener {
    let live = LiveIdentity::new(&"gw".into(), ca.identity(OWN));
    let peers = vec![PeerMatch::TrustDomain("cluster.local".into())];
    let clients = MeshClients { identity: "gw".into(), mode, peers };
    let config = mesh_server_config(MeshServer {
        identity: live.identity(),
        clients: Some(&clients),
        certificates: &[],
        min_version: TlsVersion::default(),
        alpn,
    });
    let mesh = CompiledMesh { clients, live, shown: true, config: config.unwrap() };
    CompiledMeshListener { mode, peers: Ok(Arc::new(mesh)) }
}

async fn dial(identity: &Identity, wire: MeshWire, stream: DuplexStream) {
    let ids = [OWN.into()];
    let client = MeshClient { identity, ids: &ids, server_name: None, wire, alpn: ClientAlpn::None };
    let config = mesh_client_config(client).unwrap();
    if let Ok(mut stream) = TlsConnector::from(config.config).connect(config.server_name, stream).await {
        let _ = stream.write_all(b"hello").await;
        let _ = stream.flush().await;
        let _ = stream.read_u8().await;
    }
}

fn limits(handshakes: &Handshakes) -> TlsLimits<'_> {
    TlsLimits { timeout: Duration::from_secs(5), handshakes }
}

/// What a client's bytes are found to be.
async fn found<F: Future>(
    listener: &CompiledMeshListener,
    segment: usize,
    client: impl FnOnce(DuplexStream) -> F,
) -> String {
    let (theirs, ours) = duplex(64 * 1024);
    let ours = Segments { stream: ours, segment };
    let handshakes = Handshakes::default();
    let server = async {
        match before_bytes(Prefixed::new(ours), listener, limits(&handshakes)).await {
            Found::Plain(mut stream) => {
                let mut bytes = [0; 3];
                match timeout(Duration::from_secs(1), stream.read_exact(&mut bytes)).await {
                    Ok(Ok(_)) => format!("plain {bytes:?}"),
                    _ => "plain, silent".to_owned(),
                }
            }
            Found::Mesh { mut stream, peer, .. } => {
                let mut bytes = [0; 5];
                stream.read_exact(&mut bytes).await.unwrap();
                format!("mesh {} {}", peer.id().unwrap(), String::from_utf8_lossy(&bytes))
            }
            Found::Refused(refusal) => format!("refused {:?}", refusal.failure),
            Found::Gone => "gone".to_owned(),
        }
    };
    tokio::select! {
        found = timeout(Duration::from_secs(20), server) => found.expect("it comes soon"),
        _ = async { client(theirs).await; std::future::pending::<()>().await } => unreachable!(),
    }
}

#[tokio::test]
async fn istio_mtls_ends_here_in_both_modes_however_it_is_cut() {
    let ca = TestCa::new("cluster.local");
    let peer = ca.identity(PEER);
    for mode in [MeshMode::Permissive, MeshMode::Strict] {
        let listener = listener(&ca, mode, MeshAlpn::None);
        for segment in [1, 7, 64 * 1024] {
            let found = found(&listener, segment, |stream| dial(&peer, MeshWire::Istio, stream)).await;
            assert_eq!(found, format!("mesh {PEER} hello"), "{mode:?} {segment}");
        }
    }
}

#[tokio::test]
async fn an_applications_own_tls_goes_through_only_where_others_may() {
    let ca = TestCa::new("cluster.local");
    let peer = ca.identity(PEER);
    let permissive = listener(&ca, MeshMode::Permissive, MeshAlpn::None);
    let through = found(&permissive, 4096, |stream| dial(&peer, MeshWire::Spiffe, stream)).await;
    assert_eq!(through, "plain [22, 3, 1]");
    let strict = listener(&ca, MeshMode::Strict, MeshAlpn::None);
    let ended = found(&strict, 4096, |stream| dial(&peer, MeshWire::Spiffe, stream)).await;
    assert_eq!(ended, format!("mesh {PEER} hello"));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_server_is_not_kept_waiting() {
    let ca = TestCa::new("cluster.local");
    let begin = Instant::now();
    let listener_ = listener(&ca, MeshMode::Permissive, MeshAlpn::None);
    let (_client, ours) = duplex(64);
    let handshakes = Handshakes::default();
    let found = before_bytes(Prefixed::new(ours), &listener_, limits(&handshakes)).await;
    assert!(matches!(found, Found::Plain(_)));
    assert_eq!(begin.elapsed(), SERVER_FIRST);
    // Where only mesh peers are let in, nobody is taken for anything else.
    let strict = listener(&ca, MeshMode::Strict, MeshAlpn::None);
    let (_client, ours) = duplex(64);
    let found = before_bytes(Prefixed::new(ours), &strict, limits(&handshakes)).await;
    assert!(matches!(found, Found::Gone));
}

#[tokio::test]
async fn plaintext_is_let_in_or_refused() {
    let ca = TestCa::new("cluster.local");
    for (mode, expected) in
        [(MeshMode::Permissive, "plain [22, 2, 9]"), (MeshMode::Strict, "refused Plaintext")]
    {
        let listener = listener(&ca, mode, MeshAlpn::None);
        for segment in [1, 64] {
            let found = found(&listener, segment, |mut stream| async move {
                stream.write_all(&[22, 2, 9]).await.unwrap();
                stream
            });
            assert_eq!(found.await, expected, "{mode:?} {segment}");
        }
        let refused = listener.peers.as_ref().unwrap().live.counters().refused();
        let expected = if mode == MeshMode::Strict { 2 } else { 0 };
        assert_eq!(refused.iter().map(|(_, count)| count).sum::<u64>(), expected);
    }
}

#[tokio::test]
async fn without_an_identity_tls_is_refused() {
    let ca = TestCa::new("cluster.local");
    let peer = ca.identity(PEER);
    let closed = CompiledMeshListener { mode: MeshMode::Permissive, peers: Err("it does not run".into()) };
    let refused = found(&closed, 4096, |stream| dial(&peer, MeshWire::Istio, stream)).await;
    assert_eq!(refused, "refused Closed");
}
