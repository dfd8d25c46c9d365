//! Looks for private keys where none may be: logs, dumps, metrics, errors, standard output.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// The private keys of a test.
#[derive(Default)]
pub struct Canary {
    secrets: BTreeSet<Vec<u8>>,
}

impl std::fmt::Debug for Canary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Canary").field("keys", &self.secrets.len()).finish()
    }
}

impl Canary {
    /// Takes in every key of a PEM text; gives how many it has.
    pub fn learn(&mut self, pem: &str) -> usize {
        let mut found = 0;
        for body in split_keys(pem).chain(bare_keys(pem)) {
            if let Ok(der) = STANDARD.decode(joined(body)) {
                found += usize::from(self.secrets.insert(secret_part(&der)));
            }
        }
        found
    }

    /// Takes in every key that lies in a file of a folder, however deep.
    pub fn learn_folder(&mut self, folder: &Path) -> usize {
        let mut found = 0;
        for entry in std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => found += self.learn_folder(&entry.path()),
                Ok(kind) if kind.is_file() => {
                    let bytes = std::fs::read(entry.path()).unwrap_or_default();
                    found += self.learn(&String::from_utf8_lossy(&bytes));
                }
                _ => {}
            }
        }
        found
    }

    /// Fails if a text holds one of the keys in any usual spelling, or looks as if it held another one.
    ///
    /// # Errors
    /// It does; the error says which spelling, not the key.
    pub fn check(&self, name: &str, text: &str) -> Result<()> {
        ensure!(!self.secrets.is_empty(), "the canary knows no key: it would find nothing");
        let joined = joined(text);
        for shape in SHAPES {
            ensure!(
                !joined.contains(shape),
                "{name} holds something that looks like a private key ({shape})"
            );
        }
        for secret in &self.secrets {
            for (spelling, needle) in spellings(secret) {
                ensure!(!joined.contains(&needle), "{name} holds a private key ({spelling})");
            }
        }
        Ok(())
    }
}

/// A text without white space and without line ends as JSON spells them.
fn joined(text: &str) -> String {
    text.replace("\\n", "").split_whitespace().collect()
}

/// The bodies of PEM blocks with private keys.
fn split_keys(text: &str) -> impl Iterator<Item = &str> {
    text.split("-----BEGIN ").skip(1).filter_map(|block| {
        let (label, rest) = block.split_once("-----")?;
        let (body, _) = rest.split_once("-----END")?;
        label.ends_with("PRIVATE KEY").then_some(body)
    })
}

/// Keys that stand in base64 without PEM around them, as SPIRE keeps them.
fn bare_keys(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !"+/=".contains(c));
    // A line of PEM begins in the same way and is shorter than a key.
    words.filter(|word| word.len() > 100 && SHAPES.iter().any(|shape| word.starts_with(shape)))
}

/// The bytes that make a key secret: the scalar of a P-256 key (an octet string of 32 bytes), else the middle.
fn secret_part(der: &[u8]) -> Vec<u8> {
    let scalar = der.windows(2).position(|pair| pair == [0x04, 0x20]).map(|at| at + 2);
    let from = scalar.unwrap_or(der.len() / 2);
    der.get(from..(from + 32).min(der.len())).unwrap_or_default().to_vec()
}

/// How bytes are usually written. Base64 depends on how they lie in what was encoded, so there are three of it.
fn spellings(secret: &[u8]) -> Vec<(&'static str, String)> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let list: Vec<String> = secret.iter().map(u8::to_string).collect();
    let mut all =
        vec![("hex", hex.clone()), ("hex", hex.to_uppercase()), ("a list of bytes", list.join(","))];
    all.push((
        "hex with colons",
        hex.as_bytes().chunks(2).map(String::from_utf8_lossy).collect::<Vec<_>>().join(":"),
    ));
    for skip in 0..3 {
        let whole = secret.get(skip..).unwrap_or_default();
        let whole = whole.get(..whole.len() / 3 * 3).unwrap_or_default();
        all.push(("base64", STANDARD.encode(whole)));
        all.push(("base64url", URL_SAFE.encode(whole)));
    }
    all
}

/// How a private key begins: PEM, and PKCS#8 or SEC 1 of P-256 in base64.
const SHAPES: &[&str] = &["PRIVATEKEY-----", "MIGHAgEAMBMGByqGSM49AgEG", "MHcCAQEEI", "BgkqhkiG9w0BAQEFAASC"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_every_spelling() -> Result<()> {
        let key = rcgen::KeyPair::generate()?;
        let other = rcgen::KeyPair::generate()?;
        let mut canary = Canary::default();
        assert!(canary.check("log", "").is_err(), "a canary without keys proves nothing");
        assert_eq!(canary.learn(&key.serialize_pem()), 1);
        let der = key.serialized_der();
        let body = STANDARD.encode(der);
        let cut = body.get(30..100).unwrap_or_default();
        for leak in [
            format!("key={body}"),
            format!("a piece: {cut}"),
            format!("{der:?}"),
            format!("{der:02x?}").replace(", ", ""),
            URL_SAFE.encode(der.get(1..).unwrap_or_default()),
            key.serialize_pem(),
            other.serialize_pem(),
        ] {
            assert!(canary.check("log", &leak).is_err(), "{leak}");
        }
        let public = key.public_key_pem();
        canary.check("log", &format!("ready\nserial 01:02\n{public}"))
    }
}
