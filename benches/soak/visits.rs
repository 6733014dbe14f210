//! Who comes and goes: peers at sockets that stay, sockets that are made for a moment, services that restart, strangers.

use std::time::Duration;

use jackstay::{
    DealerSocket, DuplicateIdentity, Endpoint, EventKind, Identity, Monitor, OnPeerLoss, PubSocket,
    PullSocket, PushSocket, RepSocket, ReqSocket, RouterSocket, SubSocket,
};
use tokio::time::sleep;
use tokio::try_join;

use crate::exchange;
use crate::letter::{check, letter};
use crate::place::Place;
use crate::soak::{Outcome, Pace, Soak, ensure, within};
use crate::support::raw::{GREETING, Raw, frame, ready};

/// The most messages of one visit.
const MOST: u64 = 30;

/// PUSHs come to a PULL, send and close, which delivers all. Now and then somebody watches.
pub async fn makers(soak: &Soak, place: Place, mut pace: Pace) -> Outcome<()> {
    let pull: PullSocket = place.server()?.build();
    let at = place.bind(&pull).await?;
    while pace.next().await {
        let count = 1 + pace.chance.below(MOST);
        let watched = count.is_multiple_of(4).then(|| pull.monitor());
        let push: PushSocket = place.client()?.linger_forever().build();
        push.connect(&at)?;
        let makes = async {
            for number in 0..count {
                push.send(letter("made", number)).await?;
            }
            push.close().await?;
            Outcome::Ok(())
        };
        let takes = async {
            for number in 0..count {
                check(&pull.recv().await?, "made", number)?;
            }
            Ok(())
        };
        within("a visit", async { try_join!(makes, takes) }).await?;
        if let Some(mut events) = watched {
            within("a good-bye", gone(&mut events)).await?;
        }
        soak.count(count);
    }
    within("close", pull.close()).await?;
    Ok(())
}

async fn gone(events: &mut Monitor) -> Outcome<()> {
    loop {
        let event = events.recv().await.ok_or("the socket is gone")?;
        if matches!(event.kind, EventKind::Disconnected(_)) {
            return Ok(());
        }
    }
}

/// SUBs come to a PUB, hear what they subscribed to, cancel and go: some with a word, some without.
pub async fn readers(soak: &Soak, place: Place, mut pace: Pace) -> Outcome<()> {
    let publisher: PubSocket = place.server()?.build();
    let at = place.bind(&publisher).await?;
    while pace.next().await {
        let count = 1 + pace.chance.below(MOST);
        let subscriber: SubSocket = place.client()?.build();
        subscriber.connect(&at)?;
        subscriber.subscribe("news")?;
        within("a subscriber", publisher.wait_for_subscribers(1)).await?;
        subscriber.subscribe("more")?;
        subscriber.unsubscribe("more")?;
        for number in 0..count {
            publisher.send(letter("not wanted", number)).await?;
            publisher.send(letter("news", number)).await?;
        }
        for number in 0..count {
            check(&within("news", subscriber.recv()).await?, "news", number)?;
        }
        match count % 3 {
            0 => drop(subscriber),
            1 => subscriber.disconnect(&at).await?,
            _ => within("close", subscriber.close()).await?,
        }
        within("no subscriber", nobody(&publisher)).await?;
        soak.count(count);
    }
    within("close", publisher.close()).await?;
    Ok(())
}

