//! ReferenceGrant: who may refer to objects of another namespace. The only maker of [`Granted`].

use std::collections::BTreeMap;

use api::gateway_api::{ReferenceGrant, ReferenceGrantFrom, ReferenceGrantTo};
use api::{Object, ObjectKey};

/// A reference that may be followed: within one namespace, or allowed by a ReferenceGrant. Whether the object
/// exists is another question, and is asked later.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub struct Granted<T>(T);

impl<T> Granted<T> {
    /// What may be referred to.
    pub fn get(&self) -> &T {
        &self.0
    }
}

/// Where a reference stands: the kind and namespace of the object that holds it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Referrer<'r> {
    /// API group.
    pub group: &'r str,
    /// Kind.
    pub kind: &'r str,
    /// Namespace.
    pub namespace: &'r str,
}

impl<'r> Referrer<'r> {
    /// The referrer that an object is.
    pub fn of<T: Object>(object: &'r T) -> Self {
        Self { group: T::GROUP, kind: T::KIND, namespace: object.namespace() }
    }

    /// The referrer that the object of a key is.
    pub fn of_key(key: &'r ObjectKey) -> Self {
        Self { group: &key.group, kind: &key.kind, namespace: &key.namespace }
    }
}

/// No ReferenceGrant allows the reference.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{kind} in namespace {from} may not refer to {to}; a ReferenceGrant in namespace {} must allow it",
    to.namespace
)]
pub struct NotGranted {
    kind: String,
    from: String,
    to: Box<ObjectKey>,
}

/// All ReferenceGrants, by the namespace that they open.
#[derive(Debug, Default)]
pub struct Grants<'a>(BTreeMap<&'a str, Vec<&'a ReferenceGrant>>);

impl<'a> Grants<'a> {
    /// Sorts grants by their namespace.
    pub fn new(grants: impl Iterator<Item = &'a ReferenceGrant>) -> Self {
        let mut by_namespace = BTreeMap::<_, Vec<_>>::new();
        for grant in grants {
            by_namespace.entry(grant.namespace()).or_default().push(grant);
        }
        Self(by_namespace)
    }

    /// Whether `referrer` may refer to `to`. A cluster-scoped object needs no grant.
    ///
    /// # Errors
    /// If it may not. Nothing is said about whether the object exists, and nothing was looked up.
    pub fn check(&self, referrer: Referrer<'_>, to: ObjectKey) -> Result<Granted<ObjectKey>, NotGranted> {
        if to.namespace.is_empty() || to.namespace == referrer.namespace {
            return Ok(Granted(to));
        }
        let granted = self.0.get(to.namespace.as_str()).is_some_and(|grants| {
            grants.iter().any(|grant| {
                grant.spec.from.iter().any(|from| admits(from, referrer))
                    && grant.spec.to.iter().any(|target| covers(target, &to))
            })
        });
        if granted {
            return Ok(Granted(to));
        }
        Err(NotGranted { kind: referrer.kind.to_owned(), from: referrer.namespace.to_owned(), to: to.into() })
    }
}

fn admits(from: &ReferenceGrantFrom, referrer: Referrer<'_>) -> bool {
    from.group == referrer.group && from.kind == referrer.kind && from.namespace == referrer.namespace
}

/// A grant without a name, or with an empty one, covers all objects of the kind.
fn covers(target: &ReferenceGrantTo, to: &ObjectKey) -> bool {
    target.group == to.group
        && target.kind == to.kind
        && target.name.as_ref().is_none_or(|name| name.is_empty() || *name == to.name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn grant(to: serde_json::Value) -> ReferenceGrant {
        let from = json!([{"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "edge"}]);
        serde_json::from_value(json!({
            "metadata": {"name": "g", "namespace": "certs"},
            "spec": {"from": from, "to": to},
        }))
        .unwrap()
    }

    fn allowed(grant: &ReferenceGrant, from: (&str, &str), to: ObjectKey) -> bool {
        let (kind, namespace) = from;
        let referrer = Referrer { group: "gateway.networking.k8s.io", kind, namespace };
        Grants::new(std::iter::once(grant)).check(referrer, to).is_ok()
    }

    fn secret(namespace: &str, name: &str) -> ObjectKey {
        ObjectKey::new("", "Secret", namespace, name)
    }

    #[test]
    fn a_grant_covers_what_it_names() {
        let one = grant(json!([{"group": "", "kind": "Secret", "name": "one"}]));
        assert!(allowed(&one, ("Gateway", "edge"), secret("certs", "one")));
        assert!(!allowed(&one, ("Gateway", "edge"), secret("certs", "two")));
        assert!(!allowed(&one, ("Gateway", "edge"), ObjectKey::new("", "ConfigMap", "certs", "one")));
        assert!(!allowed(&one, ("Gateway", "other"), secret("certs", "one")));
        assert!(!allowed(&one, ("ListenerSet", "edge"), secret("certs", "one")));
        assert!(!allowed(&one, ("Gateway", "edge"), secret("elsewhere", "one")));
    }

    #[test]
    fn a_grant_without_a_name_covers_the_kind() {
        for to in
            [json!([{"group": "", "kind": "Secret"}]), json!([{"group": "", "kind": "Secret", "name": ""}])]
        {
            assert!(allowed(&grant(to), ("Gateway", "edge"), secret("certs", "any")));
        }
    }

    #[test]
    fn neither_the_own_namespace_nor_the_cluster_needs_a_grant() {
        let none = grant(json!([]));
        assert!(allowed(&none, ("Gateway", "edge"), secret("edge", "one")));
        let bundle = ObjectKey::new("certificates.k8s.io", "ClusterTrustBundle", "", "roots");
        assert!(allowed(&none, ("Gateway", "edge"), bundle));
    }
}
