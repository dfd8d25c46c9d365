//! Which files of a folder hold objects: `*.yaml`, `*.yml`, `*.json`, below it at any depth, hidden ones left out.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Files of objects.
    pub(super) files: BTreeSet<PathBuf>,
    /// What could not be listed.
    pub(super) problems: Vec<(PathBuf, io::Error)>,
}

/// The files at or below `root`. Symbolic links are followed, to a bounded depth.
pub(super) fn files(root: &Path) -> Walk {
    let mut walk = Walk::default();
    if root.is_dir() {
        descend(root, 0, &mut walk);
    } else {
        walk.files.insert(root.to_owned());
    }
    walk
}

fn descend(folder: &Path, depth: usize, walk: &mut Walk) {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return walk.problems.push((folder.to_owned(), error)),
    };
    for entry in entries {
        let path = match entry {
            Ok(entry) => entry.path(),
            Err(error) => {
                walk.problems.push((folder.to_owned(), error));
                continue;
            }
        };
        if is_hidden(&path) {
            continue;
        }
        if path.is_dir() {
            if depth < DEEPEST {
                descend(&path, depth + 1, walk);
            } else {
                walk.problems.push((path, io::Error::other("folders lie too deep, or links form a circle")));
            }
        } else if has_extension(&path) {
            walk.files.insert(path);
        }
    }
}

/// Whether a path that changed is one that [`files`] would give.
pub(super) fn is_ours(root: &Path, path: &Path) -> bool {
    path == root || (path.starts_with(root) && has_extension(path) && !is_hidden_below(root, path))
}

/// Whether a part of the path below `root` is hidden.
pub(super) fn is_hidden_below(root: &Path, path: &Path) -> bool {
    path.strip_prefix(root).is_ok_and(|below| below.ancestors().any(is_hidden))
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn has_extension(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json")
}

/// Folders below folders.
const DEEPEST: usize = 32;
