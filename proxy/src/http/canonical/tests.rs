//! What is canonical, what is made so, what is refused.

use proptest::prelude::*;

use super::*;

fn host(text: &str) -> Result<(String, Option<u16>), HostRefusal> {
    canonical_host(text).map(|found| (found.host.into_owned(), found.port))
}

fn path(text: &str) -> Result<String, PathRefusal> {
    canonical_path(text).map(|found| found.path.into_owned())
}

#[test]
fn hosts_are_folded_to_one_spelling() {
    for (text, name, port) in [
        ("example.com", "example.com", None),
        ("EXAMPLE.com", "example.com", None),
        ("example.com.", "example.com", None),
        ("example.com:8080", "example.com", Some(8080)),
        ("Example.Com.:443", "example.com", Some(443)),
        ("example.com:", "example.com", None),
        ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
        ("my_service", "my_service", None),
        ("127.0.0.1:80", "127.0.0.1", Some(80)),
        ("[::1]", "[::1]", None),
        ("[0:0:0:0:0:0:0:1]:80", "[::1]", Some(80)),
        ("[2001:DB8::A]", "[2001:db8::a]", None),
        ("", "", None),
    ] {
        assert_eq!(host(text), Ok((name.to_owned(), port)), "{text}");
    }
}

#[test]
fn doubtful_hosts_are_refused() {
    for (text, refusal) in [
        ("user@example.com", HostRefusal::UserInfo),
        ("a:b@example.com", HostRefusal::UserInfo),
        ("example.com:http", HostRefusal::Port),
        ("example.com:65536", HostRefusal::Port),
        ("example.com:+80", HostRefusal::Port),
        ("example.com:80:80", HostRefusal::Port),
        ("::1", HostRefusal::Port),
        (":80", HostRefusal::Name),
        (".", HostRefusal::Name),
        ("example..com", HostRefusal::Name),
        ("example.com..", HostRefusal::Name),
        (".example.com", HostRefusal::Name),
        ("exam ple.com", HostRefusal::Name),
        ("example.com/path", HostRefusal::Name),
        ("example.com%00", HostRefusal::Name),
        ("bücher.example", HostRefusal::Name),
        ("*.example.com", HostRefusal::Name),
        ("2130706433", HostRefusal::Name),
        ("0x7f.0.0.0x1", HostRefusal::Name),
        ("127.1", HostRefusal::Name),
        ("256.1.1.1", HostRefusal::Name),
        ("[::1", HostRefusal::Name),
        ("[::1]x", HostRefusal::Name),
        ("[fe80::1%25eth0]", HostRefusal::Name),
        ("[127.0.0.1]", HostRefusal::Name),
    ] {
        assert_eq!(host(text), Err(refusal), "{text}");
    }
    assert_eq!(host(&format!("{}.example", "a".repeat(64))), Err(HostRefusal::Name));
    assert_eq!(host(&"a.".repeat(127)), Ok(("a.".repeat(127).trim_end_matches('.').to_owned(), None)));
    assert_eq!(host(&"a.".repeat(128)), Err(HostRefusal::Name));
}

#[test]
fn paths_are_folded_to_one_spelling() {
    for (text, canonical) in [
        ("/", "/"),
        ("*", "*"),
        ("/a/b", "/a/b"),
        ("//a//b/", "//a//b/"),
        ("/%61%2D%7e", "/a-~"),
        ("/%2e%2Ex", "/..x"),
        ("/a%2Eb", "/a.b"),
        ("/%c3%a9", "/%C3%A9"),
        ("/é", "/%C3%A9"),
        ("/a%20b", "/a%20b"),
        ("/a|b{c}\"", "/a%7Cb%7Bc%7D%22"),
        ("/a%3fb%23", "/a%3Fb%23"),
        ("/%3b", "/%3B"),
        ("/a%252Fb", "/a%252Fb"),
        ("/%e9", "/%E9"),
        ("/./a/./b/.", "/a/b/"),
        ("/.", "/"),
        ("/%2e/a", "/a"),
        ("/.hidden/...", "/.hidden/..."),
        ("/.well-known/acme-challenge/x", "/.well-known/acme-challenge/x"),
        ("/a;b=1/c", "/a;b=1/c"),
        ("/(a)!$&'*+,=:@", "/(a)!$&'*+,=:@"),
    ] {
        assert_eq!(path(text), Ok(canonical.to_owned()), "{text}");
    }
}

