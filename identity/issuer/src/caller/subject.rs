//! A Kubernetes service account and the SPIFFE ID that it has: `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT`.

use std::fmt;

use identity::{SpiffeId, TrustDomain};

use crate::refusal::Refusal;

/// Whom a verified token names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Subject {
    namespace: String,
    account: String,
    /// Name and UID of the pod that the token is bound to.
    pub(crate) pod: Option<(String, String)>,
}

impl Subject {
    /// Reads `system:serviceaccount:NAMESPACE:ACCOUNT`, and nothing like it.
    ///
    /// # Errors
    /// Unauthenticated: it is a user, a node, or no name at all.
    pub(crate) fn parse(name: &str, pod: Option<(String, String)>) -> Result<Self, Refusal> {
        let wrong = || Refusal::unauthenticated("no-service-account", "the token names no service account");
        let (namespace, account) = name
            .strip_prefix("system:serviceaccount:")
            .and_then(|rest| rest.split_once(':'))
            .ok_or_else(wrong)?;
        // RFC 1123: namespaces are labels, accounts are subdomains. What is none cannot be a path segment either.
        if !is_label(namespace) || account.len() > 253 || !account.split('.').all(is_label) {
            return Err(wrong());
        }
        Ok(Self { namespace: namespace.to_owned(), account: account.to_owned(), pod })
    }

    /// Its SPIFFE ID.
    ///
    /// # Errors
    /// The ID would be longer than IDs may be.
    pub(crate) fn spiffe_id(&self, trust_domain: &TrustDomain) -> Result<SpiffeId, Refusal> {
        SpiffeId::from_segments(trust_domain.clone(), &["ns", &self.namespace, "sa", &self.account])
            .map_err(|error| Refusal::Internal(error.to_string()))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "system:serviceaccount:{}:{}", self.namespace, self.account)?;
        match &self.pod {
            Some((name, uid)) => write!(f, " pod {name} ({uid})"),
            None => Ok(()),
        }
    }
}

fn is_label(text: &str) -> bool {
    let inner = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    (1..=63).contains(&text.len()) && inner && !text.starts_with('-') && !text.ends_with('-')
}
