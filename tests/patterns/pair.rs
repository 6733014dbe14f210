//! PAIR: one peer, both ways.

use jackstay::{ConnectError, EventKind, PairSocket, TrySendError};

use crate::support::{
    Transport, assert_numbers, event, for_each_transport, join, many, number_of, numbered, peers,
    within,
};

for_each_transport! {
    l3_both_sides_send_and_receive_in_order,
    l3_both_sides_send_and_receive_many_in_order,
    l3_a_second_peer_is_refused_and_the_first_goes_on,
    l3_a_second_connect_is_an_error,
    l3_after_a_loss_a_new_peer_may_come,
    a4_what_is_queued_survives_the_restart_of_the_peer,
}

async fn l3_both_sides_send_and_receive_in_order(over: Transport) {
    let (one, other) = (PairSocket::new(), PairSocket::new());
    join(&one, &other, over).await;
    let talk = |from: PairSocket| async move {
        let sent = async {
            for n in 0..3_000 {
                from.send(numbered(n)).await.unwrap();
            }
        };
        let received = async {
            for n in 0..3_000 {
                assert_eq!(number_of(&from.recv().await.unwrap()), n);
            }
        };
        tokio::join!(sent, received);
        from
    };
    let (one, other) = within(async { tokio::join!(talk(one), talk(other)) }).await;
    assert_eq!(
        (
            one.stats().messages_received,
            other.stats().messages_received
        ),
        (3_000, 3_000)
    );
}

async fn l3_both_sides_send_and_receive_many_in_order(over: Transport) {
    let (one, other) = (PairSocket::new(), PairSocket::new());
    join(&one, &other, over).await;
    let talk = async |pair: &PairSocket| {
        let sent = async {
            for begin in (0..3_000).step_by(150) {
                let mut messages = many(begin..begin + 150);
                pair.send_many(&mut messages).await.unwrap();
            }
        };
        let received = async {
            let mut received = Vec::new();
            while received.len() < 3_000 {
                pair.recv_many(&mut received, 100).await.unwrap();
            }
            assert_numbers(&received, 0..3_000);
        };
        tokio::join!(sent, received);
    };
    within(async { tokio::join!(talk(&one), talk(&other)) }).await;
    for pair in [one, other] {
        let stats = pair.stats();
        assert_eq!(
            (stats.messages_sent, stats.messages_received),
            (3_000, 3_000)
        );
    }
}

async fn l3_a_second_peer_is_refused_and_the_first_goes_on(over: Transport) {
    let (bound, first, second) = (PairSocket::new(), PairSocket::new(), PairSocket::new());
    let (mut there, mut here) = (bound.monitor(), second.monitor());
    let at = join(&bound, &first, over).await;
    second.connect(&at).unwrap();
    event(&mut there, |kind| matches!(kind, EventKind::Refused(_))).await;
    event(&mut here, |kind| {
        matches!(
            kind,
            EventKind::HandshakeFailed(_) | EventKind::Disconnected(_)
        )
    })
    .await;
    bound.send("still").await.unwrap();
    assert_eq!(within(first.recv()).await.unwrap(), "still");
    first.send("here").await.unwrap();
    assert_eq!(within(bound.recv()).await.unwrap(), "here");
    assert_eq!(bound.peers().len(), 1);
}

async fn l3_a_second_connect_is_an_error(over: Transport) {
    let pair = PairSocket::new();
    let at = over.fixed();
    pair.connect(&at).unwrap();
    assert!(matches!(
        pair.connect(over.fixed()),
        Err(ConnectError::HasPeer)
    ));
    pair.disconnect(&at).await.unwrap();
    pair.connect(over.fixed()).unwrap();
}

async fn l3_after_a_loss_a_new_peer_may_come(over: Transport) {
    let bound = PairSocket::new();
    let at = bound.bind(over.any()).await.unwrap();
    for n in 0..3 {
        let peer = PairSocket::new();
        peer.connect(&at).unwrap();
        within(bound.wait_for_peers(1)).await.unwrap();
        bound.send(numbered(n)).await.unwrap();
        assert_eq!(number_of(&within(peer.recv()).await.unwrap()), n);
        peer.close().await.unwrap();
        peers(&bound, 0).await;
        assert_eq!(bound.try_send("x"), Err(TrySendError::Full("x".into())));
    }
}

async fn a4_what_is_queued_survives_the_restart_of_the_peer(over: Transport) {
    let (pair, first, second) = (PairSocket::new(), PairSocket::new(), PairSocket::new());
    let at = over.fixed();
    first.bind(&at).await.unwrap();
    pair.connect(&at).unwrap();
    pair.send("before").await.unwrap();
    assert_eq!(within(first.recv()).await.unwrap(), "before");
    first.close().await.unwrap();
    peers(&pair, 0).await;
    within(pair.send("between")).await.unwrap();
    second.bind(&at).await.unwrap();
    assert_eq!(within(second.recv()).await.unwrap(), "between");
    second.send("back").await.unwrap();
    assert_eq!(within(pair.recv()).await.unwrap(), "back");
}
