//! Tiers, slow start and what outlives a change of members.

use std::collections::{BTreeSet, HashMap};

use model::Balance;

use super::*;

fn endpoint(last: u8, zone: &str) -> Endpoint {
    Endpoint {
        reach: model::Reach::AsBackend,
        address: Address::Ip([10, 0, 0, last].into()),
        port: 80,
        weight: 1,
        zone: zone.into(),
        draining: false,
        workload: "".into(),
    }
}

fn set(endpoints: impl IntoIterator<Item = Endpoint>) -> EndpointSet {
    EndpointSet(endpoints.into_iter().collect())
}

fn build(balance: &Balance, endpoints: &EndpointSet, previous: Option<&Members>, now: Moment) -> Members {
    let spec = Backend {
        origin: model::Origin::new("Service", "a", "b"),
        port: 80,
        protocol: Default::default(),
        tls: Default::default(),
        balance: balance.clone(),
        health: Default::default(),
        circuit: Default::default(),
        connection: Default::default(),
        retry_budget: None,
        session: None,
        set_by: Default::default(),
    };
    Members::build(
        &"service/a/b/80".into(),
        &spec,
        endpoints,
        "z1",
        &MeshIdentities::default(),
        previous,
        now,
    )
}

fn at(seconds: u64) -> Moment {
    Moment(0).plus(Duration::from_secs(1000 + seconds))
}

fn last(member: &Member) -> u8 {
    match member.endpoint.address {
        Address::Ip(std::net::IpAddr::V4(ip)) => ip.octets()[3],
        _ => 0,
    }
}

/// Picks many times; how often each was picked, by the last byte of its address.
fn picks(
    members: &Members,
    balance: &Balance,
    now: Moment,
    admit: impl Fn(&Member) -> bool,
) -> HashMap<u8, usize> {
    let mut state = 7u64;
    let mut random = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        crate::upstream::hash::mix(state)
    };
    let mut counts = HashMap::new();
    for _ in 0..1000 {
        let mut draw = Draw { balance, now, hash: None, random: &mut random };
        if let Some(member) = members.pick(&mut draw, &admit) {
            *counts.entry(last(member)).or_default() += 1;
        }
    }
    counts
}

fn picked(members: &Members, balance: &Balance, admit: impl Fn(&Member) -> bool) -> BTreeSet<u8> {
    picks(members, balance, at(0), admit).into_keys().collect()
}

#[test]
fn state_outlives_a_change_of_the_set() {
    let balance = Balance::default();
    let first = build(&balance, &set([endpoint(1, ""), endpoint(2, "")]), None, at(0));
    first.iter().for_each(|member| member.state.begin());
    let mut reweighted = endpoint(2, "z2");
    reweighted.weight = 9;
    let second = build(&balance, &set([reweighted, endpoint(3, "")]), Some(&first), at(1));
    let in_flight: Vec<(u8, u32)> =
        second.iter().map(|member| (last(member), member.state.in_flight())).collect();
    assert_eq!(in_flight, [(2, 1), (3, 0)]);
    let kept = second.iter().next().unwrap();
    assert_eq!(kept.endpoint.weight, 9);
    assert_eq!(kept.state.id, first.iter().nth(1).unwrap().state.id);
}

#[test]
fn an_address_that_is_named_twice_counts_once() {
    let members = build(&Balance::default(), &set([endpoint(1, ""), endpoint(1, "")]), None, at(0));
    assert_eq!(members.len(), 1);
}

#[test]
fn zones_come_in_order() {
    let balance = Balance { prefer_zone: true, failover_zones: vec!["z2".into()], ..Balance::default() };
    let endpoints =
        [endpoint(1, "z1"), endpoint(2, "z1"), endpoint(3, "z2"), endpoint(4, "z3"), endpoint(5, "")];
    let members = build(&balance, &set(endpoints), None, at(0));
    assert_eq!(picked(&members, &balance, |_| true), [1, 2].into());
    assert_eq!(picked(&members, &balance, |member| last(member) != 1), [2].into());
    assert_eq!(picked(&members, &balance, |member| last(member) > 2), [3].into());
    assert_eq!(picked(&members, &balance, |member| last(member) > 3), [4, 5].into());
}

#[test]
fn without_preference_zones_do_not_matter() {
    let balance = Balance::default();
    let members = build(&balance, &set([endpoint(1, "z1"), endpoint(2, "z2")]), None, at(0));
    assert_eq!(picked(&members, &balance, |_| true), [1, 2].into());
}

