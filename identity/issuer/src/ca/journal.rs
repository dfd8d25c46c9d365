//! What an issuer must not forget, on disk: roots, keys, the sequence, tokens.
//!
//! One file, replaced as a whole: write aside, fsync, rename, fsync the folder. A crash at any step leaves the old
//! state or the new one. A state that cannot be read is an error for a person to mend, never a reason for a new root.

mod record;

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

pub(crate) use record::{Record, StoredKey, StoredRoot, StoredToken};

use super::signer::hex;

/// Why state is not used. The issuer does not start.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system refuses.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// Another process holds it.
    #[error("{0} is in use by another issuer; two would make two roots")]
    Locked(PathBuf),
    /// Others could read keys.
    #[error("{path} has mode {mode:04o}, which lets others in; it must be {wanted:04o}")]
    Open {
        /// Which.
        path: PathBuf,
        /// As it is.
        mode: u32,
        /// As it must be.
        wanted: u32,
    },
    /// Somebody else's.
    #[error("{path} belongs to user {owner}, and this process is user {user}")]
    Owner {
        /// Which.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who we are.
        user: u32,
    },
    /// Not what we wrote.
    #[error(
        "{path} is not a state of this issuer: {detail}; restore it from a backup, or remove the folder to begin \
             anew with a root that nobody trusts yet"
    )]
    Corrupt {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Another trust domain's.
    #[error("{path} is the state of trust domain {found}, and this issuer is of {wanted}")]
    Foreign {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
}

/// A folder with the state, held by this process alone.
#[derive(Debug)]
pub(crate) struct Journal {
    folder: PathBuf,
    /// Holds the lock for as long as it is open.
    lock: File,
    /// Fails at a step, in tests.
    #[cfg(test)]
    pub(crate) fault: Option<WriteStep>,
}

/// The steps of a write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WriteStep {
    Create,
    Write,
    SyncFile,
    Rename,
    SyncFolder,
    Mark,
}

impl Journal {
    /// Opens a folder, making it if it is not there, and takes its lock.
    ///
    /// # Errors
    /// [`JournalError`]: above all, that another process holds it, or that others can read it.
    pub(crate) fn open(folder: &Path) -> Result<Self, JournalError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| failed("create", folder, source))?;
        guarded(folder, 0o700)?;
        let path = folder.join(LOCK);
        let lock =
            private().read(true).create(true).open(&path).map_err(|source| failed("open", &path, source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::Locked(folder.to_owned())),
            Err(TryLockError::Error(source)) => return Err(failed("lock", &path, source)),
        }
        Ok(Self {
            folder: folder.to_owned(),
            lock,
            #[cfg(test)]
            fault: None,
        })
    }

    /// Reads the state; none: the folder was never used.
    ///
    /// # Errors
    /// It is there, or was, and cannot be used.
    pub(crate) fn read(&self, trust_domain: &str) -> Result<Option<Record>, JournalError> {
        let path = self.folder.join(STATE);
        let text = match File::open(&path) {
            Ok(mut file) => {
                guarded(&path, 0o600)?;
                let mut text = Zeroizing::new(String::new());
                file.read_to_string(&mut text).map_err(|source| failed("read", &path, source))?;
                text
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // The lock file says whether there ever was a state: a lost one must not become a second root.
                return if self.was_used()? {
                    let detail = "it is missing, although this folder held one".to_owned();
                    Err(JournalError::Corrupt { path, detail })
                } else {
                    Ok(None)
                };
            }
            Err(source) => return Err(failed("open", &path, source)),
        };
        let record = parse(&text).map_err(|detail| JournalError::Corrupt { path: path.clone(), detail })?;
        if record.trust_domain != trust_domain {
            let found = record.trust_domain.clone();
            return Err(JournalError::Foreign { path, found, wanted: trust_domain.to_owned() });
        }
        Ok(Some(record))
    }

    /// Writes the state. Blocks.
    ///
    /// # Errors
    /// A step failed; the old state is still there, or the new one already is.
    pub(crate) fn write(&self, record: &Record) -> Result<(), JournalError> {
        let (path, aside) = (self.folder.join(STATE), self.folder.join(ASIDE));
        let text = serialise(record).map_err(|error| failed("write", &path, error))?;
        self.step(WriteStep::Create)?;
        // What an earlier crash left may be partial, and may be of any mode.
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &aside, error));
            }
            _ => {}
        }
        let mut file =
            private().create_new(true).open(&aside).map_err(|source| failed("create", &aside, source))?;
        if let Err(error) = self.step(WriteStep::Write) {
            // As a full disk leaves it.
            let _ = file.write_all(text.as_bytes().split_at(text.len() / 2).0);
            return Err(error);
        }
        file.write_all(text.as_bytes()).map_err(|source| failed("write", &aside, source))?;
        self.step(WriteStep::SyncFile)?;
        file.sync_all().map_err(|source| failed("sync", &aside, source))?;
        self.step(WriteStep::Rename)?;
        fs::rename(&aside, &path).map_err(|source| failed("rename", &aside, source))?;
        self.step(WriteStep::SyncFolder)?;
        let folder = File::open(&self.folder).map_err(|source| failed("open", &self.folder, source))?;
        folder.sync_all().map_err(|source| failed("sync", &self.folder, source))?;
        self.step(WriteStep::Mark)?;
        self.mark()
    }

    /// Notes beside the lock that a state exists.
    fn mark(&self) -> Result<(), JournalError> {
        if self.was_used()? {
            return Ok(());
        }
        let path = self.folder.join(LOCK);
        (&self.lock).write_all(USED).map_err(|source| failed("write", &path, source))?;
        self.lock.sync_all().map_err(|source| failed("sync", &path, source))
    }

    fn was_used(&self) -> Result<bool, JournalError> {
        let path = self.folder.join(LOCK);
        let length = self.lock.metadata().map_err(|source| failed("read", &path, source))?.len();
        Ok(length > 0)
    }

    #[cfg(test)]
    fn step(&self, step: WriteStep) -> Result<(), JournalError> {
        if self.fault == Some(step) {
            return Err(failed("crash at", &self.folder, io::Error::other("injected")));
        }
        Ok(())
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests fail here")]
    fn step(&self, _: WriteStep) -> Result<(), JournalError> {
        Ok(())
    }
}

