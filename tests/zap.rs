//! ZAP: an authenticator that asks a handler in the same process, and what handlers can do wrong.

mod support;

use std::sync::Arc;
use std::time::Duration;

use jackstay::security::zap::{ENDPOINT, Handler, ZapAuthenticator};
use jackstay::security::{
    AnyClient, Authenticator, Candidate, Credentials, Password, Principal, Refusal, RefusalStatus,
    UserList, from_fn,
};
use jackstay::{Message, PeerAddress, PullSocket, RepSocket};
use tokio::sync::{Mutex, MutexGuard, Semaphore};
use tokio::time::{Instant, timeout};

use support::whole;

/// A process has one place for a handler, and these tests share it.
static PLACE: Mutex<()> = Mutex::const_new(());

async fn place() -> MutexGuard<'static, ()> {
    PLACE.lock().await
}

/// A handler that the test plays itself.
async fn played() -> RepSocket {
    let handler = RepSocket::new();
    handler.bind(ENDPOINT).await.expect("bind the handler");
    handler
}

/// Runs `test` while `authenticator` decides; the handler is gone when this returns.
async fn handled(authenticator: impl Authenticator, test: impl Future<Output = ()>) {
    let handler = Handler::bind(authenticator)
        .await
        .expect("bind the handler");
    tokio::select! {
        () = handler.run() => panic!("the handler returned"),
        () = test => {}
    }
}

fn joe() -> Candidate {
    user("joe")
}

fn user(name: &str) -> Candidate {
    let credentials = Credentials::Plain {
        user: name.into(),
        password: Password::new("secret").expect("a short password"),
    };
    Candidate::new(PeerAddress::Adopted, credentials)
}

/// The reply that accepts a request under the name that it shows.
fn accept(request: &Message) -> Message {
    reply(request, "200")
}

fn reply(request: &Message, status: &str) -> Message {
    let frames = [
        b"1.0",
        &request[1],
        status.as_bytes(),
        b"text",
        &request[6],
        b"",
    ];
    frames.into_iter().map(<[u8]>::to_vec).collect()
}

fn spoiled(request: &Message, at: usize, frame: &[u8]) -> Message {
    let mut frames: Vec<_> = accept(request).iter().map(<[u8]>::to_vec).collect();
    frames[at] = frame.to_vec();
    frames.into_iter().collect()
}

#[tokio::test]
async fn z1_what_the_handler_decides_is_what_the_asker_hears() {
    let _place = place().await;
    whole(async {
        let users = Arc::new(UserList::new());
        let password = Password::new("secret").unwrap();
        let principal = Principal::new("Joe").with("Office", "Ghent");
        users.insert_as("joe", password, principal);
        let zap = ZapAuthenticator::new();
        let asking = async {
            let joe = zap.authenticate(&joe()).await.unwrap();
            assert_eq!(joe.user_id(), "Joe");
            assert_eq!(joe.property("office"), Some(&b"Ghent"[..]));
            let refusal = zap.authenticate(&user("ann")).await.unwrap_err();
            assert_eq!(refusal.status, RefusalStatus::Denied);
        };
        handled(users, asking).await;
    })
    .await;
}

