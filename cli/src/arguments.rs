//! The command line: verbs, flags, environment.

mod duration;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A service-mesh gateway that is itself a mesh workload.
#[derive(Debug, Parser)]
#[command(name = "diolkos", version, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Carry traffic as the objects in a folder say
    Serve(Serve),
    /// Say of every object in a folder what becomes of it, and what is wrong
    Check(Check),
    /// Say what would happen to a request, and why
    Explain(Explain),
    /// List what a folder or a running gateway serves
    Get(Get),
    /// Show who a gateway is: SPIFFE ID, issuer, days left, next renewal, whom it trusts
    Identity(Identity),
    /// Issue workload identities: Istio CA, SPIFFE Workload API, bundle endpoint
    Issuer(Box<Issuer>),
    /// Run a workload to try a gateway on: it answers with what it saw
    Echo(Echo),
    /// Send one request: http, https, h2c, h2, grpc, grpcs, ws, wss, tcp, tls or udp
    Probe(Probe),
}

#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Folder (or file) of YAML and JSON objects; watched
    #[arg(short = 'f', long = "file", value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Address of Gateways that name none in spec.addresses
    #[arg(long, env = "DIOLKOS_BIND", default_value = "127.0.0.1", value_name = "IP")]
    pub(crate) bind: IpAddr,
    /// Admin interface: state, configuration dump, log level
    #[arg(long, env = "DIOLKOS_ADMIN", default_value = "127.0.0.1:15000", value_name = "ADDR")]
    pub(crate) admin: SocketAddr,
    /// Health interface: /healthz/ready
    #[arg(long, env = "DIOLKOS_HEALTH", default_value = "127.0.0.1:15021", value_name = "ADDR")]
    pub(crate) health: SocketAddr,
    /// Metrics interface: /stats/prometheus
    #[arg(long, env = "DIOLKOS_METRICS", default_value = "127.0.0.1:15020", value_name = "ADDR")]
    pub(crate) metrics: SocketAddr,
    /// Log filter, as in RUST_LOG: a level, or target=level pairs
    #[arg(long, env = "DIOLKOS_LOG", default_value = "info", value_name = "FILTER")]
    pub(crate) log: String,
    /// Where access log lines go: a file, - for standard output, or off
    #[arg(long, env = "DIOLKOS_ACCESS_LOG", default_value = "-", value_name = "FILE|-|off")]
    pub(crate) access_log: String,
    /// Worker threads; by default as many as there are cores to use
    #[arg(long, env = "DIOLKOS_WORKERS", value_name = "N")]
    pub(crate) workers: Option<usize>,
    /// Zone that this gateway runs in, for backends that prefer their own
    #[arg(long, env = "DIOLKOS_ZONE", value_name = "ZONE")]
    pub(crate) zone: Option<String>,
    /// After SIGTERM readiness fails at once and listeners stay open for that many seconds
    #[arg(long, env = "DIOLKOS_DRAIN_DELAY", default_value_t = 0, value_name = "SECONDS")]
    pub(crate) drain_delay: u64,
    /// From SIGTERM on connections have that many seconds to end
    #[arg(long, env = "DIOLKOS_DRAIN_DEADLINE", default_value_t = 5, value_name = "SECONDS")]
    pub(crate) drain_deadline: u64,
    /// Folder that keeps the built-in issuer's root and key; without it they are made anew at each start
    #[arg(long, env = "DIOLKOS_ISSUER_STATE", value_name = "DIR")]
    pub(crate) issuer_state: Option<PathBuf>,
    /// Unix socket on which the built-in issuer gives registered workloads their identities (SPIFFE Workload API)
    #[arg(long, env = "DIOLKOS_WORKLOAD_API", value_name = "SOCKET", value_parser = socket)]
    pub(crate) workload_api: Option<PathBuf>,
    /// Address of the built-in issuer's bundle endpoint, for other trust domains (https_spiffe)
    #[arg(long, env = "DIOLKOS_BUNDLE", value_name = "ADDR")]
    pub(crate) bundle: Option<SocketAddr>,
    /// Admin interface of the built-in issuer, for `diolkos issuer status` and `rotate-root`; loopback only
    #[arg(long, env = "DIOLKOS_ISSUER_ADMIN", value_name = "ADDR")]
    pub(crate) issuer_admin: Option<SocketAddr>,
    /// How the state is printed
    #[arg(long, default_value = "table")]
    pub(crate) output: Format,
}

