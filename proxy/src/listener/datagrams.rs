//! A datagram listener on one core: what the present generation says of it, and the tools it is served with.

use std::rc::Rc;
use std::sync::Arc;

use tracing::warn;

use super::conn::Tools;
use crate::compiled::CompiledProtocol;
use crate::drain::DrainWatch;
use crate::http::core::Slot;
use crate::overload::ListenerGate;
use crate::udp::{self, DEFAULT_SESSIONS, DatagramSocket, Present};

/// Serves a socket until its drain is over.
pub(crate) async fn datagrams(
    socket: DatagramSocket,
    slot: Rc<Slot>,
    gate: Arc<ListenerGate>,
    drain: DrainWatch,
    tools: Rc<Tools>,
) {
    let core = &tools.core;
    // Only these: the rest of a generation must not be kept by a socket that outlives it.
    let (name, metrics) = (slot.live().listener.name.clone(), slot.live().metrics.clone());
    let present = || {
        let listener = slot.live().listener.clone();
        let rule = match &listener.protocol {
            CompiledProtocol::Udp(rule) => rule.clone(),
            CompiledProtocol::Http(_) | CompiledProtocol::Tls(_) | CompiledProtocol::Tcp(_) => None,
        };
        Present { rule, limit: listener.connection.limits.connections }
    };
    let l4 = udp::Tools {
        upstreams: &core.upstreams,
        log: &core.log,
        metrics: &core.metrics,
        listener: &metrics,
        overload: &core.overload,
        gate: &gate,
        drain,
        max_sessions: DEFAULT_SESSIONS,
    };
    if let Err(error) = udp::serve(&socket, present, l4).await {
        warn!(%error, listener = %name, "Datagram socket failed");
    }
}
