//! The released binary as the suites meet it: a gateway with an HTTP and an HTTPS listener before an echo workload.

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

/// The gateway and its workload; both end with the value.
#[derive(Debug)]
pub(super) struct Gateway {
    address: IpAddr,
    folder: TempDir,
    processes: Vec<Child>,
}

impl Gateway {
    /// Starts both and waits until they serve.
    pub(super) fn start(binary: &Path) -> Result<Self> {
        let [low, high, ..] = std::process::id().to_le_bytes();
        // Away from 127.0.0.1, where somebody's gateway may be running.
        let address = IpAddr::from([127, 240, high, low.max(1)]);
        let folder = tempfile::tempdir().context("a folder for the gateway")?;
        let mut gateway = Self { address, folder, processes: Vec::new() };
        gateway.write_objects()?;
        let at = |port| SocketAddr::new(address, port).to_string();
        gateway.spawn(binary, &["echo", "--http", &at(WORKLOAD)])?;
        let objects = gateway.folder.path().join("objects").display().to_string();
        let bind = address.to_string();
        let (admin, health, metrics) = (at(15000), at(15021), at(15020));
        let addresses = ["--bind", &bind, "--admin", &admin, "--health", &health, "--metrics", &metrics];
        gateway
            .spawn(binary, &[&["serve", "-f", &objects, "--access-log", "off"], &addresses[..]].concat())?;
        for port in [WORKLOAD, HTTP, HTTPS] {
            gateway.wait_for(port)?;
        }
        Ok(gateway)
    }

    /// Where it listens.
    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// A folder for what a suite writes.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Whether it still answers; a suite that has killed it would otherwise look good.
    pub(super) fn check_alive(&mut self) -> Result<()> {
        for process in &mut self.processes {
            if let Some(status) = process.try_wait()? {
                bail!("the gateway or its workload ended with {status} during the suite:\n{}", self.log());
            }
        }
        Ok(())
    }

    fn write_objects(&self) -> Result<()> {
        let folder = self.folder.path();
        let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
        let output = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
            .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .context("openssl is missing (Debian: apt install openssl)")?;
        ensure!(output.status.success(), "openssl req: {}", String::from_utf8_lossy(&output.stderr));
        let objects = OBJECTS
            .replace("{ADDRESS}", &self.address.to_string())
            .replace("{CRT}", &base64(&fs::read(certificate)?))
            .replace("{KEY}", &base64(&fs::read(key)?));
        fs::create_dir(folder.join("objects"))?;
        fs::write(folder.join("objects/gateway.yaml"), objects).context("write the gateway's objects")
    }

    fn spawn(&mut self, binary: &Path, arguments: &[&str]) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.folder.path().join("log"))?;
        let child = Command::new(binary)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", binary.display()))?;
        self.processes.push(child);
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "waits for a condition, with a pause between two looks")]
    fn wait_for(&mut self, port: u16) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((self.address, port)).is_err() {
            self.check_alive()?;
            ensure!(Instant::now() < deadline, "nothing listens on port {port}:\n{}", self.log());
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // It may have ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The port of the HTTP listener.
pub(super) const HTTP: u16 = 8080;
/// The port of the HTTPS listener.
pub(super) const HTTPS: u16 = 8443;
const WORKLOAD: u16 = 3000;

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

const OBJECTS: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: diolkos
  listeners:
  - {name: http, port: 8080, protocol: HTTP}
  - {name: https, port: 8443, protocol: HTTPS, tls: {certificateRefs: [{name: edge}]}}
---
apiVersion: v1
kind: Secret
metadata: {name: edge}
type: kubernetes.io/tls
data: {tls.crt: "{CRT}", tls.key: "{KEY}"}
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec: {ports: [{port: 80, targetPort: 3000}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: echo, labels: {kubernetes.io/service-name: echo}}
addressType: IPv4
ports: [{port: 3000}]
endpoints: [{addresses: ["{ADDRESS}"]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: all}
spec:
  parentRefs: [{name: edge}]
  rules: [{backendRefs: [{name: echo, port: 80}]}]
"#;
