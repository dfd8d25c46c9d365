//! Who the client is: forwarding and identity headers are taken away or believed, then ours are added.
//! Performance-critical path.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use identity::WorkloadId;
use model::{ClientCertHeader, ConnectionPolicy, Forwarded};

mod baggage;
mod trust;

pub(crate) use self::trust::believed;
use super::xfcc::{self, ClientCertificate};

pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(crate) const X_FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// What the connection knows of the client, with the header values that say so, made once for each connection.
#[derive(Debug)]
pub(crate) struct Client {
    /// The peer of the connection, or the source that a believed PROXY header named.
    pub(crate) peer: IpAddr,
    /// `peer` as text.
    pub(crate) peer_value: HeaderValue,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    /// The client's certificate, if it showed one that was verified.
    pub(crate) certificate: Option<ClientCertificate>,
    /// Whether the peer's forwarding headers are believed.
    believed: Cell<bool>,
    /// The policy that says so.
    judged_by: RefCell<Arc<ConnectionPolicy>>,
}

impl Client {
    /// `id` is the verified identity of a mesh peer.
    pub(crate) fn new(
        peer: IpAddr,
        tls: bool,
        certificate: Option<ClientCertificate>,
        id: Option<&WorkloadId>,
        policy: &Arc<ConnectionPolicy>,
    ) -> Self {
        let peer = peer.to_canonical();
        let peer_value = HeaderValue::from_maybe_shared(peer.to_string())
            .expect("an IP address is made of visible characters");
        let scheme = if tls { "https" } else { "http" };
        Self {
            peer,
            peer_value,
            scheme,
            certificate,
            believed: Cell::new(believed(peer, id, &policy.forwarded)),
            judged_by: RefCell::new(Arc::clone(policy)),
        }
    }

    /// Whether the peer's forwarding headers are believed.
    pub(crate) fn believed(&self) -> bool {
        self.believed.get()
    }

    /// Looks anew whether the peer is believed, if the policy is another one than before.
    pub(crate) fn judge(&self, id: Option<&WorkloadId>, policy: &Arc<ConnectionPolicy>) {
        if !Arc::ptr_eq(&self.judged_by.borrow(), policy) {
            self.believed.set(believed(self.peer, id, &policy.forwarded));
            self.judged_by.replace(Arc::clone(policy));
        }
    }

    /// Takes away what an unbelieved peer says of others, and what aliases of such fields say.
    ///
    /// CGI-like backends read `X_Forwarded_For` and `X-Forwarded-For` as one variable, so names with `_` go in
    /// any case, and names with `.` go if they would fold into an identity header
    /// (reliability-security.md §1.1; Traefik CVE-2026-33433 and the fixes of that fix).
    pub(crate) fn sanitise(&self, headers: &mut HeaderMap, policy: &Forwarded) {
        let mut doomed: Option<HeaderName> = None;
        loop {
            if let Some(name) = doomed.take() {
                headers.remove(name);
            }
            doomed = headers.keys().find(|name| self.is_refused(name.as_str(), policy)).cloned();
            if doomed.is_none() {
                break;
            }
        }
        if !self.believed() && headers.contains_key(BAGGAGE) {
            baggage::strip_identity(headers, &BAGGAGE);
        }
    }

    /// The client's address: the peer's, or what a believed peer says it is.
    pub(crate) fn address(&self, headers: &HeaderMap, policy: &Forwarded) -> IpAddr {
        if self.believed() { trust::client(self.peer, headers, policy) } else { self.peer }
    }

