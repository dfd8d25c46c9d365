//! What the HTTP/1.1 library mends in silence and we refuse: two lengths in one message head.
//! Performance-critical path.
//!
//! hyper answers `Transfer-Encoding` with HTTP/1.0, unequal lengths and the like by 400 itself. It takes
//! `Content-Length` beside `Transfer-Encoding` (drops the length, closes afterwards) and equal lengths twice
//! (keeps one). Both are safe behind us, but whoever sends them means to be read in two ways (RFC 9112 §6.3),
//! and the headers that hyper hands on no longer show it. So the bytes are looked at as they come.

use std::cell::Cell;

/// Watches the bytes of a connection for message heads with more than one length.
///
/// The scanner follows heads only. A body's bytes are skipped by the length that the head gave; after a chunked
/// body it waits until the connection is quiet ([`HeadScan::quiet`]) and misses a request that was pipelined
/// behind one, which hyper then reads in its own, safe way.
#[derive(Debug, Default)]
pub(crate) struct HeadScan {
    state: Cell<State>,
    /// A byte of the head has been read.
    begun: Cell<bool>,
    /// A line of the head has been read. RFC 9112 §2.2: empty lines in front of one do not count, nor do they
    /// for hyper.
    started: Cell<bool>,
    /// Lengths in the head so far.
    lengths: Cell<u8>,
    chunked: Cell<bool>,
    /// What the head's `Content-Length` says so far; only meaningful with one length.
    length: Cell<u64>,
    /// Bytes of the line so far that were in earlier reads, so that split lines are seen whole.
    line: Cell<Line>,
    /// Heads that ended and have not been taken, up to the first doubtful one.
    sound: Cell<u32>,
    /// After them comes a doubtful one. Its answer ends the connection, so what follows it does not matter.
    doubtful: Cell<bool>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    /// At or within a head.
    #[default]
    Head,
    /// Within a body of a known length: bytes that are left.
    Body(u64),
    /// Within a body whose end is not known here.
    Unknown,
}

/// The start of a line, as far as it was read: enough to tell the names that matter.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    text: [u8; LINE],
    len: usize,
    /// The line is longer than `text`.
    long: bool,
}

/// The name of the field whose value is needed.
const CONTENT_LENGTH: &[u8] = b"content-length:";
/// It and 17 digits fit, of which no body sees the end; padding in front of them is not kept.
const LINE: usize = 32;

impl HeadScan {
    /// Looks at bytes that were just read.
    pub(crate) fn read(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.state.get() {
                State::Head => {
                    self.begun.set(true);
                    bytes = self.read_head(bytes);
                }
                State::Body(left) => {
                    let skip = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = bytes.get(skip..).unwrap_or_default();
                    let left = left - skip as u64;
                    self.state.set(if left == 0 { State::Head } else { State::Body(left) });
                }
                State::Unknown => return,
            }
        }
    }

    /// Nothing is in flight, so whatever is read next begins a head.
    pub(crate) fn quiet(&self) {
        self.sound.set(0);
        if self.state.get() == State::Unknown {
            self.state.set(State::Head);
            self.begin();
        }
    }

    /// Whether a head has begun and not ended.
    pub(crate) fn within_head(&self) -> bool {
        self.state.get() == State::Head && self.begun.get()
    }

    /// Whether the head of the request that has just been parsed is doubtful.
    pub(crate) fn take(&self) -> bool {
        match self.sound.get().checked_sub(1) {
            Some(left) => {
                self.sound.set(left);
                false
            }
            None => self.doubtful.get(),
        }
    }

    /// Reads lines until the head ends or the bytes do; gives back the rest.
    fn read_head<'b>(&self, mut bytes: &'b [u8]) -> &'b [u8] {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (text, rest) = bytes.split_at_checked(end + 1).unwrap_or((bytes, &[]));
            bytes = rest;
            let mut line = self.line.take();
            if line.len == 0 && !line.long {
                if self.end_line(text) {
                    return bytes;
                }
            } else {
                line.push(text);
                if self.end_line(line.as_bytes()) {
                    return bytes;
                }
            }
        }
        if !bytes.is_empty() {
            self.begun.set(true);
            let mut line = self.line.get();
            line.push(bytes);
            self.line.set(line);
        }
        &[]
    }

    /// Notes a whole line, which may be cut at its end. True: the head is over.
    fn end_line(&self, line: &[u8]) -> bool {
        match line {
            [b'\r', b'\n'] | [b'\n'] if self.started.get() => {
                self.end_head();
                return true;
            }
            [b'\r', b'\n'] | [b'\n'] => {
                self.begun.set(false);
                return false;
            }
            [b'c' | b'C', ..] if names(line, CONTENT_LENGTH) => {
                self.lengths.set(self.lengths.get().saturating_add(1));
                self.length.set(digits(line));
            }
            [b't' | b'T', ..] if names(line, b"transfer-encoding:") => {
                self.lengths.set(self.lengths.get().saturating_add(1));
                self.chunked.set(true);
            }
            _ => {}
        }
        self.started.set(true);
        false
    }

    fn end_head(&self) {
        if self.lengths.get() > 1 {
            self.doubtful.set(true);
        } else if !self.doubtful.get() {
            self.sound.set(self.sound.get().saturating_add(1));
        }
        let body = match (self.chunked.get(), self.length.get()) {
            (true, _) => State::Unknown,
            (false, 0) => State::Head,
            (false, length) => State::Body(length),
        };
        self.begin();
        self.state.set(body);
    }

    fn begin(&self) {
        self.begun.set(false);
        self.started.set(false);
        self.lengths.set(0);
        self.chunked.set(false);
        self.length.set(0);
        self.line.take();
    }
}

