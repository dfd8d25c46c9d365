//! No private key in any form of output: `Debug` of every public type that can hold one, statuses, errors, metrics, and
//! every log event, while an identity lives through its life.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test panics where something is amiss")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use identity::proto::workload::{X509svid, X509svidResponse};
use identity::{
    ClientAlpn, Clock, Identity, IdentityMetrics, MeshAlpn, MeshClient, MeshServer, SourceContext, SpiffeId,
    TrustBundle, TrustBundles, X509Svid, client_config, http_version, mesh_client_config, mesh_server_config,
    peer_facts, server_config,
};
use model::{
    ClientAuth, ClientTls, GatewayIdentity, IdentitySource, KeyPair, MeshClients, MeshMode, MeshWire,
    PeerMatch, PeerProfile, Roots, Secret, ServerTls, TlsVersion, TrustAnchors,
};
use prometheus_client::registry::Registry;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyUsagePurpose, SanType};

const ID: &str = "spiffe://td.example/ns/edge/sa/gw";

/// An SVID and its CA, as PEM.
struct Parts {
    pair: KeyPair,
    roots: String,
    key: rcgen::KeyPair,
}

fn parts() -> Parts {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca = CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names =
        vec![SanType::URI(ID.try_into().unwrap()), SanType::DnsName("gw.example".try_into().unwrap())];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let key = rcgen::KeyPair::generate().unwrap();
    let chain = params.signed_by(&key, &ca).unwrap().pem();
    let pair =
        KeyPair { certificate_chain: chain.into(), private_key: Secret::new(key.serialize_pem().into()) };
    Parts { pair, roots: ca.pem(), key }
}

/// Every way in which a part of the key could be written.
struct Canary(Vec<String>);

impl Canary {
    /// A P-256 key in PKCS#8: the secret number is the 32 bytes behind the first 36.
    fn new(pkcs8: &[u8]) -> Self {
        let secret = &pkcs8[36..68];
        let mut needles = Vec::new();
        // Twelve bytes of it are enough to know it again, wherever they begin.
        for part in secret.windows(12).step_by(4) {
            let list: Vec<String> = part.iter().map(ToString::to_string).collect();
            let hex: Vec<String> = part.iter().map(|byte| format!("{byte:02x}")).collect();
            needles.push(list.join(", "));
            needles.push(list.join(","));
            needles.push(hex.join(""));
            needles.push(hex.join(":"));
            needles.push(hex.join("").to_uppercase());
        }
        for offset in 0..3 {
            // Sixteen characters in the middle do not depend on what stands around.
            for engine in [&STANDARD, &URL_SAFE_NO_PAD] {
                needles.push(engine.encode(&secret[offset..])[..32].to_owned());
            }
        }
        Self(needles)
    }

    #[track_caller]
    fn absent(&self, what: &str, text: &str) {
        for needle in &self.0 {
            assert!(!text.contains(needle.as_str()), "{what} shows a part of the key");
        }
        assert!(!text.contains("PRIVATE KEY-----"), "{what} shows a PEM key");
    }

    #[track_caller]
    fn hides(&self, what: &str, value: &dyn Debug) {
        self.absent(what, &format!("{value:?}"));
        self.absent(what, &format!("{value:#?}"));
    }

    #[track_caller]
    fn hides_error(&self, error: &dyn Error) {
        self.hides("an error", &error);
        self.absent("an error", &error.to_string());
    }
}

/// All log events of a thread, with their fields.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

struct Fields<'a>(&'a mut String);

impl tracing::field::Visit for Fields<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn Debug) {
        *self.0 += &format!("{field}={value:?} ");
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        span.record(&mut Fields(&mut self.0.lock().unwrap()));
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut Fields(&mut self.0.lock().unwrap()));
    }

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut Fields(&mut self.0.lock().unwrap()));
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn the_canary_sings() {
    let parts = parts();
    let der = parts.key.serialize_der();
    let canary = Canary::new(&der);
    let hex: String = der.iter().map(|byte| format!("{byte:02x}")).collect();
    for text in [format!("{der:?}"), hex, STANDARD.encode(&der), URL_SAFE_NO_PAD.encode(&der)] {
        assert!(canary.0.iter().any(|needle| text.contains(needle.as_str())), "{text}");
    }
}

#[test]
fn no_output_shows_the_key() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let parts = parts();
    let canary = Canary::new(&parts.key.serialize_der());
    let secret = parts.pair.private_key.expose();
    let svid = X509Svid::from_pem(&parts.pair.certificate_chain, secret, PeerProfile::SpiffeStrict).unwrap();
    let domain = SpiffeId::new(ID).unwrap().trust_domain().clone();
    let bundles = TrustBundles::of(domain, TrustBundle::from_pem(&parts.roots).unwrap());
    canary.hides("the SVID", &svid);
    canary.hides("its key", &(svid.key_pem(), svid.key_der()));
    canary.hides("its facts", &peer_facts(svid.chain(), PeerProfile::SpiffeStrict));

    let (identity, publisher) = Identity::new("gw", PeerProfile::SpiffeStrict, Clock::system());
    publisher.publish(svid.clone(), bundles.clone(), Vec::new()).unwrap();
    canary.hides("the identity", &(&identity, &publisher, identity.material()));
    canary.hides("its status", &identity.status());
    canary.absent("its status", &serde_json::to_string(&identity.status()).unwrap());
    publisher.failed(&identity::PemError::KeyMismatch);
    tls_hides_it(&canary, &parts, &identity);

    let metrics = IdentityMetrics::default();
    metrics.set(vec![identity.clone()]);
    canary.hides("the metrics", &metrics);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(metrics));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    canary.absent("the metrics", &text);
    publisher.withdraw("gone");
    canary.absent("the log", &log.0.lock().unwrap());
    assert!(log.0.lock().unwrap().contains("Identity withdrawn"));
}

