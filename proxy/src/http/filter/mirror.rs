//! Mirrors: a copy of the request goes elsewhere, its answer is dropped.

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use tracing::debug;

use crate::compiled::{CompiledBackendRef, CompiledFilter};
use crate::http::body::RequestBody;
use crate::http::core::Core;
use crate::http::inbound::Inbound;
use crate::upstream::{BackendHandle, PickHints};

/// Sends the copies that these filters ask for. The request itself never waits for them.
pub(crate) fn send(filters: &[CompiledFilter], inbound: &mut Inbound, core: &std::rc::Rc<Core>) {
    for filter in filters {
        let CompiledFilter::Mirror(mirror) = filter else { continue };
        if !mirror.take() {
            continue;
        }
        let CompiledBackendRef::Backend(backend) = &mirror.backend else { continue };
        let body = inbound.payload.share().map_or_else(RequestBody::empty, |shared| shared.copy());
        let request = inbound.copy(body);
        let (core, backend) = (core.clone(), backend.clone());
        tokio::task::spawn_local(async move {
            if tokio::time::timeout(MIRROR_TIMEOUT, deliver(&core, &backend, request)).await.is_err() {
                debug!(backend = %backend.name, "Mirror timed out");
            }
        });
    }
}

/// A mirror that takes longer is given up: nobody waits for it, but it holds memory and a connection.
const MIRROR_TIMEOUT: Duration = Duration::from_secs(60);

async fn deliver(core: &Core, backend: &std::sync::Arc<BackendHandle>, request: Request<RequestBody>) {
    let mut picked = match core.upstreams.pick(backend, &PickHints::default()) {
        Ok(picked) => picked,
        Err(error) => {
            debug!(%error, backend = %backend.name, "Mirror has no endpoint");
            return;
        }
    };
    match core.upstreams.dispatch(backend, &mut picked, request).await {
        // The answer is read to its end, so that the connection can be used again.
        Ok(response) => {
            let mut body = response.into_body();
            while let Some(Ok(_)) = body.frame().await {}
        }
        Err(failure) => debug!(error = %failure.error, backend = %backend.name, "Mirror failed"),
    }
}
