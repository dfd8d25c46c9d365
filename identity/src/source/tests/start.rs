//! What cannot begin, and what stops.

use model::{GatewayIdentity, IdentityName, IdentitySource, PeerProfile};

use super::istio_ca::Lab;
use super::net::Net;
use super::{clock, generation};
use crate::source::{SourceContext, start_with};

#[tokio::test(start_paused = true)]
async fn an_identity_that_is_not_resolved_is_closed_and_says_why() {
    let closed = IdentitySource::Closed { reason: "Secret edge/gw is not there".into() };
    let files =
        IdentitySource::Files { certificate: "a".into(), key: "b".into(), roots: "c".into(), crl: None };
    let socket = |text: &str| IdentitySource::WorkloadApi { socket: text.into() };
    let cases = [
        ("td.example", None, closed, "the identity is not resolved: Secret edge/gw is not there"),
        ("TD/x", None, files, "is no trust domain"),
        ("td.example", Some("spiffe://td.example"), socket("unix:///x"), "cannot be the gateway's identity"),
        ("td.example", None, socket("unix://relative"), "is no Workload API"),
        ("td.example", None, socket("tcp://localhost:1"), "is no Workload API"),
        ("td.example", None, socket("http://127.0.0.1:1"), "is no Workload API"),
    ];
    for (trust_domain, id, source, said) in cases {
        let spec = GatewayIdentity {
            trust_domain: trust_domain.into(),
            spiffe_id: id.map(Into::into),
            profile: PeerProfile::SpiffeStrict,
            source,
        };
        let context = SourceContext { clock: clock(), ..SourceContext::default() };
        let name = IdentityName::new("edge/gw");
        let (identity, _running) = start_with(&name, &spec, context, Net::default().dialer());
        let error = identity.status().last_error.unwrap();
        assert!(error.contains(said), "{error}");
        assert!(identity.material().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_dropped_stops_and_the_identity_lives_on() {
    let lab = Lab::new(clock());
    lab.serve();
    let (identity, running) = lab.start();
    generation(&identity, 1).await;
    drop(running);
    tokio::time::sleep(std::time::Duration::from_secs(3000)).await;
    assert_eq!(lab.fake.calls(), 1);
    assert!(identity.material().is_some());
    tokio::time::sleep(std::time::Duration::from_secs(1000)).await;
    assert!(identity.material().is_none(), "nobody renews it");
}
