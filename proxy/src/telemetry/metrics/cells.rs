//! Numbers that many cores add to.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

thread_local! {
    static CORE: Cell<usize> = const { Cell::new(0) };
}

/// Tells which worker runs on this thread, so that it writes to cells of its own. Call it once per worker.
pub fn set_core(core: usize) {
    CORE.set(core);
}

/// The worker that runs on this thread; 0 elsewhere.
pub(super) fn core() -> usize {
    CORE.get()
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The number.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds one.
    pub fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes one away.
    pub fn dec(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Replaces it.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The number.
    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts something in a gauge of `T` while it lives.
#[derive(Debug)]
pub struct GaugeGuard<T> {
    metrics: Arc<T>,
    gauge: fn(&T) -> &Gauge,
}

impl<T> GaugeGuard<T> {
    /// Adds one to the gauge until the guard is dropped.
    pub fn new(metrics: &Arc<T>, gauge: fn(&T) -> &Gauge) -> Self {
        gauge(metrics).inc();
        Self { metrics: metrics.clone(), gauge }
    }
}

impl<T> Drop for GaugeGuard<T> {
    fn drop(&mut self) {
        (self.gauge)(&self.metrics).dec();
    }
}

/// The numbers of one request series, one block per group of cores so that cores do not fight for a line.
#[derive(Debug)]
pub(super) struct RequestCells {
    blocks: Box<[Block]>,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Block {
    duration: Histogram<{ DURATION_MILLIS.len() }>,
    request: Histogram<{ BODY_BYTES.len() }>,
    response: Histogram<{ BODY_BYTES.len() }>,
}

/// Counts by bucket; the last one is everything above. The count of observations is the sum of the buckets.
#[derive(Debug)]
struct Histogram<const N: usize> {
    buckets: [AtomicU64; N],
    above: AtomicU64,
    sum: AtomicU64,
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; N], above: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }
}

impl<const N: usize> Histogram<N> {
    fn observe(&self, value: u64, bounds: &[u64; N]) {
        let index = bounds.partition_point(|bound| *bound < value);
        self.buckets.get(index).unwrap_or(&self.above).fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    fn add_to(&self, total: &mut Distribution) {
        for (total, bucket) in total.buckets.iter_mut().zip(self.buckets.iter().chain([&self.above])) {
            *total += bucket.load(Ordering::Relaxed);
        }
        total.sum += self.sum.load(Ordering::Relaxed);
    }
}

/// A histogram's numbers, added up: buckets (the last is everything above) and the sum of the values.
#[derive(Clone, Debug, Default)]
pub(super) struct Distribution {
    pub(super) buckets: Vec<u64>,
    pub(super) sum: u64,
}

impl Distribution {
    fn sized(bounds: usize) -> Self {
        Self { buckets: vec![0; bounds + 1], sum: 0 }
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// What a request series has seen.
#[derive(Clone, Debug)]
pub(super) struct RequestTotals {
    /// Microseconds.
    pub(super) duration: Distribution,
    pub(super) request: Distribution,
    pub(super) response: Distribution,
}

impl Default for RequestTotals {
    fn default() -> Self {
        Self {
            duration: Distribution::sized(DURATION_MILLIS.len()),
            request: Distribution::sized(BODY_BYTES.len()),
            response: Distribution::sized(BODY_BYTES.len()),
        }
    }
}

impl RequestCells {
    pub(super) fn new(cores: usize) -> Self {
        Self { blocks: (0..cores.clamp(1, MAX_BLOCKS)).map(|_| Block::default()).collect() }
    }

    pub(super) fn observe(&self, micros: u64, request_bytes: u64, response_bytes: u64) {
        let index = core() % self.blocks.len().max(1);
        let Some(block) = self.blocks.get(index) else { return };
        block.duration.observe(micros, &DURATION_MICROS);
        block.request.observe(request_bytes, &BODY_BYTES);
        block.response.observe(response_bytes, &BODY_BYTES);
    }

    pub(super) fn add_to(&self, totals: &mut RequestTotals) {
        for block in &self.blocks {
            block.duration.add_to(&mut totals.duration);
            block.request.add_to(&mut totals.request);
            block.response.add_to(&mut totals.response);
        }
    }
}

/// Bucket bounds of durations, in milliseconds: Envoy's, which Istio's dashboards expect.
pub(super) const DURATION_MILLIS: [f64; 19] = [
    0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4, 3e5, 6e5, 1.8e6,
    3.6e6,
];

const DURATION_MICROS: [u64; DURATION_MILLIS.len()] = {
    let mut micros = [0; DURATION_MILLIS.len()];
    let mut index = 0;
    #[expect(clippy::indexing_slicing, reason = "evaluated at compile time, both arrays have one length")]
    while index < micros.len() {
        micros[index] = (DURATION_MILLIS[index] * 1000.0) as u64;
        index += 1;
    }
    micros
};

/// Bucket bounds of body sizes, in bytes.
pub(super) const BODY_BYTES: [u64; 8] = [0, 1 << 8, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 20, 1 << 24];

/// More blocks than this cost memory per series without taking more contention away.
const MAX_BLOCKS: usize = 4;
