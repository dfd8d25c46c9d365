//! Where an identity comes from. A source publishes what it gets and keeps it fresh; nothing it meets ends it.
//!
//! | file | what |
//! |---|---|
//! | `istio_ca`, `linkerd`, `built_in` | sources that are asked: one request, one answer (`ask`) |
//! | `renewal` | asks them under the schedule of `rotation` |
//! | `workload_api` | a stream that is the whole truth |
//! | `files`, `secret` | what somebody else renews |
//! | `assembly` | gathers SVID, bundles and revocation lists, and publishes them as one |
//! | `request` | a fresh key and the request to certify it |
//! | `grpc`, `watched`, `revoked` | connections, files, the revocation list in a file |

mod ask;
mod assembly;
mod built_in;
mod files;
mod grpc;
mod istio_ca;
mod linkerd;
mod renewal;
mod request;
mod revoked;
mod secret;
mod watched;
mod workload_api;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{
    FederatedDomain, GatewayIdentity, IdentityName, IdentitySource, IstioCa, KeyPair, LinkerdCa, Roots,
    RootsFrom, SecretName, TrustDomainName,
};
use spiffe::{SpiffeId, TrustDomain};
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::clock::Clock;
use crate::dial::Dialer;
use crate::federation::Federation;
use crate::id::{IdError, WorkloadId};
use crate::issue::Issue;
use crate::material::Identity;
use crate::rotation::Schedule;
pub use workload_api::fetch_jwt::{FetchJwtError, OwnJwtSvid, fetch_jwt_svid};

use ask::Ask;
use assembly::Assembly;

/// Key pairs of Secrets.
type KeyPairs = BTreeMap<SecretName, Arc<KeyPair>>;

/// What sources lean on beside their own settings.
#[derive(Clone, Debug, Default)]
pub struct SourceContext {
    /// The issuer in this process, if there is one.
    pub issuer: Option<Arc<dyn Issue>>,
    /// Secrets.
    pub key_pairs: BTreeMap<SecretName, Arc<KeyPair>>,
    /// Other trust domains, for sources that do not bring their bundles.
    pub federated: BTreeMap<TrustDomainName, Arc<FederatedDomain>>,
    /// The wall clock.
    pub clock: Clock,
}

