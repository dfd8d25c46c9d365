//! A request body that several readers share: tries one after another, mirrors beside them, filters before them.
//!
//! What has been read is kept up to a bound, so that a retry can send it again. Beyond the bound the body
//! flows on, but can no longer be replayed.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::copy::{self, CopySender};
use super::{BodyError, Meter, RequestBody, poll_incoming};

/// Bytes that are kept for a retry. A longer body is sent once (Envoy's default is 1 MiB; its edge page and
/// reliability-security.md §1.1 ask for less).
pub(crate) const REPLAY_LIMIT: usize = 64 * 1024;

/// The shared body.
#[derive(Clone, Debug)]
pub(crate) struct SharedBody(Rc<RefCell<Source>>);

#[derive(Debug)]
struct Source {
    incoming: Incoming,
    meter: Rc<Meter>,
    timer: Option<Pin<Box<Sleep>>>,
    /// The data from the start on, unless `lost`.
    kept: Vec<Bytes>,
    kept_bytes: usize,
    trailers: Option<HeaderMap>,
    ended: bool,
    lost: bool,
    limit: usize,
    /// The reader that may read on. Older ones are stale.
    reader: u32,
    copies: Vec<CopySender>,
    size: SizeHint,
}

/// What [`SharedBody::fill`] found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Filled {
    /// All of the body is held.
    Whole,
    /// There is more of it than was asked for.
    Partial,
}

impl SharedBody {
    pub(crate) fn new(incoming: Incoming, meter: Rc<Meter>) -> Self {
        let size = incoming.size_hint();
        Self(Rc::new(RefCell::new(Source {
            incoming,
            meter,
            timer: None,
            kept: Vec::new(),
            kept_bytes: 0,
            trailers: None,
            ended: false,
            lost: false,
            limit: REPLAY_LIMIT,
            reader: 0,
            copies: Vec::new(),
            size,
        })))
    }

    /// Reads until the end or until more than `limit` bytes are held. Only before the first [`Self::reader`].
    pub(crate) async fn fill(&self, limit: usize) -> Result<Filled, BodyError> {
        {
            let mut source = self.0.borrow_mut();
            // One frame beyond the limit is kept too: it has been read and must be sent on.
            source.limit = source.limit.max(limit);
        }
        poll_fn(|cx| {
            let mut source = self.0.borrow_mut();
            loop {
                if source.kept_bytes > limit {
                    return Poll::Ready(Ok(Filled::Partial));
                }
                match source.poll_next(cx, true) {
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(None) => return Poll::Ready(Ok(Filled::Whole)),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// The first `limit` bytes of what is held.
    pub(crate) fn held(&self, limit: usize) -> Bytes {
        let source = self.0.borrow();
        if let [only] = source.kept.as_slice() {
            return only.slice(..only.len().min(limit));
        }
        let mut all = BytesMut::with_capacity(source.kept_bytes.min(limit));
        for data in &source.kept {
            let room = limit - all.len();
            all.extend_from_slice(data.get(..room).unwrap_or(data));
        }
        all.freeze()
    }

    /// A body for the next try, from the start. None: part of it is no longer held.
    pub(crate) fn reader(&self) -> Option<RequestBody> {
        let mut source = self.0.borrow_mut();
        if source.lost {
            return None;
        }
        source.reader += 1;
        let reader = source.reader;
        drop(source);
        Some(RequestBody::replay(Replay { source: self.0.clone(), reader, next: 0, trailers_sent: false }))
    }

    /// Whether [`Self::reader`] would give a body.
    pub(crate) fn replayable(&self) -> bool {
        !self.0.borrow().lost
    }

    /// A copy for a mirror. Only before the first [`Self::reader`] reads on.
    pub(crate) fn copy(&self) -> RequestBody {
        let mut source = self.0.borrow_mut();
        let (sender, copy) = copy::pair(source.size);
        let all = source.kept.iter().all(|data| sender.data(data));
        if all && source.ended {
            sender.finish(source.trailers.as_ref());
        } else if all {
            source.copies.push(sender);
        }
        RequestBody::copy(copy)
    }
}

impl Source {
    /// Reads the next frame from the client, keeps it if there is room, and copies it to mirrors.
    /// `ahead`: nobody has been given the frame yet, so it must be kept.
    fn poll_next(&mut self, cx: &mut Context<'_>, ahead: bool) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            let frame = match poll_incoming(&mut self.incoming, &self.meter, &mut self.timer, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Err(error))) => {
                    self.copies.clear();
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(None) => {
                    self.ended = true;
                    for copy in self.copies.drain(..) {
                        copy.finish(self.trailers.as_ref());
                    }
                    continue;
                }
            };
            match frame.into_data() {
                Ok(data) => {
                    self.keep(&data, ahead);
                    return Poll::Ready(Some(Ok(data)));
                }
                Err(frame) => self.trailers = frame.into_trailers().ok(),
            }
        }
    }

    fn keep(&mut self, data: &Bytes, ahead: bool) {
        self.copies.retain(|copy| copy.data(data));
        if !self.lost && (ahead || self.kept_bytes + data.len() <= self.limit) {
            self.kept_bytes += data.len();
            self.kept.push(data.clone());
        } else {
            self.lost = true;
            self.kept = Vec::new();
        }
    }
}

/// One try's view of the shared body.
#[derive(Debug)]
pub(super) struct Replay {
    source: Rc<RefCell<Source>>,
    reader: u32,
    next: usize,
    trailers_sent: bool,
}

impl Replay {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut source = self.source.borrow_mut();
        if source.reader != self.reader {
            return Poll::Ready(Some(Err(BodyError::Abandoned)));
        }
        if let Some(data) = source.kept.get(self.next) {
            self.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        match source.poll_next(cx, false) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(data))) => {
                self.next += 1;
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error))),
            Poll::Ready(None) if self.trailers_sent => Poll::Ready(None),
            Poll::Ready(None) => {
                self.trailers_sent = true;
                Poll::Ready(source.trailers.clone().map(|trailers| Ok(Frame::trailers(trailers))))
            }
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let source = self.source.borrow();
        source.ended && self.next >= source.kept.len() && (self.trailers_sent || source.trailers.is_none())
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let source = self.source.borrow();
        if self.next == 0 { source.size } else { SizeHint::default() }
    }
}
