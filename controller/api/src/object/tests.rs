//! Kinds, keys and reading by kind.

use std::collections::BTreeSet;

use serde_json::json;

use super::{AnyObject, FromValueError, KINDS, KindInfo, Object, ObjectKey};
use crate::core::{ClusterTrustBundle, Secret};
use crate::gateway_api::{GatewayClass, HttpRoute, PathMatchType};

#[test]
fn a_key_reads_as_people_say_it() {
    assert_eq!(ObjectKey::of::<HttpRoute>("shop", "cart").to_string(), "HTTPRoute shop/cart");
    assert_eq!(ObjectKey::of::<GatewayClass>("", "diolkos").to_string(), "GatewayClass diolkos");
}

#[test]
fn kinds_are_unique_and_list_the_written_version_first() {
    let names: BTreeSet<_> = KINDS.iter().map(|known| (known.group, known.kind)).collect();
    assert_eq!(names.len(), KINDS.len());
    assert!(KINDS.iter().all(|known| !known.versions.is_empty()));
    assert_eq!(HttpRoute::VERSIONS.first(), Some(&HttpRoute::VERSION));
    assert_eq!(ClusterTrustBundle::VERSIONS.first(), Some(&ClusterTrustBundle::VERSION));
    assert!(KindInfo::find("gateway.networking.k8s.io", "HTTPRoute").is_some_and(|info| info.namespaced));
    assert!(KindInfo::find("", "HTTPRoute").is_none());
}

#[test]
fn the_defaults_of_the_crd_are_in_the_type() {
    let object = AnyObject::from_value(json!({
        "apiVersion": "gateway.networking.k8s.io/v1beta1",
        "kind": "HTTPRoute",
        "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {"parentRefs": [{"name": "edge"}], "rules": [{"backendRefs": [{"name": "cart", "port": 80}]}]},
    }))
    .unwrap();
    assert_eq!(object.key(), ObjectKey::of::<HttpRoute>("shop", "cart"));
    let AnyObject::HttpRoute(route) = &object else { panic!("another kind") };
    let (parent, rule) = (&route.spec.parent_refs[0], &route.spec.rules[0]);
    assert_eq!((parent.group.as_str(), parent.kind.as_str()), ("gateway.networking.k8s.io", "Gateway"));
    assert_eq!((rule.backend_refs[0].kind.as_str(), rule.backend_refs[0].weight), ("Service", 1));
    assert_eq!(rule.matches[0].path.type_, PathMatchType::PathPrefix);
    assert_eq!(rule.matches[0].path.value, "/");

    let value = object.to_value().unwrap();
    assert_eq!(value["apiVersion"], "gateway.networking.k8s.io/v1");
    assert_eq!(AnyObject::from_value(value).unwrap(), object);
}

#[test]
fn another_version_of_a_kubernetes_kind_is_read() {
    let object = AnyObject::from_value(json!({
        "apiVersion": "certificates.k8s.io/v1alpha1",
        "kind": "ClusterTrustBundle",
        "metadata": {"name": "roots"},
        "spec": {"trustBundle": "-----BEGIN CERTIFICATE-----"},
    }))
    .unwrap();
    assert_eq!(object.key(), ObjectKey::of::<ClusterTrustBundle>("", "roots"));
}

#[test]
fn what_is_not_supported_is_told_apart() {
    let read = |value| AnyObject::from_value(value).unwrap_err();
    assert!(matches!(read(json!({"kind": "Service"})), FromValueError::NoKind));
    assert!(matches!(
        read(json!({"apiVersion": "apps/v1", "kind": "Deployment"})),
        FromValueError::UnknownKind { .. }
    ));
    let error = read(json!({"apiVersion": "gateway.networking.k8s.io/v1alpha2", "kind": "Gateway"}));
    assert_eq!(error.to_string(), "Gateway has no version v1alpha2; use v1 or v1beta1");
    assert!(matches!(
        read(json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "spec": {}})),
        FromValueError::Shape { kind: "Gateway", .. }
    ));
}

#[test]
fn a_secret_does_not_show_itself() {
    let secret = Secret { string_data: Some([("key".into(), "hush".into())].into()), ..Secret::default() };
    assert!(!format!("{:?}", AnyObject::from(secret)).contains("hush"));
}
