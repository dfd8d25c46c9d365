//! The writer thread and the buffers that it shares with the workers.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::mem;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::warn;

use super::AccessLogTarget;

/// What workers and the writer thread share.
#[derive(Debug)]
pub(super) struct Shared {
    target: AccessLogTarget,
    /// One per core: its lock is shared only with the writer, which holds it for a swap of two pointers.
    buffers: Vec<Mutex<Vec<u8>>>,
    pub(super) text: AtomicBool,
    pub(super) reopen: AtomicBool,
    pub(super) dropped: AtomicU64,
    /// Whether the writer sleeps without a deadline.
    idle: AtomicBool,
    signal: Mutex<Signal>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Signal {
    awake: bool,
    flushes_asked: u64,
    flushes_done: u64,
}

impl Shared {
    pub(super) fn new(target: AccessLogTarget, cores: usize) -> Self {
        Self {
            target,
            buffers: (0..cores).map(|_| Mutex::new(Vec::new())).collect(),
            text: AtomicBool::new(false),
            reopen: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            idle: AtomicBool::new(false),
            signal: Mutex::new(Signal::default()),
            changed: Condvar::new(),
        }
    }

    pub(super) fn enabled(&self) -> bool {
        self.target != AccessLogTarget::Off
    }

    /// Appends a line to the buffer of a core; drops and counts it if the buffer is full.
    pub(super) fn push(&self, core: usize, line: &[u8]) {
        let Some(buffer) = self.buffers.get(core) else { return };
        let mut buffer = hold(buffer);
        if buffer.len() + line.len() > MAX_BUFFERED {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let first = buffer.is_empty();
        buffer.extend_from_slice(line);
        drop(buffer);
        if first && self.idle.swap(false, Ordering::AcqRel) {
            self.wake();
        }
    }

    pub(super) fn wake(&self) {
        hold(&self.signal).awake = true;
        self.changed.notify_all();
    }

    pub(super) fn flush(&self, timeout: Duration) {
        if !self.enabled() {
            return;
        }
        let deadline = Instant::now() + timeout;
        let mut signal = hold(&self.signal);
        signal.flushes_asked += 1;
        signal.awake = true;
        let ticket = signal.flushes_asked;
        self.changed.notify_all();
        while signal.flushes_done < ticket {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            signal = self.changed.wait_timeout(signal, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Owns the open target; moves into its thread.
pub(super) struct Writer {
    shared: Arc<Shared>,
    sink: Sink,
    spare: Vec<u8>,
    failing: bool,
}

enum Sink {
    Stdout(io::Stdout),
    File(File),
}

impl Writer {
    pub(super) fn open(shared: Arc<Shared>) -> io::Result<Self> {
        let sink = match &shared.target {
            AccessLogTarget::File(path) => Sink::File(append_to(path)?),
            AccessLogTarget::Stdout | AccessLogTarget::Off => Sink::Stdout(io::stdout()),
        };
        Ok(Self { shared, sink, spare: Vec::new(), failing: false })
    }

    pub(super) fn start(self) -> io::Result<()> {
        thread::Builder::new().name("access-log".into()).spawn(move || self.run()).map(drop)
    }

    /// Runs as long as the process: the last handle cannot tell the thread without being counted, and a
    /// thread that sleeps costs nothing.
    fn run(mut self) {
        loop {
            let asked = self.wait();
            if self.shared.reopen.swap(false, Ordering::AcqRel) {
                self.reopen();
            }
            self.drain();
            let mut signal = hold(&self.shared.signal);
            signal.flushes_done = signal.flushes_done.max(asked);
            drop(signal);
            self.shared.changed.notify_all();
            if Arc::strong_count(&self.shared) == 1 {
                self.drain();
                return;
            }
        }
    }

    /// Sleeps until there is something to do. After a batch it lets lines gather for [`GATHER`] rather than
    /// be woken by each.
    fn wait(&self) -> u64 {
        let shared = &*self.shared;
        let mut signal = hold(&shared.signal);
        if !signal.awake {
            signal = shared.changed.wait_timeout(signal, GATHER).unwrap_or_else(PoisonError::into_inner).0;
        }
        if !signal.awake && shared.buffers.iter().all(|buffer| hold(buffer).is_empty()) {
            shared.idle.store(true, Ordering::Release);
            // A line that came between the look and the store has seen `idle` false: look again.
            if shared.buffers.iter().all(|buffer| hold(buffer).is_empty()) {
                while !signal.awake {
                    let (guard, timeout) = shared
                        .changed
                        .wait_timeout(signal, LONGEST_SLEEP)
                        .unwrap_or_else(PoisonError::into_inner);
                    signal = guard;
                    if timeout.timed_out() {
                        break;
                    }
                }
            }
            shared.idle.store(false, Ordering::Release);
        }
        signal.awake = false;
        signal.flushes_asked
    }

    fn drain(&mut self) {
        for index in 0..self.shared.buffers.len() {
            let Some(buffer) = self.shared.buffers.get(index) else { continue };
            self.spare.clear();
            mem::swap(&mut *hold(buffer), &mut self.spare);
            if self.spare.is_empty() {
                continue;
            }
            let result = self.sink.write(&self.spare);
            self.note(result);
            self.spare.shrink_to(KEPT);
        }
    }

    fn note(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) => self.failing = false,
            Err(error) => {
                let lines = self.spare.iter().filter(|byte| **byte == b'\n').count();
                self.shared.dropped.fetch_add(u64::try_from(lines).unwrap_or(0), Ordering::Relaxed);
                // A full disk must not fill the other log too: say it once until it works again.
                if !mem::replace(&mut self.failing, true) {
                    warn!(%error, "Access log cannot be written");
                }
            }
        }
    }

    fn reopen(&mut self) {
        if let AccessLogTarget::File(path) = &self.shared.target {
            match append_to(path) {
                Ok(file) => self.sink = Sink::File(file),
                Err(error) => warn!(%error, path = %path.display(), "Access log cannot be reopened"),
            }
        }
    }
}

impl Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => {
                let mut lock = stdout.lock();
                lock.write_all(bytes)?;
                lock.flush()
            }
            Self::File(file) => file.write_all(bytes),
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// The data behind these locks is sound at every point: a panic elsewhere does not spoil it.
fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that may wait per core: at 400 B a line some 2,600 lines, 20 ms at 130,000 requests per second.
const MAX_BUFFERED: usize = 1024 * 1024;
/// A swapped buffer is not kept larger than this.
const KEPT: usize = 256 * 1024;
/// How long lines gather before they are written together.
const GATHER: Duration = Duration::from_millis(20);
/// How often a sleeping writer looks whether the process still has a log.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
