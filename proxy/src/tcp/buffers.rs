//! Buffers of one core: one that every read goes through, and a few that hold what could not be written at once.

use std::cell::RefCell;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SIZE].into());
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Lends the core's read buffer. Only within one poll: an idle connection holds no buffer.
pub(super) fn with_scratch<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| work(scratch))
}

/// Bytes that were read and are not written yet. Its memory goes back to the core when it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    bytes: Vec<u8>,
    written: usize,
}

impl Held {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let mut held = SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(SIZE));
        held.extend_from_slice(bytes);
        Self { bytes: held, written: 0 }
    }

    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    pub(super) fn advance(&mut self, count: usize) {
        self.written += count;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        // A stream may be dropped while its thread ends; the memory is then simply freed.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < MAX_SPARE {
                spare.push(bytes);
            }
        });
    }
}

/// Bytes of a read at most.
const SIZE: usize = 16 * 1024;
/// Buffers that a core keeps: 1 MiB.
const MAX_SPARE: usize = 64;
