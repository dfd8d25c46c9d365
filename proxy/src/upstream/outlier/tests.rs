//! The arithmetic of ejection.

use std::sync::Arc;

use model::{Address, Backend, Endpoint, EndpointSet, Origin};

use super::*;

fn backend(count: u8, outlier: Outlier) -> Arc<BackendHandle> {
    let endpoint = |last: u8| Endpoint {
        reach: model::Reach::AsBackend,
        address: Address::Ip([10, 0, 0, last].into()),
        port: 80,
        weight: 1,
        zone: "".into(),
        draining: false,
        workload: "".into(),
    };
    let spec = Backend {
        origin: Origin::new("Service", "a", "b"),
        port: 80,
        protocol: Default::default(),
        tls: Default::default(),
        balance: Default::default(),
        health: model::Health { active: None, outlier: Some(outlier) },
        circuit: Default::default(),
        connection: Default::default(),
        retry_budget: None,
        session: None,
        set_by: Default::default(),
    };
    let endpoints = Arc::new(EndpointSet((1..=count).map(endpoint).collect()));
    let name = "service/a/b/80".into();
    BackendHandle::build(
        &name,
        &Arc::new(spec),
        &endpoints,
        &Default::default(),
        "",
        &Default::default(),
        None,
    )
    .unwrap()
}

fn policy(max_ejected_percent: u32) -> Outlier {
    Outlier { consecutive_5xx: 3, ejection: Duration::from_secs(30), max_ejected_percent }
}

fn at(seconds: u64) -> Moment {
    Moment(0).plus(Duration::from_secs(100_000 + seconds))
}

fn states(backend: &BackendHandle) -> Vec<Arc<EndpointState>> {
    backend.members().iter().map(|member| Arc::clone(&member.state)).collect()
}

fn fail(backend: &BackendHandle, endpoint: &EndpointState, times: u32, now: Moment) {
    (0..times).for_each(|_| note(backend, endpoint, false, now));
}

#[test]
fn failures_in_a_row_eject() {
    let backend = backend(2, policy(50));
    let endpoint = &states(&backend)[0];
    fail(&backend, endpoint, 2, at(0));
    note(&backend, endpoint, true, at(0));
    fail(&backend, endpoint, 2, at(0));
    assert!(!endpoint.ejected(at(0)), "a success in between starts anew");
    fail(&backend, endpoint, 1, at(0));
    assert!(endpoint.ejected(at(29)));
    assert!(!endpoint.ejected(at(30)));
}

#[test]
fn the_nth_ejection_lasts_n_times_as_long_and_ten_times_at_most() {
    let backend = backend(2, policy(50));
    let endpoint = &states(&backend)[0];
    let mut now = at(0);
    for nth in 1..=12u64 {
        fail(&backend, endpoint, 3, now);
        let span = Duration::from_secs(30 * nth.min(10));
        assert!(endpoint.ejected(Moment(now.plus(span).0 - 1)), "{nth}");
        assert!(!endpoint.ejected(now.plus(span)), "{nth}");
        now = now.plus(span);
    }
}

#[test]
fn good_conduct_shortens_the_next_ejection() {
    let backend = backend(2, policy(50));
    let endpoint = &states(&backend)[0];
    fail(&backend, endpoint, 3, at(0));
    fail(&backend, endpoint, 3, at(30));
    // The second lasted until 90; two spans of peace take two off.
    fail(&backend, endpoint, 3, at(150));
    assert!(endpoint.ejected(at(179)) && !endpoint.ejected(at(180)));
}

#[test]
fn no_more_than_the_share_is_ejected() {
    let backend = backend(5, policy(50));
    let states = states(&backend);
    for endpoint in &states {
        fail(&backend, endpoint, 3, at(0));
    }
    assert_eq!(states.iter().filter(|endpoint| endpoint.ejected(at(1))).count(), 2);
    // A place that comes free is taken by whoever fails next.
    fail(&backend, &states[4], 1, at(31));
    assert!(states[4].ejected(at(31)));
}

#[test]
fn a_lone_endpoint_is_never_ejected_below_all() {
    let lone = backend(1, policy(50));
    fail(&lone, &states(&lone)[0], 10, at(0));
    assert!(!states(&lone)[0].ejected(at(0)));
    let lone = backend(1, policy(100));
    fail(&lone, &states(&lone)[0], 3, at(0));
    assert!(states(&lone)[0].ejected(at(0)));
}

#[test]
fn zero_is_off() {
    let backend = backend(2, Outlier { consecutive_5xx: 0, ..policy(100) });
    fail(&backend, &states(&backend)[0], 100, at(0));
    assert!(!states(&backend)[0].ejected(at(0)));
}