impl Line {
    fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if matches!(byte, b' ' | b'\t' | b'0') && self.as_bytes().eq_ignore_ascii_case(CONTENT_LENGTH) {
                continue;
            }
            let Some(place) = self.text.get_mut(self.len) else {
                self.long = true;
                return;
            };
            *place = *byte;
            self.len += 1;
        }
    }

    fn as_bytes(&self) -> &[u8] {
        self.text.get(..self.len).unwrap_or_default()
    }
}

fn names(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// The number in a `Content-Length` line; hyper refuses what is not plain digits.
fn digits(line: &[u8]) -> u64 {
    line.iter()
        .filter(|byte| byte.is_ascii_digit())
        .fold(0, |number: u64, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdicts(reads: &[&[u8]]) -> Vec<bool> {
        let scan = HeadScan::default();
        reads.iter().for_each(|read| scan.read(read));
        let mut verdicts = Vec::new();
        while scan.sound.get() > 0 {
            verdicts.push(scan.take());
        }
        verdicts.extend(scan.take().then_some(true));
        verdicts
    }

    const PLAIN: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const LENGTH: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n\r\nContent-Le";
    const BOTH: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
    const TWICE: &[u8] = b"POST / HTTP/1.1\r\ncontent-LENGTH: 3\r\nContent-Length: 3\r\n\r\nabc";

    #[test]
    fn two_lengths_are_doubtful() {
        assert_eq!(verdicts(&[PLAIN]), [false]);
        assert_eq!(verdicts(&[LENGTH]), [false]);
        assert_eq!(verdicts(&[BOTH]), [true]);
        assert_eq!(verdicts(&[TWICE]), [true]);
    }

    #[test]
    fn bodies_of_known_length_are_no_heads() {
        let all = [LENGTH, PLAIN, TWICE, PLAIN].concat();
        assert_eq!(verdicts(&[&all]), [false, false, true]);
    }

    #[test]
    fn after_a_chunked_body_quiet_begins_a_head() {
        let scan = HeadScan::default();
        scan.read(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        assert!(!scan.take());
        scan.read(b"\r\n\r\n");
        assert_eq!(scan.sound.get(), 0);
        scan.quiet();
        scan.read(BOTH);
        assert!(scan.take());
    }

    #[test]
    fn empty_lines_in_front_are_no_head() {
        assert_eq!(verdicts(&[b"\r\n\r\n", BOTH]), [true]);
        assert_eq!(verdicts(&[&[b"\n\r\n", BOTH].concat()]), [true]);
    }

    #[test]
    fn however_many_heads_come_at_once_a_doubtful_one_is_found() {
        let mut all = PLAIN.repeat(100);
        all.extend_from_slice(BOTH);
        let verdicts = verdicts(&[&all]);
        assert_eq!((verdicts.len(), verdicts.last()), (101, Some(&true)));
    }

    #[test]
    fn padding_in_front_of_a_length_does_not_hide_it() {
        let head = format!("POST / HTTP/1.1\r\nContent-Length: {}{:050}\r\n\r\n", " ".repeat(50), 12);
        for cut in 0..head.len() {
            let (first, second) = head.as_bytes().split_at(cut);
            assert_eq!(verdicts(&[first, second, b"\r\n\r\nContent-", BOTH]), [false, true], "{cut}");
        }
    }

    #[test]
    fn obsolete_line_ends_are_line_ends() {
        assert_eq!(
            verdicts(&[b"POST / HTTP/1.1\nContent-Length: 3\nTransfer-Encoding: chunked\n\n"]),
            [true]
        );
    }

    proptest! {
        #[test]
        fn splits_change_nothing(cuts in prop::collection::vec(0usize..200, 0..6)) {
            let all = [LENGTH, PLAIN, TWICE, PLAIN].concat();
            let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < all.len()).collect();
            cuts.sort_unstable();
            let mut reads = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([all.len()]) {
                reads.push(&all[from..cut]);
                from = cut;
            }
            prop_assert_eq!(verdicts(&reads), [false, false, true]);
        }
    }
}
