//! The same storm between ours and libzmq.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use jackstay::{Message, PullSocket, PushSocket};

use crate::ledger::{Account, message};
use crate::patterns::{in_each_weather, receive_while, send_through};
#[cfg(feature = "curve")]
use crate::secured::Secured;
use crate::storm::{Reach, Weather, connections, tell};
use crate::support::eventually;
use crate::theirs::Theirs;

const FAULTS: u64 = 8;
const REACH: Reach = Reach {
    up: 6_000,
    down: 90,
    spares_libzmq: true,
};

/// As quick to notice and to try again as ours.
fn hardy(socket: &zmq::Socket) -> zmq::Result<()> {
    socket.set_heartbeat_ivl(100)?;
    socket.set_heartbeat_timeout(300)?;
    socket.set_handshake_ivl(500)?;
    socket.set_reconnect_ivl(1)?;
    socket.set_reconnect_ivl_max(5)
}

async fn a4_our_push_connects(weather: Weather) {
    let name = "PUSH connects to PULL of libzmq";
    let theirs = Theirs::new(zmq::PULL).with(hardy);
    #[cfg(feature = "curve")]
    let theirs = if weather.curve {
        Secured::CurveClient.theirs(theirs)
    } else {
        theirs
    };
    let mut theirs = theirs.with(|socket| socket.set_rcvtimeo(20));
    let at = theirs.bind(&weather.over.fixed().to_string());
    let relay = weather.storm(name, &at, FAULTS, REACH).await;
    let push = weather.client(PushSocket::builder().send_hwm(50)).build();
    let established = connections(&push);
    push.connect(&relay.at).unwrap();

    let account = Arc::<Mutex<Account>>::default();
    let over = Arc::<AtomicBool>::default();
    let (entered, stop) = (account.clone(), over.clone());
    let receive = theirs.run(move |socket| {
        while !stop.load(Ordering::Acquire) {
            if let Ok(frames) = socket.recv_multipart(0) {
                entered.lock().unwrap().enter(&Message::from_iter(frames));
            }
        }
    });
    let send = async {
        let send = async |n| push.send(message(n)).await.unwrap();
        let sent = send_through(&relay, &account, send).await;
        over.store(true, Ordering::Release);
        sent
    };
    let (sent, ()) = tokio::join!(send, receive);

    let account = std::mem::take(&mut *account.lock().unwrap());
    tell(name, &relay, &(sent, &account));
    let stats = push.stats();
    assert_eq!((stats.messages_sent, stats.queued_out), (sent, 0));
    assert_eq!(stats.dropped.total(), 0);
    eventually(|| account.runs <= established.load(Ordering::Relaxed)).await;
}

async fn their_push_connects(weather: Weather) {
    let name = "PUSH of libzmq connects to PULL";
    let pull = weather.server(PullSocket::builder()).build();
    let at = pull.bind(weather.over.fixed()).await.unwrap();
    let relay = weather.storm(name, &at, FAULTS, REACH).await;
    let theirs = Theirs::new(zmq::PUSH).with(hardy);
    #[cfg(feature = "curve")]
    let theirs = if weather.curve {
        Secured::CurveServer.theirs(theirs)
    } else {
        theirs
    };
    let mut theirs = theirs.with(|socket| socket.set_sndhwm(50));
    theirs.connect(&relay.at);

    let account = Mutex::default();
    let send = async |n| {
        let message = message(n);
        theirs
            .run(move |socket| {
                let frames: Vec<_> = message.iter().collect();
                socket.send_multipart(frames, 0).expect("room in time");
            })
            .await;
    };
    let sending = send_through(&relay, &account, send);
    let recv = async || pull.recv().await.unwrap();
    let sent = receive_while(&account, recv, sending).await;

    let account = account.into_inner().unwrap();
    tell(name, &relay, &(sent, &account));
    let stats = pull.stats();
    assert_eq!(
        (stats.messages_received, stats.queued_in),
        (account.received, 0)
    );
    assert_eq!(stats.dropped.total(), 0);
}

in_each_weather! {
    a4_our_push_connects,
    their_push_connects,
}
