//! Our TLS with stock Envoy on the other side, without the gateway between: both directions, both HTTP versions.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use identity::{
    ClientAlpn, Clock, Identity, MeshAlpn, MeshClient, MeshServer, Publisher, TrustBundle, TrustBundles,
    X509Svid,
};
use model::{MeshClients, MeshMode, MeshWire, PeerMatch, PeerProfile, TlsVersion};
use system::mesh::Authority;
use system::mesh::envoy::{Envoy, Mesh};
use system::mesh::http::{Answer, Server};
use system::{Place, run};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const GATEWAY: &str = "spiffe://cluster.local/ns/default/sa/edge-diolkos";
const CART: &str = "spiffe://cluster.local/ns/shop/sa/cart";
const SNI: &str = "outbound_.80_._.cart.shop.svc.cluster.local";

/// An identity with an SVID of an authority; it lives as long as its publisher.
fn identity(authority: &Authority, id: &str) -> Result<(Identity, Publisher)> {
    let svid = authority.svid(id)?;
    let (identity, publisher) = Identity::new("mesh", PeerProfile::Istio, Clock::system());
    let svid = X509Svid::from_pem(&svid.chain, &svid.key, PeerProfile::Istio)?;
    let domain = identity::TrustDomain::new("cluster.local")?;
    let bundle = TrustBundle::from_pem(authority.root())?;
    publisher.publish(svid, TrustBundles([(domain, Arc::new(bundle))].into()), Vec::new())?;
    Ok((identity, publisher))
}

/// Asks a STRICT sidecar; gives status, `x-chain`, `x-sni` and what the workload behind it saw.
async fn ask(
    identity: &Identity,
    ids: &[&str],
    alpn: ClientAlpn,
    sidecar: &Envoy,
) -> Result<(String, String, String)> {
    let ids: Vec<Arc<str>> = ids.iter().map(|&id| id.into()).collect();
    let mesh = MeshClient { identity, ids: &ids, server_name: Some(SNI), wire: MeshWire::Istio, alpn };
    let config = identity::mesh_client_config(mesh)?;
    let stream = TcpStream::connect(sidecar.place.at(8443)).await?;
    let stream =
        TlsConnector::from(config.config).connect(config.server_name, stream).await.context("TLS")?;
    let request = Request::get("http://cart/").header("host", "cart").body(Empty::<Bytes>::new())?;
    let response = if alpn == ClientAlpn::Http2 {
        let (mut sender, driver) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        sender.send_request(request).await?
    } else {
        let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        sender.send_request(request).await?
    };
    let header = |name: &str| {
        response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let (chain, sni) = (header("x-chain"), header("x-sni"));
    let body = response.into_body().collect().await?.to_bytes();
    Ok((chain, sni, String::from_utf8_lossy(&body).into_owned()))
}

/// A workload without TLS that tells which headers it saw.
async fn workload(place: &Place) -> Result<Server> {
    Server::start(place.at(3000), |request| Answer::Json(200, format!("{:?}", request.headers()))).await
}

#[tokio::test]
async fn our_client_reaches_a_strict_sidecar() -> Result<()> {
    let authority = Authority::new("one", Duration::from_secs(3600))?;
    let place = Place::new()?;
    let _workload = workload(&place).await?;
    let svid = authority.svid(CART)?;
    let mesh = Mesh { svid: Some(&svid), roots: authority.root(), peer: GATEWAY };
    let sidecar = Envoy::sidecar(mesh, place.at(3000)).await?;
    let (gateway, _publisher) = identity(&authority, GATEWAY)?;
    for alpn in [ClientAlpn::Http1, ClientAlpn::Http2] {
        let (chain, sni, seen) = ask(&gateway, &[CART], alpn, &sidecar).await?;
        assert_eq!(
            (chain.as_str(), sni.as_str()),
            ("istio-http", SNI),
            "{alpn:?}: the HTTP chain, not the opaque one"
        );
        assert!(seen.contains(&format!("URI={GATEWAY}")), "{seen}");
    }
    // Wrong on either side: nothing is sent.
    let wrong =
        ask(&gateway, &["spiffe://cluster.local/ns/shop/sa/other"], ClientAlpn::Http1, &sidecar).await;
    assert!(wrong.is_err(), "{wrong:?}");
    let (other, _publisher) = identity(&authority, "spiffe://cluster.local/ns/default/sa/other")?;
    let refused = ask(&other, &[CART], ClientAlpn::Http1, &sidecar).await;
    assert!(refused.is_err(), "{refused:?}");
    let stranger = Authority::new("two", Duration::from_secs(3600))?;
    let (stranger, _publisher) = identity(&stranger, GATEWAY)?;
    let refused = ask(&stranger, &[CART], ClientAlpn::Http1, &sidecar).await;
    assert!(refused.is_err(), "{refused:?}");
    Ok(())
}

/// Serves over mesh TLS; says who called and which protocol was chosen.
async fn serve(identity: Identity, listener: TcpListener) -> Result<()> {
    let clients = MeshClients {
        identity: "mesh".into(),
        mode: MeshMode::Strict,
        peers: vec![PeerMatch::Namespace { trust_domain: "cluster.local".into(), namespace: "shop".into() }],
    };
    let mesh = MeshServer {
        identity: &identity,
        clients: Some(&clients),
        certificates: &[],
        min_version: TlsVersion::V1_2,
        alpn: MeshAlpn::Http,
    };
    let acceptor = TlsAcceptor::from(identity::mesh_server_config(mesh)?.config);
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let stream = acceptor.accept(stream).await?;
            let (_, session) = stream.get_ref();
            let peer =
                session.peer_certificates().and_then(|chain| identity::peer_facts(chain, PeerProfile::Istio));
            let alpn = String::from_utf8_lossy(session.alpn_protocol().unwrap_or_default()).into_owned();
            let text = format!("peer={} alpn={alpn}", peer.context("a peer")?.id);
            let service = hyper::service::service_fn(move |_| {
                let text = text.clone();
                async { anyhow::Ok(Response::new(Full::<Bytes>::from(text))) }
            });
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            builder
                .serve_connection(TokioIo::new(stream), service)
                .await
                .map_err(|error| anyhow::anyhow!(error))
        });
    }
    Ok(())
}