    /// Adds our part: the peer to `X-Forwarded-For`; the rest only where no believed peer has said it.
    pub(crate) fn announce(&self, headers: &mut HeaderMap, host: Option<&HeaderValue>, port: &HeaderValue) {
        if self.believed() {
            self.append_peer(headers);
            self.append_forwarded(headers, host);
        } else {
            headers.insert(X_FORWARDED_FOR, self.peer_value.clone());
        }
        headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static(self.scheme));
        headers.entry(X_FORWARDED_PORT).or_insert_with(|| port.clone());
        if let Some(host) = host {
            headers.entry(X_FORWARDED_HOST).or_insert_with(|| host.clone());
        }
    }

    /// The scheme and port that the client itself used: of this connection, or what a believed proxy in front says.
    pub(crate) fn entrance(&self, headers: &HeaderMap, port: u16) -> (&'static str, u16) {
        let said = headers.get(X_FORWARDED_PROTO).map(HeaderValue::as_bytes).filter(|_| self.believed());
        let (scheme, usual) = match said {
            Some(b"https") => ("https", 443),
            Some(b"http") => ("http", 80),
            Some(_) | None => return (self.scheme, port),
        };
        let said = headers.get(X_FORWARDED_PORT).and_then(|port| port.to_str().ok()?.parse().ok());
        let ours = if scheme == self.scheme { port } else { usual };
        (scheme, said.unwrap_or(ours))
    }

    /// Sets `X-Forwarded-Client-Cert` as the policy asks; [`Self::sanitise`] has removed what is not believed.
    pub(crate) fn announce_certificate(&self, headers: &mut HeaderMap, policy: &Forwarded) {
        let append = match policy.client_cert {
            ClientCertHeader::Sanitize | ClientCertHeader::ForwardOnly => return,
            ClientCertHeader::SanitizeSet => false,
            ClientCertHeader::AppendForward => true,
        };
        let Some(element) = self.certificate.as_ref().and_then(ClientCertificate::element) else { return };
        let list = if append { certificates(headers) } else { None };
        let value = match list {
            None => element.clone(),
            Some(mut list) => {
                list.push(',');
                list.extend(element.to_str());
                HeaderValue::try_from(list).unwrap_or_else(|_| element.clone())
            }
        };
        headers.insert(X_FORWARDED_CLIENT_CERT, value);
    }

    fn is_refused(&self, name: &str, policy: &Forwarded) -> bool {
        if name.contains('_') {
            return true;
        }
        if name.contains('.') {
            return is_identity(&name.replace('.', "-"));
        }
        if name == X_FORWARDED_CLIENT_CERT.as_str() {
            return match policy.client_cert {
                ClientCertHeader::Sanitize | ClientCertHeader::SanitizeSet => true,
                ClientCertHeader::AppendForward | ClientCertHeader::ForwardOnly => !self.believed(),
            };
        }
        !self.believed() && is_identity(name)
    }

    fn append_peer(&self, headers: &mut HeaderMap) {
        append_listed(headers, X_FORWARDED_FOR, &self.peer_value);
    }

    /// `Forwarded` is only carried on where a believed peer has begun it. RFC 7239 §4.
    fn append_forwarded(&self, headers: &mut HeaderMap, host: Option<&HeaderValue>) {
        if !headers.contains_key(header::FORWARDED) {
            return;
        }
        let node = match self.peer {
            IpAddr::V4(address) => address.to_string(),
            // RFC 7239 §6: an IPv6 address is bracketed, and so must be quoted.
            IpAddr::V6(address) => format!("\"[{address}]\""),
        };
        let host = host.and_then(|host| host.to_str().ok()).filter(|host| !host.contains(['"', '\\']));
        let element = match host {
            Some(host) => format!("for={node};host=\"{host}\";proto={}", self.scheme),
            None => format!("for={node};proto={}", self.scheme),
        };
        if let Ok(element) = HeaderValue::try_from(element) {
            append_listed(headers, header::FORWARDED, &element);
        }
    }
}

/// What a believed peer says of certificates, as one list. None if it says nothing, or something that an appended
/// element could get lost in.
fn certificates(headers: &HeaderMap) -> Option<String> {
    let mut list = String::new();
    for value in headers.get_all(X_FORWARDED_CLIENT_CERT) {
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(value.to_str().ok()?);
    }
    xfcc::parse(&list).is_ok().then_some(list)
}

/// Headers that say who somebody is, by lower-case name.
fn is_identity(name: &str) -> bool {
    match name.as_bytes().first() {
        Some(b'x') => name.starts_with("x-forwarded-") || name.starts_with("x-envoy-") || name == "x-real-ip",
        Some(b'f') => name == "forwarded",
        Some(b'l') => name.starts_with("l5d-"),
        _ => false,
    }
}

/// Trailers cannot say what headers may not: some servers merge them. RFC 9110 §6.5.1.
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    let refused = |name: &HeaderName| {
        let text = name.as_str();
        is_identity(text)
            || text.contains(['_', '.'])
            || [
                header::HOST,
                header::CONTENT_LENGTH,
                header::TRANSFER_ENCODING,
                header::TE,
                header::CONNECTION,
            ]
            .contains(name)
            || [header::AUTHORIZATION, header::COOKIE, header::UPGRADE, BAGGAGE].contains(name)
    };
    while let Some(name) = trailers.keys().find(|name| refused(name)).cloned() {
        trailers.remove(name);
    }
}

/// Appends to a list field, folding several fields into one.
fn append_listed(headers: &mut HeaderMap, name: HeaderName, element: &HeaderValue) {
    let mut list: Vec<u8> = Vec::new();
    for value in headers.get_all(&name) {
        if !list.is_empty() {
            list.extend_from_slice(b", ");
        }
        list.extend_from_slice(value.as_bytes());
    }
    if list.is_empty() {
        headers.insert(name, element.clone());
        return;
    }
    list.extend_from_slice(b", ");
    list.extend_from_slice(element.as_bytes());
    let value = HeaderValue::from_maybe_shared(bytes::Bytes::from(list))
        .expect("values that were valid, joined by a comma, are valid");
    headers.insert(name, value);
}

#[cfg(test)]
mod tests;
