//! Performance-critical path. Pure picks among the endpoints of one tier: no clock, no state but what is passed in.
//!
//! An endpoint is an index into the tier. `admit` says whether it may be picked now; it may be random (slow
//! start admits a young endpoint at times), so a refusal is never final until the last walk. `random` gives
//! uniform 64-bit numbers.

mod maglev;
mod ring;
mod schedule;

pub(crate) use maglev::Maglev;
pub(crate) use ring::Ring;
pub(crate) use schedule::Schedule;

/// Which of two endpoints is the less loaded; a tie goes to the first.
pub(crate) trait Load {
    /// Whether `second` is less loaded than `first`.
    fn prefers_second(&self, first: usize, second: usize) -> bool;
}

/// By turns, by weight: `ticket` numbers come from one counter that all cores share.
pub(crate) fn by_turns(
    schedule: &Schedule,
    mut ticket: impl FnMut() -> usize,
    admit: impl Fn(usize) -> bool,
) -> Option<usize> {
    // A refused turn is simply used up, which keeps the rest in even rotation.
    for _ in 0..DRAWS {
        let chosen = schedule.at(ticket())?;
        if admit(chosen) {
            return Some(chosen);
        }
    }
    schedule.walk(ticket(), admit)
}

/// At random, by weight.
pub(crate) fn at_random(
    schedule: &Schedule,
    mut random: impl FnMut() -> u64,
    admit: impl Fn(usize) -> bool,
) -> Option<usize> {
    for _ in 0..DRAWS {
        let chosen = schedule.at(below(random(), schedule.len()))?;
        if admit(chosen) {
            return Some(chosen);
        }
    }
    schedule.walk(below(random(), schedule.len()), admit)
}

/// The less loaded of two that are picked at random by weight (power of two choices).
pub(crate) fn less_loaded(
    schedule: &Schedule,
    mut random: impl FnMut() -> u64,
    admit: impl Fn(usize) -> bool,
    load: &impl Load,
) -> Option<usize> {
    let first = at_random(schedule, &mut random, &admit)?;
    for _ in 0..DRAWS {
        let second = schedule.at(below(random(), schedule.len()))?;
        if second != first && admit(second) {
            return Some(if load.prefers_second(first, second) { second } else { first });
        }
    }
    Some(first)
}

/// A number below `count` from a uniform one, without division (Lemire). 0 if `count` is 0.
fn below(random: u64, count: usize) -> usize {
    // The product's high word is below `count`, so it fits.
    usize::try_from((u128::from(random) * count as u128) >> 64).unwrap_or(0)
}

/// Draws before the walk: with half of the endpoints unfit, one request in 256 walks.
const DRAWS: usize = 8;

#[cfg(test)]
mod tests;
