//! A sender that is ahead of its session.

use super::*;

/// Sends until the sender is ahead.
fn run_ahead(pipe: &Pipe) {
    let message = Message::from(vec![7; 64 << 10]);
    while pipe.outbox.push(&message, Claim::Paced) != Push::Ahead {}
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_is_ahead_is_woken_once_by_the_session() {
    let pipe = pipe();
    run_ahead(&pipe);
    let woken = Arc::new(Counter::default());
    let waker = Waker::from(woken.clone());
    let mut waiting = std::pin::pin!(pipe.outbox.caught_up());
    for _ in 0..2 {
        let polled = waiting.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
    }
    assert_eq!(woken.count(), 0);
    take(&pipe);
    assert_eq!(woken.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_is_ahead_waits_until_the_session_takes_what_waits() {
    let pipe = pipe();
    run_ahead(&pipe);
    let mut waiting = std::pin::pin!(pipe.outbox.caught_up());
    assert!(timeout(MOMENT, &mut waiting).await.is_err());
    take(&pipe);
    timeout(MOMENT, waiting).await.unwrap();
    assert_eq!(
        pipe.outbox.push(&"next".into(), Claim::Paced),
        Push::Done { full: false }
    );
}

#[tokio::test(start_paused = true)]
async fn a_sender_waits_on_while_the_session_writes_fast() {
    let pipe = pipe();
    run_ahead(&pipe);
    let mut waiting = std::pin::pin!(pipe.outbox.caught_up());
    for _ in 0..10 {
        assert!(timeout(PACE / 2, &mut waiting).await.is_err());
        pipe.outbox.wrote(FAST);
    }
}

// Else nothing would be queued for a peer that does not read.
#[tokio::test(start_paused = true)]
async fn a_sender_fills_the_queue_if_the_session_does_not_keep_up() {
    let pipe = pipe();
    run_ahead(&pipe);
    pipe.outbox.caught_up().await;
    let message = Message::from(vec![7; 1 << 10]);
    let pushed = || pipe.outbox.push(&message, Claim::Paced);
    while pushed() == (Push::Done { full: false }) {}
    assert_eq!(pushed(), Push::Full);
    // From then on it is looked at anew.
    take(&pipe);
    run_ahead(&pipe);
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_is_ahead_waits_for_no_connection_that_is_gone() {
    for end in [
        |pipe: &Pipe| pipe.outbox.disconnected(Writing::default()),
        |pipe: &Pipe| pipe.outbox.end(Life::Ended),
    ] {
        let pipe = pipe();
        run_ahead(&pipe);
        let mut waiting = std::pin::pin!(pipe.outbox.caught_up());
        assert!(timeout(MOMENT, &mut waiting).await.is_err());
        end(&pipe);
        timeout(MOMENT, waiting).await.unwrap();
    }
}
