//! gRPC: the health service says SERVING; every other method sends each message back.

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Request, Response};

use super::http::Body;

/// Whether a request is gRPC.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Answers a call of any method.
pub(super) fn answer(request: Request<Incoming>) -> Response<Body> {
    let health = request.uri().path() == "/grpc.health.v1.Health/Check";
    let (head, body) = request.into_parts();
    let body = if health { serving().boxed_unsync() } else { mirrored(body) };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    // What the backend saw, for tests of header filters: unary and streaming calls have no other place for it.
    if let Some(value) = head.headers.get("x-echo") {
        response.headers_mut().insert("x-echo", value.clone());
    }
    response
}

/// `HealthCheckResponse { status: SERVING }` as a length-prefixed message.
fn serving() -> impl hyper::body::Body<Data = Bytes, Error = hyper::Error> + Send {
    let frames = [Ok(Frame::data(Bytes::from_static(&[0, 0, 0, 0, 2, 0x08, 1]))), Ok(Frame::trailers(ok()))];
    StreamBody::new(futures_util::stream::iter(frames))
}

/// Messages come back as they are, since their prefix is part of the body.
fn mirrored(body: Incoming) -> Body {
    let frames = futures_util::stream::unfold(Some(body), |body| async move {
        let mut body = body?;
        loop {
            match body.frame().await {
                Some(Ok(frame)) if frame.is_data() => return Some((Ok(frame), Some(body))),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Some((Err(error), None)),
                None => return Some((Ok(Frame::trailers(ok())), None)),
            }
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

fn ok() -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))])
}
