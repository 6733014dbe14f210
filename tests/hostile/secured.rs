//! Peers that do not get past PLAIN or CURVE, or try to from between.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jackstay::security::{Candidate, Credentials, Password, Security, UserList, from_fn};
use jackstay::zmtp::{HandshakeError, ProtocolError};
use jackstay::{PullSocket, PushSocket};

use crate::beside::{Attacked, Cause, end};
use crate::support::raw::{Raw, command, greeting, ready};
use crate::support::{eventually, whole, within};

/// A PULL with this security, and a healthy peer of it.
async fn attacked(pull: Security, push: Security) -> Attacked {
    let pull = PullSocket::builder().security(pull);
    let push = PushSocket::builder().security(push).build();
    Attacked::with(pull.build(), push).await
}

async fn plain() -> Attacked {
    let users = UserList::new();
    users.insert("joe", Password::new("secret").unwrap());
    let joe = Security::plain_client("joe", "secret").unwrap();
    attacked(Security::plain_server(users), joe).await
}

fn hello(user: &str, password: &str) -> Vec<u8> {
    let counted = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    command("HELLO", &[counted(user), counted(password)].concat())
}

fn unexpected(name: &str) -> Cause {
    Cause::Handshake(HandshakeError::UnexpectedCommand { name: name.into() })
}

#[tokio::test]
async fn p3_whoever_leaves_out_hello_or_sends_rubbish_is_closed_without_a_word() {
    whole(async {
        let mut attacked = plain().await;
        let malformed = |name| Cause::Handshake(ProtocolError::MalformedCommand { name }.into());
        for (said, cause) in [
            (ready("PUSH"), unexpected("READY")),
            (command("INITIATE", b""), unexpected("INITIATE")),
            (command("WELCOME", b""), unexpected("WELCOME")),
            (command("HELLO", b"\x03joe\xffsecret"), malformed("HELLO")),
            (command("HELLO", b""), malformed("HELLO")),
        ] {
            let mut events = attacked.pull.monitor();
            let at = attacked.at.clone();
            let attack = async {
                let mut raw = Raw::greet(&at, b"PLAIN").await;
                raw.write(&said).await;
                assert_eq!(raw.read_to_end().await, b"");
                end(&mut events).await
            };
            assert_eq!(attacked.during(attack).await, cause);
        }
    })
    .await;
}

#[tokio::test]
async fn p1_a_wrong_password_gets_a_status_and_no_welcome() {
    whole(async {
        let mut attacked = plain().await;
        let at = attacked.at.clone();
        let attack = async {
            for (user, password) in [("joe", "wrong"), ("jane", "secret"), ("", "")] {
                let mut raw = Raw::greet(&at, b"PLAIN").await;
                // The rest at once, as if it were welcome.
                raw.write(&hello(user, password)).await;
                raw.write(&command("INITIATE", b"\x0bSocket-Type\0\0\0\x04PUSH"))
                    .await;
                raw.write(b"\0\x05enter").await;
                assert_eq!(raw.read_frame().await, (4, b"\x05ERROR\x03400".to_vec()));
                assert_eq!(raw.read_to_end().await, b"");
            }
        };
        attacked.during(attack).await;
        assert_eq!(attacked.pull.peers().len(), 1);
    })
    .await;
}

/// Lets `joe` in, and never comes to a decision about anybody else. Counts how many it thinks about.
fn pondering(pondered: Arc<AtomicUsize>) -> Security {
    struct Thought(Arc<AtomicUsize>);
    impl Drop for Thought {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::AcqRel);
        }
    }
    let decide = move |peer: Candidate| {
        let pondered = pondered.clone();
        async move {
            match peer.credentials {
                Credentials::Plain { user, .. } if user == "joe" => {
                    Ok(jackstay::security::Principal::new(user))
                }
                _ => {
                    pondered.fetch_add(1, Ordering::AcqRel);
                    let _thought = Thought(pondered);
                    pending().await
                }
            }
        }
    };
    Security::plain_server(from_fn(decide))
}

