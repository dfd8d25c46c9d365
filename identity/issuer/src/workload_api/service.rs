//! The five calls. Each message is the whole truth: what is absent is withdrawn.

use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use identity::proto::workload::spiffe_workload_api_server::SpiffeWorkloadApi;
use identity::proto::workload::{
    JwtBundlesRequest, JwtBundlesResponse, Jwtsvid, JwtsvidRequest, JwtsvidResponse, ValidateJwtsvidRequest,
    ValidateJwtsvidResponse, X509BundlesRequest, X509BundlesResponse, X509svidRequest, X509svidResponse,
};
use identity::{TrustBundles, verify_jwt_svid};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::attest::{Facts, Process};
use super::view::{self, Held, Matches};
use crate::audit::{Method, Who};
use crate::mint::{JWT, Mint, X509};
use crate::refusal::Refusal;
use crate::registry::Registry;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct WorkloadApi {
    pub(crate) mint: Arc<Mint>,
    pub(crate) registry: Arc<Registry>,
}

type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A caller that matches some registration.
struct Known {
    process: Arc<Process>,
    who: Who,
    matches: Matches,
}

impl WorkloadApi {
    /// Checks the header, and who calls.
    fn admit<T>(&self, request: &Request<T>, kind: &'static str) -> Result<Known, Status> {
        let process = request.extensions().get::<Arc<Process>>().cloned();
        let mut who = Who { method: Method::Unix, caller: String::new(), peer: "unix".to_owned() };
        let result = process
            .ok_or_else(|| Refusal::Internal("the connection is not known".to_owned()))
            .and_then(|process| {
                header(request)?;
                let matches = self.matches(&process, &mut who)?;
                self.mint.gates.check(&rate_key(&who))?;
                Ok((process, matches))
            });
        match result {
            Ok((process, matches)) => Ok(Known { process, who, matches }),
            Err(refusal) => Err(self.mint.refuse(&who, kind, None, refusal).status()),
        }
    }

    /// The registrations of a process as it is now.
    fn matches(&self, process: &Process, who: &mut Who) -> Result<Matches, Refusal> {
        let facts: &Facts =
            process.facts().map_err(|error| Refusal::denied("caller-changed", error.to_string()))?;
        who.caller = facts.to_string();
        let matches = view::matching(&self.registry.configuration(), facts);
        if matches.is_empty() {
            // The SPIFFE Workload API wants PermissionDenied.
            return Err(Refusal::denied("no-registration", "no identity is registered for the caller"));
        }
        Ok(matches)
    }

    /// Streams what `next` says, anew whenever something changes.
    fn stream<T, S>(&self, known: Known, kind: &'static str, mut source: S) -> Response<Messages<T>>
    where
        T: PartialEq + Clone + Send + 'static,
        S: Source<T> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(1);
        let api = self.clone();
        tokio::spawn(async move {
            let metrics = api.mint.metrics.clone();
            metrics.streams.inc();
            tokio::select! {
                // A caller that has gone must not be kept in mind until the next change.
                () = sender.closed() => {}
                () = api.push(known, kind, &mut source, &sender) => {}
            }
            metrics.streams.dec();
        });
        Response::new(Box::pin(ReceiverStream::new(receiver)))
    }

    async fn push<T: PartialEq + Clone>(
        &self,
        mut known: Known,
        kind: &'static str,
        source: &mut impl Source<T>,
        sender: &mpsc::Sender<Result<T, Status>>,
    ) {
        let mut registrations = self.registry.changed();
        let mut bundles = self.registry.bundles();
        let mut last: Option<T> = None;
        loop {
            registrations.borrow_and_update();
            let now_bundles = bundles.borrow_and_update().clone();
            let next = match self.matches(&known.process, &mut known.who) {
                Ok(matches) => {
                    known.matches = matches;
                    source.next(self, &known, &now_bundles).await
                }
                Err(refusal) => Err(self.mint.refuse(&known.who, kind, None, refusal)),
            };
            let message = match next {
                Ok(message) => message,
                Err(refusal) => {
                    // A receiver that has gone needs no status.
                    let _ = sender.send(Err(refusal.status())).await;
                    return;
                }
            };
            if last.as_ref() != Some(&message) {
                if sender.send(Ok(message.clone())).await.is_err() {
                    return;
                }
                last = Some(message);
            }
            let due = source.due();
            let ended = tokio::select! {
                changed = registrations.changed() => changed.is_err(),
                changed = bundles.changed() => changed.is_err(),
                () = self.sleep_until(due) => false,
            };
            if ended {
                return;
            }
        }
    }

    async fn sleep_until(&self, due: Option<SystemTime>) {
        match due {
            Some(due) => self.mint.clock.sleep_until(due).await,
            None => std::future::pending().await,
        }
    }
}

/// Where the messages of a stream come from.
trait Source<T> {
    /// The message as it should be now.
    fn next(
        &mut self,
        api: &WorkloadApi,
        known: &Known,
        bundles: &TrustBundles,
    ) -> impl Future<Output = Result<T, Refusal>> + Send;

    /// When it changes by itself.
    fn due(&self) -> Option<SystemTime> {
        None
    }
}

struct Svids(Held);

impl Source<X509svidResponse> for Svids {
    async fn next(
        &mut self,
        api: &WorkloadApi,
        known: &Known,
        bundles: &TrustBundles,
    ) -> Result<X509svidResponse, Refusal> {
        let current = api.mint.authority.current().clone();
        let believed = current.signers();
        self.0.refresh(&api.mint, &known.who, &known.matches, &believed).await?;
        Ok(self.0.response(&api.mint.trust_domain, bundles))
    }