async fn nobody(publisher: &PubSocket) -> Outcome<()> {
    while !publisher.peers().is_empty() {
        // Only paces the looks: a peer that goes is no event for whoever asks who is there.
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// REQs come to a REP. Some give up a request, and ask another.
pub async fn askers(soak: &Soak, place: Place, mut pace: Pace) -> Outcome<()> {
    let rep: RepSocket = place.server()?.build();
    let at = place.bind(&rep).await?;
    while pace.next().await {
        let count = 2 + pace.chance.below(MOST / 3);
        let mut req: ReqSocket = place.client()?.correlate(count.is_multiple_of(2)).build();
        req.connect(&at)?;
        if count.is_multiple_of(3) {
            // A request without a reply, which is given up when it has arrived.
            tokio::select! {
                request = rep.accept() => drop(request?),
                reply = req.request("given up") => {
                    return Err(format!("{reply:?} without a reply").into());
                }
            }
        }
        let serves = async {
            for _ in 0..count {
                let request = rep.accept().await?;
                let question = request.message().clone();
                request.reply(question).await?;
            }
            Outcome::Ok(())
        };
        let asks = async {
            for number in 0..count {
                check(&req.request(letter("?", number)).await?, "?", number)?;
            }
            Ok(())
        };
        within("a visit", async { try_join!(serves, asks) }).await?;
        soak.count(2 * count);
    }
    within("close", rep.close()).await?;
    Ok(())
}

/// DEALERs of one name come to a ROUTER, one after the other, and each gets what is said to that name. One of them stays
/// longer: it disconnects and connects again.
pub async fn namesakes(soak: &Soak, place: Place, mut pace: Pace) -> Outcome<()> {
    let router = place.server()?;
    let router: RouterSocket = router
        .duplicate_identity(DuplicateIdentity::HandOver)
        .build();
    let at = place.bind(&router).await?;
    let name = Identity::try_from("visitor")?;
    let staying: DealerSocket = place.client()?.build();
    while pace.next().await {
        let count = 1 + pace.chance.below(MOST / 2);
        let dealer: DealerSocket = place.client()?.identity(name.clone())?.build();
        dealer.connect(&at)?;
        staying.connect(&at)?;
        let echo = async {
            for _ in 0..2 * count {
                let (from, message) = router.recv_from().await?;
                router.send_to(&from, message).await?;
            }
            Outcome::Ok(())
        };
        let talk = async |dealer: &DealerSocket| {
            for number in 0..count {
                dealer.send(letter("hello", number)).await?;
                check(&dealer.recv().await?, "hello", number)?;
            }
            Outcome::Ok(())
        };
        within("a visit", async {
            try_join!(echo, talk(&dealer), talk(&staying))
        })
        .await?;
        staying.disconnect(&at).await?;
        match count % 2 {
            0 => drop(dealer),
            _ => within("close", dealer.close()).await?,
        }
        soak.count(4 * count);
    }
    within("close", staying.close()).await?;
    within("close", router.close()).await?;
    Ok(())
}

/// Sockets of each pattern are made, used for a moment and closed.
pub async fn moments(soak: &Soak, place: Place, mut pace: Pace) -> Outcome<()> {
    while pace.next().await {
        let bursts = 1 + pace.chance.below(3);
        let bursts = pace.times(bursts);
        match pace.chance.below(6) {
            0 => exchange::pipeline(soak, place, bursts).await?,
            1 => exchange::publishing(soak, place, bursts).await?,
            2 => exchange::subscribing(soak, place, bursts).await?,
            3 => exchange::requesting(soak, place, bursts).await?,
            4 => exchange::dealing(soak, place, bursts).await?,
            _ => exchange::pairing(soak, place, bursts).await?,
        }
    }
    Ok(())
}

/// A REP comes and goes where a REQ asks all the time. Each request gets its reply, from whoever is there.
pub async fn restarts(soak: &Soak, place: Place, mut pace: Pace) -> Outcome<()> {
    let at = place.fixed();
    let req = place.client()?.correlate(true);
    let mut req: ReqSocket = req.on_peer_loss(OnPeerLoss::Resend).build();
    req.connect(&at)?;
    let mut chance = pace.chance.split();
    let serves = async {
        loop {
            let rep: RepSocket = place.server()?.build();
            rep.bind(&at).await?;
            for _ in 0..chance.below(MOST) {
                let request = rep.accept().await?;
                let question = request.message().clone();
                request.reply(question).await?;
            }
            // The next request finds it, and gets no reply from this one.
            drop(rep.accept().await?);
            within("close", rep.close()).await?;
            sleep(Duration::from_millis(chance.below(500))).await;
        }
    };
    let asks = async {
        let mut asked = 0;
        while pace.next().await {
            let reply = within("a reply", req.request(letter("?", asked))).await?;
            check(&reply, "?", asked)?;
            asked += 1;
            soak.count(1);
        }
        within("close", req.close()).await
    };
    tokio::select! {
        over = asks => over,
        failed = serves => failed,
    }
}

/// Strangers come to a ROUTER, say a part of what a peer says, and go. Those that belong there do not notice.
pub async fn strangers(soak: &Soak, place: Place, mut pace: Pace) -> Outcome<()> {
    let router: RouterSocket = place.server()?.build();
    let at: Endpoint = place.bind(&router).await?;
    let dealer: DealerSocket = place.client()?.build();
    dealer.connect(&at)?;
    let peer = [
        &GREETING[..],
        &ready("DEALER"),
        &frame(1, &[7; 500]),
        &frame(0, &[7; 500]),
    ]
    .concat();
    let mut sent = 0;
    while pace.next().await {
        let said = pace.chance.below(peer.len() as u64) as usize;
        let mut stranger = Raw::connect(&at).await;
        stranger.write(&peer[..said]).await;
        let echo = async {
            let (from, message) = router.recv_from().await?;
            Outcome::Ok(router.send_to(&from, message).await?)
        };
        let talk = async {
            dealer.send(letter("hello", sent)).await?;
            check(&dealer.recv().await?, "hello", sent)
        };
        within("a message", async { try_join!(echo, talk) }).await?;
        drop(stranger);
        sent += 1;
        soak.count(2);
    }
    let received = router.stats().messages_received;
    ensure(received == sent, || {
        format!("{received} received of {sent}")
    })?;
    within("close", dealer.close()).await?;
    within("close", router.close()).await?;
    Ok(())
}
