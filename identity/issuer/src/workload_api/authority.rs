//! Lets gRPC's C core (Python, C++, Ruby) in. For a Unix socket it names the path, percent-encoded, as `:authority`; the
//! HTTP/2 library takes no percent sign there and resets the request before anybody is asked.
//!
//! In what a client sends, each percent sign of such a value becomes `-`: the same length, so that nothing else moves, and
//! the same in the decoder's table, so that later references to it are good too. Nobody reads the value: who calls is
//! what the kernel says. Everything else passes as it is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A client's connection whose `:authority` can be read.
#[derive(Debug)]
pub(super) struct Readable<S> {
    stream: S,
    frames: Frames,
}

impl<S> Readable<S> {
    /// Wraps a connection from its first byte on.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, frames: Frames::default() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Readable<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.frames.ready.is_empty() {
            let mut chunk = [0; CHUNK];
            let mut read = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                this.frames.end();
                break;
            }
            this.frames.take_in(read.filled());
        }
        let length = this.frames.ready.len().min(buffer.remaining());
        buffer.put_slice(&this.frames.ready.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Readable<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

/// What a client sends, parted into frames (RFC 9113 §4.1).
#[derive(Debug)]
struct Frames {
    /// Bytes that pass as they are: the preface, then frames without a `:authority`.
    passing: usize,
    /// The beginning of a frame that is not whole yet; at most a head and [`MAX_FRAME`].
    held: BytesMut,
    /// What can be read.
    ready: BytesMut,
}

impl Default for Frames {
    fn default() -> Self {
        Self { passing: PREFACE, held: BytesMut::new(), ready: BytesMut::new() }
    }
}

impl Frames {
    fn take_in(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
        loop {
            let passing = self.passing.min(self.held.len());
            self.ready.extend_from_slice(&self.held.split_to(passing));
            self.passing -= passing;
            let Some(&[a, b, c, kind, flags, ..]) = self.held.get(..HEAD) else { return };
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            if kind != HEADERS || length > MAX_FRAME {
                self.passing = HEAD + length;
                continue;
            }
            let Some(payload) = self.held.get_mut(HEAD..HEAD + length) else { return };
            // A block that cannot be read is for the HTTP/2 library to refuse.
            let _ = fragment(flags, payload).and_then(mend);
            self.passing = HEAD + length;
        }
    }

    /// The client sends no more: what is not whole passes as it is.
    fn end(&mut self) {
        self.ready.extend_from_slice(&self.held);
        self.held.advance(self.held.len());
    }
}

/// The header block of a HEADERS frame, without padding and priority (RFC 9113 §6.2).
fn fragment(flags: u8, payload: &mut [u8]) -> Option<&mut [u8]> {
    let padding = if flags & PADDED == 0 { None } else { Some(usize::from(*payload.first()?)) };
    let from = usize::from(padding.is_some()) + if flags & PRIORITY == 0 { 0 } else { 5 };
    let to = payload.len().checked_sub(padding.unwrap_or_default())?;
    payload.get_mut(from..to)
}

/// Replaces percent signs in every literal `:authority` of a header block (RFC 7541 §6).
fn mend(block: &mut [u8]) -> Option<()> {
    let mut at = 0;
    while let Some(&first) = block.get(at) {
        let name_bits = match first {
            // Indexed, and a new table size: no text.
            0x80.. => {
                at = integer(block, at, 7)?.1;
                continue;
            }
            0x20..=0x3f => {
                at = integer(block, at, 5)?.1;
                continue;
            }
            0x40..=0x7f => 6,
            0x00..=0x1f => 4,
        };
        let (index, after) = integer(block, at, name_bits)?;
        at = after;
        let is_authority = if index == 0 {
            let (name, after) = text(block, at)?;
            at = after;
            block.get(name)? == b":authority"
        } else {
            index == AUTHORITY
        };
        let is_plain = block.get(at)? & 0x80 == 0;
        let (value, after) = text(block, at)?;
        at = after;
        // The C core writes text plainly, never in Huffman's code.
        if is_authority && is_plain {
            block.get_mut(value)?.iter_mut().filter(|byte| **byte == b'%').for_each(|byte| *byte = b'-');
        }
    }
    Some(())
}

/// A string: where its bytes are, and where the next thing begins.
fn text(block: &[u8], at: usize) -> Option<(std::ops::Range<usize>, usize)> {
    let (length, from) = integer(block, at, 7)?;
    let to = from.checked_add(length)?;
    Some((from..to, to))
}

/// An integer with a prefix of so many bits (RFC 7541 §5.1), and where the next thing begins.
fn integer(block: &[u8], at: usize, bits: u32) -> Option<(usize, usize)> {
    let mask = (1_usize << bits) - 1;
    let mut value = usize::from(*block.get(at)?) & mask;
    let mut next = at + 1;
    if value < mask {
        return Some((value, next));
    }
    for shift in [0, 7, 14] {
        let byte = usize::from(*block.get(next)?);
        next += 1;
        value += (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, next));
        }
    }
    // Longer than any frame.
    None
}

