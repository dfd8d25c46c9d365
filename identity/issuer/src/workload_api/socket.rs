//! The Unix socket: made for everybody to connect to, and removed at the end.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use identity::proto::workload::spiffe_workload_api_server::SpiffeWorkloadApiServer;
use tokio::net::{UnixListener, UnixStream};
use tonic::body::Body;
use tonic::codegen::Service as _;
use tracing::{debug, warn};

use super::attest::Process;
use super::authority::Readable;
use super::service::WorkloadApi;
use crate::serve::{self, Door};

/// A bound socket.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The system refuses.
    #[error("the socket {path} cannot be made")]
    Io {
        /// Where.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// Somebody answers there.
    #[error("somebody serves {0} already")]
    InUse(PathBuf),
    /// It is a file.
    #[error("{0} is there and is no socket")]
    NoSocket(PathBuf),
}

impl Socket {
    /// Binds. A socket that a process left behind is replaced; one that is served is not.
    ///
    /// # Errors
    /// [`SocketError`].
    pub(crate) async fn bind(path: &Path) -> Result<Self, SocketError> {
        let failed = |source| SocketError::Io { path: path.to_owned(), source };
        match fs::symlink_metadata(path) {
            Ok(facts) if !facts.file_type().is_socket() => {
                return Err(SocketError::NoSocket(path.to_owned()));
            }
            Ok(_) => {
                if UnixStream::connect(path).await.is_ok() {
                    return Err(SocketError::InUse(path.to_owned()));
                }
                fs::remove_file(path).map_err(failed)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        // Who may connect is no secret: what they get depends on who they are.
        fs::set_permissions(path, Permissions::from_mode(0o777)).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Serves for as long as it runs.
    pub(crate) async fn serve(self, api: WorkloadApi, message_bytes: usize, door: Door) {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "Workload API connection cannot be accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            // At once: the longer it takes, the likelier the process has ended.
            let process = match stream.peer_cred().map(Process::attest) {
                Ok(Ok(process)) => Arc::new(process),
                Ok(Err(error)) => {
                    warn!(%error, "Workload API caller is not known");
                    continue;
                }
                Err(error) => {
                    debug!(%error, "Workload API caller has gone");
                    continue;
                }
            };
            let user = process.user();
            let server = SpiffeWorkloadApiServer::new(api.clone()).max_decoding_message_size(message_bytes);
            let handle = move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(process.clone());
                let mut server = server.clone();
                async move { server.call(request.map(Body::new)).await }
            };
            door.admit(user, serve::http2(Readable::new(stream), handle)).await;
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // What is left behind is replaced at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

/// After a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);
