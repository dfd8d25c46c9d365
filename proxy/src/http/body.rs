//! The body of a request on its way upstream. Performance-critical path.
//!
//! Most requests have none; most others are passed on as they arrive. A body that may be sent again (retries),
//! sent twice (mirrors) or looked at first (external authorisation, buffering) is shared: see [`source`].

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

mod copy;
pub(crate) mod source;

use self::copy::Copy;
use self::source::Replay;

/// A request body. Not `Send`: it lives and dies on one core.
#[derive(Debug, Default)]
pub(crate) struct RequestBody(Kind);

#[derive(Debug, Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    Stream(Stream),
    Replay(Replay),
    Copy(Copy),
}

/// Why a request body ended early. Each is the downstream side's doing, never the endpoint's.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum BodyError {
    /// The client went away, or its framing broke.
    #[error("the client broke off the request body")]
    Broken,
    /// The client sent nothing for too long.
    #[error("the client stopped sending the request body")]
    Stalled,
    /// Longer than the route's buffer.
    #[error("the request body is longer than allowed")]
    TooLarge,
    /// The body belongs to a try that was given up, or to a mirror that cannot keep up.
    #[error("the request body is no longer wanted")]
    Abandoned,
}

impl RequestBody {
    /// No body.
    pub(crate) fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// A body that is in memory.
    pub(crate) fn full(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::empty() } else { Self(Kind::Full(bytes)) }
    }

    pub(crate) fn stream(incoming: Incoming, meter: Rc<Meter>) -> Self {
        Self(Kind::Stream(Stream { incoming, meter, timer: None }))
    }

    fn replay(replay: Replay) -> Self {
        Self(Kind::Replay(replay))
    }

    fn copy(copy: Copy) -> Self {
        Self(Kind::Copy(copy))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Stream(stream) => stream.poll_frame(cx),
            Kind::Replay(replay) => replay.poll_frame(cx),
            Kind::Copy(copy) => copy.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Full(_) | Kind::Copy(_) => false,
            Kind::Stream(stream) => stream.incoming.is_end_stream(),
            Kind::Replay(replay) => replay.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Stream(stream) => stream.incoming.size_hint(),
            Kind::Replay(replay) => replay.size_hint(),
            Kind::Copy(copy) => copy.size_hint(),
        }
    }
}

/// What is known of a downstream body while others read it: made once for each request that has one.
#[derive(Debug)]
pub(crate) struct Meter {
    bytes: Cell<u64>,
    last: Cell<Instant>,
    failure: Cell<Option<BodyError>>,
    idle: Cell<Duration>,
}

impl Meter {
    /// `idle`: no byte in either direction for that long ends the body; zero is no limit.
    pub(crate) fn new(idle: Duration) -> Rc<Self> {
        Rc::new(Self {
            bytes: Cell::new(0),
            last: Cell::new(Instant::now()),
            failure: Cell::new(None),
            idle: Cell::new(idle),
        })
    }

    /// Bytes of data that have been read.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Why reading failed, if it did.
    pub(crate) fn failure(&self) -> Option<BodyError> {
        self.failure.get()
    }

    /// When something last moved.
    pub(crate) fn last(&self) -> Instant {
        self.last.get()
    }

    /// How long nothing may move, from here on; zero is no limit.
    pub(crate) fn limit_idle(&self, idle: Duration) {
        self.idle.set(idle);
    }

    /// Something moved in the other direction.
    pub(crate) fn touch(&self) {
        self.last.set(Instant::now());
    }

    fn fail(&self, error: BodyError) -> BodyError {
        self.failure.set(Some(error));
        error
    }

    fn count(&self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            self.bytes.set(self.bytes.get() + data.len() as u64);
        }
        self.touch();
    }
}

/// A downstream body passed on as it arrives.
#[derive(Debug)]
struct Stream {
    incoming: Incoming,
    meter: Rc<Meter>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stream {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        poll_incoming(&mut self.incoming, &self.meter, &mut self.timer, cx)
    }
}

/// Reads one frame, keeps the books, and watches the clock while nothing comes.
fn poll_incoming(
    incoming: &mut Incoming,
    meter: &Meter,
    timer: &mut Option<Pin<Box<Sleep>>>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    match Pin::new(incoming).poll_frame(cx) {
        Poll::Ready(Some(Ok(mut frame))) => {
            meter.count(&frame);
            if let Some(trailers) = frame.trailers_mut() {
                super::forwarded::strip_trailers(trailers);
            }
            Poll::Ready(Some(Ok(frame)))
        }
        Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(meter.fail(BodyError::Broken)))),
        Poll::Ready(None) => Poll::Ready(None),
        Poll::Pending => {
            ready!(poll_stalled(meter, timer, cx));
            Poll::Ready(Some(Err(meter.fail(BodyError::Stalled))))
        }
    }
}

/// Ready once nothing has moved for the meter's idle time. The timer is made when a body first has to wait and
/// is only ever moved forward, so a body that flows never touches it.
fn poll_stalled(meter: &Meter, timer: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> Poll<()> {
    let idle = meter.idle.get();
    if idle.is_zero() {
        return Poll::Pending;
    }
    let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(meter.last.get() + idle)));
    loop {
        ready!(timer.as_mut().poll(cx));
        let deadline = meter.last.get() + idle;
        if deadline <= Instant::now() {
            return Poll::Ready(());
        }
        timer.as_mut().reset(deadline);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_full_body_is_sent_once() {
        let mut body = RequestBody::full(Bytes::from_static(b"abc"));
        assert_eq!(body.size_hint().exact(), Some(3));
        assert!(!body.is_end_stream());
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "abc");
        assert!(body.is_end_stream());
        assert!(body.frame().await.is_none());
    }

    #[test]
    fn no_body_is_no_body() {
        assert!(RequestBody::full(Bytes::new()).is_end_stream());
        assert_eq!(RequestBody::empty().size_hint().exact(), Some(0));
    }

    #[test]
    fn a_request_body_stays_small() {
        assert!(size_of::<RequestBody>() <= 80, "{}", size_of::<RequestBody>());
    }
}
