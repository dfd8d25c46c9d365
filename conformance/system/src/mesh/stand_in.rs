//! A relay in front of a server that can refuse, hang, be slow, or answer nonsense.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What the relay does with a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// Passes it on.
    Pass,
    /// Closes it at once.
    Refuse,
    /// Takes what it is sent and never answers.
    BlackHole,
    /// Passes it on after this time.
    Slow(Duration),
    /// Answers with bytes of another protocol.
    Nonsense,
}

/// A running relay; it ends with the value.
#[derive(Debug)]
pub struct StandIn {
    mode: watch::Sender<Mode>,
    task: JoinHandle<()>,
}

impl StandIn {
    /// Relays from one address to another.
    pub async fn start(listen: SocketAddr, target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(listen).await.with_context(|| format!("{listen}"))?;
        let (mode, modes) = watch::channel(Mode::Pass);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let mut modes = modes.clone();
                connections.spawn(async move {
                    let mode = *modes.borrow_and_update();
                    // A change of mode cuts what there is, as the fault that it stands for would.
                    tokio::select! {
                        _ = relay(mode, stream, target) => {}
                        _ = modes.changed() => {}
                    }
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { mode, task })
    }

    /// Changes what it does; connections that there are end.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(mode: Mode, mut stream: TcpStream, target: SocketAddr) -> std::io::Result<()> {
    match mode {
        Mode::Refuse => return Ok(()),
        Mode::BlackHole => {
            let mut sink = [0; 4096];
            while stream.read(&mut sink).await? > 0 {}
            return Ok(());
        }
        Mode::Nonsense => {
            stream.write_all(b"220 mail.example ESMTP\r\n").await?;
            return stream.shutdown().await;
        }
        Mode::Slow(pause) => tokio::time::sleep(pause).await,
        Mode::Pass => {}
    }
    let mut server = TcpStream::connect(target).await?;
    copy_bidirectional(&mut stream, &mut server).await.map(drop)
}
