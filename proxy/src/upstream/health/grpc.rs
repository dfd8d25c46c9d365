//! The two messages of `grpc.health.v1.Health/Check`, in gRPC's length-prefixed frames.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

pub(crate) const PATH: &str = "/grpc.health.v1.Health/Check";

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    /// 0 unknown, 1 serving, 2 not serving, 3 service unknown.
    #[prost(int32, tag = "1")]
    status: i32,
}

/// A request's body.
pub(crate) fn request(service: &str) -> Bytes {
    let message = HealthCheckRequest { service: service.to_owned() }.encode_to_vec();
    let mut frame = BytesMut::with_capacity(5 + message.len());
    // Not compressed.
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(&message);
    frame.freeze()
}

/// Judges a response's body.
pub(crate) fn judge(body: &[u8]) -> Result<(), String> {
    let malformed = || "malformed health answer".to_owned();
    let mut frame = body;
    if frame.len() < 5 || frame.get_u8() != 0 {
        return Err(malformed());
    }
    let length = usize::try_from(frame.get_u32()).map_err(|_| malformed())?;
    let message = frame.get(..length).ok_or_else(malformed)?;
    match HealthCheckResponse::decode(message).map_err(|_| malformed())?.status {
        1 => Ok(()),
        2 => Err("not serving".to_owned()),
        status => Err(format!("serving status {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_framed() {
        assert_eq!(&request("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&request("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
    }

    #[test]
    fn only_serving_passes() {
        assert_eq!(judge(&[0, 0, 0, 0, 2, 8, 1]), Ok(()));
        assert_eq!(judge(&[0, 0, 0, 0, 2, 8, 2]), Err("not serving".to_owned()));
        assert!(judge(&[0, 0, 0, 0, 0]).is_err(), "unknown is not serving");
        for broken in [&[][..], &[1, 0, 0, 0, 2, 8, 1], &[0, 0, 0, 0, 9, 8, 1], &[0, 0, 0]] {
            assert!(judge(broken).is_err(), "{broken:?}");
        }
    }
}
