//! Bootstrap tokens: a person gives one to a machine, which gets its first SVID for it, once.

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::Secret;
use sha2::{Digest, Sha256};

use super::{Caller, Callers};
use crate::audit::{Method, Who};
use crate::ca::authority::{Authority, AuthorityError};
use crate::ca::journal::StoredToken;
use crate::ca::key::KeyError;
use crate::ca::line::unix;
use crate::ca::signer::{hex, random};
use crate::refusal::Refusal;

/// Whether a token says that it is one.
pub(super) fn is_one(token: &str) -> bool {
    token.starts_with(PREFIX)
}

impl Callers {
    /// Looks the token up; it is spent later, when everything else about the request was found right.
    pub(super) fn by_bootstrap_token(&self, token: &str, who: &mut Who) -> Result<Caller, Refusal> {
        who.method = Method::Bootstrap;
        let digest = digest(token);
        let now = unix(self.clock.now());
        let found = self.authority.bootstrap_token(&digest);
        let Some(stored) = found else {
            return Err(Refusal::unauthenticated(
                "unknown-token",
                "the token is unknown, or was used before",
            ));
        };
        who.caller.clone_from(&stored.registration);
        if now >= stored.expires {
            return Err(Refusal::unauthenticated("expired-token", "the token has expired"));
        }
        let Some(registration) = self.registry.registration(&stored.registration) else {
            return Err(Refusal::unauthenticated("no-registration", "the token's registration is gone"));
        };
        Ok(Caller {
            id: registration.spiffe_id,
            who: who.clone(),
            dns_names: registration.dns_names,
            max_ttl: registration.ttl,
            spends: Some(digest),
        })
    }
}

impl Authority {
    /// Makes a token for a registration. It is shown this once; only its SHA-256 is kept.
    ///
    /// # Errors
    /// The journal cannot be written, or too many tokens are out.
    pub(crate) async fn make_bootstrap_token(
        &self,
        registration: &str,
        life: Duration,
    ) -> Result<Secret<String>, AuthorityError> {
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random::<32>()?));
        let now = unix(self.clock().now());
        let stored = StoredToken { registration: registration.to_owned(), expires: now + life.as_secs() };
        let digest = digest(&token);
        self.change_tokens(|tokens| {
            tokens.retain(|_, token| token.expires > now);
            if tokens.len() >= MAX_TOKENS {
                return Err(KeyError::Unusable(format!("{MAX_TOKENS} bootstrap tokens are unused")).into());
            }
            tokens.insert(digest, stored);
            Ok(())
        })
        .await?;
        Ok(Secret::new(token))
    }

    /// Spends a token, on disk too, before anything is signed for it.
    ///
    /// # Errors
    /// Somebody else was faster, or the journal cannot be written.
    pub(crate) async fn spend(&self, digest: &str) -> Result<(), Refusal> {
        let mut spent = false;
        self.change_tokens(|tokens| {
            spent = tokens.remove(digest).is_some();
            Ok(())
        })
        .await
        .map_err(|error| Refusal::Internal(error.to_string()))?;
        if spent {
            Ok(())
        } else {
            Err(Refusal::unauthenticated("unknown-token", "the token was used before"))
        }
    }

    fn bootstrap_token(&self, digest: &str) -> Option<StoredToken> {
        let current = self.current();
        // All are compared, each in constant time: how long it takes tells nothing about any of them.
        current.tokens.iter().fold(None, |found, (held, token)| {
            let equal = verify_slices_are_equal(held.as_bytes(), digest.as_bytes()).is_ok();
            if equal { Some(token.clone()) } else { found }
        })
    }
}

fn digest(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

const PREFIX: &str = "diolkos-bootstrap.";
/// Unused tokens at once.
const MAX_TOKENS: usize = 1024;