#[test]
fn ambiguous_paths_are_refused() {
    for (text, refusal) in [
        ("", PathRefusal::NotAbsolute),
        ("a", PathRefusal::NotAbsolute),
        ("http://example.com/", PathRefusal::NotAbsolute),
        ("**", PathRefusal::NotAbsolute),
        ("/a%2fb", PathRefusal::Separator),
        ("/a%2Fb", PathRefusal::Separator),
        ("/a%5cb", PathRefusal::Separator),
        ("/a\\b", PathRefusal::Separator),
        ("/%00", PathRefusal::Control),
        ("/a%0d%0ab", PathRefusal::Control),
        ("/a\tb", PathRefusal::Control),
        ("/%7f", PathRefusal::Control),
        ("/%", PathRefusal::Escape),
        ("/%4", PathRefusal::Escape),
        ("/%zz", PathRefusal::Escape),
        ("/%u002f", PathRefusal::Escape),
        ("/%+1", PathRefusal::Escape),
        ("/a#b", PathRefusal::Fragment),
        ("/..", PathRefusal::Parent),
        ("/a/../b", PathRefusal::Parent),
        ("/%2e%2e/b", PathRefusal::Parent),
        ("/.%2E/b", PathRefusal::Parent),
        ("/..;/b", PathRefusal::Parent),
        ("/..;x=1", PathRefusal::Parent),
        ("/.;x", PathRefusal::Parent),
        ("/%c0%af", PathRefusal::Overlong),
        ("/%C1%9C", PathRefusal::Overlong),
        ("/%e0%80%af", PathRefusal::Overlong),
        ("/%f0%80%80%af", PathRefusal::Overlong),
    ] {
        assert_eq!(path(text), Err(refusal), "{text}");
    }
}

#[test]
fn what_is_canonical_is_borrowed() {
    assert!(matches!(canonical_path("/a%20b/%C3%A9").unwrap().path, Cow::Borrowed(_)));
    assert!(matches!(canonical_path("/a/.b;c//d").unwrap().path, Cow::Borrowed(_)));
    assert!(matches!(canonical_host("a.example.com:80").unwrap().host, Cow::Borrowed(_)));
    assert!(matches!(canonical_host("[::1]:80").unwrap().host, Cow::Borrowed(_)));
}

#[test]
fn parameters_are_told() {
    assert!(canonical_path("/a;b").unwrap().parameters);
    assert!(!canonical_path("/a%3Bb").unwrap().parameters);
}

proptest! {
    #[test]
    fn a_canonical_path_stays_as_it_is(text in "/([a-c./;%~é|2EFef5cC0]|%2[EeFf]|%[0-9a-fA-F]{2}|//|/\\./|\\PC){0,24}") {
        if let Ok(first) = canonical_path(&text) {
            let again = canonical_path(&first.path).unwrap();
            prop_assert_eq!(&again.path, &first.path);
            let doubtful = first.path.contains("%E0") || first.path.contains("%F0");
            prop_assert!(doubtful || matches!(again.path, Cow::Borrowed(_)));
            prop_assert!(first.path.is_ascii());
            prop_assert!(first.path.split('/').all(|segment| segment != "." && segment != ".."));
        }
    }

    #[test]
    fn a_canonical_host_stays_as_it_is(text in "[a-cA-C.:@\\[\\]0-9x_-]{0,24}|\\PC{0,16}|\\[[0-9a-fA-F:.]{1,30}\\](:[0-9]{1,5})?") {
        if let Ok(first) = canonical_host(&text) {
            let again = canonical_host(&first.host).unwrap();
            prop_assert_eq!(&again.host, &first.host);
            prop_assert_eq!(again.port, None);
            prop_assert!(matches!(again.host, Cow::Borrowed(_)));
        }
    }

    #[test]
    fn nothing_panics(text in any::<String>()) {
        let _ = canonical_path(&text);
        let _ = canonical_host(&text);
    }
}
