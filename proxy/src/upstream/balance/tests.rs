//! Shares, rotation and consistency of the pure picks.

use std::cell::Cell;
use std::collections::HashMap;

use super::*;
use crate::upstream::hash;

/// A fixed sequence of uniform numbers (splitmix64).
fn numbers() -> impl FnMut() -> u64 {
    let mut state = 42u64;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        hash::mix(state)
    }
}

fn tickets() -> impl FnMut() -> usize {
    let mut next = 0;
    move || {
        next += 1;
        next - 1
    }
}

fn everyone(_: usize) -> bool {
    true
}

fn counts(picks: impl IntoIterator<Item = usize>) -> HashMap<usize, usize> {
    let mut counts = HashMap::new();
    for pick in picks {
        *counts.entry(pick).or_default() += 1;
    }
    counts
}

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("10.0.0.{index}:80")).collect()
}

#[test]
fn turns_are_exact_and_spread() {
    let schedule = Schedule::new(&[5, 1, 1]);
    let mut ticket = tickets();
    let picks: Vec<usize> = (0..14).map(|_| by_turns(&schedule, &mut ticket, everyone).unwrap()).collect();
    assert_eq!(picks[..7], picks[7..], "rounds repeat");
    assert_eq!(counts(picks[..7].iter().copied()), HashMap::from([(0, 5), (1, 1), (2, 1)]));
    assert!(picks.windows(4).all(|window| window != [0, 0, 0, 0]), "{picks:?}");
}