#[tokio::test]
async fn stock_envoy_reaches_our_server() -> Result<()> {
    let authority = Authority::new("one", Duration::from_secs(3600))?;
    let (gateway, _publisher) = identity(&authority, GATEWAY)?;
    let place = Place::new()?;
    let listener = TcpListener::bind(place.at(8443)).await?;
    tokio::spawn(serve(gateway, listener));
    let (cart, other) = (authority.svid(CART)?, authority.svid("spiffe://cluster.local/ns/bank/sa/cart")?);
    let good = Mesh { svid: Some(&cart), roots: authority.root(), peer: GATEWAY };
    for alpn in [&["istio-http/1.1", "istio", "http/1.1"], &["istio-h2", "istio", "h2"]] {
        let envoy = Envoy::client(good, place.at(8443), SNI, alpn).await?;
        let answer = run("curl", &["-sS", &format!("http://{}/", envoy.place.at(8080))]).await?;
        ensure!(
            answer.starts_with(&format!("peer={CART} alpn={}", alpn[0])),
            "{alpn:?}: {answer}\n{}",
            envoy.log()
        );
    }
    let nobody = Mesh { svid: None, ..good };
    let stranger = Mesh { svid: Some(&other), ..good };
    let elsewhere = Mesh { peer: "spiffe://cluster.local/ns/default/sa/else", ..good };
    for bad in [nobody, stranger, elsewhere] {
        let envoy = Envoy::client(bad, place.at(8443), SNI, &["istio-http/1.1"]).await?;
        let url = format!("http://{}/", envoy.place.at(8080));
        let answer = run("curl", &["-sS", "-w", "%{http_code}", &url]).await?;
        assert!(answer.ends_with("503"), "{bad:?}: {answer}");
    }
    Ok(())
}
