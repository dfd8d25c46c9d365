//! A copy of a request body for a mirror: a bounded queue that is given up when the mirror cannot keep up.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::BodyError;

/// The reading end.
#[derive(Debug)]
pub(super) struct Copy {
    queue: Rc<RefCell<Queue>>,
    size: SizeHint,
}

/// The writing end; dropped early it breaks the copy.
#[derive(Debug)]
pub(super) struct CopySender(Rc<RefCell<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    bytes: usize,
    trailers: Option<HeaderMap>,
    end: Option<Result<(), BodyError>>,
    reader: Option<Waker>,
}

/// Bytes that may wait for a mirror. A slower mirror loses the copy; the request itself never waits for it.
const COPY_LIMIT: usize = 256 * 1024;

pub(super) fn pair(size: SizeHint) -> (CopySender, Copy) {
    let queue = Rc::new(RefCell::new(Queue::default()));
    (CopySender(queue.clone()), Copy { queue, size })
}

impl CopySender {
    /// Queues data. False: the mirror is gone or too slow, drop this end.
    pub(super) fn data(&self, data: &Bytes) -> bool {
        let mut queue = self.0.borrow_mut();
        if Rc::strong_count(&self.0) == 1 || queue.bytes + data.len() > COPY_LIMIT {
            queue.finish(Err(BodyError::Abandoned));
            return false;
        }
        queue.bytes += data.len();
        queue.frames.push_back(data.clone());
        queue.wake();
        true
    }

    /// Ends the copy as the original ended.
    pub(super) fn finish(self, trailers: Option<&HeaderMap>) {
        let mut queue = self.0.borrow_mut();
        queue.trailers = trailers.cloned();
        queue.finish(Ok(()));
    }
}

impl Drop for CopySender {
    fn drop(&mut self) {
        self.0.borrow_mut().finish(Err(BodyError::Abandoned));
    }
}

impl Copy {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut queue = self.queue.borrow_mut();
        if let Some(data) = queue.frames.pop_front() {
            queue.bytes -= data.len();
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match queue.end {
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            Some(Ok(())) => Poll::Ready(queue.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))),
            None => {
                queue.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.size
    }
}

impl Queue {
    /// The first end counts.
    fn finish(&mut self, end: Result<(), BodyError>) {
        if self.end.is_none() {
            self.end = Some(end);
            self.wake();
        }
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}
