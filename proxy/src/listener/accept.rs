//! Accepting connections on one socket of one core, within the bounds of overload protection.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::conn::{Tools, run};
use crate::http::core::Slot;
use crate::overload::{ListenerGate, Pressure, ShedReason};
use crate::telemetry::metrics::GaugeGuard;

/// Accepts until the future is dropped.
pub(crate) async fn accept(socket: TcpListener, slot: Rc<Slot>, gate: Arc<ListenerGate>, tools: Rc<Tools>) {
    let overload = tools.core.overload.clone();
    loop {
        if overload.pressure() >= Pressure::StopAccept {
            // Clients wait in the kernel's queue rather than being refused, for as long as it has room.
            sleep(PAUSE).await;
            continue;
        }
        let (stream, peer) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                rest(&error).await;
                continue;
            }
        };
        let live = slot.live();
        match overload.admit(&gate, live.listener.connection.limits.connections) {
            Ok(permit) => {
                live.metrics.connections.inc();
                let active = GaugeGuard::new(&live.metrics, |metrics| &metrics.active);
                let (guard, slot, tools) = (tools.drain.guard(), slot.clone(), tools.clone());
                tokio::task::spawn_local(async move {
                    run(stream, peer, slot, tools).await;
                    drop((permit, active, guard));
                });
            }
            Err(reason) => {
                live.metrics.refused.inc();
                tools.core.metrics.shed(reason);
                debug!(%peer, reason = ShedReason::as_str(reason), "Connection refused");
            }
        }
    }
}

/// While memory is short nothing is accepted; this is how often that is looked at.
const PAUSE: Duration = Duration::from_millis(50);

/// What `accept` fails with belongs to one client that is gone, or to the process, which then needs a rest.
async fn rest(error: &io::Error) {
    match error.kind() {
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted => {}
        _ => {
            warn!(%error, "Accepting failed");
            sleep(PAUSE).await;
        }
    }
}
