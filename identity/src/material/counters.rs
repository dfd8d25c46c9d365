//! What an identity counts, and its text form for Prometheus.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::Identity;
use crate::verify::{Forgiven, Role, VerifyError};

/// Counters and gauges of one identity.
#[derive(Debug, Default)]
pub struct Counters {
    renewals: AtomicU64,
    failures: AtomicU64,
    generation: AtomicU64,
    /// Seconds since 1970; 0: there is no SVID.
    not_after: AtomicI64,
    /// Keys are few: roles and the words of [`VerifyError::reason`].
    refused: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    forgiven: Mutex<BTreeMap<Forgiven, u64>>,
}

impl Counters {
    /// Material that was taken.
    pub fn renewals(&self) -> u64 {
        self.renewals.load(Ordering::Relaxed)
    }

    /// Renewals that failed, and material that was refused.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// The generation of the material; 0: none.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// When the SVID ends, in seconds since 1970; 0: there is none.
    pub fn not_after(&self) -> i64 {
        self.not_after.load(Ordering::Relaxed)
    }

    /// Refused handshakes: by the peer's role (`client`, `server`) and by the reason.
    pub fn refused(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What peers were forgiven.
    pub fn forgiven(&self) -> BTreeMap<Forgiven, u64> {
        self.forgiven.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn renewed(&self, not_after: SystemTime, generation: u64) {
        self.renewals.fetch_add(1, Ordering::Relaxed);
        self.generation.store(generation, Ordering::Relaxed);
        let since = not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.not_after.store(since.as_secs().cast_signed(), Ordering::Relaxed);
    }

    pub(super) fn renewal_failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn withdrawn(&self) {
        self.not_after.store(0, Ordering::Relaxed);
    }

    pub(crate) fn count_refused(&self, role: Role, error: &VerifyError) {
        let peer = match role {
            Role::Client => "client",
            Role::Server => "server",
            Role::Any => "any",
        };
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused.entry((peer, error.reason())).or_default() += 1;
    }

    pub(crate) fn count_forgiven(&self, forgiven: &[Forgiven]) {
        if forgiven.is_empty() {
            return;
        }
        let mut counts = self.forgiven.lock().unwrap_or_else(PoisonError::into_inner);
        for what in forgiven {
            *counts.entry(*what).or_default() += 1;
        }
    }
}

/// The metrics of all identities of a process: register a clone (`Registry::register_collector`), and tell it which
/// identities there are. Series are bounded by the number of identities.
#[derive(Clone, Debug, Default)]
pub struct IdentityMetrics(Arc<ArcSwap<Vec<Identity>>>);

impl IdentityMetrics {
    /// Replaces the identities that are shown.
    pub fn set(&self, identities: Vec<Identity>) {
        self.0.store(Arc::new(identities));
    }
}

type Labels<'a> = Vec<(&'static str, &'a str)>;

impl Collector for IdentityMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let identities = self.0.load();
        let each = |pick: fn(&Counters) -> i64| {
            identities
                .iter()
                .map(move |identity| (vec![("identity", identity.name())], pick(identity.counters())))
        };
        gauge(
            &mut encoder,
            "diolkos_identity_certificate_expiry_timestamp_seconds",
            "When the SVID ends; 0 without one",
            each(Counters::not_after),
        )?;
        gauge(
            &mut encoder,
            "diolkos_identity_generation",
            "Counts up with every change of SVID, bundles or revocation lists",
            each(|counters| counters.generation().cast_signed()),
        )?;
        gauge(
            &mut encoder,
            "diolkos_identity_ready",
            "1 if mesh handshakes are possible",
            identities.iter().map(|identity| {
                (vec![("identity", identity.name())], i64::from(identity.material().is_some()))
            }),
        )?;
        let renewals = identities.iter().flat_map(|identity| {
            let counters = identity.counters();
            [("ok", counters.renewals()), ("failed", counters.failures())]
                .map(|(result, count)| (vec![("identity", identity.name()), ("result", result)], count))
        });
        counter(&mut encoder, "diolkos_identity_renewals", "Renewals, by result", renewals)?;
        let refused = identities.iter().flat_map(|identity| {
            identity.counters().refused().into_iter().map(|((peer, reason), count)| {
                (vec![("identity", identity.name()), ("peer", peer), ("reason", reason)], count)
            })
        });
        counter(
            &mut encoder,
            "diolkos_identity_handshakes_refused",
            "Mesh handshakes refused, by the peer's role and the reason",
            refused,
        )?;
        let forgiven =
            identities.iter().flat_map(|identity| {
                identity.counters().forgiven().into_iter().map(|(what, count)| {
                    (vec![("identity", identity.name()), ("what", what.reason())], count)
                })
            });
        counter(
            &mut encoder,
            "diolkos_identity_peers_forgiven",
            "Peers accepted although their certificate breaks a rule on which no trust hangs",
            forgiven,
        )
    }
}

fn counter<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (Labels<'a>, u64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in samples {
        family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
    }
    Ok(())
}

fn gauge<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (Labels<'a>, i64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in samples {
        family.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}
