//! Key material, redacted in every form of output.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

/// A value that never shows itself: `Debug`, dumps and logs print `[redacted]`.
///
/// Deserialising reads the real value, so that a snapshot written by hand in a test can hold one; the wire
/// form (`proto`) asks for it explicitly through [`Secret::expose`].
#[derive(Clone, Eq, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Seals a value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Each call site is a place where key material leaves its seal.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<T> Serialize for Secret<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("[redacted]")
    }
}

/// A certificate with its private key, as PEM text.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct KeyPair {
    /// The leaf certificate first, then intermediates.
    pub certificate_chain: Arc<str>,
    /// The private key: PKCS#8, PKCS#1 or SEC1.
    pub private_key: Secret<Arc<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_never_print() {
        let pair = KeyPair { certificate_chain: "chain".into(), private_key: Secret::new("canary".into()) };
        assert!(!format!("{pair:?}").contains("canary"));
        assert!(!serde_json::to_string(&pair).unwrap().contains("canary"));
    }
}
