//! Sessions, exclusions, fitness and limits at a pick.

use model::{Address, Balance, Circuit, Endpoint, EndpointSet, Origin};

use super::*;

fn endpoints(count: u8) -> Arc<EndpointSet> {
    let endpoint = |last: u8| Endpoint {
        reach: model::Reach::AsBackend,
        address: Address::Ip([10, 0, 0, last].into()),
        port: 80,
        weight: 1,
        zone: "".into(),
        draining: false,
        workload: "".into(),
    };
    Arc::new(EndpointSet((1..=count).map(endpoint).collect()))
}

fn backend(count: u8, change: impl Fn(&mut Backend)) -> Arc<BackendHandle> {
    let mut spec = Backend {
        origin: Origin::new("Service", "a", "b"),
        port: 80,
        protocol: Default::default(),
        tls: Default::default(),
        balance: Balance { algorithm: model::Algorithm::RoundRobin, ..Balance::default() },
        health: Default::default(),
        circuit: Circuit::default(),
        connection: Default::default(),
        retry_budget: None,
        session: None,
        set_by: Default::default(),
    };
    change(&mut spec);
    let name = "service/a/b/80".into();
    BackendHandle::build(
        &name,
        &Arc::new(spec),
        &endpoints(count),
        &Default::default(),
        "",
        &Default::default(),
        None,
    )
    .unwrap()
}

fn kind(result: Result<Picked, UpstreamError>) -> UpstreamErrorKind {
    result.unwrap_err().kind
}

#[test]
fn a_pick_is_in_flight_until_dropped() {
    let backend = backend(1, |_| {});
    let picked = pick(&backend, &PickHints::default()).unwrap();
    let endpoint = Arc::clone(picked.endpoint());
    assert_eq!(endpoint.in_flight(), 1);
    drop(picked);
    assert_eq!(endpoint.in_flight(), 0);
}

#[test]
fn no_endpoint_is_said() {
    assert_eq!(kind(pick(&backend(0, |_| {}), &PickHints::default())), UpstreamErrorKind::NoHealthyEndpoint);
}

#[test]
fn the_limit_of_requests_holds() {
    let backend = backend(2, |spec| spec.circuit.requests = 2);
    let held: Vec<_> = (0..2).map(|_| pick(&backend, &PickHints::default()).unwrap()).collect();
    let open = UpstreamErrorKind::CircuitOpen(CircuitLimit::Requests);
    assert_eq!(kind(pick(&backend, &PickHints::default())), open);
    drop(held);
    assert!(pick(&backend, &PickHints::default()).is_ok());
}

#[test]
fn a_session_stays_while_its_endpoint_is_fit() {
    let backend = backend(5, |_| {});
    let token = pick(&backend, &PickHints::default()).unwrap().token().to_string();
    let hints = PickHints { session: Some(&token), ..PickHints::default() };
    for _ in 0..10 {
        assert_eq!(pick(&backend, &hints).unwrap().token().to_string(), token);
    }
    let picked = pick(&backend, &hints).unwrap();
    let exclude = [picked.id()];
    let elsewhere = pick(&backend, &PickHints { exclude: &exclude, ..hints }).unwrap();
    assert_ne!(elsewhere.id(), picked.id(), "it failed this request");
    picked.endpoint().set_passes_checks(false);
    assert_ne!(pick(&backend, &hints).unwrap().id(), picked.id(), "it is unfit");
}

#[test]
fn a_session_token_from_nowhere_is_as_none() {
    let backend = backend(2, |_| {});
    for session in ["", "0000000000000000", "ffffffffffffffffffffffff", "\u{1}"] {
        assert!(pick(&backend, &PickHints { session: Some(session), ..PickHints::default() }).is_ok());
    }
}

#[test]
fn the_excluded_are_avoided_while_there_are_others() {
    let backend = backend(2, |_| {});
    let first = pick(&backend, &PickHints::default()).unwrap().id();
    let exclude = [first];
    let hints = PickHints { exclude: &exclude, ..PickHints::default() };
    for _ in 0..10 {
        assert_ne!(pick(&backend, &hints).unwrap().id(), first);
    }
    let all: Vec<_> = backend.members().iter().map(|member| member.state.id).collect();
    assert!(pick(&backend, &PickHints { exclude: &all, ..PickHints::default() }).is_ok());
}

#[test]
fn the_unfit_are_avoided_and_if_all_are_unfit_none_is() {
    let backend = backend(3, |_| {});
    let members: Vec<_> = backend.members().iter().cloned().collect();
    members[0].state.set_passes_checks(false);
    members[1].state.set_passes_checks(false);
    for _ in 0..10 {
        assert_eq!(pick(&backend, &PickHints::default()).unwrap().id(), members[2].state.id);
    }
    members[2].state.set_passes_checks(false);
    let picked: std::collections::HashSet<_> =
        (0..9).map(|_| pick(&backend, &PickHints::default()).unwrap().id()).collect();
    assert_eq!(picked.len(), 3, "health is disregarded");
}

#[test]
fn a_hash_always_finds_the_same_endpoint() {
    for algorithm in [model::Algorithm::RingHash, model::Algorithm::Maglev] {
        let build = || backend(10, |spec| spec.balance.algorithm = algorithm);
        let (here, there) = (build(), build());
        for client in 0..100u64 {
            let hints = PickHints { hash: Some(crate::upstream::hash::mix(client)), ..PickHints::default() };
            let (one, other) = (pick(&here, &hints).unwrap(), pick(&there, &hints).unwrap());
            assert_eq!(one.token(), other.token(), "two proxies agree");
        }
    }
}

#[test]
fn live_state_outlives_policy_and_endpoints() {
    let before = backend(2, |spec| spec.circuit.requests = 1);
    let held = pick(&before, &PickHints::default()).unwrap();
    let mut spec = Backend::clone(&before.spec);
    spec.circuit.connections = 7;
    let name = "service/a/b/80".into();
    let rebuild = |spec: &Backend, count: u8| {
        let spec = Arc::new(spec.clone());
        BackendHandle::build(
            &name,
            &spec,
            &endpoints(count),
            &Default::default(),
            "",
            &Default::default(),
            Some(&before),
        )
        .unwrap()
    };
    let after = rebuild(&spec, 2);
    assert!(!Arc::ptr_eq(&before, &after));
    let open = UpstreamErrorKind::CircuitOpen(CircuitLimit::Requests);
    assert_eq!(kind(pick(&after, &PickHints::default())), open, "the request before still counts");
    assert_eq!(after.transport, before.transport, "its connections can be reused");
    spec.connection.max_requests = 5;
    assert_ne!(rebuild(&spec, 2).transport, before.transport);
    drop(held);
    let same = rebuild(&before.spec, 4);
    assert!(Arc::ptr_eq(&before, &same), "endpoints alone change in place");
    assert_eq!(before.members().len(), 4);
}