/// Options of a file that only we may read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

/// Checks that nobody but us can read a file or folder.
fn guarded(path: &Path, wanted: u32) -> Result<(), JournalError> {
    let facts = fs::symlink_metadata(path).map_err(|source| failed("look at", path, source))?;
    let mode = facts.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(JournalError::Open { path: path.to_owned(), mode, wanted });
    }
    // The kernel gives our own folder in /proc to our effective user.
    let own = Path::new("/proc/self");
    let user = fs::metadata(own).map_err(|source| failed("look at", own, source))?.uid();
    if facts.uid() != user {
        return Err(JournalError::Owner { path: path.to_owned(), owner: facts.uid(), user });
    }
    Ok(())
}

/// `MAGIC VERSION SHA-256`, a line's end, and the record as JSON.
fn serialise(record: &Record) -> io::Result<Zeroizing<String>> {
    let json = Zeroizing::new(serde_json::to_string(record)?);
    Ok(Zeroizing::new(format!("{MAGIC} {VERSION} {}\n{}", hex(&Sha256::digest(json.as_bytes())), &*json)))
}

fn parse(text: &str) -> Result<Record, String> {
    let (head, json) = text.split_once('\n').ok_or("it has no first line")?;
    let mut words = head.split(' ');
    if words.next() != Some(MAGIC) {
        return Err("it was not written by an issuer".to_owned());
    }
    if words.next() != Some(VERSION) {
        return Err("another version wrote it".to_owned());
    }
    if words.next() != Some(&hex(&Sha256::digest(json.as_bytes()))) {
        return Err("its checksum is wrong".to_owned());
    }
    // The parser's words may quote a key, so only the place is told.
    serde_json::from_str(json)
        .map_err(|error| format!("line {}, column {} is not understood", error.line(), error.column()))
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> JournalError {
    JournalError::Io { action, path: path.to_owned(), source }
}

const STATE: &str = "state";
const ASIDE: &str = "state.new";
const LOCK: &str = "lock";
const USED: &[u8] = b"A state was written to this folder.\n";
const MAGIC: &str = "diolkos-issuer-state";
const VERSION: &str = "1";

#[cfg(test)]
mod tests;
