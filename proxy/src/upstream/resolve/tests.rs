//! Look-ups by a script, on a paused clock.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use tokio::time::advance;

use super::*;

/// Answers from a list, in order; the last one for ever. Counts questions.
struct Script {
    answers: Vec<Answer>,
    asked: AtomicUsize,
}

impl Lookup for Script {
    fn look_up(&self, _: Arc<str>) -> BoxFuture<'static, Answer> {
        let index = self.asked.fetch_add(1, Ordering::SeqCst).min(self.answers.len() - 1);
        let answer = self.answers[index].clone();
        async move {
            tokio::task::yield_now().await;
            answer
        }
        .boxed()
    }
}

fn resolver(answers: Vec<Answer>) -> (Resolver, Arc<Script>) {
    let script = Arc::new(Script { answers, asked: AtomicUsize::new(0) });
    (Resolver::new(Handle::current(), Arc::clone(&script) as Arc<dyn Lookup>), script)
}

fn found(last: u8) -> Answer {
    Answer::Found { addresses: vec![[10, 0, 0, last].into()], ttl: Duration::from_secs(60) }
}

fn failed() -> Answer {
    Answer::Failed { reason: "SERVFAIL".to_owned() }
}

fn name() -> Arc<str> {
    "a.example".into()
}

#[tokio::test(start_paused = true)]
async fn a_name_is_asked_for_once_at_a_time() {
    let (resolver, script) = resolver(vec![found(1)]);
    let name = name();
    let (one, two, three) =
        tokio::join!(resolver.resolve(&name), resolver.resolve(&name), resolver.resolve(&name));
    assert_eq!(one, two);
    assert_eq!(two, three);
    assert_eq!(script.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_just_ran_out_is_used_while_the_next_is_fetched() {
    let (resolver, script) = resolver(vec![found(1), found(2)]);
    let first = resolver.resolve(&name()).await.unwrap();
    advance(Duration::from_secs(61)).await;
    assert_eq!(resolver.resolve(&name()).await.unwrap(), first, "at once, from before");
    while script.asked.load(Ordering::SeqCst) < 2 || resolver.resolve(&name()).await.unwrap() == first {
        tokio::task::yield_now().await;
    }
    assert_eq!(resolver.resolve(&name()).await.unwrap()[..], [IpAddr::from([10, 0, 0, 2])]);
}

#[tokio::test(start_paused = true)]
async fn old_answers_outlive_failures_up_to_the_cap() {
    let (resolver, _) = resolver(vec![found(1), failed()]);
    let first = resolver.resolve(&name()).await.unwrap();
    advance(Duration::from_secs(600)).await;
    assert_eq!(resolver.resolve(&name()).await.unwrap(), first);
    advance(Duration::from_secs(3600)).await;
    assert_eq!(resolver.resolve(&name()).await, Err("SERVFAIL".into()));
}

#[tokio::test(start_paused = true)]
async fn failures_are_remembered_briefly() {
    let (resolver, script) = resolver(vec![failed(), failed(), found(1)]);
    assert!(resolver.resolve(&name()).await.is_err());
    assert!(resolver.resolve(&name()).await.is_err());
    assert_eq!(script.asked.load(Ordering::SeqCst), 1);
    advance(Duration::from_secs(3)).await;
    assert!(resolver.resolve(&name()).await.is_err());
    advance(Duration::from_secs(3)).await;
    assert!(resolver.resolve(&name()).await.is_ok());
    assert_eq!(script.asked.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_never_answers_is_a_failure() {
    struct Silent;
    impl Lookup for Silent {
        fn look_up(&self, _: Arc<str>) -> BoxFuture<'static, Answer> {
            std::future::pending().boxed()
        }
    }
    let resolver = Resolver::new(Handle::current(), Arc::new(Silent));
    assert_eq!(resolver.resolve(&name()).await, Err("no answer in time".into()));
}

#[tokio::test(start_paused = true)]
async fn names_are_bounded() {
    let (resolver, _) = resolver(vec![found(1)]);
    for number in 0..MAX_NAMES + 10 {
        resolver.resolve(&format!("n{number}.example").into()).await.unwrap();
    }
    assert!(resolver.names.lock().unwrap().len() <= MAX_NAMES);
}