    fn due(&self) -> Option<SystemTime> {
        self.0.renew_at()
    }
}

struct X509Bundles;

impl Source<X509BundlesResponse> for X509Bundles {
    async fn next(
        &mut self,
        api: &WorkloadApi,
        known: &Known,
        bundles: &TrustBundles,
    ) -> Result<X509BundlesResponse, Refusal> {
        Ok(view::x509_bundles(&api.mint.trust_domain, bundles, &known.matches))
    }
}

struct JwtBundles;

impl Source<JwtBundlesResponse> for JwtBundles {
    async fn next(
        &mut self,
        api: &WorkloadApi,
        known: &Known,
        bundles: &TrustBundles,
    ) -> Result<JwtBundlesResponse, Refusal> {
        Ok(view::jwt_bundles(&api.mint.trust_domain, bundles, &known.matches))
    }
}

#[tonic::async_trait]
impl SpiffeWorkloadApi for WorkloadApi {
    type FetchX509SVIDStream = Messages<X509svidResponse>;
    type FetchX509BundlesStream = Messages<X509BundlesResponse>;
    type FetchJWTBundlesStream = Messages<JwtBundlesResponse>;

    async fn fetch_x509svid(
        &self,
        request: Request<X509svidRequest>,
    ) -> Result<Response<Self::FetchX509SVIDStream>, Status> {
        let known = self.admit(&request, X509)?;
        Ok(self.stream(known, X509, Svids(Held::default())))
    }

    async fn fetch_x509_bundles(
        &self,
        request: Request<X509BundlesRequest>,
    ) -> Result<Response<Self::FetchX509BundlesStream>, Status> {
        let known = self.admit(&request, BUNDLE)?;
        Ok(self.stream(known, BUNDLE, X509Bundles))
    }

    async fn fetch_jwtsvid(
        &self,
        request: Request<JwtsvidRequest>,
    ) -> Result<Response<JwtsvidResponse>, Status> {
        let known = self.admit(&request, JWT)?;
        let request = request.into_inner();
        let refuse = |refusal| Err(self.mint.refuse(&known.who, JWT, None, refusal).status());
        if request.audience.is_empty() || request.audience.iter().any(String::is_empty) {
            return refuse(Refusal::invalid("no-audience", "an audience must be given"));
        }
        let wanted =
            |id: &identity::SpiffeId| request.spiffe_id.is_empty() || id.to_string() == request.spiffe_id;
        let chosen = known.matches.values().filter(|registration| wanted(&registration.spiffe_id));
        let mut svids = Vec::new();
        for registration in chosen {
            let token = self
                .mint
                .issue_jwt(&known.who, &registration.spiffe_id, &request.audience)
                .map_err(|refusal| refusal.status())?;
            svids.push(Jwtsvid {
                spiffe_id: registration.spiffe_id.to_string(),
                svid: token.to_string(),
                hint: registration.hint.clone(),
            });
        }
        if svids.is_empty() {
            return refuse(Refusal::denied("foreign-id", "the ID that is asked for is not the caller's"));
        }
        Ok(Response::new(JwtsvidResponse { svids }))
    }

    async fn fetch_jwt_bundles(
        &self,
        request: Request<JwtBundlesRequest>,
    ) -> Result<Response<Self::FetchJWTBundlesStream>, Status> {
        let known = self.admit(&request, BUNDLE)?;
        Ok(self.stream(known, BUNDLE, JwtBundles))
    }

    async fn validate_jwtsvid(
        &self,
        request: Request<ValidateJwtsvidRequest>,
    ) -> Result<Response<ValidateJwtsvidResponse>, Status> {
        let known = self.admit(&request, JWT)?;
        let request = request.into_inner();
        if request.audience.is_empty() || request.svid.is_empty() {
            return Err(Status::invalid_argument("an audience and a token must be given"));
        }
        let bundles: watch::Receiver<TrustBundles> = self.registry.bundles();
        let bundles = view::believed(&self.mint.trust_domain, &bundles.borrow(), &known.matches);
        let svid = verify_jwt_svid(&request.svid, &request.audience, &bundles, self.mint.clock.now())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let fields = svid.claims.into_iter().map(|(name, value)| (name, to_proto(value))).collect();
        Ok(Response::new(ValidateJwtsvidResponse {
            spiffe_id: svid.id.to_string(),
            claims: Some(Struct { fields }),
        }))
    }
}

/// SPIFFE Workload API §4.2: every call carries it, so that a server that is tricked into calling cannot.
fn header<T>(request: &Request<T>) -> Result<(), Refusal> {
    let mut values = request.metadata().get_all("workload.spiffe.io").iter();
    match (values.next().map(|value| value.as_bytes()), values.next()) {
        (Some(b"true"), None) => Ok(()),
        _ => Err(Refusal::invalid("no-header", "the metadata workload.spiffe.io: true is missing")),
    }
}

/// Processes of one user that run one program share a rate.
fn rate_key(who: &Who) -> String {
    who.caller.find("uid ").map_or_else(|| who.caller.clone(), |at| who.caller.split_at(at).1.to_owned())
}

fn to_proto(value: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    let kind = match value {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(value),
        // A protobuf number is a double.
        Json::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or_default()),
        Json::String(value) => Kind::StringValue(value),
        Json::Array(values) => {
            Kind::ListValue(ListValue { values: values.into_iter().map(to_proto).collect() })
        }
        Json::Object(fields) => Kind::StructValue(Struct {
            fields: fields.into_iter().map(|(name, value)| (name, to_proto(value))).collect(),
        }),
    };
    Value { kind: Some(kind) }
}

/// What is counted and logged as bundle.
const BUNDLE: &str = "bundle";
