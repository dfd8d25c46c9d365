//! Filters: what happens to a request or an answer on its way, in the order that was written.
//! Performance-critical path.

mod buffer;
mod cors;
pub(crate) mod ext_auth;
mod headers;
pub(crate) mod mirror;
pub(crate) mod path;
pub(crate) mod redirect;
mod rewrite;

pub(crate) use self::cors::Sharing;

use bytes::Bytes;
use http::Response;
use http::header::{self, HeaderMap};

use super::error::Error;
use super::exchange::Exchange;
use super::inbound::Inbound;
use crate::compiled::CompiledFilter;

/// Whether a request goes on.
#[derive(Debug)]
pub(crate) enum Flow {
    /// It does.
    Continue,
    /// It is answered.
    Respond(Response<Bytes>),
}

/// Runs what concerns requests. Mirrors come last of all, when nothing can refuse the request any more: see
/// [`mirror::send`].
///
/// # Errors
/// A filter refuses the request, or is closed.
pub(crate) async fn request(
    filters: &[CompiledFilter],
    inbound: &mut Inbound,
    exchange: &mut Exchange,
) -> Result<Flow, Error> {
    for filter in filters {
        match filter {
            CompiledFilter::RequestHeaders(edit) => headers::edit(&mut inbound.parts.headers, edit),
            CompiledFilter::Rewrite(rewrite) => rewrite::apply(rewrite, inbound)?,
            CompiledFilter::Cors(cors) => {
                if let Some(answer) = cors::preflight(cors, &inbound.parts.method, &inbound.parts.headers) {
                    inbound.sharing = Sharing::Answered;
                    return Ok(Flow::Respond(answer));
                }
                inbound.sharing = Sharing::with(inbound.parts.headers.get(header::ORIGIN));
            }
            // The rare and large futures are boxed, so that the common request does not carry their room.
            CompiledFilter::ExternalAuth(auth) => {
                if let Flow::Respond(answer) = Box::pin(ext_auth::check(auth, inbound, exchange)).await? {
                    return Ok(Flow::Respond(answer));
                }
            }
            CompiledFilter::Buffer { max_bytes } => Box::pin(buffer::hold(*max_bytes, inbound)).await?,
            CompiledFilter::Closed { reason, status } => {
                return Err(Error::ClosedFilter { reason: reason.clone(), status: *status });
            }
            CompiledFilter::ResponseHeaders(_) | CompiledFilter::Mirror(_) => {}
        }
    }
    Ok(Flow::Continue)
}

/// Runs what concerns answers, those of our own too.
pub(crate) fn response(filters: &[CompiledFilter], headers: &mut HeaderMap, sharing: &Sharing) {
    for filter in filters {
        match filter {
            CompiledFilter::ResponseHeaders(edit) => headers::edit(headers, edit),
            CompiledFilter::Cors(cors) => cors::decorate(cors, sharing, headers),
            CompiledFilter::RequestHeaders(_)
            | CompiledFilter::Rewrite(_)
            | CompiledFilter::Mirror(_)
            | CompiledFilter::ExternalAuth(_)
            | CompiledFilter::Buffer { .. }
            | CompiledFilter::Closed { .. } => {}
        }
    }
}
