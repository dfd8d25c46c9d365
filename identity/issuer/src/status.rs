//! What an issuer says of itself. Nothing in here is secret.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;

use crate::ca::files::External;
use crate::ca::jwt::JwtSigner;
use crate::ca::line::{Phase, Slot, unix};
use crate::ca::lines::Lines;
use crate::ca::signer::{expiry, fingerprint, parse};

/// An issuer, for people: `GET /status`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IssuerStatus {
    /// Whom it issues for.
    pub trust_domain: String,
    /// Its own SPIFFE ID.
    pub spiffe_id: String,
    /// Sequence of the bundle.
    pub sequence: u64,
    /// Roots, oldest first.
    pub roots: Vec<RootStatus>,
    /// JWT keys, oldest first.
    pub jwt_keys: Vec<KeyStatus>,
    /// SHA-256 of what signs; empty if nothing does.
    pub signing: String,
    /// When nothing can be signed any more, in seconds since 1970.
    pub signing_not_after: u64,
    /// How many registrations it knows.
    pub registrations: usize,
    /// Other trust domains whose bundle is held.
    pub federated: Vec<String>,
    /// Where it serves.
    pub addresses: Addresses,
    /// X.509-SVIDs issued since the start.
    pub issued: u64,
    /// Requests refused since the start.
    pub refused: u64,
}

/// Where an issuer serves.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Addresses {
    /// The Istio CA protocol.
    pub istio_ca: Option<SocketAddr>,
    /// The bundle endpoint.
    pub bundle: Option<SocketAddr>,
    /// Administration.
    pub admin: Option<SocketAddr>,
    /// Metrics.
    pub metrics: Option<SocketAddr>,
    /// The Workload API's socket.
    pub workload_api: Option<PathBuf>,
}

/// A root.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RootStatus {
    /// SHA-256 of the certificate, in hex.
    pub fingerprint: String,
    /// Where it is in its life; none: it is not ours.
    pub phase: Option<Phase>,
    /// Seconds since 1970.
    pub not_before: u64,
    /// Seconds since 1970.
    pub not_after: u64,
}

/// A JWT key.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyStatus {
    /// `kid`.
    pub id: String,
    /// Where it is in its life.
    pub phase: Phase,
    /// Seconds since 1970.
    pub not_after: u64,
}

impl RootStatus {
    pub(crate) fn of(lines: &Lines, external: Option<&External>) -> Vec<Self> {
        if let Some(external) = external {
            let status = external.roots.iter().filter_map(|root| {
                let parsed = parse(root)?;
                Some(Self {
                    fingerprint: fingerprint(root),
                    phase: None,
                    not_before: u64::try_from(parsed.validity().not_before.timestamp()).unwrap_or_default(),
                    not_after: unix(expiry(&parsed)),
                })
            });
            return status.collect();
        }
        let status = lines.roots.slots.iter().map(|slot| Self {
            fingerprint: slot.item.fingerprint.to_string(),
            phase: Some(slot.phase),
            not_before: unix(slot.not_before),
            not_after: unix(slot.not_after),
        });
        status.collect()
    }
}

impl KeyStatus {
    pub(crate) fn of(slot: &Slot<JwtSigner>) -> Self {
        Self { id: slot.item.kid.to_string(), phase: slot.phase, not_after: unix(slot.not_after) }
    }
}
