//! `istio.v1.auth.IstioCertificateService`: a certificate for whoever calls, and for nobody else.

use std::sync::Arc;
use std::time::Duration;

use identity::SpiffeId;
use identity::proto::istio::istio_certificate_service_server::IstioCertificateService;
use identity::proto::istio::{IstioCertificateRequest, IstioCertificateResponse};
use prost_types::value::Kind;
use rustls_pki_types::CertificateDer;
use tonic::{Request, Response, Status};

use crate::audit::{Method, Who};
use crate::caller::{Caller, Callers, Peer};
use crate::csr;
use crate::mint::{Issued, Mint, Order, X509};
use crate::pem;
use crate::refusal::Refusal;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct IstioCa {
    pub(crate) mint: Arc<Mint>,
    pub(crate) callers: Arc<Callers>,
    pub(crate) cluster_id: Arc<str>,
}

#[tonic::async_trait]
impl IstioCertificateService for IstioCa {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let caller = match self.authenticate(&request).await {
            Ok(caller) => caller,
            Err((who, refusal)) => return Err(self.mint.refuse(&who, X509, None, refusal).status()),
        };
        let issued = match self.prepare(&caller, request.get_ref()).await {
            Ok((csr, ttl)) => {
                let order = Order {
                    id: &caller.id,
                    dns_names: &caller.dns_names,
                    ttl,
                    max_ttl: caller.max_ttl,
                    roots_go_along: true,
                };
                self.mint.issue(&caller.who, order, &csr).await
            }
            Err(refusal) => Err(self.mint.refuse(&caller.who, X509, Some(&caller.id), refusal)),
        };
        match issued {
            Ok(issued) => Ok(Response::new(self.response(&issued))),
            Err(refusal) => Err(refusal.status()),
        }
    }
}

impl IstioCa {
    async fn authenticate(
        &self,
        request: &Request<IstioCertificateRequest>,
    ) -> Result<Caller, (Who, Refusal)> {
        let Some(peer) = request.extensions().get::<Peer>() else {
            let who = Who { method: Method::None, caller: String::new(), peer: String::new() };
            return Err((who, Refusal::Internal("the connection is not known".to_owned())));
        };
        let metadata = request.metadata();
        // As istiod: absent means the local cluster, a wrong one is not ours to answer for.
        let cluster = metadata.get("clusterid").map(|value| value.as_bytes());
        if cluster.is_some_and(|cluster| !cluster.is_empty() && cluster != self.cluster_id.as_bytes()) {
            let who = Who { method: Method::None, caller: String::new(), peer: peer.address.to_string() };
            return Err((
                who,
                Refusal::unauthenticated("foreign-cluster", "the metadata clusterid is another's"),
            ));
        }
        let mut headers = metadata.get_all("authorization").iter();
        let header = headers.next();
        if headers.next().is_some() {
            let who = Who { method: Method::None, caller: String::new(), peer: peer.address.to_string() };
            return Err((who, Refusal::unauthenticated("bad-header", "there are two authorization headers")));
        }
        self.callers.authenticate(peer, header.map(|value| value.as_bytes())).await
    }

    /// All that must hold before something is signed, the cheap first.
    async fn prepare(
        &self,
        caller: &Caller,
        request: &IstioCertificateRequest,
    ) -> Result<(csr::Csr, Option<Duration>), Refusal> {
        self.mint.gates.check(&caller.id.to_string())?;
        refuse_impersonation(request, &caller.id)?;
        // Not positive means the default, as with istiod.
        let ttl = u64::try_from(request.validity_duration).ok().filter(|seconds| *seconds > 0);
        let csr = csr::parse_pem(&request.csr)?;
        csr.check_names(&caller.id, &caller.dns_names)?;
        let ttl = ttl.map(Duration::from_secs);
        let order = Order {
            id: &caller.id,
            dns_names: &caller.dns_names,
            ttl,
            max_ttl: caller.max_ttl,
            roots_go_along: true,
        };
        self.mint.ttl(&order)?;
        if let Some(digest) = &caller.spends {
            self.mint.authority.spend(digest).await?;
        }
        Ok((csr, ttl))
    }

    /// Leaf, what is between, and last, in one element, the roots, as istiod answers.
    fn response(&self, issued: &Issued) -> IstioCertificateResponse {
        let mut cert_chain: Vec<String> = issued.chain.iter().map(one).collect();
        let bundle = self.mint.authority.current().bundle.clone();
        cert_chain.push(bundle.x509.iter().map(one).collect());
        IstioCertificateResponse { cert_chain }
    }
}

/// Node proxies of Istio ask for others' certificates this way; here nobody may.
fn refuse_impersonation(request: &IstioCertificateRequest, own: &SpiffeId) -> Result<(), Refusal> {
    let asked = request.metadata.as_ref().and_then(|metadata| metadata.fields.get("ImpersonatedIdentity"));
    match asked.map(|value| &value.kind) {
        None | Some(None | Some(Kind::NullValue(_))) => Ok(()),
        Some(Some(Kind::StringValue(id))) if id.is_empty() || *id == own.to_string() => Ok(()),
        Some(Some(_)) => {
            Err(Refusal::denied("impersonation", "nobody may ask for the certificate of another identity"))
        }
    }
}

fn one(certificate: &CertificateDer<'static>) -> String {
    pem::encode(certificate)
}
