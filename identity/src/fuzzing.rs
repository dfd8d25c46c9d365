//! Entry points of the fuzz targets in `identity/fuzz`: each takes any bytes and panics if a promise is broken.
//!
//! `cargo xtask fuzz TARGET [--seconds N]` runs one. Tests run the seeds of `identity/fuzz/seeds` through them.

use std::time::{Duration, SystemTime};

use model::{PeerMatch, PeerProfile};
use rustls::pki_types::CertificateDer;

use crate::bundle::{TrustBundle, TrustBundles};
use crate::id::WorkloadId;
use crate::jwt::verify_jwt_svid;
use crate::verify::{Role, lint_leaf, peer_facts, verify_chain};

/// A name of a workload: whatever is read is written the same, and is in the sets that it must be in.
pub fn spiffe_id(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(id) = WorkloadId::parse(text) else { return };
    assert_eq!(id.as_str(), text, "a name has one spelling");
    assert!(id.matches(&PeerMatch::Id(text.into())), "a name is itself");
    if let Some(trust_domain) = id.trust_domain() {
        assert_eq!(
            trust_domain.as_str(),
            trust_domain.as_str().to_lowercase(),
            "trust domains are in lower case"
        );
        assert!(id.matches(&PeerMatch::TrustDomain(trust_domain.as_str().into())), "an ID is of its domain");
    }
    if let (Some(namespace), Some(account)) = (id.namespace(), id.service_account()) {
        assert!(!namespace.contains('/') && !account.contains('/'), "segments are whole");
    }
}

/// A chain that a peer shows: two bytes of length, a certificate, and so on. `bundle` is a SPIFFE bundle document of
/// `td.example`, which alone may be believed.
pub fn certificate_chain(bundle: &[u8], bytes: &[u8]) {
    let bundles = bundles(bundle);
    let mut chain = Vec::new();
    let mut rest = bytes;
    while let Some((length, tail)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(tail.len());
        let (certificate, tail) = tail.split_at(length);
        chain.push(CertificateDer::from(certificate));
        rest = tail;
    }
    for profile in [PeerProfile::SpiffeStrict, PeerProfile::Istio, PeerProfile::LinkerdDns] {
        let facts = peer_facts(&chain, profile);
        for role in [Role::Client, Role::Server, Role::Any] {
            if let Ok(verified) = verify_chain(&chain, &bundles, role, profile, now()) {
                assert_eq!(facts.as_ref(), Some(&verified), "facts are those of the verified leaf");
                assert!(verified.not_after > now(), "what has ended is not verified");
                let domain = verified.id.trust_domain();
                assert!(
                    domain.is_none_or(|domain| domain.as_str() == "td.example"),
                    "a domain has its own bundle"
                );
            }
        }
        if let Some(leaf) = chain.first() {
            let _ = lint_leaf(leaf, profile);
        }
    }
}

/// A bundle document: what is read can be written and read again.
pub fn bundle_document(bytes: &[u8]) {
    let _ = TrustBundles::from_document(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = TrustBundle::from_pem(text);
    }
    let Ok(bundle) = TrustBundle::from_document(bytes) else { return };
    let again = TrustBundle::from_document(bundle.to_document().as_bytes());
    assert_eq!(again.as_ref(), Ok(&bundle), "a written bundle is the one that was read");
}

/// A token. `bundle` is a SPIFFE bundle document of `td.example`.
pub fn jwt_svid(bundle: &[u8], bytes: &[u8]) {
    let Ok(token) = std::str::from_utf8(bytes) else { return };
    if let Ok(svid) = verify_jwt_svid(token, "gateway", &bundles(bundle), now()) {
        assert!(svid.audience.iter().any(|audience| audience == "gateway"), "a token is for us");
        assert!(svid.expires > now(), "what has ended is not verified");
    }
}

fn bundles(document: &[u8]) -> TrustBundles {
    let bundle = TrustBundle::from_document(document).expect("the target gives a good bundle");
    let domain = spiffe::TrustDomain::new("td.example").expect("a good name");
    TrustBundles::of(domain, bundle)
}

/// A day in 2026, on which the seeds are valid.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_780_000_000)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn seeds(target: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
        fs::read_dir(folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
    }

    #[test]
    fn the_seeds_keep_the_promises() {
        let seed = |name: &str| {
            fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name)).unwrap()
        };
        let bundle = seed("bundle_document/td.example.json");
        seeds("spiffe_id").iter().for_each(|seed| spiffe_id(seed));
        seeds("bundle_document").iter().for_each(|seed| bundle_document(seed));
        seeds("certificate_chain").iter().for_each(|seed| certificate_chain(&bundle, seed));
        seeds("jwt_svid").iter().for_each(|seed| jwt_svid(&bundle, seed));
        // The good ones are good: else nothing beyond the first check would be tried.
        let token = String::from_utf8(seed("jwt_svid/good")).unwrap();
        verify_jwt_svid(&token, "gateway", &bundles(&bundle), now()).unwrap();
        let chain = [CertificateDer::from(seed("certificate_chain/leaf").split_off(2))];
        verify_chain(&chain, &bundles(&bundle), Role::Client, PeerProfile::SpiffeStrict, now()).unwrap();
    }
}
