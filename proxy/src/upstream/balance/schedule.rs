//! A smooth rotation by weight, laid out ahead so that a turn is one index.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The rotation: endpoint `i` has a share of slots equal to its share of the weights, spread evenly.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schedule {
    slots: Box<[u32]>,
}

impl Schedule {
    /// Lays out the rotation. Weight 0 gets no slot. The layout is exact up to [`MAX_SLOTS`] slots after the
    /// common divisor is taken out; beyond, shares are rounded to that many slots, one at least.
    pub(crate) fn new(weights: &[u32]) -> Self {
        let divisor = weights.iter().fold(0, |divisor, weight| gcd(divisor, *weight)).max(1);
        let mut shares: Vec<u64> = weights.iter().map(|weight| u64::from(weight / divisor)).collect();
        let total: u64 = shares.iter().sum();
        if total > MAX_SLOTS && shares.iter().any(|share| *share > 1) {
            for share in shares.iter_mut().filter(|share| **share > 0) {
                *share = ((*share * MAX_SLOTS + total / 2) / total).max(1);
            }
        }
        if shares.iter().all(|share| *share <= 1) {
            let slots = (0u32..).zip(&shares).filter(|(_, share)| **share > 0).map(|(index, _)| index);
            return Self { slots: slots.collect() };
        }
        // The k-th slot of a share s is due at (k + p)/s of the round; whoever is due first goes first. The phase
        // p differs from endpoint to endpoint, or the light ones would all be due in the middle of the round.
        let mut due: BinaryHeap<Reverse<(u64, u32, u64)>> = (0u32..)
            .zip(&shares)
            .filter(|(_, share)| **share > 0)
            .map(|(index, share)| Reverse((deadline(index, 0, *share), index, 0)))
            .collect();
        let mut slots = Vec::new();
        while let Some(Reverse((_, index, turn))) = due.pop() {
            slots.push(index);
            let share = shares.get(index as usize).copied().unwrap_or(0);
            if turn + 1 < share {
                due.push(Reverse((deadline(index, turn + 1, share), index, turn + 1)));
            }
        }
        Self { slots: slots.into() }
    }

    /// Slots of a round.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The endpoint of a slot; slots repeat for ever. None if there is no endpoint.
    pub(crate) fn at(&self, slot: usize) -> Option<usize> {
        let index = slot.checked_rem(self.slots.len())?;
        self.slots.get(index).map(|endpoint| *endpoint as usize)
    }

    /// The first admitted endpoint from `slot` on, once round.
    pub(crate) fn walk(&self, slot: usize, admit: impl Fn(usize) -> bool) -> Option<usize> {
        (0..self.len()).filter_map(|step| self.at(slot.wrapping_add(step))).find(|endpoint| admit(*endpoint))
    }
}

/// When a turn is due, in units of 2⁻³² of a round.
fn deadline(index: u32, turn: u64, share: u64) -> u64 {
    // Multiples of the golden ratio, modulo 1, spread evenly however many there are.
    let phase = u64::from(index.wrapping_add(1).wrapping_mul(0x9e37_79b9));
    // Turns are below 2^14, so the shift keeps everything.
    ((turn << 32) + phase) / share
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Bounds the memory of a tier with odd weights to 32 KiB; the rounding error of a share is below 0.01 %.
const MAX_SLOTS: u64 = 8192;
