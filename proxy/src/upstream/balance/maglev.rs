//! Consistent hashing by a Maglev table (Eisenbud et al., NSDI 2016, §3.4): one index per pick, even shares.

use crate::upstream::hash;

/// The lookup table.
#[derive(Clone, Debug)]
pub(crate) struct Maglev {
    table: Box<[u16]>,
}

impl Maglev {
    /// A table of endpoints known by `keys`, with shares by `weights`. It depends on neither the order nor the
    /// health of the endpoints.
    pub(crate) fn new(keys: &[String], weights: &[u32]) -> Self {
        // Entries are claimed in turns; the turns are in the order of keys so that the input's order is void.
        // An index that does not fit is never claimed: 65,535 endpoints are more than the table can serve.
        let mut order: Vec<u16> =
            (0..NOBODY).zip(weights).filter(|(_, weight)| **weight > 0).map(|(i, _)| i).collect();
        order.sort_by(|a, b| keys.get(usize::from(*a)).cmp(&keys.get(usize::from(*b))));
        let heaviest = weights.iter().copied().max().unwrap_or(1).max(1);
        let mut claimants: Vec<Claimant> = order
            .iter()
            .filter_map(|index| {
                let key = keys.get(usize::from(*index))?;
                let weight = *weights.get(usize::from(*index))?;
                Some(Claimant::new(*index, key, weight))
            })
            .collect();
        let mut table = vec![NOBODY; SIZE];
        let mut left = if claimants.is_empty() { 0 } else { SIZE };
        while left > 0 {
            for claimant in &mut claimants {
                claimant.credit += u64::from(claimant.weight);
                if left == 0 || claimant.credit < u64::from(heaviest) {
                    continue;
                }
                claimant.credit -= u64::from(heaviest);
                if claimant.claim(&mut table) {
                    left -= 1;
                }
            }
        }
        table.retain(|entry| *entry != NOBODY);
        Self { table: table.into() }
    }

    /// The endpoint of `hash`; where it is not admitted, that of the hash's own further probes.
    pub(crate) fn find(&self, hash: u64, admit: impl Fn(usize) -> bool) -> Option<usize> {
        let size = self.table.len() as u64;
        let mut probe = hash;
        for _ in 0..PROBES {
            let slot = usize::try_from(probe.checked_rem(size)?).ok()?;
            let endpoint = usize::from(*self.table.get(slot)?);
            if admit(endpoint) {
                return Some(endpoint);
            }
            probe = hash::mix(probe.wrapping_add(0x9e37_79b9_7f4a_7c15));
        }
        self.table.iter().map(|endpoint| usize::from(*endpoint)).find(|endpoint| admit(*endpoint))
    }
}

/// One endpoint's permutation of the table, walked as it claims entries.
struct Claimant {
    index: u16,
    weight: u32,
    offset: usize,
    skip: usize,
    step: usize,
    /// Weighted endpoints claim once per `heaviest` of gathered weight.
    credit: u64,
}

impl Claimant {
    fn new(index: u16, key: &str, weight: u32) -> Self {
        let (offset, skip) = (hash::of_parts(&[key], 1), hash::of_parts(&[key], 2));
        let size = SIZE as u64;
        let within = |number: u64| usize::try_from(number).unwrap_or(0);
        Self {
            index,
            weight,
            offset: within(offset % size),
            skip: within(skip % (size - 1) + 1),
            step: 0,
            credit: 0,
        }
    }

    /// Takes the next free entry of its permutation. False if there is none, which the caller's count rules out.
    fn claim(&mut self, table: &mut [u16]) -> bool {
        for _ in 0..table.len() {
            let slot = (self.offset + self.skip * self.step) % table.len();
            self.step = (self.step + 1) % table.len();
            if let Some(entry) = table.get_mut(slot)
                && *entry == NOBODY
            {
                *entry = self.index;
                return true;
            }
        }
        false
    }
}

/// Prime, and the same for any number of endpoints: another size would move nearly all clients. Shares of up to
/// 650 endpoints differ by one percent at most (paper, §5.3). 128 KiB.
const SIZE: usize = 65_537;
const NOBODY: u16 = u16::MAX;
const PROBES: usize = 16;