/// `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`.
const PREFACE: usize = 24;
/// Bytes of a frame's head.
const HEAD: usize = 9;
/// The largest frame that a server takes that has not said otherwise, and ours does not.
const MAX_FRAME: usize = 16_384;
const HEADERS: u8 = 1;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// `:authority` in HPACK's static table.
const AUTHORITY: usize = 1;
/// Bytes that are read at once.
const CHUNK: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        [&head, payload].concat()
    }

    /// What comes out of a stream that arrives in pieces of this size.
    fn passed(stream: &[u8], piece: usize) -> Vec<u8> {
        let mut frames = Frames::default();
        for bytes in stream.chunks(piece) {
            frames.take_in(bytes);
        }
        frames.end();
        frames.ready.to_vec()
    }

    fn stream(headers: &[u8]) -> Vec<u8> {
        let preface: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let data = b"\x41\x04a%2Fis data, not a header";
        [preface, &frame(4, 0, &[]), headers, &frame(0, 1, data)].concat()
    }

    /// `:method: POST`, then `:authority` with this value, its name spelled out or from the table.
    fn block(named: bool, value: &[u8]) -> Vec<u8> {
        let name: &[u8] = if named { b"\x40\x0a:authority" } else { b"\x41" };
        let length = u8::try_from(value.len()).unwrap();
        [b"\x83", name, &[length], value, b"\x00\x01a\x04b%2F"].concat()
    }

    #[test]
    fn a_percent_sign_in_the_authority_is_replaced_and_nothing_else() {
        for named in [true, false] {
            let (before, after) = (block(named, b"tmp%2Fw.sock"), block(named, b"tmp-2Fw.sock"));
            let padded = |block: &[u8]| [b"\x03\0\0\0\0\x10", block, b"%%%"].concat();
            for (flags, before, after) in
                [(4, before.clone(), after.clone()), (4 | PADDED | PRIORITY, padded(&before), padded(&after))]
            {
                let sent = stream(&frame(HEADERS, flags, &before));
                let wanted = stream(&frame(HEADERS, flags, &after));
                for piece in [1, 2, 7, 4096] {
                    assert_eq!(passed(&sent, piece), wanted, "pieces of {piece}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_whole_passes_as_it_is() {
        let sent = stream(&frame(HEADERS, 4, b"\x41\x7f"));
        assert_eq!(passed(&sent, 5), sent, "a string longer than its block");
        let cut = &stream(&frame(HEADERS, 4, &block(false, b"a%b")))[..40];
        assert_eq!(passed(cut, 3), cut, "a frame that does not end");
        let large = stream(&frame(HEADERS, 4, &vec![0x41; MAX_FRAME + 1]));
        assert_eq!(passed(&large, 4096), large, "a frame that the server refuses");
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_and_none_but_percent_signs_change(
            bytes in proptest::collection::vec(any::<u8>(), 0..400), piece in 1_usize..50
        ) {
            let sent = stream(&frame(HEADERS, bytes.first().copied().unwrap_or(4), &bytes));
            let got = passed(&sent, piece);
            prop_assert_eq!(got.len(), sent.len());
            for (before, after) in sent.iter().zip(&got) {
                prop_assert!(before == after || (*before, *after) == (b'%', b'-'));
            }
        }

        #[test]
        fn any_bytes_pass(bytes in proptest::collection::vec(any::<u8>(), 0..200), piece in 1_usize..50) {
            prop_assert_eq!(passed(&bytes, piece).len(), bytes.len());
        }
    }
}
