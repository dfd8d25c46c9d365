//! Session persistence (GEP-1619, shape of v1.7.0) of routes, XBackends and XBackendTrafficPolicies.

use api::gateway_api::{CookieLifetime, SessionPersistenceType};
use model::{Origin, SessionCarrier, SessionPersistence};

use super::fault::Fault;
use super::matches::header_name;

/// Session persistence as the object `owner` asks for it. `place` tells apart several of one owner.
///
/// # Errors
/// A cookie or header name that is none; a permanent cookie without `absoluteTimeout`.
pub(crate) fn persistence(
    wanted: &api::gateway_api::SessionPersistence,
    owner: &Origin,
    place: &str,
    field: &str,
) -> Result<SessionPersistence, Fault> {
    let carrier = match wanted.type_ {
        SessionPersistenceType::Header => {
            let field = format!("{field}.header");
            let Some(header) = &wanted.header else {
                return Err(Fault::unsupported(field, "must be given where type is Header"));
            };
            SessionCarrier::Header(header_name(&header.name, &format!("{field}.name"))?)
        }
        SessionPersistenceType::Cookie => {
            let cookie = wanted.cookie.clone().unwrap_or_default();
            let permanent = cookie.lifetime_type == CookieLifetime::Permanent;
            if permanent && wanted.absolute_timeout.is_none() {
                let field = format!("{field}.absoluteTimeout");
                return Err(Fault::unsupported(field, "must be given where the cookie is Permanent"));
            }
            let name = match cookie.name {
                Some(name) => header_name(&name, &format!("{field}.cookie.name")).map(|_| name)?,
                None => unique_name(owner, place),
            };
            if !cookie.path.starts_with('/') || cookie.path.contains([';', '\r', '\n']) {
                return Err(Fault::unsupported(
                    format!("{field}.cookie.path"),
                    "must start with / and hold no ;",
                ));
            }
            SessionCarrier::Cookie { name: name.into(), path: cookie.path.into(), permanent }
        }
    };
    let absolute_timeout = wanted.absolute_timeout.filter(|timeout| !timeout.is_zero()).map(Into::into);
    Ok(SessionPersistence { carrier, idle_timeout: None, absolute_timeout })
}

/// "If not specified, a unique cookie name SHOULD be generated": the same for the same rule at every restart and
/// in every proxy, and telling nothing about the rule.
fn unique_name(owner: &Origin, place: &str) -> String {
    // FNV-1a, 64 bits: needs no secrecy, only that names seldom collide.
    let text = format!("{owner}/{place}");
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("diolkos-session-{hash:016x}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value) -> Result<SessionPersistence, Fault> {
        let owner = Origin::new("HTTPRoute", "shop", "cart");
        persistence(&serde_json::from_value(value).unwrap(), &owner, "0", "f")
    }

    #[test]
    fn a_cookie_has_a_stable_name_of_its_own() {
        let first = read(json!({"cookie": {}})).unwrap();
        assert_eq!(first, read(json!({"cookie": {}})).unwrap());
        let SessionCarrier::Cookie { name, path, permanent } = first.carrier else { panic!("{first:?}") };
        assert!(name.starts_with("diolkos-session-"));
        assert_eq!((&*path, permanent), ("/", false));
        let other = unique_name(&Origin::new("HTTPRoute", "shop", "cart"), "1");
        assert_ne!(*name, *other);
    }

    #[test]
    fn what_is_written_is_kept() {
        let cookie = json!({"name": "sid", "path": "/a", "lifetimeType": "Permanent"});
        let session = read(json!({"cookie": cookie, "absoluteTimeout": "1h"})).unwrap();
        assert_eq!(session.absolute_timeout, Some(Duration::from_secs(3600)));
        let carrier = SessionCarrier::Cookie { name: "sid".into(), path: "/a".into(), permanent: true };
        assert_eq!(session.carrier, carrier);
        let session = read(json!({"type": "Header", "header": {"name": "X-Session"}})).unwrap();
        assert_eq!(session.carrier, SessionCarrier::Header("x-session".into()));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (bad, field) in [
            (json!({"cookie": {"lifetimeType": "Permanent"}}), "f.absoluteTimeout"),
            (json!({"cookie": {"name": "a b"}}), "f.cookie.name"),
            (json!({"cookie": {"path": "/a; Domain=b"}}), "f.cookie.path"),
            (json!({"type": "Header"}), "f.header"),
            (json!({"type": "Header", "header": {"name": "a:b"}}), "f.header.name"),
        ] {
            assert_eq!(read(bad).unwrap_err().field, field);
        }
    }
}
