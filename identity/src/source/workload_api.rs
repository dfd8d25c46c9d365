//! A SPIFFE Workload API (SPIRE's agent, our own issuer): a stream, every message of which is the whole truth.
//!
//! A trust domain that a message leaves out is not believed any more, at once. A server that says that we are nobody
//! (`PermissionDenied`) is believed too: the identity is withdrawn.

pub(crate) mod fetch_jwt;
mod jwt;
mod message;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use model::PeerProfile;
use spiffe::TrustDomain;
use tokio::sync::Notify;
use tonic::metadata::MetadataValue;
use tonic::{Code, Streaming};

use super::ask::{AskError, Pace};
use super::assembly::Assembly;
use super::grpc;
use crate::bundle::{JwtKey, TrustBundles};
use crate::clock::Clock;
use crate::dial::{Dialer, Target};
use crate::id::WorkloadId;
use crate::proto::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use crate::proto::workload::{X509svidRequest, X509svidResponse};
use crate::rotation::{retry_after, retry_after_refusal};
use message::{MessageError, Update};

/// Follows a Workload API.
pub(crate) struct WorkloadApi {
    pub(crate) target: Target,
    /// Which SVID; none: the first, as the standard has it.
    pub(crate) expected: Option<WorkloadId>,
    pub(crate) profile: PeerProfile,
    pub(crate) assembly: Arc<Assembly>,
    pub(crate) clock: Clock,
    pub(crate) dialer: Dialer,
    /// Rung when somebody wants the stream anew.
    pub(crate) renew: Arc<Notify>,
}

/// Reads `unix:///ABSOLUTE/PATH` or `tcp://IP:PORT` (SPIFFE Workload Endpoint §4).
pub(crate) fn target(socket: &str) -> Option<Target> {
    if let Some(path) = socket.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return path.starts_with('/').then(|| Target::Unix(path.into()));
    }
    let target = Target::host_port(socket.strip_prefix("tcp://")?)?;
    target.host()?.parse::<IpAddr>().ok()?;
    Some(target)
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    /// The connection, the call.
    #[error(transparent)]
    Call(#[from] AskError),
    /// The server closed it in good order, which it has no reason to.
    #[error("the source ended the stream")]
    Ended,
    /// Nothing came although the SVID is old: a server that hangs.
    #[error("the source has not sent a new SVID in time")]
    Stale,
    /// Somebody wants it anew; no failure.
    #[error("the stream is opened anew, as was asked for")]
    Asked,
}

impl StreamError {
    fn code(&self) -> Option<Code> {
        match self {
            Self::Call(AskError::Status { code, .. }) => Some(*code),
            _ => None,
        }
    }

    fn pace(&self) -> Pace {
        match self {
            Self::Call(error) => error.pace(),
            Self::Ended | Self::Stale | Self::Asked => Pace::Soon,
        }
    }
}

/// What both streams have brought.
#[derive(Debug, Default)]
struct Brought {
    x509: TrustBundles,
    jwt: Vec<(TrustDomain, Vec<JwtKey>)>,
}

impl Brought {
    /// One set of bundles. A trust domain of which only JWT keys are known has no roots: nobody's chain verifies.
    fn bundles(&self) -> TrustBundles {
        let mut all = self.x509.clone();
        for (name, keys) in &self.jwt {
            let bundle = all.0.entry(name.clone()).or_default();
            Arc::make_mut(bundle).jwt.clone_from(keys);
        }
        all
    }
}

type Shared = Arc<Mutex<Brought>>;

fn lock(brought: &Shared) -> std::sync::MutexGuard<'_, Brought> {
    brought.lock().unwrap_or_else(PoisonError::into_inner)
}

impl WorkloadApi {
    /// Runs for ever.
    pub(crate) async fn run(self) {
        let brought = Shared::default();
        let jwt = jwt::JwtBundles {
            target: self.target.clone(),
            dialer: self.dialer.clone(),
            assembly: Arc::clone(&self.assembly),
            brought: Arc::clone(&brought),
        };
        tokio::join!(self.x509(brought), jwt.run());
    }

