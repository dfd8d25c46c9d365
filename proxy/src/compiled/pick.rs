//! Choice by weight: an exact, evenly interleaved rotation that all cores share.
//! Performance-critical path.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Items that are chosen in proportion to their weights.
///
/// A full turn of the rotation holds each item exactly as often as its weight (reduced by the greatest common
/// divisor) says, spread as evenly as can be. The only state is one atomic counter; a single item needs none.
pub struct WeightedPick<T> {
    items: Box<[(u32, T)]>,
    rotation: Rotation,
    turn: Turn,
}

/// The counter on a cache line of its own: whatever lies beside it is read by every request.
#[repr(align(64))]
#[derive(Default)]
struct Turn(AtomicU64);

enum Rotation {
    /// No item has weight.
    Empty,
    /// Only this one has.
    Single(usize),
    /// Index of the item for each place of a turn.
    Schedule(Box<[u16]>),
    /// For sums too large for a schedule: the place of a turn is scattered over the sum by `stride` (coprime to
    /// it, so that a turn still visits each place once) and found among the running totals.
    Scattered { stride: u64, totals: Box<[(u64, usize)]> },
}

/// A longer turn would cost more memory per rule than its precision is worth.
const MAX_SCHEDULE: u64 = 1024;

impl<T> WeightedPick<T> {
    /// Items with their weights, in the order that they were written.
    pub fn new(items: impl IntoIterator<Item = (u32, T)>) -> Self {
        let items: Box<[_]> = items.into_iter().collect();
        let rotation = Rotation::new(items.iter().map(|(weight, _)| *weight));
        Self { items, rotation, turn: Turn::default() }
    }

    /// The next item; none if no item has weight.
    pub fn pick(&self) -> Option<&T> {
        self.item(self.place(self.advance())?)
    }

    /// The next item that is not excluded, for another try elsewhere; none if there is no such item with weight.
    pub fn pick_excluding(&self, excluded: impl Fn(&T) -> bool) -> Option<&T> {
        let turn = self.advance();
        let first = self.item(self.place(turn)?)?;
        if !excluded(first) {
            return Some(first);
        }
        // Later places of the same turn keep the proportions of what is left; the bounded search ends with a
        // scan, so that an item of little weight is found as well.
        (1..MAX_SCHEDULE)
            .filter_map(|step| self.item(self.place(turn.wrapping_add(step))?))
            .take(self.items.len().saturating_mul(4))
            .find(|item| !excluded(item))
            .or_else(|| {
                self.items.iter().find(|(weight, item)| *weight > 0 && !excluded(item)).map(|(_, item)| item)
            })
    }

    /// All items with their weights as written, those of weight 0 too.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.items.iter().map(|(weight, item)| (*weight, item))
    }

    fn advance(&self) -> u64 {
        match self.rotation {
            Rotation::Empty | Rotation::Single(_) => 0,
            // Relaxed: the counter orders nothing but itself.
            Rotation::Schedule(_) | Rotation::Scattered { .. } => self.turn.0.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn place(&self, turn: u64) -> Option<usize> {
        match &self.rotation {
            Rotation::Empty => None,
            Rotation::Single(index) => Some(*index),
            Rotation::Schedule(schedule) => {
                let place = turn % schedule.len() as u64;
                schedule.get(usize::try_from(place).ok()?).map(|index| usize::from(*index))
            }
            Rotation::Scattered { stride, totals } => {
                let (sum, _) = totals.last()?;
                // Both factors are below 2^32 × items, so the product is taken in 128 bits.
                let place = (u128::from(turn % sum) * u128::from(*stride) % u128::from(*sum)) as u64;
                let found = totals.partition_point(|(total, _)| *total <= place);
                totals.get(found).map(|(_, index)| *index)
            }
        }
    }

    fn item(&self, index: usize) -> Option<&T> {
        self.items.get(index).map(|(_, item)| item)
    }
}

impl<T: fmt::Debug> fmt::Debug for WeightedPick<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.items).finish()
    }
}

impl Rotation {
    fn new(weights: impl Iterator<Item = u32>) -> Self {
        let weighted: Vec<(usize, u64)> = weights
            .enumerate()
            .filter(|(_, weight)| *weight > 0)
            .map(|(i, weight)| (i, weight.into()))
            .collect();
        match weighted.as_slice() {
            [] => return Self::Empty,
            [(index, _)] => return Self::Single(*index),
            _ => {}
        }
        let divisor = weighted.iter().fold(0, |divisor, (_, weight)| gcd(divisor, *weight)).max(1);
        let reduced: Vec<_> = weighted.into_iter().map(|(index, weight)| (index, weight / divisor)).collect();
        let sum: u64 = reduced.iter().map(|(_, weight)| weight).sum();
        let small_indices = reduced.iter().all(|(index, _)| u16::try_from(*index).is_ok());
        if sum <= MAX_SCHEDULE && small_indices {
            Self::Schedule(interleave(&reduced, sum))
        } else {
            let mut total = 0;
            let totals = reduced
                .into_iter()
                .map(|(index, weight)| {
                    total += weight;
                    (total, index)
                })
                .collect();
            Self::Scattered { stride: scatter(sum), totals }
        }
    }
}

