//! When work is shed, and when no longer.

use super::*;

#[test]
fn pressure_rises_at_thresholds_and_falls_with_slack() {
    use Pressure::*;
    for (per_mille, before, expected) in [
        (0, Normal, Normal),
        (849, Normal, Normal),
        (850, Normal, ShedStreams),
        (840, ShedStreams, ShedStreams),
        (829, ShedStreams, Normal),
        (919, Normal, ShedStreams),
        (920, Normal, StopAccept),
        (905, StopAccept, StopAccept),
        (899, StopAccept, ShedStreams),
        (970, Normal, CloseIdle),
        (951, CloseIdle, CloseIdle),
        (949, CloseIdle, StopAccept),
    ] {
        assert_eq!(level(per_mille, before), expected, "{per_mille} from {before:?}");
    }
}

#[test]
fn either_resource_engages() {
    let overload = Overload::new();
    overload.decide(Usage { memory: 86, memory_limit: 100, descriptors: 1, descriptor_limit: 100 });
    assert_eq!(overload.pressure(), Pressure::ShedStreams);
    overload.decide(Usage { memory: 1, memory_limit: 100, descriptors: 98, descriptor_limit: 100 });
    assert_eq!(overload.pressure(), Pressure::CloseIdle);
    overload.decide(Usage { memory: 1, memory_limit: 0, descriptors: 1, descriptor_limit: 100 });
    assert_eq!(overload.pressure(), Pressure::Normal);
    assert_eq!(overload.usage().descriptors, 1);
}

#[test]
fn admission_counts_by_listener_and_by_proxy() {
    let overload = Overload::new();
    overload.connection_limit.store(3, Ordering::Relaxed);
    let (a, b) = (Arc::new(ListenerGate::default()), Arc::new(ListenerGate::default()));
    let first = overload.admit(&a, 2).unwrap();
    let _second = overload.admit(&a, 2).unwrap();
    assert_eq!(overload.admit(&a, 2).unwrap_err(), ShedReason::ListenerLimit);
    let _third = overload.admit(&b, 0).unwrap();
    assert_eq!(overload.admit(&b, 0).unwrap_err(), ShedReason::ConnectionLimit);
    assert_eq!((overload.connections(), a.connections(), b.connections()), (3, 2, 1));
    drop(first);
    assert_eq!((overload.connections(), a.connections()), (2, 1));
    overload.admit(&b, 0).unwrap();

    overload.decide(Usage { memory: 93, memory_limit: 100, ..Usage::default() });
    assert_eq!(overload.admit(&b, 0).unwrap_err(), ShedReason::Overload);
}

#[test]
fn connection_limit_comes_from_memory_and_descriptors() {
    let usage = |memory_limit, descriptor_limit| Usage { memory_limit, descriptor_limit, ..Usage::default() };
    assert_eq!(connections_that_fit(usage(256 << 20, 1 << 20)), 4096);
    assert_eq!(connections_that_fit(usage(64 << 30, 20_000)), 9936);
    assert_eq!(connections_that_fit(usage(0, 0)), 0);
    assert_eq!(connections_that_fit(usage(0, 64)), 1);
}

#[test]
fn this_process_can_be_measured() {
    let overload = Overload::new();
    overload.configure(0, 0);
    let usage = overload.sample();
    assert!(usage.memory > 0 && usage.memory_limit > usage.memory, "{usage:?}");
    assert!(usage.descriptors >= 3 && usage.descriptor_limit > usage.descriptors, "{usage:?}");
    assert!(overload.connection_limit() > 0);
}
