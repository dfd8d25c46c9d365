//! Other programs: run to their end, or kept running for the length of a test.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::place::Place;

/// A server that runs for the length of a test; killed with the value.
#[derive(Debug)]
pub struct Peer {
    /// Its address and its folder.
    pub place: Place,
    child: Child,
}

impl Peer {
    /// NGINX with these `http` directives. `@IP@` becomes its address, `DIR` its folder; it listens on `port`.
    pub async fn nginx(port: u16, http: &str) -> Result<Self> {
        let place = Place::new()?;
        let folder = place.folder().display().to_string();
        let configuration = format!(
            "daemon off; worker_processes 1; pid DIR/pid; error_log DIR/error.log info; events {{}}\n\
             http {{ access_log DIR/access.log; client_body_temp_path DIR/b; proxy_temp_path DIR/p;\n\
             fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;\n{http}\n}}\n"
        );
        let path = place.write("nginx.conf", &configuration.replace("DIR", &folder))?;
        let child = spawn(Command::new("/usr/sbin/nginx").arg("-c").arg(path).args(["-e", "stderr"]))?;
        Self { place, child }.listening(port).await
    }

    /// HAProxy with this configuration below `defaults`.
    pub async fn haproxy(port: u16, configuration: &str) -> Result<Self> {
        let place = Place::new()?;
        let head =
            "defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n";
        let path = place.write("haproxy.cfg", &format!("{head}{configuration}\n"))?;
        let child = spawn(Command::new("/usr/sbin/haproxy").arg("-db").arg("-f").arg(path))?;
        Self { place, child }.listening(port).await
    }

    /// `diolkos echo` for HTTP on port 3000, TCP on 3100 and UDP on 3200.
    pub async fn echo(workload: &str) -> Result<Self> {
        let place = Place::new()?;
        let child = spawn(
            Command::new(crate::gateway::binary()?)
                .args(["echo", "--workload", workload])
                .args(["--http", &place.at(3000).to_string()])
                .args(["--tcp", &place.at(3100).to_string()])
                .args(["--udp", &place.at(3200).to_string()]),
        )?;
        Self { place, child }.listening(3000).await
    }

    async fn listening(mut self, port: u16) -> Result<Self> {
        let address: SocketAddr = self.place.at(port);
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the peer for {address} ended with {status}");
            }
            ensure!(Instant::now() < deadline, "the peer does not listen on {address}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(self)
    }

    /// A file of its folder, such as `access.log`.
    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.place.folder().join(name)).unwrap_or_default()
    }

    /// Ends it at once.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.context("kill")
    }
}

fn spawn(command: &mut Command) -> Result<Child> {
    let name = command.as_std().get_program().to_owned();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{} (conformance/system/install installs it)", name.display()))
}

/// Runs a program to its end and gives its standard output; fails with its standard error.
///
/// # Errors
/// The program is missing, fails, or takes longer than two minutes.
pub async fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let (success, output) = outcome(program, arguments).await?;
    ensure!(success, "{program} {}:\n{output}", arguments.join(" "));
    Ok(output)
}

/// The same for a program that may fail: whether it succeeded, and all that it printed.
///
/// # Errors
/// The program is missing, or takes longer than two minutes.
pub async fn outcome(program: &str, arguments: &[&str]) -> Result<(bool, String)> {
    let work = Command::new(program).args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_secs(120), work)
        .await
        .with_context(|| format!("{program} takes too long"))?
        .with_context(|| format!("{program} (conformance/system/install installs it)"))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        text.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    Ok((output.status.success(), text))
}
