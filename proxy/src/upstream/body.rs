//! A response body that gives its connection back to the pool at its clean end, and only then.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::upstream::error::{UpstreamError, UpstreamErrorKind};
use crate::upstream::pool::Lease;

/// An endpoint's response body. Dropped before its end, it takes an HTTP/1.1 connection with it (HTTP/2: its stream).
pub struct UpstreamBody<B> {
    incoming: Incoming,
    lease: Option<Lease<B>>,
}

impl<B> UpstreamBody<B> {
    pub(crate) fn new(incoming: Incoming, lease: Lease<B>) -> Self {
        Self { incoming, lease: Some(lease) }
    }

    /// Of a response after which the connection is no longer ours to reuse: 101, or 2xx to CONNECT.
    pub(crate) fn detached(incoming: Incoming) -> Self {
        Self { incoming, lease: None }
    }

    fn release(&mut self) {
        if let Some(Lease::Http1(lease)) = self.lease.take() {
            lease.give_back();
        }
    }
}

impl<B> Drop for UpstreamBody<B> {
    fn drop(&mut self) {
        // The reader of a body with a known length may stop at its last byte, before the end is said.
        if self.lease.is_some() && self.incoming.is_end_stream() {
            self.release();
        }
    }
}

impl<B> fmt::Debug for UpstreamBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamBody").field("incoming", &self.incoming).finish_non_exhaustive()
    }
}

// Nothing in it is pinned: frames are polled through `Pin::new` on an `Unpin` body.
impl<B> Unpin for UpstreamBody<B> {}

impl<B> Body for UpstreamBody<B> {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
            Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
            Some(Err(error)) => {
                self.lease = None;
                let error = UpstreamError::sent(UpstreamErrorKind::ResetMidResponse).because(error);
                Poll::Ready(Some(Err(error)))
            }
            None => {
                self.release();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
