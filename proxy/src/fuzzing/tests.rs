//! The seeds of the fuzz targets, as ordinary tests: what was found once stays mended.

use std::fs;
use std::path::Path;

use super::*;

/// Runs a target on each of its seeds.
fn seeds(target: &str, run: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        run(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 1, "{} has no seeds", folder.display());
}

#[test]
fn client_hellos_are_the_same_at_every_cut() {
    seeds("client_hello", |bytes| {
        client_hello(bytes);
        for cut in 0..bytes.len() {
            client_hello_cut(bytes, cut);
        }
    });
}

#[test]
fn proxy_headers_are_settled_once() {
    seeds("proxy_header", proxy_header);
}

#[test]
fn request_heads_are_read_as_the_parser_reads_them() {
    seeds("request_heads", request_heads);
}

#[test]
fn canonical_is_canonical_for_good() {
    seeds("canonical", canonical);
}

#[test]
fn client_certificates_are_read_as_they_are_written() {
    seeds("xfcc", super::xfcc);
}

#[test]
fn a_seed_with_a_server_name_is_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/client_hello/tls13");
    let hello = read_hello(&fs::read(path).unwrap(), &[]).unwrap();
    assert_eq!((hello.server_name.as_deref(), hello.offers_http2), (Some("a.example"), true));
}