#[tokio::test]
async fn g10_nobody_waits_for_a_decision_longer_than_the_handshake_may_last() {
    whole(async {
        let pondered = Arc::<AtomicUsize>::default();
        let pull = PullSocket::builder()
            .security(pondering(pondered.clone()))
            .handshake_timeout(Duration::from_millis(300))
            .build();
        let joe = Security::plain_client("joe", "").unwrap();
        let push = PushSocket::builder().security(joe).build();
        let mut attacked = Attacked::with(pull, push).await;
        let mut events = attacked.pull.monitor();
        let at = attacked.at.clone();
        let attack = async {
            let mut raws = Vec::new();
            for _ in 0..20 {
                let mut raw = Raw::greet(&at, b"PLAIN").await;
                raw.write(&hello("jane", "")).await;
                raws.push(raw);
            }
            for mut raw in raws {
                assert_eq!(raw.read_to_end().await, b"", "no welcome");
                let undecided = Cause::Handshake(HandshakeError::Undecided);
                assert_eq!(end(&mut events).await, undecided);
            }
        };
        attacked.during(attack).await;
        assert_eq!(pondered.load(Ordering::Acquire), 0);
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_goes_while_it_is_decided_about_is_thought_about_no_longer() {
    whole(async {
        let pondered = Arc::<AtomicUsize>::default();
        let pull = PullSocket::builder()
            .security(pondering(pondered.clone()))
            .build();
        let at = pull.bind("tcp://127.0.0.1:0").await.unwrap();
        let mut raw = Raw::greet(&at, b"PLAIN").await;
        raw.write(&hello("jane", "")).await;
        eventually(|| pondered.load(Ordering::Acquire) == 1).await;
        drop(raw);
        eventually(|| pondered.load(Ordering::Acquire) == 0).await;
    })
    .await;
}

#[tokio::test]
async fn close_does_not_wait_for_a_decision() {
    whole(async {
        let pondered = Arc::<AtomicUsize>::default();
        let pull = PullSocket::builder()
            .security(pondering(pondered.clone()))
            .build();
        let at = pull.bind("tcp://127.0.0.1:0").await.unwrap();
        let mut raw = Raw::greet(&at, b"PLAIN").await;
        raw.write(&hello("jane", "")).await;
        eventually(|| pondered.load(Ordering::Acquire) == 1).await;
        within(pull.close()).await.unwrap();
        assert_eq!(pondered.load(Ordering::Acquire), 0);
    })
    .await;
}

/// Comes to a server under `ours` with every other mechanism, and with every version that is too old for any.
async fn c13_no_way_down(mut attacked: Attacked, ours: &'static str) {
    let greetings = (0..=4).flat_map(|octet| {
        let mechanisms = ["NULL", "PLAIN", "CURVE", "GSSAPI", ""];
        mechanisms.map(|mechanism| (octet, mechanism))
    });
    for (octet, mechanism) in greetings {
        let expected = match octet {
            // As libzmq announced its older versions.
            0 => HandshakeError::UnsupportedVersion { major: 1 },
            1 | 2 => HandshakeError::UnsupportedVersion { major: 2 },
            _ if mechanism == ours => continue,
            _ => HandshakeError::MechanismMismatch {
                ours,
                theirs: mechanism.into(),
            },
        };
        let mut events = attacked.pull.monitor();
        let at = attacked.at.clone();
        let attack = async {
            let mut raw = Raw::connect(&at).await;
            raw.write(&greeting(octet, 0, mechanism.as_bytes())).await;
            // As if it had been accepted.
            raw.write(&ready("PUSH")).await;
            raw.write(b"\0\x05enter").await;
            let heard = raw.read_to_end().await;
            assert!(heard.len() <= 64, "no more than a greeting");
            end(&mut events).await
        };
        let seen = attacked.during(attack).await;
        assert_eq!(seen, Cause::Handshake(expected));
    }
    assert_eq!(attacked.pull.peers().len(), 1);
}

#[tokio::test]
async fn c13_no_way_down_from_plain() {
    whole(async { c13_no_way_down(plain().await, "PLAIN").await }).await;
}

#[cfg(feature = "curve")]
mod curve {
    use jackstay::EventKind;
    use jackstay::security::{KeyList, KeyPair};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::support::event;
    use crate::support::raw::frame;

    struct Keys {
        server: Arc<KeyPair>,
        client: Arc<KeyPair>,
    }

    impl Keys {
        fn new() -> Self {
            let pair = || Arc::new(KeyPair::generate().unwrap());
            Self {
                server: pair(),
                client: pair(),
            }
        }

        fn server(&self) -> Security {
            let keys = KeyList::new();
            keys.insert(*self.client.public_key());
            Security::curve_server(self.server.clone(), keys)
        }

        fn client(&self) -> Security {
            Security::curve_client(*self.server.public_key(), self.client.clone())
        }
    }

    #[tokio::test]
    async fn c13_no_way_down_from_curve() {
        whole(async {
            let keys = Keys::new();
            let attacked = attacked(keys.server(), keys.client()).await;
            c13_no_way_down(attacked, "CURVE").await;
        })
        .await;
    }

    #[tokio::test]
    async fn c1_c12_whatever_is_not_a_hello_for_this_key_is_closed_without_a_word() {
        whole(async {
            let keys = Keys::new();
            let mut attacked = attacked(keys.server(), keys.client()).await;
            let mut hello = [0; 194];
            hello[0] = 1;
            // A point of large order, and the number 1.
            hello[74] = 9;
            hello[113] = 1;
            let malformed =
                |name| Cause::Handshake(ProtocolError::MalformedCommand { name }.into());
            for (said, cause) in [
                (
                    command("HELLO", &hello),
                    Cause::Handshake(HandshakeError::WrongServerKey),
                ),
                (command("HELLO", &hello[..193]), malformed("HELLO")),
                (command("HELLO", &[0; 194]), malformed("HELLO")),
                (command("HELLO", &[0; 60_000]), malformed("HELLO")),
                (command("INITIATE", &[0; 300]), unexpected("INITIATE")),
                (command("READY", &[0; 24]), unexpected("READY")),
                (command("MESSAGE", &[0; 25]), unexpected("MESSAGE")),
                (
                    frame(0, b"\x07MESSAGE"),
                    Cause::Handshake(HandshakeError::PrematureMessage),
                ),
            ] {
                let mut events = attacked.pull.monitor();
                let at = attacked.at.clone();
                let attack = async {
                    let mut raw = Raw::greet(&at, b"CURVE").await;
                    raw.write(&said).await;
                    assert_eq!(raw.read_to_end().await, b"");
                    end(&mut events).await
                };
                assert_eq!(attacked.during(attack).await, cause);
            }
        })
        .await;
    }

    /// All that a handshake of CURVE needs is one thread beside that of the runtime, and it is taken: whoever is here does
    /// not notice, and the newcomer has its time and no more.
    #[test]
    fn what_a_newcomer_makes_us_compute_holds_up_nobody_who_is_here() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().max_blocking_threads(1).build();
        runtime.unwrap().block_on(whole(async {
            let keys = Keys::new();
            let pull = PullSocket::builder()
                .security(keys.server())
                .handshake_timeout(Duration::from_millis(500))
                .build();
            let push = PushSocket::builder().security(keys.client()).build();
            let mut attacked = Attacked::with(pull, push).await;
            let (give_back, taken) = std::sync::mpsc::sync_channel::<()>(0);
            let held = tokio::task::spawn_blocking(move || taken.recv());

            let mut events = attacked.pull.monitor();
            let newcomer = PushSocket::builder().security(keys.client()).build();
            newcomer.connect(attacked.at.clone()).unwrap();
            let cause = attacked.during(end(&mut events)).await;
            assert_eq!(cause, Cause::Handshake(HandshakeError::TimedOut));

            drop(give_back);
            assert!(held.await.unwrap().is_err());
            within(attacked.pull.wait_for_peers(2)).await.unwrap();
        }));
    }

    /// Joins a PUSH to a PULL through somebody who passes everything on until the PULL has had its first message; then
    /// `meddle` makes of what the PUSH writes something else.
    async fn meddled(meddle: impl Fn(&mut Vec<u8>) + Send + 'static) -> Cause {
        let keys = Keys::new();
        let pull = PullSocket::builder().security(keys.server()).build();
        let push = PushSocket::builder().security(keys.client()).build();
        let at = pull.bind("tcp://127.0.0.1:0").await.unwrap();
        let mut events = pull.monitor();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        push.connect(format!("tcp://{}", listener.local_addr().unwrap()))
            .unwrap();
        let (near, _) = within(listener.accept()).await.unwrap();
        let far = TcpStream::connect(("127.0.0.1", at.port().unwrap()))
            .await
            .unwrap();
        let (mut near_read, mut near_write) = near.into_split();
        let (mut far_read, mut far_write) = far.into_split();
        let back = tokio::spawn(async move {
            let _ = tokio::io::copy(&mut far_read, &mut near_write).await;
        });
        let (begin, mut begun) = tokio::sync::watch::channel(false);
        let there = tokio::spawn(async move {
            let mut octets = vec![0; 4096];
            while let Ok(n @ 1..) = near_read.read(&mut octets).await {
                let mut passed = octets[..n].to_vec();
                if *begun.borrow_and_update() {
                    meddle(&mut passed);
                }
                if far_write.write_all(&passed).await.is_err() {
                    break;
                }
            }
        });

        push.send("first").await.unwrap();
        assert_eq!(within(pull.recv()).await.unwrap(), "first");
        begin.send(true).unwrap();
        push.send("second").await.unwrap();
        let cause = end(&mut events).await;
        assert!(pull.try_recv().is_err(), "something was delivered");
        drop(listener);
        there.abort();
        back.abort();
        cause
    }

    #[tokio::test]
    async fn c9_a_changed_bit_closes_and_nothing_is_delivered() {
        whole(async {
            let cause = meddled(|octets| {
                octets
                    .iter_mut()
                    .last()
                    .into_iter()
                    .for_each(|last| *last ^= 1)
            });
            assert_eq!(cause.await, Cause::Protocol(ProtocolError::NotAuthentic));
        })
        .await;
    }

    #[tokio::test]
    async fn c8_a_number_that_is_set_back_closes_and_nothing_is_delivered() {
        whole(async {
            // Behind flags, length and name.
            let cause = meddled(|octets| octets[10..18].copy_from_slice(&1u64.to_be_bytes()));
            assert_eq!(cause.await, Cause::Protocol(ProtocolError::Replayed));
        })
        .await;
    }

    #[tokio::test]
    async fn c9_what_somebody_else_slips_in_closes_and_nothing_is_delivered() {
        whole(async {
            let cause = meddled(|octets| *octets = b"\0\x06second".to_vec());
            assert_eq!(cause.await, Cause::Protocol(ProtocolError::NotEncrypted));
        })
        .await;
    }

    #[tokio::test]
    async fn a_second_client_under_a_name_that_is_taken_is_told_so_in_cipher() {
        whole(async {
            use jackstay::{Identity, RouterSocket};

            let keys = Keys::new();
            let router = RouterSocket::builder().security(keys.server()).build();
            let at = router.bind("tcp://127.0.0.1:0").await.unwrap();
            let dealer = || {
                jackstay::DealerSocket::builder()
                    .security(keys.client())
                    .identity(Identity::try_from("taken").unwrap())
                    .unwrap()
                    .build()
            };
            let (first, second) = (dealer(), dealer());
            first.connect(&at).unwrap();
            within(router.wait_for_peers(1)).await.unwrap();
            let mut events = second.monitor();
            second.connect(&at).unwrap();
            let told = event(&mut events, |kind| {
                matches!(kind, EventKind::Disconnected(_))
            })
            .await;
            let told = Cause::of(&told.kind).unwrap();
            assert!(
                matches!(told, Cause::Protocol(ProtocolError::Refused { .. })),
                "{told:?}"
            );
            assert_eq!(router.peers().len(), 1);
        })
        .await;
    }
}
