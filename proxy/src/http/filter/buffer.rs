//! Holds a request body until it is complete.

use http::header;

use crate::http::body::BodyError;
use crate::http::body::source::Filled;
use crate::http::error::Error;
use crate::http::inbound::Inbound;

/// Reads the whole body.
///
/// # Errors
/// It is longer than `max_bytes`, or fails.
pub(super) async fn hold(max_bytes: u64, inbound: &mut Inbound) -> Result<(), Error> {
    let announced = inbound.parts.headers.get(header::CONTENT_LENGTH);
    let announced: Option<u64> = announced.and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length| length > max_bytes) {
        return Err(Error::Body(BodyError::TooLarge));
    }
    let Some(shared) = inbound.payload.share() else { return Ok(()) };
    let limit = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    match shared.fill(limit).await.map_err(Error::Body)? {
        Filled::Whole => Ok(()),
        Filled::Partial => Err(Error::Body(BodyError::TooLarge)),
    }
}
