//! An issuer in the same process.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use model::{GatewayIdentity, IdentityName, IdentitySource, PeerProfile};
use rustls::pki_types::CertificateDer;
use spiffe::SpiffeId;
use tokio::sync::watch;

use super::net::Net;
use super::{clock, failure, generation};
use crate::bundle::TrustBundles;
use crate::clock::Clock;
use crate::issue::{Issue, IssueError};
use crate::material::Identity;
use crate::source::{Running, SourceContext, start_with};
use crate::testing::{TestCa, bundles_of};

const ID: &str = "spiffe://td.example/ns/edge/sa/gw";

#[derive(Debug)]
struct Fake {
    ca: Mutex<Arc<TestCa>>,
    clock: Clock,
    error: Mutex<Option<IssueError>>,
    bundles: watch::Sender<TrustBundles>,
}

impl Issue for Fake {
    fn issue<'a>(
        &'a self,
        id: &'a SpiffeId,
        csr_der: &'a [u8],
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Vec<CertificateDer<'static>>, IssueError>> {
        Box::pin(async move {
            if let Some(error) = self.error.lock().unwrap().clone() {
                return Err(error);
            }
            let now = self.clock.now();
            let ca = Arc::clone(&self.ca.lock().unwrap());
            let chain = ca.sign(csr_der, &id.to_string(), |params| {
                params.not_before = now.into();
                params.not_after = (now + ttl).into();
            });
            Ok(chain.unwrap())
        })
    }

    fn bundles(&self) -> watch::Receiver<TrustBundles> {
        self.bundles.subscribe()
    }
}

fn fake() -> Arc<Fake> {
    let ca = TestCa::new("td.example");
    let bundles = watch::Sender::new(ca.bundles());
    Arc::new(Fake { ca: Mutex::new(Arc::new(ca)), clock: clock(), error: Mutex::default(), bundles })
}

fn start(fake: Option<&Arc<Fake>>, id: Option<&str>) -> (Identity, Running) {
    let spec = GatewayIdentity {
        trust_domain: "td.example".into(),
        spiffe_id: id.map(Into::into),
        profile: PeerProfile::SpiffeStrict,
        source: IdentitySource::BuiltIn { ttl: Duration::from_secs(600) },
    };
    let context = SourceContext {
        issuer: fake.map(|fake| Arc::clone(fake) as Arc<dyn Issue>),
        clock: fake.map_or_else(clock, |fake| fake.clock.clone()),
        ..SourceContext::default()
    };
    start_with(&IdentityName::new("edge/gw"), &spec, context, Net::default().dialer())
}

#[tokio::test(start_paused = true)]
async fn bundles_are_followed_as_they_change() {
    let fake = fake();
    let (identity, _running) = start(Some(&fake), Some(ID));
    generation(&identity, 1).await;
    assert_eq!(identity.status().source, "built-in issuer");

    // A root is published, then used; then the old one goes, and a federated domain comes.
    let (old, new) = (Arc::clone(&fake.ca.lock().unwrap()), Arc::new(TestCa::new("td.example")));
    let mut both = old.bundle();
    both.x509.push(new.root().clone());
    fake.bundles.send_replace(TrustBundles::of(old.trust_domain().clone(), both));
    assert_eq!(generation(&identity, 2).await.bundles.0.values().next().unwrap().x509.len(), 2);
    *fake.ca.lock().unwrap() = Arc::clone(&new);
    generation(&identity, 3).await;
    fake.bundles.send_replace(bundles_of(&[&new, &TestCa::new("partner.example")]));
    let last = generation(&identity, 4).await;
    assert_eq!(last.bundles.0.len(), 2);
    assert!(identity.status().ready);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_said_and_asked_again() {
    let fake = fake();
    *fake.error.lock().unwrap() = Some(IssueError::Refused("nobody is registered".to_owned()));
    let (identity, _running) = start(Some(&fake), Some(ID));
    failure(&identity, "the issuer refuses: nobody is registered").await;
    *fake.error.lock().unwrap() = None;
    generation(&identity, 1).await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_begin_says_so() {
    let (identity, _running) = start(None, Some(ID));
    failure(&identity, "no issuer runs in this process").await;
    let (identity, _running) = start(Some(&fake()), None);
    failure(&identity, "needs a SPIFFE ID").await;
    let (identity, _running) = start(Some(&fake()), Some("spiffe://other.example/a"));
    failure(&identity, "not of the trust domain td.example").await;
}
