//! Envoy's forms: docs of `x-forwarded-client-cert`, and what its code writes.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

use super::*;

fn read(value: &str) -> Result<Vec<Vec<(&str, String)>>, Malformed> {
    let elements = parse(value)?;
    Ok(elements
        .into_iter()
        .map(|pairs| pairs.into_iter().map(|(key, value)| (key, value.into_owned())).collect())
        .collect())
}

#[test]
fn reads_the_examples_of_envoys_documentation() {
    let one = "By=http://frontend.lyft.com;Hash=468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688;\
               Subject=\"/C=US/ST=CA/L=San Francisco/OU=Lyft/CN=Test Client\";URI=http://testclient.lyft.com";
    let elements = read(one).unwrap();
    assert_eq!(elements.len(), 1);
    assert_eq!(elements[0][2], ("Subject", "/C=US/ST=CA/L=San Francisco/OU=Lyft/CN=Test Client".to_owned()));
    assert_eq!(elements[0][3], ("URI", "http://testclient.lyft.com".to_owned()));

    let two = "By=http://frontend.lyft.com;Hash=468e;URI=http://testclient.lyft.com,\
               By=http://backend.lyft.com;Hash=9ba6;URI=http://frontend.lyft.com";
    let elements = read(two).unwrap();
    assert_eq!(elements.len(), 2);
    assert_eq!(elements[1][0], ("By", "http://backend.lyft.com".to_owned()));

    let dns = "By=http://frontend.lyft.com;Hash=46;Subject=\"/C=US/CN=Test Client\";URI=http://testclient.lyft.com;\
               DNS=lyft.com;DNS=www.lyft.com";
    assert_eq!(read(dns).unwrap()[0].iter().filter(|(key, _)| *key == "DNS").count(), 2);
    assert_eq!(read("By=;URI=").unwrap()[0], [("By", String::new()), ("URI", String::new())]);
}

#[test]
fn quotes_hold_separators_and_escaped_quotes() {
    let elements = read(r#"Subject="CN=a\"b,O=c;d\\",URI=spiffe://a/b"#).unwrap();
    assert_eq!(elements[0], [("Subject", r#"CN=a"b,O=c;d\"#.to_owned())]);
    assert_eq!(elements[1], [("URI", "spiffe://a/b".to_owned())]);
}

#[test]
fn what_could_swallow_an_appended_element_is_malformed() {
    for value in [
        "",
        "x",
        "=",
        "=a",
        "By",
        "By=a,",
        "By=a;",
        "Subject=\"a",
        "Subject=\"a\\",
        "Subject=\"a\"b",
        "By=a\"b\"",
        "B y=a",
        "By=a;;URI=b",
        ",By=a",
    ] {
        assert_eq!(parse(value), Err(Malformed), "{value:?}");
    }
}

#[test]
fn what_is_written_is_read_again() {
    let elements = vec![
        vec![("By", "spiffe://a/b".into()), ("Subject", "CN=\"x\\,y\"; O=z".into()), ("DNS", "".into())],
        vec![("URI", "a=b".into())],
    ];
    let text = format(&elements);
    assert_eq!(text, r#"By=spiffe://a/b;Subject="CN=\"x\\,y\"; O=z";DNS=,URI="a=b""#);
    assert_eq!(parse(&text).unwrap(), elements);
}

fn certificate(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    change(&mut params);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

#[test]
fn an_element_has_envoys_keys_in_envoys_order() {
    let der = certificate(|params| {
        params.distinguished_name.push(DnType::CountryName, "US");
        params.distinguished_name.push(DnType::OrganizationName, "Ly\"ft, Inc");
        params.distinguished_name.push(DnType::CommonName, "Test Client");
        params.subject_alt_names = vec![
            SanType::URI("spiffe://lyft.com/frontend".try_into().unwrap()),
            SanType::DnsName("lyft.com".try_into().unwrap()),
            SanType::DnsName("www.lyft.com".try_into().unwrap()),
        ];
    });
    let text = element(&der, Some("spiffe://lyft.com/backend")).unwrap();
    let elements = read(&text).unwrap();
    let keys: Vec<_> = elements[0].iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, ["By", "Hash", "Cert", "Subject", "URI", "DNS", "DNS"]);
    assert!(
        text.contains(
            r#";Subject="CN=Test Client,O=Ly\"ft\, Inc,C=US";URI=spiffe://lyft.com/frontend;DNS=lyft.com;"#
        ),
        "{text}"
    );
    let hash = &elements[0][1].1;
    assert!(
        hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase())
    );
    let pem = percent_encoding::percent_decode_str(&elements[0][2].1).decode_utf8().unwrap();
    let back =
        <CertificateDer<'_> as rustls_pki_types::pem::PemObject>::from_pem_slice(pem.as_bytes()).unwrap();
    assert_eq!(back, der);
    assert!(!elements[0][2].1.contains(['+', '/', '=', ' ', '\n']));
}

proptest::proptest! {
    /// The fuzz target's promises, on texts that are nearly headers.
    #[test]
    fn whatever_is_read_is_written_alike(text in r#"((By|Hash|Subject|URI|D N S)?=?["\\;, a=/é]{0,6}[;,]?){0,6}"#) {
        crate::fuzzing::xfcc(text.as_bytes());
    }
}

#[test]
fn a_hostile_subject_stays_inside_its_quotes() {
    for name in ["\";By=spiffe://a/admin", "a\\", "\\\"", " #x ", "\u{e9}\u{7}\r\n", "x,URI=spiffe://a/admin"]
    {
        let der = certificate(|params| params.distinguished_name.push(DnType::CommonName, name));
        let text = element(&der, None).unwrap();
        let elements = read(&text).expect(&text);
        assert_eq!(elements.len(), 1, "{text}");
        let keys: Vec<_> = elements[0].iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, ["Hash", "Cert", "Subject"], "{text}");
        assert!(HeaderValue::try_from(&text).is_ok(), "{text}");
    }
}
