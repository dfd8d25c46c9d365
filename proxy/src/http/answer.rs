//! The body of an answer on its way downstream. Performance-critical path.
//!
//! It carries the exchange: when the last byte is gone, or the client is, dropping the body tells the log.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::body::RequestBody;
use super::error::Error;
use super::exchange::Exchange;
use super::hop;
use crate::upstream::{UpstreamBody, UpstreamError, UpstreamErrorKind};

/// An answer's body, with everything that has to be told at its end.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    source: Source,
    /// None: somebody else tells (a tunnel).
    exchange: Option<Exchange>,
    limits: Limits,
    timer: Option<Pin<Box<Sleep>>>,
    last: Option<Instant>,
}

#[derive(Debug)]
enum Source {
    Empty,
    Full(Bytes),
    Upstream(UpstreamBody<RequestBody>),
}

/// Time limits of an answer's body.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    /// The end of the whole request.
    pub(crate) deadline: Option<Instant>,
    /// No byte in either direction; none is no limit.
    pub(crate) idle: Option<Duration>,
}

/// An answer that cannot be completed: the stream is reset, or the connection closed.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off")]
pub(crate) struct BrokenAnswer;

impl AnswerBody {
    /// Passes an endpoint's body on.
    pub(crate) fn upstream(body: UpstreamBody<RequestBody>, exchange: Exchange, limits: Limits) -> Self {
        Self::new(Source::Upstream(body), Some(exchange), limits)
    }

    /// A body of our own.
    pub(crate) fn full(bytes: Bytes, exchange: Exchange) -> Self {
        let source = if bytes.is_empty() { Source::Empty } else { Source::Full(bytes) };
        Self::new(source, Some(exchange), Limits::default())
    }

    /// The body of an answer that ends HTTP on the connection: the tunnel has the exchange.
    pub(crate) fn switched() -> Self {
        Self::new(Source::Empty, None, Limits::default())
    }

    fn new(source: Source, exchange: Option<Exchange>, limits: Limits) -> Self {
        Self { source, exchange, limits, timer: None, last: None }
    }

    fn note(&mut self, frame: &mut Frame<Bytes>) {
        let Some(exchange) = &mut self.exchange else { return };
        if let Some(data) = frame.data_ref() {
            exchange.note_sent(data.len());
        } else if let Some(trailers) = frame.trailers_mut() {
            hop::strip(trailers);
            exchange.note_trailers(trailers);
        }
        if let Some(meter) = &exchange.meter {
            meter.touch();
        }
        if self.limits.idle.is_some() {
            self.last = Some(Instant::now());
        }
    }

    fn fail(&mut self, error: &Error) -> BrokenAnswer {
        self.source = Source::Empty;
        if let Some(mut exchange) = self.exchange.take() {
            exchange.note_error(error);
        }
        BrokenAnswer
    }

    /// Whether a time limit has passed while nothing comes.
    fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        loop {
            let Some((at, error)) = self.next_limit() else { return Poll::Pending };
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
            if timer.deadline() != at {
                timer.as_mut().reset(at);
            }
            ready!(timer.as_mut().poll(cx));
            // A request body that still flows keeps the exchange from being idle.
            if at <= Instant::now() && self.next_limit().is_none_or(|(next, _)| next <= at) {
                return Poll::Ready(error);
            }
        }
    }

    fn next_limit(&mut self) -> Option<(Instant, Error)> {
        let idle = self.limits.idle.map(|idle| {
            let last = *self.last.get_or_insert_with(Instant::now);
            let meter = self.exchange.as_ref().and_then(|exchange| exchange.meter.as_ref());
            let touched = meter.map_or(last, |meter| meter.last().max(last));
            touched + idle
        });
        match (self.limits.deadline, idle) {
            (Some(deadline), Some(idle)) if idle < deadline => Some((idle, IDLE)),
            (Some(deadline), _) => Some((deadline, Error::RequestTimeout)),
            (None, Some(idle)) => Some((idle, IDLE)),
            (None, None) => None,
        }
    }
}

const IDLE: Error = Error::StreamIdle;

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BrokenAnswer;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenAnswer>>> {
        let me = &mut *self;
        let polled = match &mut me.source {
            Source::Empty => Poll::Ready(None),
            Source::Full(bytes) => {
                let frame = Frame::data(std::mem::take(bytes));
                me.source = Source::Empty;
                Poll::Ready(Some(Ok(frame)))
            }
            Source::Upstream(body) => Pin::new(body).poll_frame(cx),
        };
        match polled {
            Poll::Ready(Some(Ok(mut frame))) => {
                me.note(&mut frame);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                if let Some(exchange) = &mut me.exchange {
                    exchange.complete();
                }
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                let cause = UpstreamError::sent(UpstreamErrorKind::ResetMidResponse).because(error);
                Poll::Ready(Some(Err(me.fail(&Error::Upstream(cause)))))
            }
            Poll::Pending => {
                let error = ready!(me.poll_limits(cx));
                Poll::Ready(Some(Err(me.fail(&error))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Full(_) => false,
            Source::Upstream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Upstream(body) => body.size_hint(),
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        // The library asks `is_end_stream` and does not poll on: a body that is over has been sent whole.
        if self.is_end_stream()
            && let Some(exchange) = &mut self.exchange
        {
            exchange.complete();
        }
    }
}
