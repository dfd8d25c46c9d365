//! The members of a backend, in tiers of preference, each with what its picks need laid out ahead.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::{Address, Algorithm, Backend, BackendName, Balance, Endpoint, EndpointSet};

use crate::mesh::MeshIdentities;
use crate::upstream::balance::{self, Load, Maglev, Ring, Schedule};
use crate::upstream::clock::Moment;
use crate::upstream::endpoint::{EndpointState, EndpointToken, Member, Way, address_text};

/// The members of a backend at one time.
#[derive(Debug)]
pub struct Members {
    all: Box<[Arc<Member>]>,
    /// Own zone, failover zones in order, the rest, and last the draining ones.
    tiers: Box<[Tier]>,
    /// Sorted.
    tokens: Box<[(EndpointToken, u32)]>,
}

impl Members {
    /// Lays out the members. Those that `previous` has keep their state.
    pub(crate) fn build(
        backend: &BackendName,
        spec: &Backend,
        endpoints: &EndpointSet,
        zone: &str,
        mesh: &MeshIdentities,
        previous: Option<&Self>,
        now: Moment,
    ) -> Self {
        let previous = previous.filter(|previous| !previous.all.is_empty());
        let mut known: HashMap<(&Address, u16), &Arc<EndpointState>> = HashMap::new();
        for member in previous.iter().flat_map(|previous| previous.all.iter()) {
            known.insert((&member.state.address, member.state.port), &member.state);
        }
        // The first members of a backend are not young: nothing else could take the load meanwhile.
        let joined = if previous.is_some() { now } else { Moment(0) };
        let mut all: Vec<Arc<Member>> = Vec::with_capacity(endpoints.0.len());
        let mut seen = std::collections::HashSet::new();
        for endpoint in &endpoints.0 {
            if !seen.insert((&endpoint.address, endpoint.port)) {
                continue;
            }
            let state = match known.get(&(&endpoint.address, endpoint.port)) {
                Some(state) => Arc::clone(state),
                None => Arc::new(EndpointState::new(backend.as_str(), endpoint, joined)),
            };
            let way = Way::new(&endpoint.reach, spec.protocol, mesh);
            all.push(Arc::new(Member { state, endpoint: endpoint.clone(), way }));
        }
        let mut tokens: Vec<(EndpointToken, u32)> =
            all.iter().zip(0u32..).map(|(member, index)| (member.state.token, index)).collect();
        tokens.sort_unstable();
        let mut tiers = tiers(&all, &spec.balance, zone);
        if let Some(previous) = previous {
            // A change of members does not send the rotation back to its start.
            for (tier, old) in tiers.iter_mut().zip(&previous.tiers) {
                tier.cursor = AtomicUsize::new(old.cursor.load(Ordering::Relaxed));
            }
        }
        Self { all: all.into(), tiers: tiers.into(), tokens: tokens.into() }
    }

    /// All members, in the configuration's order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.all.iter()
    }

    /// Whether every way goes by an identity of these.
    pub(crate) fn are_of(&self, mesh: &MeshIdentities) -> bool {
        self.all.iter().all(|member| member.way.is_of(mesh))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The member that a session's token names.
    pub(crate) fn by_token(&self, token: EndpointToken) -> Option<&Arc<Member>> {
        let found = self.tokens.binary_search_by_key(&token, |(token, _)| *token).ok()?;
        self.all.get(self.tokens.get(found)?.1 as usize)
    }

    /// Picks from the best tier that has an admitted member.
    pub(crate) fn pick(&self, draw: &mut Draw<'_>, admit: &impl Fn(&Member) -> bool) -> Option<&Arc<Member>> {
        self.tiers.iter().find_map(|tier| tier.pick(draw, admit))
    }
}

/// What a pick depends on besides the members.
pub(crate) struct Draw<'a> {
    pub(crate) balance: &'a Balance,
    pub(crate) now: Moment,
    pub(crate) hash: Option<u64>,
    pub(crate) random: &'a mut dyn FnMut() -> u64,
}

/// Members of equal preference.
#[derive(Debug)]
struct Tier {
    members: Box<[Arc<Member>]>,
    table: Table,
    cursor: AtomicUsize,
}

#[derive(Debug)]
enum Table {
    Schedule(Schedule),
    Ring(Ring),
    Maglev(Maglev),
}

fn tiers(all: &[Arc<Member>], balance: &Balance, zone: &str) -> Vec<Tier> {
    // Rank of a member: own zone, failover zones in order, the others, the draining.
    let zones: Vec<&str> = if balance.prefer_zone && !zone.is_empty() {
        std::iter::once(zone).chain(balance.failover_zones.iter().map(AsRef::as_ref)).collect()
    } else {
        Vec::new()
    };
    let rank = |endpoint: &Endpoint| match endpoint.draining {
        true => zones.len() + 1,
        false => zones.iter().position(|zone| **zone == *endpoint.zone).unwrap_or(zones.len()),
    };
    let mut ranked: Vec<Vec<Arc<Member>>> = vec![Vec::new(); zones.len() + 2];
    for member in all {
        if let Some(tier) = ranked.get_mut(rank(&member.endpoint)) {
            tier.push(Arc::clone(member));
        }
    }
    ranked
        .into_iter()
        .filter(|tier| !tier.is_empty())
        .map(|tier| Tier::new(tier, balance.algorithm))
        .collect()
}

