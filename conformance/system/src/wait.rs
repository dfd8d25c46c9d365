//! Waiting for what another process does in its own time.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

/// Waits until something holds, for at most `limit`.
///
/// # Errors
/// It does not; the error says what was waited for.
pub async fn until(what: &str, limit: Duration, mut holds: impl AsyncFnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !holds().await {
        if Instant::now() > deadline {
            bail!("not within {limit:?}: {what}");
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Tries until it succeeds, for at most `limit`.
///
/// # Errors
/// That of the last try.
pub async fn retry<T>(limit: Duration, mut work: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match work().await {
            Ok(done) => return Ok(done),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

const PAUSE: Duration = Duration::from_millis(50);
