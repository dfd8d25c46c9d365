//! Places, and nobody's having all of them.

use super::*;

#[tokio::test]
async fn one_caller_cannot_take_every_place() {
    let stop = CancellationToken::new();
    let metrics = Arc::new(Metrics::new());
    let door = Door::new(8, metrics.clone(), stop.clone());
    for _ in 0..5 {
        door.admit("greedy".to_owned(), std::future::pending()).await;
    }
    door.admit("modest".to_owned(), std::future::pending()).await;
    tokio::task::yield_now().await;
    assert_eq!(metrics.connections.get(), 3, "two of five, and one");
    stop.cancel();
    while !door.shares.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(metrics.connections.get(), 0);
}