#[derive(Args, Debug)]
pub(crate) struct Identity {
    /// Admin address of a running gateway
    #[arg(long, default_value = "127.0.0.1:15000", value_name = "ADDR")]
    pub(crate) admin: SocketAddr,
    /// Ask this SPIFFE Workload API instead, as this process: unix:///PATH or tcp://IP:PORT
    #[arg(long, value_name = "SOCKET", conflicts_with = "admin")]
    pub(crate) socket: Option<String>,
    /// How the result is printed
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Format,
}

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Issuer {
    #[command(subcommand)]
    pub(crate) order: Option<IssuerOrder>,
    /// Trust domain of every identity
    #[arg(long, env = "DIOLKOS_TRUST_DOMAIN", default_value = "cluster.local", value_name = "TD")]
    pub(crate) trust_domain: String,
    /// Folder that keeps the root, its key and the journal; without it they are made anew at each start
    #[arg(long, env = "DIOLKOS_ISSUER_STATE", value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Folder of WorkloadRegistration and FederatedTrustDomain objects; watched
    #[arg(short = 'f', long = "file", value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    /// Folder of an intermediate CA (tls.crt, tls.key, ca.crt; or Istio's cacerts) to sign with instead of an own root
    #[arg(long, value_name = "DIR")]
    pub(crate) ca_files: Option<PathBuf>,
    /// Address of the Istio CA protocol (TLS)
    #[arg(long, value_name = "ADDR")]
    pub(crate) ca: Option<SocketAddr>,
    /// DNS name in the certificate of the CA service; may be repeated
    #[arg(long = "dns-name", value_name = "NAME")]
    pub(crate) dns_names: Vec<String>,
    /// Unix socket of the SPIFFE Workload API
    #[arg(long, value_name = "SOCKET", value_parser = socket)]
    pub(crate) workload_api: Option<PathBuf>,
    /// Address of the bundle endpoint (https_spiffe)
    #[arg(long, value_name = "ADDR")]
    pub(crate) bundle: Option<SocketAddr>,
    /// Certificate chain for the bundle endpoint, which is then https_web
    #[arg(long, value_name = "FILE", requires_all = ["bundle", "bundle_key"])]
    pub(crate) bundle_cert: Option<PathBuf>,
    /// Key of that certificate
    #[arg(long, value_name = "FILE", requires = "bundle_cert")]
    pub(crate) bundle_key: Option<PathBuf>,
    /// Keys (JWKS) that verify callers' tokens: a file, or an https URL
    #[arg(long, value_name = "FILE|URL", requires_all = ["jwt_issuer", "audience"])]
    pub(crate) jwks: Option<String>,
    /// PEM file that the server of such a URL must chain to; without it the system's roots
    #[arg(long, value_name = "FILE", requires = "jwks")]
    pub(crate) jwks_ca: Option<PathBuf>,
    /// Issuer that callers' tokens must name
    #[arg(long, value_name = "ISS")]
    pub(crate) jwt_issuer: Option<String>,
    /// Audience that callers' tokens must name; may be repeated
    #[arg(long, value_name = "AUDIENCE")]
    pub(crate) audience: Vec<String>,
    /// API server that reviews callers' tokens (TokenReview), https://HOST:PORT
    #[arg(long, value_name = "URL")]
    pub(crate) api_server: Option<String>,
    /// Life of a certificate for whoever names none
    #[arg(long, default_value = "1h", value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) ttl: Duration,
    /// Longest life that may be asked for
    #[arg(long, default_value = "24h", value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) max_ttl: Duration,
    /// Life of a root
    #[arg(long, default_value = "720h", value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) ca_ttl: Duration,
    /// Admin interface: status, rotation; loopback only
    #[arg(long, default_value = "127.0.0.1:15100", value_name = "ADDR")]
    pub(crate) admin: SocketAddr,
    /// Metrics interface: /metrics
    #[arg(long, default_value = "127.0.0.1:15120", value_name = "ADDR")]
    pub(crate) metrics: SocketAddr,
    /// Log filter, as in RUST_LOG: a level, or target=level pairs
    #[arg(long, env = "DIOLKOS_LOG", default_value = "info", value_name = "FILTER")]
    pub(crate) log: String,
}

