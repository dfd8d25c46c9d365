//! Who is at the other end of a Unix socket, by the kernel's word.
//!
//! A process ID can be used again once its process has ended. So the process's folder in `/proc` is opened when the
//! connection comes: that handle stays with the process it was opened for, and reads through it fail for ever once that
//! process has ended, whoever has its ID then. What was read at the beginning must still be so at each call, so that a
//! process that replaces its program keeps nothing.
//!
//! Known limits: between `connect` and our `accept` a process may end; its successor would have to have the same user
//! and group, or it is refused. A path is as the process's own mount namespace has it: where containers run, register
//! by pod or user as well.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tokio::net::unix::UCred;

use crate::settings::Selectors;

/// What the kernel says of a process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Facts {
    pub(crate) pid: i32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// None: it may not be read, or the file is gone. Then no path matches.
    pub(crate) path: Option<PathBuf>,
    pub(crate) pod_uid: Option<String>,
    /// Clock ticks since the system's start: with the process ID it names one process.
    started: u64,
}

/// A process, held so that another one with its ID is not taken for it.
#[derive(Debug)]
pub(crate) struct Process {
    folder: File,
    facts: Facts,
}

/// Why nothing is known of a caller.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttestError {
    #[error("the caller's process is not visible from here")]
    Invisible,
    #[error("the caller's process has ended")]
    Ended,
    #[error("the caller's process is not what it was when it connected")]
    Changed,
}

impl Process {
    /// Takes hold of the process at the other end.
    ///
    /// # Errors
    /// [`AttestError`].
    pub(crate) fn attest(peer: UCred) -> Result<Self, AttestError> {
        // A process of a namespace that is not within ours has the ID 0 here.
        let pid = peer.pid().filter(|pid| *pid > 0).ok_or(AttestError::Invisible)?;
        let folder = File::open(format!("/proc/{pid}")).map_err(|_| AttestError::Ended)?;
        let facts = read(&folder, pid, peer.uid(), peer.gid())?;
        Ok(Self { folder, facts })
    }

    /// Whose connections are counted together.
    pub(crate) fn user(&self) -> String {
        format!("uid {}", self.facts.uid)
    }

    /// What is known, provided that it still is so.
    ///
    /// # Errors
    /// The process has ended, or runs another program now.
    pub(crate) fn facts(&self) -> Result<&Facts, AttestError> {
        let now = read(&self.folder, self.facts.pid, self.facts.uid, self.facts.gid)?;
        if now == self.facts { Ok(&self.facts) } else { Err(AttestError::Changed) }
    }
}

/// Reads through the handle, so that all of it is of one process.
fn read(folder: &File, pid: i32, uid: u32, gid: u32) -> Result<Facts, AttestError> {
    let base = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    let owner = folder.metadata().map_err(|_| AttestError::Ended)?;
    let started = read_file(&base.join("stat")).and_then(|stat| started(&stat)).ok_or(AttestError::Ended)?;
    // The folder belongs to the effective user, or to root if the process may not be dumped.
    if owner.uid() != uid && owner.uid() != 0 {
        return Err(AttestError::Changed);
    }
    let path = fs::read_link(base.join("exe")).ok().filter(|path| !is_deleted(path));
    let pod_uid = read_file(&base.join("cgroup")).and_then(|text| pod_uid(&text));
    Ok(Facts { pid, uid, gid, path, pod_uid, started })
}

fn read_file(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(MAX_READ).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Field 22 of `/proc/PID/stat`. The second field is the program's name in brackets and may hold anything.
fn started(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// The kernel marks a program whose file is gone; whatever is at that path now is something else.
fn is_deleted(path: &Path) -> bool {
    path.to_string_lossy().ends_with(" (deleted)")
}

/// The pod that all cgroups of a process are of. Only below the kubelet's own root: whoever may make cgroups of its own
/// could give them any name.
pub(crate) fn pod_uid(cgroups: &str) -> Option<String> {
    let mut found: Option<String> = None;
    for line in cgroups.lines() {
        let path = line.splitn(3, ':').nth(2)?;
        let mut parts = path.trim_start_matches('/').split('/');
        if !parts.next().is_some_and(|root| root.starts_with("kubepods") || root.starts_with("kubelet")) {
            continue;
        }
        let Some(uid) = parts.find_map(pod_of) else { continue };
        match &found {
            Some(other) if *other != uid => return None,
            _ => found = Some(uid),
        }
    }
    found
}

/// `pod1234-…` (cgroupfs) or `kubepods-burstable-pod1234_….slice` (systemd).
fn pod_of(part: &str) -> Option<String> {
    let part = part.strip_suffix(".slice").unwrap_or(part);
    let uid = match part.strip_prefix("pod") {
        Some(uid) => uid.to_owned(),
        None => part.rsplit_once("-pod")?.1.replace('_', "-"),
    };
    let valid = uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    (valid && (32..=36).contains(&uid.len())).then_some(uid)
}

impl Selectors {
    /// Whether every selector that is given matches, and there is one at all.
    pub(crate) fn match_facts(&self, facts: &Facts) -> bool {
        fn fits<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
            wanted.is_none() || wanted == found
        }
        !self.is_empty()
            && fits(self.uid.as_ref(), Some(&facts.uid))
            && fits(self.gid.as_ref(), Some(&facts.gid))
            && fits(self.path.as_ref(), facts.path.as_ref())
            && fits(self.pod_uid.as_ref(), facts.pod_uid.as_ref())
    }
}

impl std::fmt::Display for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pid {} uid {} gid {}", self.pid, self.uid, self.gid)?;
        if let Some(path) = &self.path {
            // A path may hold anything, and this goes to the log.
            write!(f, " path {path:?}")?;
        }
        match &self.pod_uid {
            Some(uid) => write!(f, " pod {uid}"),
            None => Ok(()),
        }
    }
}

/// Bytes of a file in `/proc` that are read.
const MAX_READ: u64 = 64 * 1024;

#[cfg(test)]
mod tests;
