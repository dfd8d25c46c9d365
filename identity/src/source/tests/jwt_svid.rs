//! A token of our own, from the Workload API.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{KeyPair, PublicKeyData};
use serde_json::json;

use super::start_time;
use super::workload_api::{ID, Lab, SOCKET};
use crate::bundle::{JwtKey, TrustBundle, TrustBundles};
use crate::id::WorkloadId;
use crate::proto::workload::Jwtsvid;
use crate::source::workload_api::fetch_jwt::{OwnJwtSvid, fetch};

fn token(key: &KeyPair, id: &str, audience: &str) -> String {
    let since = start_time().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = encode(json!({"alg": "ES256", "kid": "k1", "typ": "JWT"}));
    let claims = encode(json!({"sub": id, "aud": [audience], "exp": since + 300}));
    let signed = format!("{header}.{claims}");
    let key = EncodingKey::from_ec_der(&key.serialize_der());
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::ES256).unwrap();
    format!("{signed}.{signature}")
}

/// What a fetch comes to, in words.
async fn ask(lab: &Lab, audience: &str, id: Option<&str>, key: &KeyPair) -> Result<OwnJwtSvid, String> {
    let jwt = vec![JwtKey::from_spki("k1", &key.subject_public_key_info()).unwrap()];
    let bundle = TrustBundle { jwt, ..TrustBundle::default() };
    let bundles = TrustBundles::of(lab.ca.trust_domain().clone(), bundle);
    let id = id.map(|id| WorkloadId::parse(id).unwrap());
    let now = start_time() + Duration::from_secs(1);
    let fetched = fetch(&lab.net.dialer(), SOCKET, audience, id.as_ref(), &bundles, now).await;
    fetched.map_err(|error| crate::dial::chain_of(&error))
}

#[tokio::test(start_paused = true)]
async fn a_token_is_fetched_and_judged_as_its_receiver_will() {
    let lab = Lab::new();
    let key = KeyPair::generate().unwrap();
    let give = |said: &str, token: String| {
        *lab.fake.tokens.lock().unwrap() =
            vec![Jwtsvid { spiffe_id: said.to_owned(), svid: token, hint: String::new() }];
    };
    let refused = |result: Result<OwnJwtSvid, String>| result.map(|svid| svid.svid.id).unwrap_err();

    assert!(refused(ask(&lab, "partner", None, &key).await).contains("has no token"));
    give(ID, token(&key, ID, "partner"));
    let own = ask(&lab, "partner", None, &key).await.unwrap();
    assert_eq!((own.svid.id.as_str(), own.svid.audience.as_slice()), (ID, &["partner".to_owned()][..]));
    assert!(!format!("{own:?}").contains(&**own.token.expose()), "a token is as good as a key");
    assert!(ask(&lab, "partner", Some(ID), &key).await.is_ok());

    let other = "spiffe://td.example/other";
    assert!(
        refused(ask(&lab, "partner", Some(other), &key).await)
            .contains("no token of spiffe://td.example/other")
    );
    assert!(refused(ask(&lab, "elsewhere", None, &key).await).contains("no tokens for that audience"));
    let stranger = KeyPair::generate().unwrap();
    assert!(refused(ask(&lab, "partner", None, &stranger).await).contains("cannot be used"));
    give(other, token(&key, ID, "partner"));
    assert!(refused(ask(&lab, "partner", None, &key).await).contains("the answer says"));
    give(ID, token(&key, ID, "elsewhere"));
    assert!(refused(ask(&lab, "partner", None, &key).await).contains("cannot be used"));
    give(ID, String::new());
    assert!(refused(ask(&lab, "partner", None, &key).await).contains("has no token"));
    lab.net.refuse(SOCKET);
    assert!(refused(ask(&lab, "partner", None, &key).await).contains("gives no token"));
}
