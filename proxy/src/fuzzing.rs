//! Entry points of the fuzz targets in `proxy/fuzz`: each takes any bytes and panics if a promise is broken.
//!
//! `cargo xtask fuzz TARGET [--seconds N]` runs one. Tests run the seeds of `proxy/fuzz/seeds` through them.

mod heads;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use crate::http::canonical::{canonical_host, canonical_path};
use crate::http::xfcc;
use crate::listener::prefixed::Prefixed;
use crate::listener::proxy_protocol::{Malformed, Parsed, parse};
use crate::listener::sniff::{Sniffed, sniff};
use crate::listener::tls::{Hello, hello};

pub use heads::request_heads;

/// Sniffing and the ClientHello: the same however the bytes are cut, and no byte is lost.
pub fn client_hello(bytes: &[u8]) {
    let whole = (first_bytes(bytes, &[]), read_hello(bytes, &[]));
    let each: Vec<usize> = (1..bytes.len()).collect();
    assert_eq!((first_bytes(bytes, &each), read_hello(bytes, &each)), whole, "cut at every byte");
    // One cut somewhere, which the input chooses; all of them would make an input too dear.
    let cut = bytes.iter().fold(0, |sum, byte| sum + usize::from(*byte)) % bytes.len().max(1);
    client_hello_cut(bytes, cut);
}

/// The same with one cut at a given byte.
fn client_hello_cut(bytes: &[u8], cut: usize) {
    let whole = (first_bytes(bytes, &[]), read_hello(bytes, &[]));
    assert_eq!((first_bytes(bytes, &[cut]), read_hello(bytes, &[cut])), whole, "cut at {cut}");
}

fn first_bytes(bytes: &[u8], cuts: &[usize]) -> Option<Sniffed> {
    let mut stream = Prefixed::new(Cut::new(bytes, cuts));
    let found = sniff(&mut stream).now_or_never().expect("the bytes are there").expect("they have no error");
    assert_nothing_lost(stream, bytes);
    found
}

fn read_hello(bytes: &[u8], cuts: &[usize]) -> Result<Hello, String> {
    let mut stream = Prefixed::new(Cut::new(bytes, cuts));
    let read = hello::read(&mut stream).now_or_never().expect("the bytes are there");
    if let Ok(read) = &read {
        assert!(read.taken <= stream.kept().len(), "more taken than there was");
    }
    assert_nothing_lost(stream, bytes);
    read.map(|read| read.hello).map_err(|error| error.to_string())
}

fn assert_nothing_lost(mut stream: Prefixed<Cut<'_>>, bytes: &[u8]) {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).now_or_never().expect("the bytes are there").expect("they have no error");
    assert_eq!(all, bytes, "bytes were lost");
}

/// PROXY headers: what a part of the bytes has settled, more of them do not change; nothing is over-read.
pub fn proxy_header(bytes: &[u8]) {
    let whole = parse(bytes);
    if let Ok(Parsed::Header { length, .. }) = &whole {
        assert!(*length <= bytes.len(), "the header is longer than the bytes");
        let alone = bytes.get(..*length).map(parse);
        assert_eq!(alone.as_ref(), Some(&whole), "the header alone says something else");
    }
    for length in 0..bytes.len() {
        match bytes.get(..length).map(parse) {
            Some(Ok(Parsed::Incomplete)) | None => {}
            Some(settled) => return assert_same_verdict(&settled, &whole),
        }
    }
}

fn assert_same_verdict(part: &Result<Parsed, Malformed>, whole: &Result<Parsed, Malformed>) {
    match (part, whole) {
        // Of several faults another may be found first.
        (Err(_), Err(_)) => {}
        _ => assert_eq!(part, whole, "more bytes change what was settled"),
    }
}

/// Canonical host and path: canonical once is canonical for good, and nothing ambiguous is left.
pub fn canonical(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(canonical) = canonical_path(text) {
        let path = canonical.path.as_ref();
        assert!(path == "*" || path.starts_with('/'), "{path:?} is not absolute");
        assert!(path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'), "{path:?} is not plain");
        assert!(!path.split('/').any(|segment| matches!(segment, "." | "..")), "{path:?} has dot segments");
        let again = canonical_path(path).expect("a canonical path is taken");
        assert_eq!(again, canonical, "the path changes when made canonical again");
    }
    if let Ok(canonical) = canonical_host(text) {
        let host = canonical.host.as_ref();
        assert!(!host.bytes().any(|byte| byte.is_ascii_uppercase()), "{host:?} has upper case");
        assert!(!host.ends_with('.'), "{host:?} has a root dot");
        let again = canonical_host(host).expect("a canonical host is taken");
        assert_eq!(
            (again.host.as_ref(), again.port),
            (host, None),
            "the host changes when made canonical again"
        );
    }
}

/// `X-Forwarded-Client-Cert`: what is read can be written and read again, and what is appended stays apart.
pub fn xfcc(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(elements) = xfcc::parse(text) else { return };
    assert_eq!(xfcc::parse(&xfcc::format(&elements)).as_ref(), Ok(&elements), "written otherwise than read");
    let appended = format!("{text},By=spiffe://a/b;Hash=00");
    let more = xfcc::parse(&appended).expect("elements may be appended");
    let ours = vec![("By", "spiffe://a/b".into()), ("Hash", "00".into())];
    assert_eq!(more.split_last(), Some((&ours, elements.as_slice())), "the appended element got lost");
}

/// Bytes that arrive in pieces, and then the end.
struct Cut<'b> {
    rest: &'b [u8],
    at: usize,
    cuts: &'b [usize],
}

impl<'b> Cut<'b> {
    /// `cuts` are positions in ascending order.
    fn new(bytes: &'b [u8], cuts: &'b [usize]) -> Self {
        Self { rest: bytes, at: 0, cuts }
    }
}

impl AsyncRead for Cut<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some((cut, later)) = self.cuts.split_first()
            && *cut <= self.at
        {
            self.cuts = later;
        }
        let piece = self.cuts.first().map_or(usize::MAX, |cut| cut - self.at);
        let (now, later) = self.rest.split_at(piece.min(self.rest.len()).min(buffer.remaining()));
        buffer.put_slice(now);
        self.at += now.len();
        self.rest = later;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