/// The path of a Unix socket, also as clients are told it (`unix:///PATH`).
#[expect(clippy::unnecessary_wraps, reason = "clap wants a Result")]
fn socket(text: &str) -> Result<PathBuf, std::convert::Infallible> {
    Ok(text.strip_prefix("unix://").unwrap_or(text).into())
}

/// What a running issuer is told.
#[derive(Debug, Subcommand)]
pub(crate) enum IssuerOrder {
    /// Prepare a new root, publish it, then sign with it once everybody can know it
    RotateRoot {
        /// Admin address of the issuer
        #[arg(long, default_value = "127.0.0.1:15100", value_name = "ADDR")]
        admin: SocketAddr,
        /// Sign with the new root at once: peers that do not know it yet are cut off
        #[arg(long)]
        force: bool,
    },
    /// Show roots, their phases, and what has been issued
    Status {
        /// Admin address of the issuer
        #[arg(long, default_value = "127.0.0.1:15100", value_name = "ADDR")]
        admin: SocketAddr,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    /// Folder or file of objects; - reads standard input
    #[arg(short = 'f', long = "file", value_name = "DIR|FILE|-")]
    pub(crate) folder: PathBuf,
    /// How the result is printed
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Format,
}

#[derive(Args, Debug)]
pub(crate) struct Explain {
    /// Folder or file of objects; - reads standard input
    #[arg(short = 'f', long = "file", value_name = "DIR|FILE|-")]
    pub(crate) folder: PathBuf,
    /// Request method
    pub(crate) method: String,
    /// Request URL: scheme, host, port, path and query
    pub(crate) url: String,
    /// Request header, NAME: VALUE; may be repeated
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    pub(crate) headers: Vec<String>,
    /// Server name of the TLS handshake; by default the URL's host
    #[arg(long, value_name = "NAME")]
    pub(crate) sni: Option<String>,
    /// How the result is printed
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Format,
}

#[derive(Args, Debug)]
pub(crate) struct Get {
    /// What to list
    pub(crate) what: What,
    /// Folder or file of objects; - reads standard input
    #[arg(short = 'f', long = "file", value_name = "DIR|FILE|-", required_unless_present = "admin")]
    pub(crate) folder: Option<PathBuf>,
    /// Admin address of a running gateway
    #[arg(long, value_name = "ADDR", conflicts_with = "folder")]
    pub(crate) admin: Option<SocketAddr>,
    /// How the result is printed
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Format,
}

#[derive(Args, Debug)]
pub(crate) struct Echo {
    /// What it calls itself in answers
    #[arg(long, default_value = "echo", value_name = "NAME")]
    pub(crate) workload: String,
    /// Address for HTTP/1.1, HTTP/2, gRPC and WebSocket; may be repeated
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Vec<SocketAddr>,
    /// Address for TCP; may be repeated
    #[arg(long, value_name = "ADDR")]
    pub(crate) tcp: Vec<SocketAddr>,
    /// Address for UDP; may be repeated
    #[arg(long, value_name = "ADDR")]
    pub(crate) udp: Vec<SocketAddr>,
}

#[derive(Args, Debug)]
pub(crate) struct Probe {
    /// SCHEME://HOST[:PORT][/PATH]
    pub(crate) url: String,
    /// Method; by default GET, and POST with data
    #[arg(short = 'X', long, value_name = "METHOD")]
    pub(crate) method: Option<String>,
    /// Request header, NAME: VALUE; may be repeated
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    pub(crate) headers: Vec<String>,
    /// What to send: a body, a message, bytes
    #[arg(short, long)]
    pub(crate) data: Option<String>,
    /// Connect there, whatever the URL says
    #[arg(long, value_name = "ADDR")]
    pub(crate) connect: Option<SocketAddr>,
    /// File of CA certificates to verify the server by
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,
    /// Verify nothing
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Be a mesh peer: show the SVID that this SPIFFE Workload API gives to this process
    #[arg(long, value_name = "SOCKET", requires = "spiffe_id", conflicts_with_all = ["cacert", "insecure"])]
    pub(crate) socket: Option<String>,
    /// SPIFFE ID that the server must have
    #[arg(long, value_name = "ID", requires = "socket")]
    pub(crate) spiffe_id: Option<String>,
    /// Seconds to wait
    #[arg(long, default_value_t = 10)]
    pub(crate) timeout: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum What {
    Routes,
    Listeners,
    Backends,
    Endpoints,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    Table,
    /// JSON for programs
    Json,
}