    async fn x509(self, brought: Shared) {
        let mut failures = 0;
        let mut held = None;
        loop {
            let error = self.follow(&brought, &mut failures, &mut held).await;
            if matches!(error, StreamError::Asked) {
                continue;
            }
            failures = failures.saturating_add(1);
            self.assembly.publisher().failed(&error);
            if error.code() == Some(Code::PermissionDenied) {
                held = None;
                self.assembly.withdraw("the Workload API says that there is no identity for us");
            }
            let not_after = held.map(|(_, not_after)| not_after);
            let wait = match error.pace() {
                Pace::Soon => retry_after(not_after, self.clock.now(), fastrand::f64(), failures),
                Pace::Seldom => retry_after_refusal(fastrand::f64()),
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.renew.notified() => {}
            }
        }
    }

    /// Follows one stream to its end.
    async fn follow(
        &self,
        brought: &Shared,
        failures: &mut u32,
        held: &mut Option<(SystemTime, SystemTime)>,
    ) -> StreamError {
        let opened = tokio::time::timeout(FIRST, self.open()).await;
        let (mut stream, first) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return error,
            Err(_) => return AskError::Timeout(FIRST).into(),
        };
        let mut message = first;
        loop {
            match self.take(message, brought) {
                Ok(Some(life)) => {
                    *failures = 0;
                    *held = Some(life);
                }
                // Refused by the publisher, on record there.
                Ok(None) => {}
                Err(error) => self.assembly.publisher().failed(&error),
            }
            let next = tokio::select! {
                next = stream.message() => next,
                () = self.stale(*held) => return StreamError::Stale,
                () = self.renew.notified() => return StreamError::Asked,
            };
            message = match next {
                Ok(Some(next)) => next,
                Ok(None) => return StreamError::Ended,
                Err(status) => return AskError::status(&status, "").into(),
            };
        }
    }

    /// Opens a stream and waits for its first message, which a server must send at once.
    async fn open(&self) -> Result<(Streaming<X509svidResponse>, X509svidResponse), StreamError> {
        let channel = grpc::channel(&self.dialer, &self.target, None).await?;
        let mut client = SpiffeWorkloadApiClient::new(channel).max_decoding_message_size(LARGEST);
        let mut stream = client
            .fetch_x509svid(request(X509svidRequest {}))
            .await
            .map_err(|status| AskError::status(&status, ""))?
            .into_inner();
        let first = stream.message().await.map_err(|status| AskError::status(&status, ""))?;
        Ok((stream, first.ok_or(StreamError::Ended)?))
    }

    /// Publishes a message: the whole of it or, if it cannot be believed, nothing.
    fn take(
        &self,
        message: X509svidResponse,
        brought: &Shared,
    ) -> Result<Option<(SystemTime, SystemTime)>, MessageError> {
        let Update { svid, bundles, crls } = message::read(message, self.expected.as_ref(), self.profile)?;
        let life = (svid.not_before(), svid.not_after());
        let own = {
            let mut brought = lock(brought);
            brought.x509 = bundles;
            brought.bundles()
        };
        let (crls, broken) = match crls {
            Ok(crls) => (Some(crls), None),
            Err(error) => (None, Some(error)),
        };
        let change = self.assembly.change(|parts| {
            parts.svid = Some(svid);
            parts.own = own;
            // A list that cannot be read must neither stop the renewal nor let the revoked in.
            if let Some(crls) = crls {
                parts.crls = crls;
            }
        });
        match broken {
            Some(error) => Err(MessageError::Crl(error)),
            None => Ok(change.ok().map(|()| life)),
        }
    }

    /// Returns when the SVID that is held should have been replaced long since. Servers do so at half of its life.
    async fn stale(&self, held: Option<(SystemTime, SystemTime)>) {
        let late = held.and_then(|(from, to)| {
            let life = to.duration_since(from).ok()?;
            from.checked_add(life.mul_f64(STALE))
        });
        match late {
            // Not again and again once it is late: the pause lies between two such streams.
            Some(late) => {
                let again = self.clock.now() + FIRST;
                self.clock.sleep_until(late.max(again)).await;
            }
            None => std::future::pending().await,
        }
    }
}

/// Every call carries this; without it a server refuses (against requests that a browser was made to send).
fn request<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("workload.spiffe.io", MetadataValue::from_static("true"));
    request
}

/// Time for a connection and the first message.
const FIRST: Duration = Duration::from_secs(30);
/// The part of an SVID's life after which the stream is given up.
const STALE: f64 = 0.8;
/// Largest message: bundles of many trust domains.
const LARGEST: usize = 16 << 20;
