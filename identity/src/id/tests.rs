//! Names of workloads: what is read, what is refused, what matches.

use model::PeerMatch;
use proptest::prelude::*;

use super::{IdError, WorkloadId};

fn id(text: &str) -> WorkloadId {
    WorkloadId::parse(text).unwrap()
}

#[test]
fn a_kubernetes_id_says_namespace_and_account() {
    let id = id("spiffe://cluster.local/ns/shop/sa/cart");
    assert_eq!((id.namespace(), id.service_account()), (Some("shop"), Some("cart")));
    assert_eq!(id.trust_domain().unwrap().as_str(), "cluster.local");
}

#[test]
fn a_linkerd_name_says_namespace_and_account() {
    let id = id("cart.shop.serviceaccount.identity.linkerd.cluster.local");
    assert_eq!((id.namespace(), id.service_account()), (Some("shop"), Some("cart")));
    assert!(id.is_dns() && id.trust_domain().is_none());
}

#[test]
fn other_paths_have_no_namespace() {
    for text in ["spiffe://td/ns/a", "spiffe://td/x/ns/a/sa/b", "spiffe://td/ns/a/b/sa/c", "a.b.c.d"] {
        assert_eq!(id(text).namespace(), None, "{text}");
    }
}

/// X05 to X08 of the negative table, where they are about the text.
#[test]
fn what_is_no_canonical_spiffe_id_is_refused() {
    for text in [
        "spiffe://td/",
        "spiffe://td/a/",
        "spiffe://td/a//b",
        "spiffe://td/./a",
        "spiffe://td/a/..",
        "spiffe://td/a%2fb",
        "spiffe://td/a?q",
        "spiffe://td/a#f",
        "spiffe://td:80/a",
        "spiffe://user@td/a",
        "spiffe://[::1]/a",
        "spiffe:///a",
        "https://td/a",
        "spiffe://td/é",
        &format!("spiffe://{}/a", "d".repeat(256)),
    ] {
        assert!(matches!(WorkloadId::parse(text), Err(IdError::NotSpiffe(_))), "{text}");
    }
    assert_eq!(WorkloadId::parse("spiffe://td"), Err(IdError::NoPath));
    assert_eq!(WorkloadId::parse("spiffe://TD/a"), Err(IdError::NotCanonical));
    assert_eq!(WorkloadId::parse("SPIFFE://td/a"), Err(IdError::NotCanonical));
    let long = format!("spiffe://td/{}", "a".repeat(2049 - "spiffe://td/".len()));
    assert_eq!(WorkloadId::parse(&long), Err(IdError::TooLong(2049)));
    assert!(WorkloadId::parse(&long[..2048]).is_ok());
}

#[test]
fn what_is_no_dns_name_is_refused() {
    for text in ["", "a", "A.b", "a..b", ".a.b", "a.b.", "*.b", "-a.b", "a-.b", "a b.c", "ä.b"] {
        assert_eq!(WorkloadId::parse(text), Err(IdError::NotDns), "{text:?}");
    }
}

#[test]
fn sets_match_whole_names_only() {
    let cart = id("spiffe://cluster.local/ns/shop/sa/cart");
    let namespace = |trust_domain: &str, namespace: &str| PeerMatch::Namespace {
        trust_domain: trust_domain.into(),
        namespace: namespace.into(),
    };
    assert!(cart.matches(&PeerMatch::Id(cart.as_str().into())));
    assert!(!cart.matches(&PeerMatch::Id("spiffe://cluster.local/ns/shop/sa/cart2".into())));
    assert!(cart.matches(&namespace("cluster.local", "shop")));
    assert!(!cart.matches(&namespace("cluster.local", "sho")));
    assert!(!cart.matches(&namespace("local", "shop")));
    assert!(cart.matches(&PeerMatch::TrustDomain("cluster.local".into())));
    assert!(!cart.matches(&PeerMatch::TrustDomain("local".into())));

    let linkerd = id("cart.shop.serviceaccount.identity.linkerd.cluster.local");
    assert!(linkerd.matches(&PeerMatch::TrustDomain("cluster.local".into())));
    assert!(linkerd.matches(&namespace("cluster.local", "shop")));
    assert!(!linkerd.matches(&PeerMatch::TrustDomain("ter.local".into())));
}

proptest! {
    #[test]
    fn whatever_is_read_is_written_the_same(text in "\\PC{0,80}") {
        if let Ok(id) = WorkloadId::parse(&text) {
            prop_assert_eq!(id.as_str(), &text);
        }
    }

    #[test]
    fn good_ids_are_read(domain in "[a-z0-9._-]{1,40}", path in "(/[A-Za-z0-9_-]{1,9}){1,6}") {
        let text = format!("spiffe://{domain}{path}");
        let id = WorkloadId::parse(&text).unwrap();
        prop_assert_eq!(id.spiffe().unwrap().path(), &path);
    }
}
