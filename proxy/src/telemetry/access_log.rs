//! The access log: one line per request or connection, off the request path.
//!
//! A worker formats the line into a buffer of its own core and never waits: the buffer is bounded, and a line
//! that does not fit is counted and dropped. A writer thread swaps the buffers out and writes them.

mod connection;
mod entry;
mod escape;
mod json;
mod number;
mod text;
mod timestamp;
mod writer;

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub use connection::ConnectionLine;
pub use entry::LogEntry;

use timestamp::Clock;
use writer::{Shared, Writer};

/// Where lines go.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum AccessLogTarget {
    /// Nowhere.
    #[default]
    Off,
    /// Standard output.
    Stdout,
    /// A file, appended to; [`AccessLog::reopen`] opens it anew.
    File(PathBuf),
}

/// What a line looks like.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum AccessLogFormat {
    /// One JSON object with Istio's field names.
    #[default]
    Json,
    /// Istio's default text, in Envoy's order.
    Text,
}

/// The access log of the process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AccessLog {
    shared: Arc<Shared>,
}

impl AccessLog {
    /// Opens the target and starts the writer thread (none for [`AccessLogTarget::Off`]). `cores` is the
    /// number of [`CoreLog`]s that will be asked for.
    ///
    /// # Errors
    /// The file cannot be opened, or the thread not be started.
    pub fn start(target: AccessLogTarget, cores: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(target, cores));
        if shared.enabled() {
            Writer::open(shared.clone())?.start()?;
        }
        Ok(Self { shared })
    }

    /// A log that drops everything without counting it.
    pub fn off() -> Self {
        Self { shared: Arc::new(Shared::new(AccessLogTarget::Off, 0)) }
    }

    /// The log of worker `core`, from 0.
    pub fn core(&self, core: usize) -> CoreLog {
        let pen = Pen { line: Vec::with_capacity(LINE), clock: Clock::default() };
        CoreLog { shared: self.shared.clone(), core, pen: RefCell::new(pen) }
    }

    /// Changes the form of the lines that come from now on.
    pub fn set_format(&self, format: AccessLogFormat) {
        self.shared.text.store(format == AccessLogFormat::Text, Ordering::Relaxed);
    }

    /// Opens the file anew before the next line is written, for log rotation (SIGHUP).
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        self.shared.wake();
    }

    /// Lines that were dropped because the writer could not keep up, since the start.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Writes what is buffered and waits for it, at most `timeout`. For the end of the process. Blocks.
    pub fn flush(&self, timeout: Duration) {
        self.shared.flush(timeout);
    }
}

/// The access log as one worker sees it. Belongs to that worker's thread.
#[derive(Debug)]
pub struct CoreLog {
    shared: Arc<Shared>,
    core: usize,
    pen: RefCell<Pen>,
}

/// What writing a line needs and the next one can use again.
#[derive(Debug)]
struct Pen {
    line: Vec<u8>,
    clock: Clock,
}

impl CoreLog {
    /// Whether lines go anywhere; if not, an entry need not be gathered.
    pub fn enabled(&self) -> bool {
        self.shared.enabled()
    }

    /// Logs one request or connection. Never waits; does not allocate once the line buffer has grown.
    pub fn emit(&self, entry: &LogEntry<'_>) {
        if !self.shared.enabled() {
            return;
        }
        let mut pen = self.pen.borrow_mut();
        let Pen { line, clock } = &mut *pen;
        line.clear();
        if self.shared.text.load(Ordering::Relaxed) {
            text::write(line, clock, entry);
        } else {
            json::write(line, clock, entry);
        }
        self.shared.push(self.core, line);
        // A line is bounded by the request's limits; one giant must not be held for ever.
        line.shrink_to(MAX_LINE);
    }
}

/// Starting size of the line buffer: an ordinary line fits.
const LINE: usize = 2 * 1024;
/// The line buffer is not kept longer than this.
const MAX_LINE: usize = 64 * 1024;

#[cfg(test)]
mod tests;