/// A source at work. Dropping it stops it; the identity lives on with what it has, until that ends.
#[derive(Debug)]
pub struct Running {
    context: watch::Sender<SourceContext>,
    renew: Arc<Notify>,
    federation: Option<Federation>,
    // The publisher is in here too, for a source that could not begin.
    _assembly: Arc<Assembly>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Running {
    /// Takes over what has changed around the source: Secrets and federated domains. Issuer and clock stay.
    pub fn update(&self, context: SourceContext) {
        if let Some(federation) = &self.federation {
            federation.configure(&context.federated);
        }
        self.context.send_replace(context);
    }

    /// Renews now, or tries again now, where the source is one that is asked.
    pub fn renew(&self) {
        self.renew.notify_one();
    }

    /// The federated domains that this source follows, for people; none where the source brings its bundles itself.
    pub fn federation(&self) -> Option<&Federation> {
        self.federation.as_ref()
    }
}

/// Why a source cannot begin. There is no identity then, and what needs it fails closed.
#[derive(Debug, thiserror::Error)]
enum StartError {
    /// The configuration could not be resolved.
    #[error("the identity is not resolved: {0}")]
    Closed(Arc<str>),
    /// `trust_domain` is none.
    #[error("{name:?} is no trust domain: {detail}")]
    TrustDomain { name: Arc<str>, detail: String },
    /// `spiffe_id` is none.
    #[error("{0:?} cannot be the gateway's identity")]
    Id(Arc<str>, #[source] IdError),
    /// A source that must be told whom to ask for.
    #[error("this source needs a SPIFFE ID to ask for")]
    NoId,
    /// An ID of another trust domain.
    #[error("{id} is not of the trust domain {trust_domain}")]
    Foreign { id: WorkloadId, trust_domain: TrustDomain },
    /// No issuer.
    #[error("no issuer runs in this process")]
    NoIssuer,
    /// Not a Workload API socket.
    #[error("{0:?} is no Workload API: unix:///ABSOLUTE/PATH or tcp://IP:PORT")]
    Socket(Arc<str>),
}

/// Starts a source on the current tokio runtime. What cannot begin says why in the identity's status.
pub fn start(name: &IdentityName, spec: &GatewayIdentity, context: SourceContext) -> (Identity, Running) {
    start_with(name, spec, context, Dialer::default())
}

fn start_with(
    name: &IdentityName,
    spec: &GatewayIdentity,
    context: SourceContext,
    dialer: Dialer,
) -> (Identity, Running) {
    let (identity, publisher) = Identity::new(name.as_str(), spec.profile, context.clock.clone());
    publisher.source(&describe(&spec.source));
    let (sender, receiver) = watch::channel(context);
    let mut starter = Starter {
        spec,
        identity: identity.clone(),
        assembly: Arc::new(Assembly::new(publisher)),
        context: receiver,
        dialer,
        renew: Arc::default(),
        federation: None,
        tasks: Vec::new(),
    };
    if let Err(error) = starter.start() {
        starter.assembly.publisher().failed(&error);
    }
    let running = Running {
        context: sender,
        renew: starter.renew,
        federation: starter.federation,
        _assembly: starter.assembly,
        _tasks: starter.tasks,
    };
    (identity, running)
}

fn describe(source: &IdentitySource) -> String {
    match source {
        IdentitySource::BuiltIn { .. } => "built-in issuer".to_owned(),
        IdentitySource::IstioCa(ca) => format!("Istio CA {}", ca.address),
        IdentitySource::WorkloadApi { socket } => format!("Workload API {socket}"),
        IdentitySource::Linkerd(ca) => format!("Linkerd identity {}", ca.address),
        IdentitySource::Secret { key_pair, .. } => format!("Secret {key_pair}"),
        IdentitySource::Files { certificate, .. } => format!("files {certificate}"),
        IdentitySource::Closed { .. } => "none".to_owned(),
    }
}

struct Starter<'a> {
    spec: &'a GatewayIdentity,
    identity: Identity,
    assembly: Arc<Assembly>,
    context: watch::Receiver<SourceContext>,
    dialer: Dialer,
    renew: Arc<Notify>,
    federation: Option<Federation>,
    tasks: Vec<AbortOnDropHandle<()>>,
}

impl Starter<'_> {
    fn start(&mut self) -> Result<(), StartError> {
        let expected = self.expected()?;
        if let Some(id) = &expected {
            self.assembly.publisher().expect(id.clone());
        }
        match &self.spec.source {
            IdentitySource::Closed { reason } => return Err(StartError::Closed(Arc::clone(reason))),
            IdentitySource::IstioCa(ca) => {
                let trust_domain = self.trust_domain()?;
                let (id, _) = own_id(expected, &trust_domain)?;
                self.federate();
                self.istio_ca(ca, id, trust_domain);
            }
            IdentitySource::Linkerd(ca) => {
                let trust_domain = self.trust_domain()?;
                self.federate();
                self.linkerd(ca, trust_domain)?;
            }
            IdentitySource::BuiltIn { ttl } => {
                let (id, spiffe) = own_id(expected, &self.trust_domain()?)?;
                self.built_in(id, spiffe, *ttl)?;
            }
            // It says itself which trust domain its caller is in.
            IdentitySource::WorkloadApi { socket } => {
                let target = workload_api::target(socket);
                let target = target.ok_or_else(|| StartError::Socket(Arc::clone(socket)))?;
                self.workload_api(target, expected);
            }
            IdentitySource::Secret { key_pair, roots, crl } => {
                self.federate();
                let source = secret::FromSecret {
                    key_pair: key_pair.clone(),
                    roots: roots.clone(),
                    crl: crl.clone(),
                    profile: self.spec.profile,
                    trust_domain: self.trust_domain()?,
                    assembly: Arc::clone(&self.assembly),
                };
                self.spawn(source.run(self.context.clone()));
            }
            IdentitySource::Files { certificate, key, roots, crl } => {
                self.federate();
                let paths = files::Paths {
                    certificate: Arc::clone(certificate),
                    key: Arc::clone(key),
                    roots: Arc::clone(roots),
                    crl: crl.clone(),
                };
                let trust_domain = self.trust_domain()?;
                let assembly = Arc::clone(&self.assembly);
                self.spawn(files::Files { paths, profile: self.spec.profile, trust_domain, assembly }.run());
            }
        }
        Ok(())
    }

    fn trust_domain(&self) -> Result<TrustDomain, StartError> {
        let name = &self.spec.trust_domain;
        TrustDomain::new(name)
            .map_err(|error| StartError::TrustDomain { name: Arc::clone(name), detail: error.to_string() })
    }