#[tokio::test]
async fn z1_the_frames_are_those_of_the_rfc() {
    let _place = place().await;
    whole(async {
        let handler = played().await;
        let zap = ZapAuthenticator::new();
        let mut peer = joe();
        peer.address = PeerAddress::Tcp(([192, 168, 55, 1], 4711).into());
        peer.domain = "test".into();
        peer.identity = "BOB".try_into().unwrap();
        let answering = async {
            let request = handler.accept().await.unwrap();
            let expected: [&[u8]; 7] = [
                b"1.0",
                &request[1],
                b"test",
                b"192.168.55.1",
                b"BOB",
                b"PLAIN",
                b"joe",
            ];
            assert!(
                request.iter().take(7).eq(expected),
                "{:?}",
                request.message()
            );
            assert_eq!((&request[7], request.len()), (&b"secret"[..], 8));
            let answer = accept(&request);
            request.reply(answer).await.unwrap();
        };
        let (outcome, ()) = tokio::join!(zap.authenticate(&peer), answering);
        assert_eq!(outcome.unwrap().user_id(), "joe");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn z4_without_a_handler_everybody_is_refused_for_now() {
    let _place = place().await;
    let refusal = ZapAuthenticator::new()
        .authenticate(&joe())
        .await
        .unwrap_err();
    assert_eq!(refusal.status, RefusalStatus::Temporary);
    assert!(refusal.reason.contains(ENDPOINT), "{refusal}");
}

#[tokio::test(start_paused = true)]
async fn z4_a_socket_that_is_no_handler_is_none() {
    let _place = place().await;
    let pull = PullSocket::new();
    pull.bind(ENDPOINT).await.unwrap();
    let refusal = ZapAuthenticator::new()
        .authenticate(&joe())
        .await
        .unwrap_err();
    assert_eq!(refusal.status, RefusalStatus::Temporary);
    assert!(refusal.reason.contains("no ZAP handler"), "{refusal}");
}

#[tokio::test(start_paused = true)]
async fn z4_a_handler_that_hangs_refuses_after_the_timeout() {
    let _place = place().await;
    let handler = played().await;
    for (zap, limit) in [
        (ZapAuthenticator::new(), Duration::from_secs(5)),
        (
            ZapAuthenticator::new().timeout(Duration::from_secs(2)),
            Duration::from_secs(2),
        ),
    ] {
        let begun = Instant::now();
        let peer = joe();
        let (outcome, request) = tokio::join!(zap.authenticate(&peer), handler.accept());
        assert_eq!(outcome.unwrap_err().status, RefusalStatus::Temporary);
        let waited = begun.elapsed();
        assert!(limit <= waited && waited < limit * 2, "{waited:?}");
        drop(request);
    }
}

#[tokio::test(start_paused = true)]
async fn z4_an_answer_that_comes_too_late_finds_nobody() {
    let _place = place().await;
    let handler = played().await;
    let zap = ZapAuthenticator::new();
    let (peer, other) = (joe(), user("ann"));
    let (outcome, late) = tokio::join!(zap.authenticate(&peer), handler.accept());
    assert!(outcome.is_err());
    let late = late.unwrap();
    let answering = async {
        let request = handler.accept().await.unwrap();
        let answer = accept(&late);
        late.reply(answer).await.unwrap();
        let answer = accept(&request);
        request.reply(answer).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(zap.authenticate(&other), answering);
    assert_eq!(outcome.unwrap().user_id(), "ann");
}

#[tokio::test]
async fn z4_an_answer_that_is_wrong_refuses() {
    let _place = place().await;
    whole(async {
        let handler = played().await;
        let zap = ZapAuthenticator::new();
        let asked = |answer: fn(&Message) -> Message| {
            let (zap, handler) = (&zap, &handler);
            async move {
                let peer = joe();
                let answering = async {
                    let request = handler.accept().await.unwrap();
                    let answer = answer(&request);
                    request.reply(answer).await.unwrap();
                };
                tokio::join!(zap.authenticate(&peer), answering).0
            }
        };
        assert!(asked(accept).await.is_ok());
        let wrong: [fn(&Message) -> Message; 10] = [
            |request| spoiled(request, 0, b"1.1"),
            |request| spoiled(request, 1, b"another"),
            |request| spoiled(request, 2, b"201"),
            |request| spoiled(request, 2, b""),
            |request| spoiled(request, 3, b"\xff"),
            |request| spoiled(request, 4, b"\xff"),
            |request| spoiled(request, 5, b"\x01"),
            |request| accept(request).iter().take(5).map(<[u8]>::to_vec).collect(),
            |request| {
                accept(request)
                    .iter()
                    .chain([&b""[..]])
                    .map(<[u8]>::to_vec)
                    .collect()
            },
            |_| Message::from(""),
        ];
        for wrong in wrong {
            let refusal = asked(wrong).await.unwrap_err();
            assert_eq!(refusal.status, RefusalStatus::Internal, "{refusal}");
        }
        // Z2
        let denied = asked(|request| reply(request, "400")).await;
        assert_eq!(denied.unwrap_err(), Refusal::denied("text"));
        let later = asked(|request| reply(request, "300")).await;
        assert_eq!(later.unwrap_err(), Refusal::temporary("text"));
    })
    .await;
}

#[tokio::test]
async fn z4_a_handler_that_goes_away_refuses() {
    let _place = place().await;
    whole(async {
        let handler = played().await;
        let peer = joe();
        let zap = ZapAuthenticator::new();
        let going = async {
            let request = handler.accept().await.unwrap();
            handler.close().await.unwrap();
            drop(request);
        };
        let (outcome, ()) = tokio::join!(zap.authenticate(&peer), going);
        assert_eq!(outcome.unwrap_err().status, RefusalStatus::Temporary);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_hears_its_own_answer() {
    const MANY: usize = 50;
    let _place = place().await;
    whole(async {
        let handler = played().await;
        let zap = Arc::new(ZapAuthenticator::new().timeout(support::LIMIT));
        let asking: Vec<_> = (0..MANY)
            .map(|n| {
                let zap = zap.clone();
                tokio::spawn(async move {
                    let name = n.to_string();
                    let outcome = zap.authenticate(&user(&name)).await;
                    (outcome, name, n % 3 == 0)
                })
            })
            .collect();
        let mut requests = Vec::new();
        while requests.len() < MANY {
            requests.push(handler.accept().await.unwrap());
        }
        for request in requests.into_iter().rev() {
            let n: usize = String::from_utf8_lossy(&request[6]).parse().unwrap();
            let answer = reply(&request, if n.is_multiple_of(3) { "400" } else { "200" });
            request.reply(answer).await.unwrap();
        }
        for asked in asking {
            let (outcome, name, denied) = asked.await.unwrap();
            match outcome {
                Ok(principal) => assert!(!denied && principal.user_id() == name),
                Err(refusal) => assert!(denied && refusal == Refusal::denied("text")),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn one_decision_does_not_wait_for_another() {
    let _place = place().await;
    whole(async {
        let gate = Arc::new(Semaphore::new(0));
        let authenticator = {
            let gate = gate.clone();
            from_fn(move |peer| {
                let gate = gate.clone();
                async move {
                    let Credentials::Plain { user, .. } = peer.credentials else {
                        return Err(Refusal::denied("no name"));
                    };
                    if user == "slow" {
                        gate.acquire().await.expect("an open gate").forget();
                    }
                    Ok(Principal::new(user))
                }
            })
        };
        let asking = async {
            let zap = ZapAuthenticator::new();
            let (slow, quick) = (user("slow"), user("quick"));
            let mut slow = zap.authenticate(&slow);
            tokio::select! {
                biased;
                _ = &mut slow => panic!("the gate is shut"),
                quick = zap.authenticate(&quick) => assert_eq!(quick.unwrap().user_id(), "quick"),
            }
            gate.add_permits(1);
            assert_eq!(slow.await.unwrap().user_id(), "slow");
        };
        handled(authenticator, asking).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn decisions_that_never_come_do_not_fill_the_handler() {
    let _place = place().await;
    let authenticator = from_fn(|peer| async move {
        match peer.domain.as_str() {
            "hang" => std::future::pending().await,
            _ => Ok(Principal::new("joe")),
        }
    });
    let asking = async {
        let zap = Arc::new(ZapAuthenticator::new().timeout(Duration::from_secs(60)));
        let hanging: Vec<_> = (0..300)
            .map(|_| {
                let zap = zap.clone();
                tokio::spawn(async move {
                    let mut peer = joe();
                    peer.domain = "hang".into();
                    zap.authenticate(&peer).await
                })
            })
            .collect();
        for hanging in hanging {
            let refusal = hanging.await.unwrap().unwrap_err();
            assert_eq!(refusal.status, RefusalStatus::Temporary);
        }
        assert_eq!(zap.authenticate(&joe()).await.unwrap().user_id(), "joe");
    };
    handled(authenticator, asking).await;
}

#[tokio::test]
async fn a_request_that_is_none_is_denied_under_its_id() {
    let _place = place().await;
    whole(async {
        let asking = async {
            let mut asker = jackstay::ReqSocket::new();
            asker.connect(ENDPOINT).unwrap();
            for request in [
                Message::from(""),
                Message::from(("1.0", "7")),
                ["1.1", "7", "", "", "", "NULL"].into_iter().collect(),
                ["1.0", "7", "", "", "", "OTHER"].into_iter().collect(),
            ] {
                let id = request.get(1).unwrap_or_default().to_vec();
                let reply = asker.request(request).await.unwrap();
                assert_eq!(reply.len(), 6);
                assert_eq!(
                    (&reply[0], &reply[1], &reply[2]),
                    (&b"1.0"[..], &*id, &b"400"[..])
                );
            }
        };
        handled(AnyClient, asking).await;
    })
    .await;
}

#[tokio::test]
async fn a_process_has_one_handler_and_the_place_is_free_after_it() {
    let _place = place().await;
    whole(async {
        let first = Handler::bind(AnyClient).await.unwrap();
        assert!(Handler::bind(AnyClient).await.is_err());
        drop(first);
        let second = timeout(support::LIMIT, Handler::bind(AnyClient)).await;
        assert!(second.unwrap().is_ok());
    })
    .await;
}
