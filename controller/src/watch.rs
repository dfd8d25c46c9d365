//! Which files changed: the operating system's notifications, bounded, and only when a write is complete.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// What changed since it was last asked.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) enum Changes {
    /// Nothing.
    #[default]
    None,
    /// These files and folders.
    Paths(BTreeSet<PathBuf>),
    /// Too much to say: look at everything.
    Everything,
}

impl Changes {
    fn add(&mut self, path: PathBuf) {
        match self {
            Self::None => *self = Self::Paths(BTreeSet::from([path])),
            Self::Paths(paths) if paths.len() >= MOST_PATHS => *self = Self::Everything,
            Self::Paths(paths) => _ = paths.insert(path),
            Self::Everything => {}
        }
    }
}

/// Watches a folder and all below it.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    _watcher: RecommendedWatcher,
}

struct Shared {
    changes: Mutex<Changes>,
    wake: Notify,
}

impl Watch {
    /// Starts watching.
    pub(crate) fn start(root: &Path) -> Result<Self, notify::Error> {
        let shared = Arc::new(Shared { changes: Mutex::default(), wake: Notify::new() });
        let sink = Arc::clone(&shared);
        let mut watcher = notify::recommended_watcher(move |event| sink.receive(event))?;
        watcher.watch(root, RecursiveMode::Recursive)?;
        Ok(Self { shared, _watcher: watcher })
    }

    /// Waits until something has changed.
    pub(crate) async fn changed(&self) {
        self.shared.wake.notified().await;
    }

    /// Takes what has changed.
    pub(crate) fn take(&self) -> Changes {
        std::mem::take(&mut *self.shared.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shared {
    fn receive(&self, event: Result<Event, notify::Error>) {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Ok(event) if event.need_rescan() => *changes = Changes::Everything,
            Ok(event) if is_complete(&event) => event.paths.into_iter().for_each(|path| changes.add(path)),
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(%error, "Watching the folder failed, reading all of it again");
                *changes = Changes::Everything;
            }
        }
        drop(changes);
        self.wake.notify_one();
    }
}

/// Whether the event says that a file has its new content. A write in progress does not: an editor that
/// truncates and then writes would show an empty file. Closing it, or renaming it into place, does.
fn is_complete(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) | EventKind::Remove(_) => true,
        EventKind::Modify(ModifyKind::Name(_)) => true,
        EventKind::Create(CreateKind::Folder) => true,
        // A hard or symbolic link is complete when made; a file that is being written is still empty.
        EventKind::Create(_) => event.paths.iter().any(|path| {
            std::fs::symlink_metadata(path).is_ok_and(|facts| facts.is_symlink() || facts.len() > 0)
        }),
        EventKind::Modify(_) | EventKind::Any | EventKind::Other => !cfg!(target_os = "linux"),
        EventKind::Access(_) => false,
    }
}

/// More changed paths than this are not remembered one by one.
const MOST_PATHS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_finished_write_and_a_rename_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let watch = Watch::start(&root).unwrap();
        std::fs::write(root.join("a.yaml"), "a").unwrap();
        watch.changed().await;
        assert_eq!(watch.take(), Changes::Paths(BTreeSet::from([root.join("a.yaml")])));

        std::fs::rename(root.join("a.yaml"), root.join("b.yaml")).unwrap();
        let mut seen = BTreeSet::new();
        while !seen.contains(&root.join("b.yaml")) {
            watch.changed().await;
            if let Changes::Paths(paths) = watch.take() {
                seen.extend(paths);
            }
        }
        assert!(seen.contains(&root.join("a.yaml")));
    }

    #[test]
    fn memory_is_bounded() {
        let mut changes = Changes::default();
        (0..=MOST_PATHS).for_each(|number| changes.add(PathBuf::from(number.to_string())));
        assert_eq!(changes, Changes::Everything);
    }
}
