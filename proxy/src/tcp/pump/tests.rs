//! Bytes both ways, and how each side ends.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

const IDLE: Duration = Duration::from_secs(60);

/// Runs a pump between two in-memory streams; gives the far ends to `script`.
async fn with_pump<F: Future>(
    buffer: usize,
    script: impl FnOnce(DuplexStream, DuplexStream) -> F,
) -> (End, (u64, u64), F::Output) {
    with_purge(buffer, |_| false, script).await
}

/// The same; `purged` tells connections to end.
async fn with_purge<F: Future>(
    buffer: usize,
    purged: impl Fn(&Waker) -> bool,
    script: impl FnOnce(DuplexStream, DuplexStream) -> F,
) -> (End, (u64, u64), F::Output) {
    let (client, near_client) = duplex(buffer);
    let (near_upstream, upstream) = duplex(buffer);
    let metrics = TcpMetrics::default();
    let mut pump = Pump::new(near_client, near_upstream, IDLE, &metrics);
    let ((end, counts), output) = tokio::join!(
        async {
            let end = pump.run(purged).await;
            let counts = pump.finish(&end);
            (end, counts)
        },
        script(client, upstream)
    );
    assert_eq!((metrics.received.value(), metrics.sent.value()), counts);
    (end, counts, output)
}

#[tokio::test]
async fn client_may_close_first_and_still_get_its_answer() {
    let (end, counts, answer) = with_pump(64, |mut client, mut upstream| async move {
        let server = async {
            let mut question = String::new();
            upstream.read_to_string(&mut question).await.unwrap();
            upstream.write_all(format!("answer to {question}").as_bytes()).await.unwrap();
            upstream.shutdown().await.unwrap();
        };
        let client = async {
            client.write_all(b"question").await.unwrap();
            client.shutdown().await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            answer
        };
        tokio::join!(server, client).1
    })
    .await;
    assert!(matches!(end, End::Clean), "{end:?}");
    assert_eq!((counts, answer.as_str()), ((8, 18), "answer to question"));
}

#[tokio::test]
async fn endpoint_may_close_first_and_still_be_told() {
    let (end, counts, told) = with_pump(64, |mut client, mut upstream| async move {
        upstream.write_all(b"hello").await.unwrap();
        upstream.shutdown().await.unwrap();
        let mut greeting = String::new();
        client.read_to_string(&mut greeting).await.unwrap();
        client.write_all(b"got it").await.unwrap();
        client.shutdown().await.unwrap();
        let mut told = String::new();
        upstream.read_to_string(&mut told).await.unwrap();
        told
    })
    .await;
    assert!(matches!(end, End::Clean), "{end:?}");
    assert_eq!((counts, told.as_str()), ((6, 5), "got it"));
}

#[tokio::test]
async fn bulk_arrives_whole_through_small_buffers() {
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let expected = bytes.clone();
    let (end, counts, got) = with_pump(777, |client, mut upstream| async move {
        let (mut read, mut write) = tokio::io::split(client);
        let send = async {
            write.write_all(&bytes).await.unwrap();
            write.shutdown().await.unwrap();
        };
        let echo = async {
            let mut buffer = [0; 333];
            loop {
                let count = upstream.read(&mut buffer).await.unwrap();
                if count == 0 {
                    break;
                }
                upstream.write_all(&buffer[..count]).await.unwrap();
            }
            upstream.shutdown().await.unwrap();
        };
        let receive = async {
            let mut got = Vec::new();
            read.read_to_end(&mut got).await.unwrap();
            got
        };
        tokio::join!(send, echo, receive).2
    })
    .await;
    assert!(matches!(end, End::Clean), "{end:?}");
    assert_eq!(counts, (1_000_000, 1_000_000));
    assert!(got == expected);
}

#[tokio::test(start_paused = true)]
async fn idle_is_counted_from_the_last_byte_in_either_direction() {
    let begin = Instant::now();
    let (end, ..) = with_pump(64, |mut client, mut upstream| async move {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(40)).await;
            client.write_all(b"x").await.unwrap();
            upstream.read_u8().await.unwrap();
            tokio::time::sleep(Duration::from_secs(40)).await;
            upstream.write_all(b"y").await.unwrap();
            client.read_u8().await.unwrap();
        }
        (client, upstream)
    })
    .await;
    assert!(matches!(end, End::Idle), "{end:?}");
    assert_eq!(begin.elapsed().as_secs(), 240 + 60);
}

#[tokio::test(start_paused = true)]
async fn half_closed_and_silent_is_idle_too() {
    let (end, ..) = with_pump(64, |mut client, upstream| async move {
        client.shutdown().await.unwrap();
        (client, upstream)
    })
    .await;
    assert!(matches!(end, End::Idle), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn short_memory_ends_quiet_connections_only() {
    let order = std::cell::Cell::new(false);
    let waker = std::cell::RefCell::new(None::<Waker>);
    let purged = |known: &Waker| {
        waker.replace(Some(known.clone()));
        order.take()
    };
    let tell = || {
        order.set(true);
        waker.borrow().as_ref().unwrap().wake_by_ref();
    };
    let begin = Instant::now();
    let (end, counts, ()) = with_purge(64, purged, |mut client, mut upstream| {
        let tell = &tell;
        async move {
            client.write_all(b"x").await.unwrap();
            upstream.read_u8().await.unwrap();
            tokio::time::sleep(QUIET / 2).await;
            tell();
            tokio::time::sleep(QUIET / 4).await;
            client.write_all(b"y").await.unwrap();
            assert_eq!(upstream.read_u8().await.unwrap(), b'y', "it was not quiet");
            tokio::time::sleep(QUIET).await;
            tell();
            assert!(upstream.read_u8().await.is_err());
        }
    })
    .await;
    assert!(matches!(end, End::Purged), "{end:?}");
    assert_eq!(counts, (2, 0));
    assert_eq!(begin.elapsed(), QUIET / 2 + QUIET / 4 + QUIET);
}

#[test]
fn pump_is_small() {
    // Two boxed TLS streams' worth of pointers and two directions; no buffer.
    let size = size_of::<Pump<'_, Box<u8>, Box<u8>>>();
    assert!(size <= 208, "{size}");
}
