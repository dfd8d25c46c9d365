//! Stock Envoy: as the sidecar of a STRICT workload, and as a client with a certificate of the mesh.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context, Result};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::authority::Svid;
use super::program::{self, Program};
use crate::place::Place;

/// A running Envoy.
#[derive(Debug)]
pub struct Envoy {
    /// Its address and folder.
    pub place: Place,
    program: Program,
}

/// What Envoy shows and whom it believes.
#[derive(Clone, Copy, Debug)]
pub struct Mesh<'a> {
    /// Its certificate; none: it shows none.
    pub svid: Option<&'a Svid>,
    /// PEM: roots.
    pub roots: &'a str,
    /// The SPIFFE ID that a peer must carry.
    pub peer: &'a str,
}

impl Envoy {
    /// A STRICT sidecar on port 8443, with istiod's filter chains: what offers an istio HTTP protocol reaches the HTTP server
    /// at `backend`, with `x-chain: istio-http` and `x-sni`; any other TLS reaches it as bytes; no plaintext.
    pub async fn sidecar(mesh: Mesh<'_>, backend: SocketAddr) -> Result<Self> {
        let configuration = SIDECAR.replace("BACKEND_PORT", &backend.port().to_string());
        let configuration = configuration.replace("BACKEND_IP", &backend.ip().to_string());
        Self::start(mesh, 8443, &configuration).await
    }

    /// A client's sidecar: HTTP on port 8080, sent to `server` over mTLS with this SNI and these ALPN values.
    pub async fn client(mesh: Mesh<'_>, server: SocketAddr, sni: &str, alpn: &[&str]) -> Result<Self> {
        let http2 = alpn.iter().any(|value| value.ends_with("h2"));
        let configuration = CLIENT
            .replace("SERVER_PORT", &server.port().to_string())
            .replace("SERVER_IP", &server.ip().to_string())
            .replace("SNI", sni)
            .replace("ALPN", &alpn.join(", "))
            .replace("PROTOCOL", if http2 { "http2_protocol_options" } else { "http_protocol_options" })
            .replace("CERTIFICATE", if mesh.svid.is_some() { CERTIFICATE } else { "" });
        Self::start(mesh, 8080, &configuration).await
    }

    async fn start(mesh: Mesh<'_>, port: u16, configuration: &str) -> Result<Self> {
        let place = Place::new()?;
        if let Some(svid) = mesh.svid {
            place.write("chain.pem", &svid.chain)?;
            let key = place.write("key.pem", &svid.key)?;
            std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o600))?;
        }
        place.write("roots.pem", mesh.roots)?;
        let folder = place.folder().display().to_string();
        let configuration = configuration.replace("DIR", &folder).replace("PEER_ID", mesh.peer);
        place.write("envoy.yaml", &configuration)?;
        let program = spawn(&place)?;
        let mut envoy = Self { place, program };
        let address = envoy.place.at(port);
        envoy.program.until("listening", async || TcpStream::connect(address).await.is_ok()).await?;
        Ok(envoy)
    }

    /// What it has logged, accesses included.
    pub fn log(&self) -> String {
        self.program.log()
    }
}

fn spawn(place: &Place) -> Result<Program> {
    let found = std::fs::read_dir(program::path("python")?.join("lib"))?
        .filter_map(Result::ok)
        .map(|entry| entry.path().join("site-packages/envoy/_bin/envoy"))
        .find(|path| path.exists())
        .context("the Python environment has no Envoy")?;
    let mut command = Command::new(found);
    command.args(["-c", "envoy.yaml", "--concurrency", "1", "--disable-hot-restart", "-l", "info"]);
    Program::start("envoy", place.folder(), &mut command)
}

const CERTIFICATE: &str = "tls_certificates: [{certificate_chain: {filename: DIR/chain.pem}, private_key: {filename: DIR/key.pem}}]";

const SIDECAR: &str = r#"
static_resources:
  listeners:
  - name: inbound
    address: {socket_address: {address: "@IP@", port_value: 8443}}
    listener_filters:
    - name: tls_inspector
      typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}
    filter_chains:
    - filter_chain_match: {transport_protocol: tls, application_protocols: [istio-http/1.0, istio-http/1.1, istio-h2]}
      transport_socket: &tls
        name: tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          require_client_certificate: true
          common_tls_context:
            alpn_protocols: [h2, http/1.1]
            tls_certificates: [{certificate_chain: {filename: DIR/chain.pem}, private_key: {filename: DIR/key.pem}}]
            validation_context:
              trusted_ca: {filename: DIR/roots.pem}
              match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: "PEER_ID"}}]
      filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: inbound
          codec_type: AUTO
          forward_client_cert_details: APPEND_FORWARD
          set_current_client_cert_details: {subject: true, dns: true, uri: true}
          access_log: &log
          - name: stdout
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
              log_format: {text_format_source: {inline_string: "access %PROTOCOL% %RESPONSE_CODE% %REQUESTED_SERVER_NAME% %DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_TLS_VERSION%\n"}}
          http_filters:
          - {name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              response_headers_to_add:
              - header: {key: x-chain, value: istio-http}
              - header: {key: x-sni, value: "%REQUESTED_SERVER_NAME%"}
              routes: [{match: {prefix: /}, route: {cluster: app}}]
    - filter_chain_match: {transport_protocol: tls}
      transport_socket: *tls
      filters:
      - name: tcp
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: tcp
          cluster: app
          access_log: *log
  clusters:
  - name: app
    connect_timeout: 5s
    load_assignment:
      cluster_name: app
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: "BACKEND_IP", port_value: BACKEND_PORT}}}}]}]
"#;

const CLIENT: &str = r#"
static_resources:
  listeners:
  - name: outbound
    address: {socket_address: {address: "@IP@", port_value: 8080}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: outbound
          http_filters:
          - {name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{match: {prefix: /}, route: {cluster: gateway}}]
  clusters:
  - name: gateway
    connect_timeout: 5s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {PROTOCOL: {}}
    transport_socket:
      name: tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: "SNI"
        common_tls_context:
          alpn_protocols: [ALPN]
          CERTIFICATE
          tls_params: {tls_minimum_protocol_version: TLSv1_2, tls_maximum_protocol_version: TLSv1_3}
          validation_context:
            trusted_ca: {filename: DIR/roots.pem}
            match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: "PEER_ID"}}]
    load_assignment:
      cluster_name: gateway
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: "SERVER_IP", port_value: SERVER_PORT}}}}]}]
"#;