#[test]
fn the_draining_come_last() {
    let balance = Balance { prefer_zone: true, ..Balance::default() };
    let draining = Endpoint { draining: true, ..endpoint(1, "z1") };
    let members = build(&balance, &set([draining, endpoint(2, "z9")]), None, at(0));
    assert_eq!(picked(&members, &balance, |_| true), [2].into());
    assert_eq!(picked(&members, &balance, |member| last(member) == 1), [1].into());
}

#[test]
fn a_young_member_grows_into_its_share() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::Random, Algorithm::LeastRequest, Algorithm::PeakEwma]
    {
        let balance = Balance { algorithm, slow_start: Duration::from_secs(100), ..Balance::default() };
        let old = build(&balance, &set([endpoint(1, "")]), None, at(0));
        let members = build(&balance, &set([endpoint(1, ""), endpoint(2, "")]), Some(&old), at(0));
        let share = |seconds: u64| picks(&members, &balance, at(seconds), |_| true)[&2];
        let (young, half, grown) = (share(1), share(50), share(100));
        assert!((20..150).contains(&young), "{algorithm:?}: {young}");
        assert!((young + 50..450).contains(&half), "{algorithm:?}: {half}");
        assert!((440..560).contains(&grown), "{algorithm:?}: {grown}");
    }
}

#[test]
fn the_first_members_are_not_young() {
    let balance = Balance { slow_start: Duration::from_secs(100), ..Balance::default() };
    let members = build(&balance, &set([endpoint(1, ""), endpoint(2, "")]), None, at(0));
    assert!(picks(&members, &balance, at(0), |_| true).values().all(|count| *count > 400));
}

#[test]
fn a_lone_young_member_is_picked_all_the_same() {
    let balance = Balance { slow_start: Duration::from_secs(100), ..Balance::default() };
    let old = build(&balance, &set([endpoint(1, "")]), None, at(0));
    let members = build(&balance, &set([endpoint(1, ""), endpoint(2, "")]), Some(&old), at(0));
    let counts = picks(&members, &balance, at(1), |member| last(member) == 2);
    assert_eq!(counts[&2], 1000);
}

#[test]
fn peak_ewma_prefers_the_faster() {
    let balance = Balance { algorithm: Algorithm::PeakEwma, ..Balance::default() };
    let members = build(&balance, &set([endpoint(1, ""), endpoint(2, "")]), None, at(0));
    for (member, millis) in members.iter().zip([50, 5]) {
        member.state.ewma.note(Duration::from_millis(millis), at(0));
    }
    assert!(picks(&members, &balance, at(0), |_| true)[&2] > 980);
    let fast = members.iter().nth(1).unwrap();
    (0..20).for_each(|_| fast.state.begin());
    assert!(picks(&members, &balance, at(0), |_| true)[&1] > 980, "20 in its queue take longer");
}

#[test]
fn least_request_counts_by_weight() {
    let balance = Balance::default();
    let heavy = Endpoint { weight: 10, ..endpoint(1, "") };
    let members = build(&balance, &set([heavy, endpoint(2, "")]), None, at(0));
    let all: Vec<_> = members.iter().collect();
    (0..9).for_each(|_| all[0].state.begin());
    all[1].state.begin();
    assert!(picks(&members, &balance, at(0), |_| true)[&1] > 980, "9 of 10 is less than 1 of 1");
}

#[test]
fn the_rotation_goes_on_after_a_change() {
    let balance = Balance { algorithm: Algorithm::RoundRobin, ..Balance::default() };
    let endpoints = set([endpoint(1, ""), endpoint(2, "")]);
    let first = build(&balance, &endpoints, None, at(0));
    let next = |members: &Members| {
        let mut draw = Draw { balance: &balance, now: at(0), hash: None, random: &mut || 0 };
        last(members.pick(&mut draw, &|_| true).unwrap())
    };
    assert_eq!(next(&first), 1);
    let second = build(&balance, &endpoints, Some(&first), at(1));
    assert_eq!([next(&second), next(&second)], [2, 1]);
}

#[test]
fn tokens_find_their_member() {
    let members = build(&Balance::default(), &set((1..50).map(|last| endpoint(last, ""))), None, at(0));
    for member in members.iter() {
        assert_eq!(members.by_token(member.state.token).unwrap().state.id, member.state.id);
        assert_eq!(EndpointToken::parse(&member.state.token.to_string()), Some(member.state.token));
    }
    assert!(members.by_token(EndpointToken(1)).is_none());
    for odd in ["", "+123456789abcdef", "0123456789abcde", "0123456789abcdef0", "0123456789abcdeg"] {
        assert_eq!(EndpointToken::parse(odd), None, "{odd}");
    }
}