    fn expected(&self) -> Result<Option<WorkloadId>, StartError> {
        let Some(text) = &self.spec.spiffe_id else { return Ok(None) };
        WorkloadId::parse(text).map(Some).map_err(|error| StartError::Id(Arc::clone(text), error))
    }

    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push(AbortOnDropHandle::new(tokio::spawn(task)));
    }

    /// Other trust domains' bundles, from the configuration. The bootstrap bundles are there before the first SVID.
    fn federate(&mut self) {
        let context = self.context.borrow().clone();
        let federation = Federation::with(context.clock, self.dialer.clone(), Roots::System);
        federation.configure(&context.federated);
        let mut bundles = federation.bundles();
        let assembly = Arc::clone(&self.assembly);
        assembly.take(|parts| parts.federated = bundles.borrow_and_update().clone());
        self.federation = Some(federation);
        self.spawn(async move {
            while bundles.changed().await.is_ok() {
                assembly.take(|parts| parts.federated = bundles.borrow_and_update().clone());
            }
        });
    }

    fn renewal<A: Ask>(&self, ask: A, id: WorkloadId, schedule: Schedule) -> renewal::Renewal<A> {
        renewal::Renewal {
            ask,
            id,
            profile: self.spec.profile,
            schedule,
            assembly: Arc::clone(&self.assembly),
            clock: self.context.borrow().clock.clone(),
            renew: Arc::clone(&self.renew),
        }
    }

    fn istio_ca(&mut self, ca: &IstioCa, id: WorkloadId, trust_domain: TrustDomain) {
        let ask = istio_ca::AskIstioCa {
            settings: ca.clone(),
            trust_domain,
            identity: self.identity.clone(),
            dialer: self.dialer.clone(),
        };
        let renewal = self.renewal(ask, id, Schedule::HALF_LIFE);
        match ca.crl.clone() {
            None => self.spawn(renewal.run()),
            Some(path) => {
                let assembly = Arc::clone(&self.assembly);
                self.spawn(async move {
                    let revoked = revoked::RevokedFile::open(path, assembly).await;
                    tokio::join!(revoked.follow(), renewal.run());
                });
            }
        }
        if let RootsFrom::File(path) = &ca.roots {
            self.spawn(renew_on_change(Arc::clone(path), Arc::clone(&self.renew)));
        }
    }

    fn linkerd(&mut self, ca: &LinkerdCa, trust_domain: TrustDomain) -> Result<(), StartError> {
        let id =
            WorkloadId::parse_dns(&ca.name).map_err(|error| StartError::Id(Arc::clone(&ca.name), error))?;
        self.assembly.publisher().expect(id.clone());
        let settings = ca.clone();
        let dialer = self.dialer.clone();
        let ask = linkerd::AskLinkerd { settings, trust_domain: trust_domain.clone(), dialer };
        let renewal = self.renewal(ask, id, Schedule::LINKERD);
        self.spawn(renewal.run());
        if let RootsFrom::File(path) = &ca.roots {
            let anchors = linkerd::Anchors {
                path: Arc::clone(path),
                trust_domain,
                assembly: Arc::clone(&self.assembly),
            };
            self.spawn(anchors.follow());
        }
        Ok(())
    }

    fn built_in(&mut self, id: WorkloadId, spiffe: SpiffeId, ttl: Duration) -> Result<(), StartError> {
        let issuer = self.context.borrow().issuer.clone().ok_or(StartError::NoIssuer)?;
        let mut bundles = issuer.bundles();
        bundles.mark_unchanged();
        let renewal = self.renewal(built_in::AskBuiltIn { issuer, id: spiffe, ttl }, id, Schedule::HALF_LIFE);
        self.spawn(renewal.run());
        let assembly = Arc::clone(&self.assembly);
        self.spawn(async move {
            while bundles.changed().await.is_ok() {
                assembly.take(|parts| parts.own = bundles.borrow_and_update().clone());
            }
        });
        Ok(())
    }

    fn workload_api(&mut self, target: crate::dial::Target, expected: Option<WorkloadId>) {
        let source = workload_api::WorkloadApi {
            target,
            expected,
            profile: self.spec.profile,
            assembly: Arc::clone(&self.assembly),
            clock: self.context.borrow().clock.clone(),
            dialer: self.dialer.clone(),
            renew: Arc::clone(&self.renew),
        };
        self.spawn(source.run());
    }
}

/// The ID to ask for, in both its forms.
fn own_id(
    expected: Option<WorkloadId>,
    trust_domain: &TrustDomain,
) -> Result<(WorkloadId, SpiffeId), StartError> {
    let id = expected.ok_or(StartError::NoId)?;
    match id.spiffe() {
        Some(spiffe) if spiffe.trust_domain() == trust_domain => Ok((id.clone(), spiffe.clone())),
        Some(_) => Err(StartError::Foreign { id, trust_domain: trust_domain.clone() }),
        None => Err(StartError::NoId),
    }
}

/// Renews soon after a CA's roots have changed, as the mesh's roots, which come with the answer, have probably changed
/// with them. Each gateway waits a little while of its own.
async fn renew_on_change(path: Arc<str>, renew: Arc<Notify>) {
    let watch = watched::FileWatch::new([&*path]);
    let mut before = watched::read(&path).await.ok();
    loop {
        watch.changed().await;
        let Ok(now) = watched::read(&path).await else { continue };
        let changed = before.replace(now.clone()).is_none_or(|before| before != now);
        if changed {
            tokio::time::sleep(SPREAD.mul_f64(fastrand::f64())).await;
            renew.notify_one();
        }
    }
}

const SPREAD: Duration = Duration::from_secs(5);

#[cfg(test)]
pub(crate) mod tests;
