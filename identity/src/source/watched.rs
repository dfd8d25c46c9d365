//! Files that somebody else writes: tells when to look at them again.
//!
//! The parent folders are watched, not the files: Kubernetes swaps a symbolic link beside them (`..data`), and others
//! rename a new file into place. Where watching fails (a folder that is not there yet, a network file system, too many
//! watches), a look every few seconds does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tracing::debug;

/// Watches the folders of some files.
#[derive(Debug)]
pub(crate) struct FileWatch {
    _watcher: Option<RecommendedWatcher>,
    wake: Arc<Notify>,
    poll: Duration,
}

impl FileWatch {
    /// Watches the folders of these files. They need not be there.
    pub(crate) fn new<'a>(files: impl IntoIterator<Item = &'a str>) -> Self {
        Self::with_poll(files, POLL)
    }

    fn with_poll<'a>(files: impl IntoIterator<Item = &'a str>, poll: Duration) -> Self {
        let wake = Arc::new(Notify::new());
        let folders: BTreeSet<PathBuf> = files
            .into_iter()
            .filter_map(|file| Path::new(file).parent())
            .map(|folder| if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() })
            .collect();
        let watcher = watcher(&folders, &wake)
            .inspect_err(|error| debug!(%error, "Files are looked at in turn, not watched"))
            .ok();
        Self { _watcher: watcher, wake, poll }
    }

    /// Returns when something may have changed and nothing has for a moment. Cancel-safe.
    pub(crate) async fn changed(&self) {
        tokio::select! {
            () = self.wake.notified() => {}
            () = tokio::time::sleep(self.poll) => return,
        }
        // Several files are written one after another; half of a set is worth nothing. Bounded, as some folders are
        // never quiet.
        for _ in 0..10 {
            let more = tokio::time::timeout(QUIET, self.wake.notified()).await;
            if more.is_err() {
                return;
            }
        }
    }
}

fn watcher(folders: &BTreeSet<PathBuf>, wake: &Arc<Notify>) -> Result<RecommendedWatcher, notify::Error> {
    let wake = Arc::clone(wake);
    let mut watcher = notify::recommended_watcher(move |event: Result<notify::Event, _>| {
        // Our own reading is no change.
        if !matches!(event, Ok(notify::Event { kind: EventKind::Access(_), .. })) {
            wake.notify_one();
        }
    })?;
    for folder in folders {
        if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
            debug!(%error, folder = %folder.display(), "Folder is looked at in turn, not watched");
        }
    }
    Ok(watcher)
}

/// A file as it is now, or why it cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be read")]
pub(crate) struct ReadError {
    path: Arc<str>,
    #[source]
    source: std::io::Error,
}

/// Reads a text file of at most [`LARGEST`] bytes.
pub(crate) async fn read(path: &Arc<str>) -> Result<String, ReadError> {
    let failed = |source| ReadError { path: Arc::clone(path), source };
    let size = tokio::fs::metadata(&**path).await.map_err(failed)?.len();
    if size > LARGEST {
        let source = std::io::Error::new(std::io::ErrorKind::FileTooLarge, "it is too large");
        return Err(failed(source));
    }
    tokio::fs::read_to_string(&**path).await.map_err(failed)
}

/// Reads a file that need not be there: then it is empty.
pub(crate) async fn read_optional(path: &Arc<str>) -> Result<String, ReadError> {
    match read(path).await {
        Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        result => result,
    }
}

/// Well above what chains, roots and revocation lists of a mesh take.
const LARGEST: u64 = 16 << 20;
const POLL: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    /// Long enough that only the watch can be what tells.
    const NEVER: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_symbolic_link_that_is_swapped_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = |version: &str| folder.path().join(version).join("token");
        for version in ["one", "two"] {
            std::fs::create_dir(folder.path().join(version)).unwrap();
            std::fs::write(file(version), version).unwrap();
        }
        let link = folder.path().join("..data");
        std::os::unix::fs::symlink("one", &link).unwrap();
        let path = folder.path().join("token");
        std::os::unix::fs::symlink("..data/token", &path).unwrap();
        let path: Arc<str> = path.to_str().unwrap().into();

        let watch = FileWatch::with_poll([&*path], NEVER);
        assert_eq!(read(&path).await.unwrap(), "one");
        let next = folder.path().join("..next");
        std::os::unix::fs::symlink("two", &next).unwrap();
        std::fs::rename(&next, &link).unwrap();
        tokio::time::timeout(Duration::from_secs(60), watch.changed()).await.expect("inotify tells");
        assert_eq!(read(&path).await.unwrap(), "two");
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_watched_is_looked_at() {
        let watch = FileWatch::new(["/nowhere/at/all"]);
        watch.changed().await;
        let path: Arc<str> = "/nowhere/at/all".into();
        assert_eq!(read(&path).await.unwrap_err().to_string(), "/nowhere/at/all cannot be read");
        assert_eq!(read_optional(&path).await.unwrap(), "");
    }
}
