//! A JWT-SVID of our own, to show to somebody who speaks no mTLS.

use std::sync::Arc;
use std::time::SystemTime;

use model::Secret;
use tonic::Request;

use super::super::ask::AskError;
use super::super::grpc;
use super::{request, target};
use crate::bundle::TrustBundles;
use crate::dial::Dialer;
use crate::id::WorkloadId;
use crate::jwt::{JwtError, JwtSvid, verify_jwt_svid};
use crate::proto::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use crate::proto::workload::{JwtsvidRequest, JwtsvidResponse};

/// A JWT-SVID that speaks for us.
#[derive(Clone, Debug)]
pub struct OwnJwtSvid {
    /// What it says.
    pub svid: JwtSvid,
    /// The token. Whoever has it is us until it expires.
    pub token: Secret<Arc<str>>,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum FetchJwtError {
    /// Not a Workload API socket.
    #[error("{0:?} is no Workload API: unix:///ABSOLUTE/PATH or tcp://IP:PORT")]
    Socket(String),
    /// The call.
    #[error("the Workload API gives no token: {0}")]
    Call(String),
    /// An answer without a token for us.
    #[error("the answer has no token of {0}")]
    None(String),
    /// A token that nobody would believe.
    #[error("the token cannot be used")]
    Refused(#[from] JwtError),
    /// The answer says another ID than the token.
    #[error("the token is of {found}, the answer says {said:?}")]
    OtherId {
        /// In the answer.
        said: String,
        /// In the token.
        found: WorkloadId,
    },
}

/// Fetches a token for `audience` from the Workload API at `socket`: of `id`, or of the first identity that is ours. It
/// is verified as its receiver will do it, by `bundles` at `now`.
///
/// # Errors
/// [`FetchJwtError`] says what is wrong with the call or the token.
pub async fn fetch_jwt_svid(
    socket: &str,
    audience: &str,
    id: Option<&WorkloadId>,
    bundles: &TrustBundles,
    now: SystemTime,
) -> Result<OwnJwtSvid, FetchJwtError> {
    fetch(&Dialer::default(), socket, audience, id, bundles, now).await
}

pub(crate) async fn fetch(
    dialer: &Dialer,
    socket: &str,
    audience: &str,
    id: Option<&WorkloadId>,
    bundles: &TrustBundles,
    now: SystemTime,
) -> Result<OwnJwtSvid, FetchJwtError> {
    let wanted = id.map(ToString::to_string).unwrap_or_default();
    let message = JwtsvidRequest { audience: vec![audience.to_owned()], spiffe_id: wanted.clone() };
    let answer = ask(dialer, socket, request(message)).await?;
    let found = answer.svids.into_iter().find(|svid| wanted.is_empty() || svid.spiffe_id == wanted);
    let found = found.filter(|svid| !svid.svid.is_empty()).ok_or(FetchJwtError::None(wanted))?;
    let svid = verify_jwt_svid(&found.svid, audience, bundles, now)?;
    if svid.id.as_str() != found.spiffe_id {
        return Err(FetchJwtError::OtherId { said: found.spiffe_id, found: svid.id });
    }
    Ok(OwnJwtSvid { svid, token: Secret::new(found.svid.into()) })
}

async fn ask(
    dialer: &Dialer,
    socket: &str,
    request: Request<JwtsvidRequest>,
) -> Result<JwtsvidResponse, FetchJwtError> {
    let target = target(socket).ok_or_else(|| FetchJwtError::Socket(socket.to_owned()))?;
    let call = async {
        let channel = grpc::channel(dialer, &target, None).await?;
        grpc::call(SpiffeWorkloadApiClient::new(channel).fetch_jwtsvid(request), "").await
    };
    call.await.map_err(|error: AskError| FetchJwtError::Call(crate::dial::chain_of(&error)))
}
