//! A loopback address and a folder that no other test has, so that ports can be the ones that people write.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// An address of 127.0.0.0/8 and a folder; gone with the value.
#[derive(Debug)]
pub struct Place {
    address: IpAddr,
    folder: TempDir,
}

impl Place {
    /// A place of its own: the address comes from the process and a counter within it.
    pub fn new() -> Result<Self> {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let [low, high, ..] = std::process::id().to_le_bytes();
        let address = IpAddr::from([127, 16 + high % 200, low, NEXT.fetch_add(1, Ordering::Relaxed)]);
        Ok(Self { address, folder: tempfile::tempdir().context("a folder for the test")? })
    }

    /// The address.
    pub fn ip(&self) -> IpAddr {
        self.address
    }

    /// The address with a port.
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address, port)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Puts a file into the folder as an editor does: written beside, renamed into place. `@IP@` in the text
    /// becomes the address.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder().join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("{}", parent.display()))?;
        }
        let draft = self.folder().join(".draft");
        fs::write(&draft, text.replace("@IP@", &self.address.to_string()))
            .and_then(|()| fs::rename(&draft, &path))
            .with_context(|| format!("{}", path.display()))?;
        Ok(path)
    }
}
