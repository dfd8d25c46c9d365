//! Request metrics: one handle per rule and backend, a few series in each.
//!
//! Performance-critical path.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::RouteLabels;
use super::cells::{RequestCells, RequestTotals};
use crate::telemetry::flags::Flags;

/// What is counted about a request at its end.
#[derive(Clone, Copy, Debug)]
pub struct RequestRecord {
    /// HTTP status; 0 if there was none.
    pub status: u16,
    /// Envoy's letters.
    pub flags: Flags,
    /// Whether the request was gRPC.
    pub grpc: bool,
    /// `grpc-status`, if seen.
    pub grpc_status: Option<u8>,
    /// Whether the client's connection was TLS with a verified client certificate.
    pub mutual_tls: bool,
    /// From the request's begin to the last byte.
    pub duration: Duration,
    /// Body bytes from the client.
    pub request_bytes: u64,
    /// Body bytes to the client.
    pub response_bytes: u64,
}

/// The handle of one rule and backend. Recording walks a short list of the outcomes seen so far; it neither
/// locks nor allocates but for the first of an outcome.
#[derive(Debug)]
pub struct RouteMetrics {
    labels: RouteLabels,
    budget: Arc<SeriesBudget>,
    first: OnceLock<Box<Series>>,
}

/// What tells the series of one handle apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub(super) struct Outcome {
    pub(super) status: u16,
    pub(super) flags: Flags,
    pub(super) grpc: bool,
    pub(super) grpc_status: Option<u8>,
    pub(super) mutual_tls: bool,
}

#[derive(Debug)]
pub(super) struct Series {
    outcome: Outcome,
    cells: RequestCells,
    next: OnceLock<Box<Series>>,
}

/// Bounds the series of all handles together.
#[derive(Debug)]
pub(super) struct SeriesBudget {
    cores: usize,
    bound: usize,
    used: AtomicUsize,
    overflow_labels: RouteLabels,
    overflow: RequestCells,
}

impl RouteMetrics {
    pub(super) fn new(labels: RouteLabels, budget: Arc<SeriesBudget>) -> Self {
        Self { labels, budget, first: OnceLock::new() }
    }

    /// Counts one request.
    pub fn record(&self, record: &RequestRecord) {
        let micros = u64::try_from(record.duration.as_micros()).unwrap_or(u64::MAX);
        let outcome = Outcome {
            status: record.status,
            flags: record.flags,
            grpc: record.grpc,
            grpc_status: record.grpc_status,
            mutual_tls: record.mutual_tls,
        };
        self.cells(outcome).observe(micros, record.request_bytes, record.response_bytes);
    }

    pub(super) fn labels(&self) -> &RouteLabels {
        &self.labels
    }

    pub(super) fn for_each(&self, mut each: impl FnMut(Outcome, &RequestCells)) {
        let mut slot = &self.first;
        while let Some(series) = slot.get() {
            each(series.outcome, &series.cells);
            slot = &series.next;
        }
    }

    fn cells(&self, outcome: Outcome) -> &RequestCells {
        let mut slot = &self.first;
        // A backend that answers every status there is must not make the walk long.
        for _ in 0..MAX_OUTCOMES {
            let series = match slot.get() {
                Some(series) => series,
                None if !self.budget.take() => return &self.budget.overflow,
                None => {
                    let mut made = false;
                    let series = slot.get_or_init(|| {
                        made = true;
                        Box::new(Series::new(outcome, self.budget.cores))
                    });
                    if !made {
                        self.budget.give(1);
                    }
                    series
                }
            };
            if series.outcome == outcome {
                return &series.cells;
            }
            slot = &series.next;
        }
        &self.budget.overflow
    }
}

impl Drop for RouteMetrics {
    fn drop(&mut self) {
        let mut count = 0;
        self.for_each(|_, _| count += 1);
        self.budget.give(count);
    }
}

impl Series {
    fn new(outcome: Outcome, cores: usize) -> Self {
        Self { outcome, cells: RequestCells::new(cores), next: OnceLock::new() }
    }
}

impl SeriesBudget {
    pub(super) fn new(cores: usize, bound: usize, overflow_labels: RouteLabels) -> Self {
        let overflow = RequestCells::new(cores);
        Self { cores, bound, used: AtomicUsize::new(0), overflow_labels, overflow }
    }

    /// What did not fit: its labels and totals, if there was anything.
    pub(super) fn overflow(&self) -> Option<(&RouteLabels, RequestTotals)> {
        let mut totals = RequestTotals::default();
        self.overflow.add_to(&mut totals);
        (totals.duration.count() > 0).then_some((&self.overflow_labels, totals))
    }

    /// Whether nine tenths are used.
    pub(super) fn is_short(&self) -> bool {
        self.used.load(Ordering::Relaxed) >= self.bound - self.bound / 10
    }

    fn take(&self) -> bool {
        let fits = self.used.fetch_add(1, Ordering::Relaxed) < self.bound;
        if !fits {
            self.give(1);
        }
        fits
    }

    fn give(&self, count: usize) {
        self.used.fetch_sub(count, Ordering::Relaxed);
    }
}

/// Outcomes of one rule and backend that get series of their own.
const MAX_OUTCOMES: usize = 64;
