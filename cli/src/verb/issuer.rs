//! `diolkos issuer`: the SPIFFE issuer on its own, and orders to a running one.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use controller::{Rebuild, World};
use issuer::{
    Addresses, BundleServer, BundleSettings, CaFiles, CaKind, Issuer, IssuerSettings, JwksSource, JwtCallers,
    Lives, TokenReview,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use translate::Addressing;

use crate::arguments::{Issuer as Arguments, IssuerOrder};
use crate::exit::{Failure, chain};
use crate::issuing::{configuration, trust_domain};
use crate::verb::serve::logging;
use crate::{admin, report, source};

/// Issues until a signal says otherwise, or tells a running issuer what to do.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.order {
        Some(order) => tell(order),
        None => issue(arguments),
    }
}

fn tell(order: &IssuerOrder) -> Result<ExitCode, Failure> {
    let answer = match order {
        IssuerOrder::RotateRoot { admin: address, force: false } => admin::post(*address, "/rotate-root")?,
        IssuerOrder::RotateRoot { admin: address, force: true } => {
            admin::post(*address, "/rotate-root?force=true")?
        }
        IssuerOrder::Status { admin: address } => admin::get(*address, "/status")?,
    };
    report::print(answer.trim_end());
    report::print("\n");
    Ok(ExitCode::SUCCESS)
}

fn issue(arguments: &Arguments) -> Result<ExitCode, Failure> {
    _ = logging::start(&arguments.log)?;
    let settings = settings(arguments)?;
    super::runtime()?.block_on(async {
        let issuer = Issuer::start(settings).await.map_err(|error| Failure::Settings(chain(&error)))?;
        announce(issuer.addresses());
        let open = |folder| Watched::open(folder, &arguments.trust_domain);
        let mut folder = arguments.folder.as_deref().map(open).transpose()?;
        let failed =
            |error: std::io::Error| Failure::Settings(format!("signals cannot be received: {error}"));
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        loop {
            tokio::select! {
                world = Watched::next(&mut folder) => configure(&issuer, &world),
                _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
                _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
            }
        }
    })
}

/// Says where it can be reached.
fn announce(addresses: &Addresses) {
    let Addresses { istio_ca, bundle, admin, metrics, workload_api } = addresses;
    let sockets = [("istio-ca", istio_ca), ("bundle", bundle), ("admin", admin), ("metrics", metrics)];
    for (what, address) in sockets {
        if let Some(address) = address {
            report::line(&format!("{what:<13} {address}"));
        }
    }
    if let Some(path) = workload_api {
        report::line(&format!("workload-api  unix://{}", path.display()));
    }
}

/// Takes over what the folder says now; what is wrong with it is logged.
fn configure(issuer: &Issuer, world: &World) {
    for finding in &world.findings {
        tracing::warn!("{}", report::findings::line(finding));
    }
    issuer.configure(configuration(&world.output.issuer));
}

/// A folder of registrations, watched.
struct Watched {
    world: watch::Receiver<Arc<World>>,
}

impl Watched {
    fn open(folder: &Path, trust_domain: &str) -> Result<Self, Failure> {
        let mut settings = source::settings(Addressing::default());
        settings.mesh.trust_domain = Some(trust_domain.to_owned());
        let rebuild = Rebuild::new(source::folder(folder)?, settings);
        let mut world = rebuild.world();
        world.mark_changed();
        tokio::spawn(rebuild.run());
        Ok(Self { world })
    }

    /// The next state of the folder; never, without one or once it is no longer watched.
    async fn next(watched: &mut Option<Self>) -> Arc<World> {
        if let Some(watched) = watched
            && watched.world.changed().await.is_ok()
        {
            return Arc::clone(&watched.world.borrow_and_update());
        }
        std::future::pending().await
    }
}

fn settings(arguments: &Arguments) -> Result<IssuerSettings, Failure> {
    let mut settings = IssuerSettings::new(trust_domain(&arguments.trust_domain)?);
    settings.state.clone_from(&arguments.state);
    settings.ca = match &arguments.ca_files {
        Some(folder) if folder.join("ca-key.pem").exists() => CaKind::Files(CaFiles::istio(folder)),
        Some(folder) => CaKind::Files(CaFiles::cert_manager(folder)),
        None => CaKind::SelfSigned { ttl: arguments.ca_ttl },
    };
    settings.lives = Lives { svid: arguments.ttl, max_svid: arguments.max_ttl, ..Lives::default() };
    settings.dns_names.clone_from(&arguments.dns_names);
    if arguments.ca.is_some() && settings.dns_names.is_empty() {
        settings.dns_names.push("localhost".to_owned());
    }
    settings.istio_ca = arguments.ca;
    settings.workload_api.clone_from(&arguments.workload_api);
    settings.bundle = arguments.bundle.map(|address| BundleSettings {
        address,
        profile: match (&arguments.bundle_cert, &arguments.bundle_key) {
            (Some(certificate), Some(key)) => {
                BundleServer::Web { certificate: certificate.clone(), key: key.clone() }
            }
            _ => BundleServer::Spiffe,
        },
    });
    settings.admin = Some(arguments.admin);
    settings.metrics = Some(arguments.metrics);
    settings.jwt_callers = jwt_callers(arguments);
    if let Some(api_server) = &arguments.api_server {
        let review = TokenReview::in_cluster().map_err(|_| {
            Failure::Settings("--api-server needs the service account that a pod has".to_owned())
        })?;
        settings.token_review = Some(TokenReview { api_server: api_server.clone(), ..review });
    }
    Ok(settings)
}

fn jwt_callers(arguments: &Arguments) -> Option<JwtCallers> {
    Some(JwtCallers {
        jwks: JwksSource::parse(arguments.jwks.as_deref()?),
        issuer: arguments.jwt_issuer.clone()?,
        audiences: arguments.audience.clone(),
        pod_bound: false,
        ca: arguments.jwks_ca.clone(),
    })
}
