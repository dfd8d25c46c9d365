//! Who a certificate says it is: a SPIFFE ID, or the DNS-like name of a Linkerd workload.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use model::PeerMatch;
use spiffe::{SpiffeId, SpiffeIdError, TrustDomain};

/// A workload's name, as its certificate carries it. Equality is byte by byte: both forms are canonical.
#[derive(Clone)]
pub struct WorkloadId {
    text: Arc<str>,
    /// None: a DNS-like name.
    spiffe: Option<Arc<SpiffeId>>,
}

/// Why a text names no workload.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum IdError {
    /// Longer than SPIFFE ID §2.3 asks implementations to take.
    #[error("it has {0} bytes, at most {MAX_BYTES} are read")]
    TooLong(usize),
    /// Not a SPIFFE ID.
    #[error("it is no SPIFFE ID: {0}")]
    NotSpiffe(#[from] SpiffeIdErrorText),
    /// Upper-case scheme or trust domain: SPIFFE ID §2.1 has lower case in certificates.
    #[error("its scheme and trust domain must be in lower case")]
    NotCanonical,
    /// The ID of a trust domain, not of a workload.
    #[error("it has no path, so it names a trust domain and no workload")]
    NoPath,
    /// Not a host name.
    #[error("it is no DNS name in lower case")]
    NotDns,
}

/// The parser's words; its own type is neither `Eq` nor ours.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct SpiffeIdErrorText(String);

impl From<SpiffeIdError> for IdError {
    fn from(error: SpiffeIdError) -> Self {
        Self::NotSpiffe(SpiffeIdErrorText(error.to_string()))
    }
}

impl WorkloadId {
    /// Reads `spiffe://TRUST-DOMAIN/PATH`, else a DNS-like name.
    ///
    /// # Errors
    /// [`IdError`] says which rule of SPIFFE ID §2 (or of DNS names) is broken.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if text.len() > MAX_BYTES {
            return Err(IdError::TooLong(text.len()));
        }
        if text.contains("://") { Self::parse_spiffe(text) } else { Self::parse_dns(text) }
    }

    /// Reads a SPIFFE ID, and nothing else.
    ///
    /// # Errors
    /// As for [`WorkloadId::parse`].
    pub fn parse_spiffe(text: &str) -> Result<Self, IdError> {
        if text.len() > MAX_BYTES {
            return Err(IdError::TooLong(text.len()));
        }
        let id = SpiffeId::new(text)?;
        if id.path().is_empty() {
            return Err(IdError::NoPath);
        }
        // The parser lowers what is upper; two spellings of one ID must not pass.
        let canonical = id.to_string();
        if canonical != text {
            return Err(IdError::NotCanonical);
        }
        Ok(Self { text: canonical.into(), spiffe: Some(Arc::new(id)) })
    }

    /// Reads a DNS-like name (`SA.NS.serviceaccount.identity.CONTROL-NS.TRUST-DOMAIN`), and nothing else.
    ///
    /// # Errors
    /// [`IdError::NotDns`].
    pub fn parse_dns(text: &str) -> Result<Self, IdError> {
        let label = |label: &str| {
            let inner =
                label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
            (1..=63).contains(&label.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
        };
        if text.len() > 253 || !text.contains('.') || !text.split('.').all(label) {
            return Err(IdError::NotDns);
        }
        Ok(Self { text: text.into(), spiffe: None })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The SPIFFE ID; none for a DNS-like name.
    pub fn spiffe(&self) -> Option<&SpiffeId> {
        self.spiffe.as_deref()
    }

    /// Whether it is a DNS-like name.
    pub fn is_dns(&self) -> bool {
        self.spiffe.is_none()
    }

    /// The trust domain of a SPIFFE ID. A DNS-like name does not say where its own begins.
    pub fn trust_domain(&self) -> Option<&TrustDomain> {
        self.spiffe().map(SpiffeId::trust_domain)
    }

    /// The namespace of `/ns/NAMESPACE/sa/SERVICE-ACCOUNT`, or of a Linkerd name.
    pub fn namespace(&self) -> Option<&str> {
        self.kubernetes().map(|(namespace, _)| namespace)
    }

    /// The service account of `/ns/NAMESPACE/sa/SERVICE-ACCOUNT`, or of a Linkerd name.
    pub fn service_account(&self) -> Option<&str> {
        self.kubernetes().map(|(_, account)| account)
    }

    fn kubernetes(&self) -> Option<(&str, &str)> {
        match self.spiffe() {
            Some(id) => {
                let (namespace, account) = id.path().strip_prefix("/ns/")?.split_once("/sa/")?;
                (!namespace.contains('/') && !account.contains('/')).then_some((namespace, account))
            }
            None => {
                let mut labels = self.text.split('.');
                let (account, namespace) = (labels.next()?, labels.next()?);
                (labels.next()? == "serviceaccount" && labels.next()? == "identity")
                    .then_some((namespace, account))
            }
        }
    }

    /// Whether a DNS-like name lies below a trust domain, at a label's border.
    pub(crate) fn is_below(&self, trust_domain: &str) -> bool {
        self.text.strip_suffix(trust_domain).is_some_and(|rest| rest.ends_with('.'))
    }

    fn is_of(&self, trust_domain: &str) -> bool {
        match self.trust_domain() {
            Some(own) => own.as_str() == trust_domain,
            None => self.is_below(trust_domain),
        }
    }

    /// Whether it is in the set.
    pub fn matches(&self, peers: &PeerMatch) -> bool {
        match peers {
            PeerMatch::Id(id) => **id == *self.text,
            PeerMatch::Namespace { trust_domain, namespace } => {
                self.is_of(trust_domain) && self.namespace() == Some(&**namespace)
            }
            PeerMatch::TrustDomain(trust_domain) => self.is_of(trust_domain),
        }
    }
}

impl From<SpiffeId> for WorkloadId {
    fn from(id: SpiffeId) -> Self {
        Self { text: id.to_string().into(), spiffe: Some(Arc::new(id)) }
    }
}

impl From<&SpiffeId> for WorkloadId {
    fn from(id: &SpiffeId) -> Self {
        Self::from(id.clone())
    }
}

impl fmt::Display for WorkloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for WorkloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for WorkloadId {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for WorkloadId {}

impl PartialOrd for WorkloadId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for WorkloadId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for WorkloadId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// Longest text that is read (SPIFFE ID §2.3).
const MAX_BYTES: usize = 2048;

#[cfg(test)]
mod tests;
