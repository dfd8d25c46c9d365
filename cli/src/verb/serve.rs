//! `diolkos serve`: translation, proxy and sample workloads in one process, from a folder.

mod embedded;
mod greeting;
pub(super) mod logging;
mod report;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;

use controller::{Rebuild, World};
use model::Snapshot;
use proxy::app::{Applied, Proxy};
use proxy::settings::Settings;
use proxy::telemetry::access_log::AccessLogTarget;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use translate::Addressing;

use self::embedded::Embedded;
use self::report::Report;
use crate::arguments::Serve;
use crate::exit::Failure;
use crate::sample::Samples;
use crate::source;

/// Serves until a signal says otherwise.
pub(crate) fn run(serve: &Serve) -> Result<ExitCode, Failure> {
    let log = logging::start(&serve.log)?;
    let addressing = Addressing::Bind { default: vec![reached_at(serve.bind)], local: None };
    let rebuild = Rebuild::new(source::folder(&serve.folder)?, source::settings(addressing));
    let world = rebuild.world();
    let (snapshots, snapshot_receiver) = watch::channel(Arc::clone(&world.borrow().snapshot));
    super::runtime()?.block_on(async {
        let issuer = Embedded::start(serve, &world.borrow().output.issuer).await?;
        let settings = Settings { log, issuer: Some(issuer.issue()), ..settings(serve) };
        let proxy = Proxy::start(settings, snapshot_receiver)
            .map_err(|error| Failure::Settings(format!("the gateway cannot start: {error}")))?;
        let stop = follow(serve, rebuild, world, snapshots, &proxy, &issuer).await?;
        match stop {
            Stop::Drain => {
                proxy.drain();
                tokio::select! {
                    // The receiver ends with the control thread, that is when every connection has.
                    () = ended(proxy.applied()) => {}
                    () = another_signal() => proxy.drain(),
                }
                ended(proxy.applied()).await;
            }
            Stop::Now => drop(proxy),
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// How serving ends.
enum Stop {
    /// SIGTERM: readiness fails, connections get their time.
    Drain,
    /// SIGINT: somebody at a terminal is waiting.
    Now,
}

/// Keeps the proxy, the samples and the report true to the folder, until a signal to stop.
async fn follow(
    serve: &Serve,
    rebuild: Rebuild,
    mut world: watch::Receiver<Arc<World>>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    proxy: &Proxy,
    issuer: &Embedded,
) -> Result<Stop, Failure> {
    let failed = |error: std::io::Error| Failure::Settings(format!("signals cannot be received: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(failed)?;
    let refresh = rebuild.refresh();
    let mut watching = tokio::spawn(rebuild.run());
    let mut applied = proxy.applied();
    let mut samples = Samples::new(issuer.mesh());
    let mut report = Report::new(serve.output, proxy.surfaces());
    world.mark_changed();
    loop {
        tokio::select! {
            Ok(()) = world.changed() => {
                let world = Arc::clone(&world.borrow_and_update());
                issuer.follow(&world.output.issuer);
                samples.follow(&world.objects).await;
                snapshots.send_if_modified(|snapshot| {
                    let differs = !Arc::ptr_eq(snapshot, &world.snapshot);
                    *snapshot = Arc::clone(&world.snapshot);
                    differs
                });
                report.world(world);
            }
            Ok(()) = applied.changed() => {
                let applied: Applied = applied.borrow_and_update().clone();
                report.applied(applied);
            }
            ended = &mut watching => {
                let reason = match ended {
                    Ok(Ok(())) => "the watch ended".to_owned(),
                    Ok(Err(error)) => error.to_string(),
                    Err(error) => error.to_string(),
                };
                return Err(Failure::Settings(format!("{}: cannot be watched: {reason}", serve.folder.display())));
            }
            _ = hang_up.recv() => {
                refresh.all();
                proxy.access_log().reopen();
            }
            _ = terminate.recv() => return Ok(Stop::Drain),
            _ = interrupt.recv() => return Ok(Stop::Now),
        }
    }
}

async fn ended(mut applied: watch::Receiver<Applied>) {
    while applied.changed().await.is_ok() {}
}

async fn another_signal() {
    if let Ok(mut terminate) = signal(SignalKind::terminate()) {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    }
}

fn settings(serve: &Serve) -> Settings {
    Settings {
        bind: serve.bind,
        workers: serve.workers.unwrap_or(0),
        admin: Some(serve.admin),
        health: Some(serve.health),
        metrics: Some(serve.metrics),
        access_log: match serve.access_log.as_str() {
            "off" => AccessLogTarget::Off,
            "-" => AccessLogTarget::Stdout,
            file => AccessLogTarget::File(file.into()),
        },
        zone: serve.zone.as_deref().unwrap_or_default().into(),
        drain_delay: std::time::Duration::from_secs(serve.drain_delay),
        drain_deadline: std::time::Duration::from_secs(serve.drain_deadline),
        ..Settings::default()
    }
}

/// What a Gateway without addresses is reached at: the bound address, or, of all addresses, the loopback one.
fn reached_at(bind: IpAddr) -> IpAddr {
    match bind {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
        bind => bind,
    }
}

/// The findings of a world that an earlier one did not have.
fn new_findings<'a>(world: &'a World, known: &BTreeSet<String>) -> Vec<&'a controller::Finding> {
    world.findings.iter().filter(|finding| !known.contains(&crate::report::findings::line(finding))).collect()
}
