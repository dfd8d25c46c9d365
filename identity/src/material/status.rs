//! What an identity tells people of itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

use super::{Shared, bundle_status};
use crate::id::WorkloadId;

/// An identity as people see it. Holds no secret. Times are seconds since 1970.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Whether it can be used now.
    pub ready: bool,
    /// Why it cannot be used; none if it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_ready: Option<String>,
    /// Where it comes from.
    pub source: String,
    /// Who we are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The leaf's issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The leaf's serial number, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Number of certificates that are shown.
    pub chain: usize,
    /// From when the leaf is valid.
    #[serde(serialize_with = "seconds", skip_serializing_if = "Option::is_none")]
    pub not_before: Option<SystemTime>,
    /// From when it is no longer valid.
    #[serde(serialize_with = "seconds", skip_serializing_if = "Option::is_none")]
    pub not_after: Option<SystemTime>,
    /// When the next renewal is due.
    #[serde(serialize_with = "seconds", skip_serializing_if = "Option::is_none")]
    pub next_renewal: Option<SystemTime>,
    /// What went wrong last since the last success, or is wrong with the material that is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When it went wrong.
    #[serde(serialize_with = "seconds", skip_serializing_if = "Option::is_none")]
    pub last_error_at: Option<SystemTime>,
    /// Failures since the last success.
    pub failures: u64,
    /// Counts up with every change; 0: none yet.
    pub generation: u64,
    /// Whom we believe.
    pub bundles: BTreeMap<String, BundleStatus>,
    /// Number of revocation lists.
    pub revocation_lists: usize,
}

/// One trust domain's bundle as people see it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BundleStatus {
    /// Number of roots.
    pub roots: usize,
    /// Number of JWT keys.
    pub jwt_keys: usize,
    /// Its sequence number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
}

fn seconds<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    let since = time.map(|time| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO));
    since.map(|since| since.as_secs()).serialize(serializer)
}

/// What is written down beside the material.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) expected: Option<WorkloadId>,
    pub(super) source: Arc<str>,
    pub(super) next_renewal: Option<SystemTime>,
    last_error: Option<(String, SystemTime)>,
    failures: u64,
    withdrawn: Option<Arc<str>>,
    /// What is wrong with the material that is used.
    alarm: Option<(String, SystemTime)>,
    /// Up to when the events of which generation's life were told.
    pub(super) told: Option<(u64, SystemTime)>,
}

impl Record {
    /// New material was taken, though something may be wrong with it.
    pub(super) fn published(&mut self, alarm: Option<String>, now: SystemTime) {
        self.alarm = alarm.map(|alarm| (alarm, now));
        self.confirmed();
    }

    /// The source works: it gave new material, or the same again.
    pub(super) fn confirmed(&mut self) {
        self.failures = 0;
        self.last_error = None;
        self.withdrawn = None;
    }

    pub(super) fn failed(&mut self, error: String, now: SystemTime) {
        self.failures = self.failures.saturating_add(1);
        self.last_error = Some((error, now));
    }

    pub(super) fn withdrawn(&mut self, reason: &str, now: SystemTime) {
        self.withdrawn = Some(reason.into());
        self.last_error = Some((reason.to_owned(), now));
    }

    /// What went wrong last, or is still wrong.
    fn trouble(&self) -> Option<&(String, SystemTime)> {
        self.last_error.as_ref().or(self.alarm.as_ref())
    }

    pub(super) fn last_error_text(&self) -> Option<String> {
        self.trouble().map(|(error, _)| error.clone())
    }

    /// Why there is no material.
    pub(super) fn absent_because(&self) -> Arc<str> {
        match (&self.withdrawn, &self.last_error) {
            (Some(reason), _) => format!("it was withdrawn: {reason}").into(),
            (None, Some((error, _))) => format!("no SVID was had yet: {error}").into(),
            (None, None) => "no SVID was had yet".into(),
        }
    }
}

impl Shared {
    pub(super) fn status(&self) -> IdentityStatus {
        let not_ready = self.current().err().map(|error| error.to_string());
        let held = self.current.load_full();
        let material = held.as_ref().map(|current| &current.material);
        let svid = material.map(|material| &material.svid);
        let record = self.record();
        IdentityStatus {
            name: self.name.to_string(),
            ready: not_ready.is_none(),
            not_ready,
            source: record.source.to_string(),
            id: svid.map(|svid| svid.id().to_string()),
            issuer: svid.map(|svid| svid.issuer().to_owned()),
            serial: svid.map(|svid| svid.serial().to_owned()),
            chain: svid.map_or(0, |svid| svid.chain().len()),
            not_before: svid.map(|svid| svid.not_before()),
            not_after: svid.map(|svid| svid.not_after()),
            next_renewal: record.next_renewal,
            last_error: record.last_error_text(),
            last_error_at: record.trouble().map(|(_, at)| *at),
            failures: record.failures,
            generation: *self.changed.borrow(),
            bundles: material.map_or_else(BTreeMap::new, |material| bundle_status(&material.bundles)),
            revocation_lists: material.map_or(0, |material| material.crls.len()),
        }
    }
}