#[test]
fn equal_weights_take_turns_in_order() {
    let schedule = Schedule::new(&[7, 7, 7]);
    assert_eq!(schedule.len(), 3);
    let mut ticket = tickets();
    let picks: Vec<usize> = (0..6).map(|_| by_turns(&schedule, &mut ticket, everyone).unwrap()).collect();
    assert_eq!(picks, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn weight_zero_is_never_picked() {
    let schedule = Schedule::new(&[0, 3, 0]);
    let mut ticket = tickets();
    assert!((0..10).all(|_| by_turns(&schedule, &mut ticket, everyone) == Some(1)));
    assert_eq!(by_turns(&Schedule::new(&[0, 0]), tickets(), everyone), None);
    assert_eq!(by_turns(&Schedule::new(&[]), tickets(), everyone), None);
    assert_eq!(at_random(&Schedule::new(&[]), numbers(), everyone), None);
}

#[test]
fn huge_weights_keep_their_shares() {
    let schedule = Schedule::new(&[1_000_000, 500_000, 1]);
    assert!(schedule.len() <= 8200);
    let counts = counts((0..schedule.len()).filter_map(|slot| schedule.at(slot)));
    let ratio = counts[&0] as f64 / counts[&1] as f64;
    assert!((ratio - 2.0).abs() < 0.01, "{ratio}");
    assert_eq!(counts[&2], 1, "rounded up, not away");
}

#[test]
fn the_turns_of_an_unfit_endpoint_go_round() {
    let schedule = Schedule::new(&[1, 1, 1, 1]);
    let mut ticket = tickets();
    let picks = (0..300).map(|_| by_turns(&schedule, &mut ticket, |endpoint| endpoint != 1).unwrap());
    let counts = counts(picks);
    assert_eq!(counts, HashMap::from([(0, 100), (2, 100), (3, 100)]));
}

#[test]
fn a_lone_fit_endpoint_is_found_behind_a_heavy_one() {
    let schedule = Schedule::new(&[1000, 1]);
    assert_eq!(by_turns(&schedule, tickets(), |endpoint| endpoint == 1), Some(1));
    assert_eq!(at_random(&schedule, numbers(), |endpoint| endpoint == 1), Some(1));
    assert_eq!(by_turns(&schedule, tickets(), |_| false), None);
}

#[test]
fn random_follows_weight() {
    let schedule = Schedule::new(&[3, 1]);
    let mut random = numbers();
    let counts = counts((0..10_000).map(|_| at_random(&schedule, &mut random, everyone).unwrap()));
    let share = counts[&0] as f64 / 10_000.0;
    assert!((share - 0.75).abs() < 0.02, "{share}");
}

struct Queue(Vec<Cell<u32>>);

impl Load for Queue {
    fn prefers_second(&self, first: usize, second: usize) -> bool {
        self.0[second].get() < self.0[first].get()
    }
}

#[test]
fn the_less_loaded_of_two_wins() {
    let schedule = Schedule::new(&[1, 1]);
    let queue = Queue(vec![Cell::new(5), Cell::new(0)]);
    let mut random = numbers();
    let counts = counts((0..1000).map(|_| less_loaded(&schedule, &mut random, everyone, &queue).unwrap()));
    // Both are drawn with probability 1 − 2⁻⁸ after the first.
    assert!(counts[&1] > 980, "{counts:?}");
}

#[test]
fn two_choices_keep_queues_even() {
    let schedule = Schedule::new(&[1; 10]);
    let queue = Queue((0..10).map(|_| Cell::new(0)).collect());
    let mut random = numbers();
    for _ in 0..1000 {
        let chosen = less_loaded(&schedule, &mut random, everyone, &queue).unwrap();
        queue.0[chosen].set(queue.0[chosen].get() + 1);
    }
    let (least, most) =
        (queue.0.iter().map(Cell::get).min().unwrap(), queue.0.iter().map(Cell::get).max().unwrap());
    assert!(most - least <= 5, "{least}..{most}: random alone would be about ±30");
}

#[test]
fn unloaded_choices_follow_weight() {
    let schedule = Schedule::new(&[3, 1]);
    let queue = Queue(vec![Cell::new(0), Cell::new(0)]);
    let mut random = numbers();
    let counts = counts((0..10_000).map(|_| less_loaded(&schedule, &mut random, everyone, &queue).unwrap()));
    assert!((counts[&0] as f64 / 10_000.0 - 0.75).abs() < 0.02, "{counts:?}");
}

/// Shares of `clients` hashes.
fn shares(find: impl Fn(u64) -> usize, clients: u64) -> HashMap<usize, f64> {
    let counts = counts((0..clients).map(|client| find(hash::of_bytes(&client.to_le_bytes()))));
    counts.into_iter().map(|(endpoint, count)| (endpoint, count as f64 / clients as f64)).collect()
}

#[test]
fn the_ring_shares_by_weight() {
    let ring = Ring::new(&keys(10), &[1; 10]);
    for share in shares(|hash| ring.find(hash, everyone).unwrap(), 20_000).values() {
        assert!((0.07..0.13).contains(share), "{share}");
    }
    let ring = Ring::new(&keys(2), &[3, 1]);
    let share = shares(|hash| ring.find(hash, everyone).unwrap(), 20_000)[&0];
    assert!((0.68..0.82).contains(&share), "{share}");
}

#[test]
fn maglev_shares_by_weight() {
    let maglev = Maglev::new(&keys(10), &[1; 10]);
    for share in shares(|hash| maglev.find(hash, everyone).unwrap(), 50_000).values() {
        assert!((0.09..0.11).contains(share), "{share}");
    }
    let maglev = Maglev::new(&keys(2), &[3, 1]);
    let share = shares(|hash| maglev.find(hash, everyone).unwrap(), 50_000)[&0];
    assert!((0.73..0.77).contains(&share), "{share}");
}

/// How many of 10,000 clients move when the last of eleven endpoints goes, beyond those that it had.
fn moved(before: impl Fn(u64) -> usize, after: impl Fn(u64) -> usize) -> usize {
    let hashes = (0..10_000u64).map(|client| hash::of_bytes(&client.to_le_bytes()));
    hashes.filter(|hash| before(*hash) != 10 && before(*hash) != after(*hash)).count()
}

#[test]
fn a_lost_endpoint_moves_only_its_own_clients() {
    let (before, after) = (Ring::new(&keys(11), &[1; 11]), Ring::new(&keys(10), &[1; 10]));
    let ring = moved(|hash| before.find(hash, everyone).unwrap(), |hash| after.find(hash, everyone).unwrap());
    assert!(ring < 200, "{ring}");
    let (before, after) = (Maglev::new(&keys(11), &[1; 11]), Maglev::new(&keys(10), &[1; 10]));
    let maglev =
        moved(|hash| before.find(hash, everyone).unwrap(), |hash| after.find(hash, everyone).unwrap());
    assert!(maglev < 800, "{maglev}: Maglev trades some of it for even shares");
}

#[test]
fn an_unfit_endpoint_moves_only_its_own_clients() {
    let (ring, maglev) = (Ring::new(&keys(10), &[1; 10]), Maglev::new(&keys(10), &[1; 10]));
    let fit = |endpoint: usize| endpoint != 3;
    for client in 0..5_000u64 {
        let hash = hash::of_bytes(&client.to_le_bytes());
        for (all, left) in [
            (ring.find(hash, everyone), ring.find(hash, fit)),
            (maglev.find(hash, everyone), maglev.find(hash, fit)),
        ] {
            assert!(left.is_some_and(fit));
            assert!(all == Some(3) || all == left);
        }
    }
    assert_eq!(ring.find(1, |_| false), None);
    assert_eq!(maglev.find(1, |_| false), None);
    assert_eq!(Maglev::new(&[], &[]).find(1, everyone), None);
    assert_eq!(Ring::new(&[], &[]).find(1, everyone), None);
}

#[test]
fn hashing_does_not_depend_on_order() {
    let forward = keys(10);
    let backward: Vec<String> = forward.iter().rev().cloned().collect();
    let (ring, turned) = (Ring::new(&forward, &[1; 10]), Ring::new(&backward, &[1; 10]));
    let (maglev, turned_maglev) = (Maglev::new(&forward, &[1; 10]), Maglev::new(&backward, &[1; 10]));
    for client in 0..2_000u64 {
        let hash = hash::of_bytes(&client.to_le_bytes());
        assert_eq!(ring.find(hash, everyone), turned.find(hash, everyone).map(|endpoint| 9 - endpoint));
        assert_eq!(
            maglev.find(hash, everyone),
            turned_maglev.find(hash, everyone).map(|endpoint| 9 - endpoint)
        );
    }
}

#[test]
fn numbers_below_a_bound_are_even() {
    let mut random = numbers();
    let counts = counts((0..30_000).map(|_| below(random(), 3)));
    assert!(counts.values().all(|count| (9_700..10_300).contains(count)), "{counts:?}");
    assert_eq!(below(u64::MAX, 3), 2);
    assert_eq!(below(7, 0), 0);
}
