//! Consistent hashing on a ring: a change of one endpoint moves only that endpoint's share of the clients.

use crate::upstream::hash;

/// Points on a circle of 64-bit hashes, each owned by an endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Ring {
    points: Box<[(u64, u32)]>,
    endpoints: usize,
}

impl Ring {
    /// A ring of endpoints known by `keys`, with points in proportion to `weights`. It depends on neither the
    /// order nor the health of the endpoints.
    pub(crate) fn new(keys: &[String], weights: &[u32]) -> Self {
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let size = (keys.len() as u64 * POINTS_PER_ENDPOINT).clamp(MIN_POINTS, MAX_POINTS);
        let mut points = Vec::new();
        for ((index, key), weight) in (0u32..).zip(keys).zip(weights) {
            let share = (u64::from(*weight) * size).div_ceil(total.max(1));
            points.extend((0..share).map(|point| (hash::of_parts(&[key], point), index)));
        }
        // Equal hashes of two endpoints are settled by key, not by index, which the order would change.
        points.sort_unstable_by(|a, b| {
            a.0.cmp(&b.0).then_with(|| keys.get(a.1 as usize).cmp(&keys.get(b.1 as usize)))
        });
        Self { points: points.into(), endpoints: keys.len() }
    }

    /// The first admitted endpoint clockwise of `hash`.
    pub(crate) fn find(&self, hash: u64, admit: impl Fn(usize) -> bool) -> Option<usize> {
        let start = self.points.partition_point(|(point, _)| *point < hash);
        let mut refused = Vec::new();
        for (_, endpoint) in self.points.iter().cycle().skip(start).take(self.points.len()) {
            let endpoint = *endpoint as usize;
            if refused.contains(&endpoint) {
                continue;
            }
            if admit(endpoint) {
                return Some(endpoint);
            }
            refused.push(endpoint);
            if refused.len() == self.endpoints {
                return None;
            }
        }
        None
    }
}

/// Points of an average endpoint: shares stay within about 8 % of the ideal (1/√160).
const POINTS_PER_ENDPOINT: u64 = 160;
/// Keeps the shares of a few endpoints even.
const MIN_POINTS: u64 = 1024;
/// Bounds a ring to 2 MiB.
const MAX_POINTS: u64 = 131_072;