fn tls_hides_it(canary: &Canary, parts: &Parts, identity: &Identity) {
    let peers = vec![PeerMatch::Id(ID.into())];
    let clients = MeshClients { identity: "gw".into(), mode: MeshMode::Strict, peers };
    for certificates in [&[][..], &[&parts.pair]] {
        let (min_version, alpn) = (TlsVersion::V1_2, MeshAlpn::Http);
        let server = MeshServer { identity, clients: Some(&clients), certificates, min_version, alpn };
        canary.hides("a mesh listener", &(server, mesh_server_config(server).unwrap()));
    }
    let (wire, alpn) = (MeshWire::Spiffe, ClientAlpn::Http);
    let client = MeshClient { identity, ids: &[], server_name: None, wire, alpn };
    canary.hides("a mesh client", &(client, mesh_client_config(client).unwrap(), http_version(None)));

    let tls = ServerTls {
        certificates: vec!["a".into()],
        svid: None,
        min_version: TlsVersion::V1_2,
        client_auth: ClientAuth::None,
    };
    canary.hides("a listener", &server_config(&tls, &[&parts.pair], identity::ServerAlpn::Http).unwrap());
    let tls = ClientTls {
        server_name: "gw.example".into(),
        roots: Roots::Pem(TrustAnchors(parts.roots.as_str().into())),
        names: Vec::new(),
        certificate: None,
    };
    canary.hides("a client", &client_config(&tls, Some(&parts.pair), ClientAlpn::Http).unwrap());
}

#[test]
fn no_error_shows_the_key() {
    let parts = parts();
    let canary = Canary::new(&parts.key.serialize_der());
    let (chain, key) = (&*parts.pair.certificate_chain, &**parts.pair.private_key.expose());
    let other = self::parts();
    let profile = PeerProfile::SpiffeStrict;
    for (chain, key) in [
        (key, chain),
        (key, key),
        (chain, ""),
        ("", key),
        (&*other.pair.certificate_chain, key),
        (chain, &key.replace("PRIVATE", "ENCRYPTED PRIVATE")),
        (chain, &key[..key.len() - 40]),
        (chain, &key.replacen("MIG", "MIX", 1)),
        (&format!("{chain}{}", key.replace("PRIVATE KEY", "CERTIFICATE")), key),
    ] {
        let result = X509Svid::from_pem(chain, key, profile);
        if let Err(error) = result {
            canary.hides_error(&error);
            let mut source = error.source();
            while let Some(inner) = source {
                canary.hides_error(inner);
                source = inner.source();
            }
        }
        if let Err(error) = identity::validate_key_pair(chain, key) {
            canary.hides_error(&error);
        }
    }
    canary.hides_error(&TrustBundle::from_pem(key).unwrap_err());
    canary.hides_error(&TrustBundle::from_document(key.as_bytes()).unwrap_err());
}

#[tokio::test]
async fn no_source_shows_the_key() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let parts = parts();
    let canary = Canary::new(&parts.key.serialize_der());
    let spec = GatewayIdentity {
        trust_domain: "td.example".into(),
        spiffe_id: Some(ID.into()),
        profile: PeerProfile::SpiffeStrict,
        source: IdentitySource::Secret {
            key_pair: "gw-svid".into(),
            roots: TrustAnchors(parts.roots.as_str().into()),
            crl: None,
        },
    };
    let key_pairs = BTreeMap::from([("gw-svid".into(), Arc::new(parts.pair.clone()))]);
    let context = SourceContext { key_pairs, ..SourceContext::default() };
    canary.hides("the context", &context);
    let (identity, running) = identity::start(&"gw".into(), &spec, context);
    let mut changed = identity.changed();
    changed.wait_for(|generation| *generation > 0).await.unwrap();
    canary.hides("a source", &(&identity, &running, &spec, identity.status()));
    canary.absent("the log", &log.0.lock().unwrap());
}

#[test]
fn no_message_shows_the_key() {
    let parts = parts();
    let canary = Canary::new(&parts.key.serialize_der());
    let svid = X509svid {
        spiffe_id: ID.to_owned(),
        x509_svid_key: parts.key.serialize_der(),
        ..X509svid::default()
    };
    canary.hides("a message", &svid);
    canary.hides("a message", &X509svidResponse { svids: vec![svid], ..X509svidResponse::default() });
}
