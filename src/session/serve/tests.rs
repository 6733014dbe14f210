use std::future::ready;

use tokio::time::advance;

use super::*;

const TIME: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn what_is_not_over_at_the_deadline_is_given_up() {
    let deadline = Instant::now() + TIME;
    assert_eq!(awake_until(deadline, TIME, ready(1)).await, Some(1));
    assert_eq!(awake_until(deadline, TIME, pending::<()>()).await, None);
    assert!(deadline.elapsed() < Duration::from_secs(1));
}

// The process was stopped, or asleep with its machine: so was what it waits for.
#[tokio::test(start_paused = true)]
async fn a_deadline_that_is_noticed_far_too_late_is_set_anew() {
    let begin = Instant::now();
    let mut waiting = pin!(awake_until(begin + TIME, TIME, pending::<()>()));
    assert!(timeout(Duration::ZERO, &mut waiting).await.is_err());
    advance(Duration::from_secs(3600)).await;
    assert_eq!(waiting.await, None);
    assert_eq!(begin.elapsed().as_secs(), 3600 + TIME.as_secs());
}

#[cfg(feature = "curve")]
mod lanes {
    use std::task::{Context, Waker};

    use tokio::io::{AsyncWriteExt, duplex};

    use super::super::*;
    use crate::mechanism::Role;
    use crate::pattern::SocketType;
    use crate::security::{KeyPair, SecretKey};

    fn key(seed: u8) -> Arc<KeyPair> {
        Arc::new(SecretKey::from_bytes(&[seed; 32]).into())
    }

    fn begin(role: &Role) -> Handshake {
        let config = HandshakeConfig {
            socket_type: SocketType::Pair,
            identity: Default::default(),
            properties: Default::default(),
            address: PeerAddress::Adopted,
            domain: String::new(),
            limits: Default::default(),
            heartbeat: None,
            timeout: Duration::from_secs(30),
        };
        let mechanism = role.begin(config.announcement(), Asked::Never).unwrap();
        Handshake::new(config, mechanism, Instant::now().into_std())
    }

    /// All that a client says until it is welcomed.
    fn hello() -> BytesMut {
        let server = Role::CurveServer { own: key(2) };
        let mut client = begin(&Role::CurveClient {
            server: *key(2).public_key(),
            own: key(1),
        });
        let mut greeting = begin(&server).output().split();
        let now = Instant::now().into_std();
        client.input(&mut greeting, now).unwrap();
        client.output().split()
    }

    #[tokio::test]
    async fn what_takes_long_has_its_turn_or_is_begun_again() {
        let (near, mut far) = duplex(4096);
        let stream = Stream::adopted(near);
        let lane = Lane::new();
        let mut handshake = begin(&Role::CurveServer { own: key(2) });
        let mut read = BytesMut::new();
        let hello = hello();
        let (last, most) = hello.split_last().unwrap();
        far.write_all(most).await.unwrap();

        // The turn of somebody else. What is not whole does not wait for it.
        let another = lane.turn().await;
        let mut progress = Progress::Waiting;
        let mut begun = || {
            let mut cx = Context::from_waker(Waker::noop());
            let step = proceed(
                &stream,
                &mut handshake,
                &mut progress,
                None,
                Some(&lane),
                &mut read,
            );
            let polled = pin!(step).poll(&mut cx).map(Result::unwrap);
            (polled.map(|turn| turn.is_some()), read.len())
        };
        assert_eq!(begun(), (Poll::Ready(false), most.len()));
        far.write_all(&[*last, 0]).await.unwrap();
        // Whatever came with it is read, and then no more, however often it is begun.
        for _ in 0..3 {
            assert_eq!(begun(), (Poll::Pending, hello.len() + 1));
            far.write_all(&[0]).await.unwrap();
        }
        drop(another);
        assert_eq!(begun(), (Poll::Ready(true), hello.len() + 1));
    }
}
