//! Key pairs on the wire: the only place where key material leaves its seal for a message.

use std::fmt;

use super::error::DecodeError;
use super::pb;
use super::value::text;
use super::wire::Wire;
use crate::{KeyPair, Secret};

impl Wire for KeyPair {
    type Message = pb::Secret;

    fn encode(&self) -> pb::Secret {
        let Self { certificate_chain, private_key } = self;
        pb::Secret {
            certificate_chain: certificate_chain.encode(),
            private_key: private_key.expose().encode(),
        }
    }

    fn decode(message: pb::Secret) -> Result<Self, DecodeError> {
        let pb::Secret { certificate_chain, private_key } = message;
        Ok(Self {
            certificate_chain: text("certificate_chain", certificate_chain)?,
            private_key: Secret::new(text("private_key", private_key)?),
        })
    }
}

/// Written by hand, so that no dump of a message shows a key.
impl fmt::Debug for pb::Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { certificate_chain, private_key: _ } = self;
        f.debug_struct("Secret")
            .field("certificate_chain", certificate_chain)
            .field("private_key", &"[redacted]")
            .finish()
    }
}
