//! Octets that are changed on the way where the mechanism does not notice: NULL and PLAIN carry no check of their own.
//! A body may arrive changed, then. But nobody panics or hangs, each connection goes on or ends for a cause with a name,
//! and the sockets recover. (Under CURVE, nothing that was changed is ever delivered: the storms of `patterns.rs` hold it.)

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use jackstay::{DisconnectCause, EventKind, Monitor, PullSocket, PushSocket};

use crate::ledger::{Account, message};
use crate::patterns::send_through;
use crate::storm::{Weather, tell};
use crate::support::relay::{Fault, FaultKind, Relay, Way};
use crate::support::seed::Chance;
use crate::support::times::times;
use crate::support::{Transport, eventually, for_each_wire};

/// Where the handshake of a PUSH is over.
const HANDSHAKE: usize = 64 + 28;

#[derive(Debug, Default)]
struct Ends {
    begun: u64,
    causes: BTreeMap<String, u64>,
}

/// Notes how the connections of a socket end.
fn ends(mut events: Monitor) -> Arc<Mutex<Ends>> {
    let ends = Arc::<Mutex<Ends>>::default();
    let noted = ends.clone();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            let mut ends = noted.lock().unwrap();
            match event.kind {
                EventKind::HandshakeSucceeded => ends.begun += 1,
                EventKind::Disconnected(cause) => {
                    let name = match cause {
                        DisconnectCause::Protocol(error) => error.to_string(),
                        DisconnectCause::Io(error) => error.kind().to_string(),
                        cause => cause.to_string(),
                    };
                    *ends.causes.entry(name).or_default() += 1;
                }
                _ => {}
            }
        }
    });
    ends
}

async fn f1_f2_an_octet_is_changed(over: Transport) {
    let name = "octets changed under NULL";
    let weather = Weather { over, curve: false };
    // So that a size which was changed does not swallow all that follows.
    let pull = weather.server(PullSocket::builder().max_message_size(64 << 10));
    let pull = pull.build();
    let at = pull.bind(over.fixed()).await.unwrap();
    let mut chance = Chance::of(name);
    let mut faults = Vec::new();
    for _ in 0..times(8) {
        for (after, kind) in [
            (
                HANDSHAKE + chance.within(0..3_000),
                FaultKind::Corrupt(1 << chance.within(0..8)),
            ),
            (chance.within(0..100_000), FaultKind::Cut),
        ] {
            let way = Way::Up;
            faults.push(Fault { way, after, kind });
        }
    }
    let relay = Relay::with_faults(&at, over, faults).await;
    let ends = ends(pull.monitor());
    let push = weather.client(PushSocket::builder()).build();
    push.connect(&relay.at).unwrap();

    let account = Mutex::<Account>::default();
    let receive = async {
        loop {
            let message = pull.recv().await.unwrap();
            account.lock().unwrap().enter_if_unchanged(&message);
        }
    };
    let send = async |n| push.send(message(n)).await.unwrap();
    let sent = tokio::select! {
        sent = send_through(&relay, &account, send) => sent,
        () = receive => unreachable!("it has no end"),
    };

    let account = account.into_inner().unwrap();
    tell(name, &relay, &(sent, &account));
    let arrived = account.received + account.changed;
    assert_eq!(pull.stats().messages_received, arrived);
    // Each connection but the last has ended, once.
    eventually(|| {
        let ends = ends.lock().unwrap();
        ends.begun == ends.causes.values().sum::<u64>() + 1
    })
    .await;
    println!("{:#?}", ends.lock().unwrap());
}

for_each_wire!(f1_f2_an_octet_is_changed);
