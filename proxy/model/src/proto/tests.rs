//! What is encoded decodes to the same value; what is malformed is refused, and the error names the field.

mod arbitrary;
mod refused;

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any};
use proptest::{prop_assert_eq, proptest};

use self::arbitrary::{Source, snapshot};
use super::{Resource, ResourceKind, decode_snapshot, encode_snapshot};
use crate::{KeyPair, Secret, Snapshot};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_decodes_to_the_same(choices in vec(any::<u8>(), 0..3000)) {
        let before = snapshot(&mut Source::new(&choices));
        let resources = encode_snapshot(&before);
        prop_assert_eq!(&encode_snapshot(&before), &resources, "equal snapshots give equal bytes");
        let after = decode_snapshot(resources.clone());
        prop_assert_eq!(after.as_ref(), Ok(&before));
        let backwards = decode_snapshot(resources.into_iter().rev());
        prop_assert_eq!(backwards, Ok(before));
    }
}

/// A strategy that never draws a variant proves nothing about it.
#[test]
fn the_property_sees_every_variant() {
    let mut words = BTreeSet::new();
    let mut state = 1_u64;
    for _ in 0..300 {
        let choices: Vec<u8> = (0..3000)
            .map(|_| {
                // Knuth's multiplier for a 64-bit linear congruential generator; the high bits are the good ones.
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect();
        let text = format!("{:?}", snapshot(&mut Source::new(&choices)));
        words.extend(text.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned));
    }
    let expected = "Http Tls Tcp Udp Terminate Passthrough Closed V1_2 V1_3 Require InsecureFallback Off Optional \
        Required Sanitize SanitizeSet AppendForward ForwardOnly Exact SegmentPrefix StringPrefix Regex Prefix \
        Present Forward Redirect Respond Name Invalid Cookie Header Full RequestHeaders ResponseHeaders Rewrite \
        Mirror Cors ExternalAuth Buffer Grpc Auto Http1 Http2 Plain System Pem Dns Uri Ip RoundRobin LeastRequest \
        PeakEwma Random RingHash Maglev Query ClientIp V1 V2 Wildcard Any BuiltIn IstioCa WorkloadApi Linkerd Files \
        SpiffeStrict LinkerdDns File HttpsWeb HttpsSpiffe Document AsBackend Mesh Istio Spiffe Permissive Strict Id \
        Namespace TrustDomain";
    let missing: Vec<_> = expected.split_whitespace().filter(|word| !words.contains(*word)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn resources_come_in_one_order_with_their_names() {
    let json = serde_json::json!({
        "listeners": {"a/g/80": {
            "gateway": {"kind": "Gateway", "namespace": "a", "name": "g"}, "port": 80, "protocol": {"tcp": null},
        }},
        "routes": {"a/g/web": {"hosts": {}, "rules": []}},
        "backends": {"b": {"origin": {"kind": "Service", "name": "b"}, "port": 80}},
        "endpoints": {"b": []},
        "secrets": {"a/s": {"certificate_chain": "chain", "private_key": "key"}},
    });
    let snapshot: Snapshot = serde_json::from_value(json).unwrap();
    let names: Vec<_> = encode_snapshot(&snapshot)
        .into_iter()
        .map(|Resource { type_url, name, .. }| {
            (type_url.strip_prefix("type.googleapis.com/diolkos.v1.").unwrap().to_owned(), name)
        })
        .collect();
    let expected = [
        ("Settings", "settings"),
        ("Secret", "a/s"),
        ("Backend", "b"),
        ("Endpoints", "b"),
        ("RouteTable", "a/g/web"),
        ("Listener", "a/g/80"),
    ];
    assert_eq!(names, expected.map(|(kind, name)| (kind.to_owned(), name.to_owned())));
    for kind in ResourceKind::ALL {
        assert_eq!(ResourceKind::from_type_url(kind.type_url()), Some(kind));
    }
}

#[test]
fn key_material_is_in_secrets_alone_and_never_printed() {
    let mut snapshot = Snapshot::default();
    let pair = KeyPair { certificate_chain: "chain".into(), private_key: Secret::new("canary".into()) };
    snapshot.secrets.insert("a/s".into(), pair.clone().into());
    for resource in encode_snapshot(&snapshot) {
        let holds = resource.bytes.windows(6).any(|part| part == b"canary");
        assert_eq!(holds, resource.type_url == ResourceKind::Secret.type_url(), "{resource:?}");
        assert!(
            !format!("{resource:?}").contains("canary") && !format!("{resource:?}").contains("99, 97, 110")
        );
    }
    let message = super::Wire::encode(&pair);
    assert_eq!(format!("{message:?}"), r#"Secret { certificate_chain: "chain", private_key: "[redacted]" }"#);
}