/// Smooth weighted round robin: every item earns its weight per place, the richest takes the place and pays
/// the sum.
fn interleave(weighted: &[(usize, u64)], sum: u64) -> Box<[u16]> {
    let sum = i64::try_from(sum).expect("a schedule has at most 1024 places");
    let mut credits: Vec<(i64, i64, u16)> = weighted
        .iter()
        .map(|(index, weight)| {
            let weight = i64::try_from(*weight).expect("a weight is at most the sum");
            (0, weight, u16::try_from(*index).expect("the caller has checked the indices"))
        })
        .collect();
    let mut schedule = Vec::with_capacity(credits.len());
    for _ in 0..sum {
        credits.iter_mut().for_each(|(credit, weight, _)| *credit += *weight);
        // The first of equals, so that the order of writing shows.
        if let Some(richest) = credits.iter_mut().rev().max_by_key(|(credit, ..)| *credit) {
            richest.0 -= sum;
            schedule.push(richest.2);
        }
    }
    schedule.into()
}

/// A number near the golden section of `sum` and coprime to it: multiples of it modulo `sum` are spread evenly.
fn scatter(sum: u64) -> u64 {
    let golden = u64::try_from(u128::from(sum) * 618_034 / 1_000_000).unwrap_or(1).max(1);
    (golden..sum).find(|stride| gcd(*stride, sum) == 1).unwrap_or(1)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn pick(weights: &[u32]) -> WeightedPick<usize> {
        WeightedPick::new(weights.iter().copied().zip(0..))
    }

    fn counts(pick: &WeightedPick<usize>, times: usize) -> BTreeMap<usize, usize> {
        let mut counts = BTreeMap::new();
        for _ in 0..times {
            *counts.entry(*pick.pick().unwrap()).or_default() += 1;
        }
        counts
    }

    #[test]
    fn five_hundred_requests_split_exactly() {
        assert_eq!(counts(&pick(&[70, 30]), 500), BTreeMap::from([(0, 350), (1, 150)]));
        assert_eq!(counts(&pick(&[90, 10, 0]), 500), BTreeMap::from([(0, 450), (1, 50)]));
    }

    #[test]
    fn turns_are_interleaved() {
        let pick = pick(&[5, 1, 1]);
        let turn: Vec<usize> = (0..7).map(|_| *pick.pick().unwrap()).collect();
        assert_eq!(turn, [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn threads_share_one_rotation() {
        let pick = Arc::new(pick(&[70, 30]));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let pick = pick.clone();
                std::thread::spawn(move || (0..125).filter(|_| *pick.pick().unwrap() == 0).count())
            })
            .collect();
        let first: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(first, 350);
    }

    #[test]
    fn without_weight_there_is_nothing_to_pick() {
        assert_eq!(pick(&[]).pick(), None);
        assert_eq!(pick(&[0, 0]).pick(), None);
        assert_eq!(pick(&[0, 7]).pick(), Some(&1));
    }

    #[test]
    fn large_sums_are_exact_over_a_turn_and_even_within_it() {
        let pick = pick(&[999_983, 1_000_000]);
        let mut first = 0_i64;
        for n in 1..=100_000_i64 {
            first += i64::from(*pick.pick().unwrap() == 0);
            let fair = n * 999_983 / 1_999_983;
            assert!((first - fair).abs() <= 12, "{first} of {n}");
        }
    }

    #[test]
    fn excluded_items_are_never_picked() {
        let pick = pick(&[1_000_000, 1, 0]);
        for _ in 0..20 {
            assert_eq!(pick.pick_excluding(|item| *item == 0), Some(&1));
        }
        assert_eq!(pick.pick_excluding(|item| *item < 2), None);
    }

    proptest! {
        /// After any number of picks each item is within one of its fair share times the number of items.
        #[test]
        fn every_prefix_is_fair(weights in prop::collection::vec(0_u32..60, 1..6), times in 1_usize..400) {
            let sum: u32 = weights.iter().sum();
            prop_assume!(sum > 0);
            let got = counts(&pick(&weights), times);
            for (index, weight) in weights.iter().enumerate() {
                let fair = times as f64 * f64::from(*weight) / f64::from(sum);
                let count = *got.get(&index).unwrap_or(&0) as f64;
                prop_assert!((count - fair).abs() <= 1.0 + weights.len() as f64 / 2.0, "{index}: {count} of {fair}");
            }
        }

        /// A whole turn is exact, whatever the sum.
        #[test]
        fn a_turn_is_exact(weights in prop::collection::vec(1_u32..900, 2..5)) {
            let divisor = weights.iter().fold(0, |divisor, weight| gcd(divisor, (*weight).into()));
            let sum = weights.iter().map(|weight| u64::from(*weight)).sum::<u64>() / divisor;
            let got = counts(&pick(&weights), sum as usize);
            for (index, weight) in weights.iter().enumerate() {
                prop_assert_eq!(got[&index] as u64, u64::from(*weight) / divisor);
            }
        }
    }
}