impl Tier {
    fn new(members: Vec<Arc<Member>>, algorithm: Algorithm) -> Self {
        let weights: Vec<u32> = members.iter().map(|member| member.endpoint.weight).collect();
        let keys = || -> Vec<String> {
            let key = |endpoint: &Endpoint| format!("{}:{}", address_text(&endpoint.address), endpoint.port);
            members.iter().map(|member| key(&member.endpoint)).collect()
        };
        let table = match algorithm {
            Algorithm::RingHash => Table::Ring(Ring::new(&keys(), &weights)),
            Algorithm::Maglev => Table::Maglev(Maglev::new(&keys(), &weights)),
            Algorithm::RoundRobin | Algorithm::LeastRequest | Algorithm::PeakEwma | Algorithm::Random => {
                Table::Schedule(Schedule::new(&weights))
            }
        };
        Self { members: members.into(), table, cursor: AtomicUsize::new(0) }
    }

    fn pick(&self, draw: &mut Draw<'_>, admit: &impl Fn(&Member) -> bool) -> Option<&Arc<Member>> {
        if let [only] = &*self.members {
            return (only.endpoint.weight > 0 && admit(only)).then_some(only);
        }
        let admitted = |index: usize| self.members.get(index).is_some_and(|member| admit(member));
        let index = match &self.table {
            Table::Ring(ring) => ring.find(draw.hash.unwrap_or_else(&mut *draw.random), admitted),
            Table::Maglev(maglev) => maglev.find(draw.hash.unwrap_or_else(&mut *draw.random), admitted),
            Table::Schedule(schedule) => self.scheduled(schedule, draw, admitted),
        }?;
        self.members.get(index)
    }

    fn scheduled(
        &self,
        schedule: &Schedule,
        draw: &mut Draw<'_>,
        admitted: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let slow = draw.balance.slow_start;
        let (now, random) = (draw.now, &mut *draw.random);
        let algorithm = draw.balance.algorithm;
        // One number per pick decides for all young members: which of them is drawn is random anyway.
        let threshold = if slow.is_zero() { 0 } else { random() };
        let grown = |index: usize| {
            slow.is_zero()
                || self
                    .members
                    .get(index)
                    .is_some_and(|member| threshold <= grown_share(now.since(member.state.joined), slow))
        };
        let fit = |index: usize| grown(index) && admitted(index);
        let chosen = match algorithm {
            Algorithm::RoundRobin => {
                balance::by_turns(schedule, || self.cursor.fetch_add(1, Ordering::Relaxed), fit)
            }
            Algorithm::LeastRequest => balance::less_loaded(schedule, random, fit, &InFlight(&self.members)),
            Algorithm::PeakEwma => balance::less_loaded(schedule, random, fit, &PeakEwma(&self.members, now)),
            Algorithm::Random | Algorithm::RingHash | Algorithm::Maglev => {
                balance::at_random(schedule, random, fit)
            }
        };
        // Only young members are left: better one of them than none.
        if chosen.is_none() && !slow.is_zero() { schedule.walk(0, admitted) } else { chosen }
    }
}

/// How much of the full share a member of this age gets, on the scale of `u64`: linear, a tenth at least.
fn grown_share(age: Duration, slow_start: Duration) -> u64 {
    if age >= slow_start {
        return u64::MAX;
    }
    let share = (age.as_secs_f64() / slow_start.as_secs_f64()).max(0.1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a share in 0.1..1 of the range; a float's rounding does not matter"
    )]
    let scaled = (share * u64::MAX as f64) as u64;
    scaled
}

/// Requests in flight, relative to weight.
struct InFlight<'a>(&'a [Arc<Member>]);

impl Load for InFlight<'_> {
    fn prefers_second(&self, first: usize, second: usize) -> bool {
        let (Some(first), Some(second)) = (self.0.get(first), self.0.get(second)) else { return false };
        let scaled = |member: &Member, other: &Member| {
            u64::from(member.state.in_flight()) * u64::from(other.endpoint.weight)
        };
        scaled(second, first) < scaled(first, second)
    }
}

/// Expected time in the queue: average latency × requests. A member that never answered is judged by its
/// requests alone, so that it is tried but not flooded.
struct PeakEwma<'a>(&'a [Arc<Member>], Moment);

impl Load for PeakEwma<'_> {
    fn prefers_second(&self, first: usize, second: usize) -> bool {
        let (Some(a), Some(b)) = (self.0.get(first), self.0.get(second)) else { return false };
        match (a.state.ewma.at(self.1), b.state.ewma.at(self.1)) {
            (Some(first), Some(second)) => {
                second * (f64::from(b.state.in_flight()) + 1.0)
                    < first * (f64::from(a.state.in_flight()) + 1.0)
            }
            (None, _) | (_, None) => InFlight(self.0).prefers_second(first, second),
        }
    }
}

#[cfg(test)]
mod tests;
