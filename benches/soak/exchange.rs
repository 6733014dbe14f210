//! One function for each pattern: sockets are made, exchange bursts of numbered messages as long as the pace says, and are
//! closed. Nothing may be missing, come twice, come out of order or be changed.

use std::collections::BTreeSet;

use jackstay::{
    DealerSocket, Endpoint, Message, PairSocket, PubSocket, PullSocket, PushSocket, RepSocket,
    ReqSocket, RouterSocket, SubSocket, Subscription, XPubSocket, XSubSocket,
};
use tokio::try_join;

use crate::letter::{check, letter, number_of};
use crate::place::Place;
use crate::soak::{Outcome, Pace, Soak, ensure, within};

/// Messages at a time.
const BURST: u64 = 20;

/// PUSH deals out to two PULLs.
pub async fn pipeline(soak: &Soak, place: Place, mut pace: Pace) -> Outcome<()> {
    let push: PushSocket = place.server()?.build();
    let at = place.bind(&push).await?;
    let pulls: [PullSocket; 2] = [place.client()?.build(), place.client()?.build()];
    for pull in &pulls {
        pull.connect(&at)?;
    }
    within("wait for PULLs", push.wait_for_peers(2)).await?;
    let mut sent = 0;
    let mut newest = [None; 2];
    while pace.next().await {
        let first = sent;
        let sends = async {
            while sent < first + BURST {
                push.send(letter("work", sent)).await?;
                sent += 1;
            }
            Outcome::Ok(())
        };
        let receives = async {
            let mut missing: BTreeSet<u64> = (first..first + BURST).collect();
            while !missing.is_empty() {
                let (by, message) = tokio::select! {
                    message = pulls[0].recv() => (0, message?),
                    message = pulls[1].recv() => (1, message?),
                };
                let number = number_of(&message)?;
                check(&message, "work", number)?;
                ensure(missing.remove(&number), || format!("{number} came twice"))?;
                let in_order = newest[by].replace(number) < Some(number);
                ensure(in_order, || format!("{number} came too late"))?;
            }
            Ok(())
        };
        within("a burst", async { try_join!(sends, receives) }).await?;
        soak.count(BURST);
    }
    within("close", push.close()).await?;
    for pull in pulls {
        within("close", pull.close()).await?;
    }
    Ok(())
}

/// PUB tells two SUBs, of which one wants each second message.
pub async fn publishing(soak: &Soak, place: Place, mut pace: Pace) -> Outcome<()> {
    let publisher: PubSocket = place.server()?.build();
    let at = place.bind(&publisher).await?;
    let (all, even): (SubSocket, SubSocket) = (place.client()?.build(), place.client()?.build());
    all.subscribe("")?;
    even.subscribe("even")?;
    all.connect(&at)?;
    even.connect(&at)?;
    within("wait for SUBs", publisher.wait_for_subscribers(2)).await?;
    let topic = |number: u64| {
        if number.is_multiple_of(2) {
            "even"
        } else {
            "odd"
        }
    };
    let mut sent = 0;
    while pace.next().await {
        let numbers = sent..sent + BURST;
        sent += BURST;
        let sends = async {
            for number in numbers.clone() {
                publisher.send(letter(topic(number), number)).await?;
            }
            Outcome::Ok(())
        };
        let hears = async {
            for number in numbers.clone() {
                check(&all.recv().await?, topic(number), number)?;
            }
            Ok(())
        };
        let hears_even = async {
            for number in numbers.clone().step_by(2) {
                check(&even.recv().await?, "even", number)?;
            }
            Ok(())
        };
        within("a burst", async { try_join!(sends, hears, hears_even) }).await?;
        soak.count(BURST + BURST / 2);
    }
    let dropped = publisher.stats().dropped.total();
    ensure(dropped == 0, || format!("{dropped} were dropped"))?;
    within("close", publisher.close()).await?;
    Ok(())
}

/// XSUB subscribes, hears and cancels, and XPUB sees that.
pub async fn subscribing(soak: &Soak, place: Place, mut pace: Pace) -> Outcome<()> {
    let publisher: XPubSocket = place.server()?.build();
    let at = place.bind(&publisher).await?;
    let subscriber: XSubSocket = place.client()?.build();
    subscriber.connect(&at)?;
    let mut number = 0;
    while pace.next().await {
        let topic = format!("{number}-");
        subscriber.subscribe(&topic)?;
        let wanted = within("a subscription", publisher.recv_subscription()).await?;
        let right = matches!(&wanted, Subscription::Subscribe(_, heard) if *heard == topic);
        ensure(right, || format!("{wanted:?} instead of {topic}"))?;
        for sent in 0..BURST {
            let message = Message::from((topic.clone(), sent.to_string()));
            publisher.send(message.clone()).await?;
            let heard = within("a message", subscriber.recv()).await?;
            ensure(heard == message, || {
                format!("{heard:?} instead of {message:?}")
            })?;
        }
        subscriber.unsubscribe(&topic)?;
        let end = within("a cancellation", publisher.recv_subscription()).await?;
        let right = matches!(&end, Subscription::Cancel(_, heard) if *heard == topic);
        ensure(right, || format!("{end:?} instead of the end of {topic}"))?;
        number += 1;
        soak.count(BURST);
    }
    within("close", subscriber.close()).await?;
    within("close", publisher.close()).await?;
    Ok(())
}

/// Two REQs ask a REP.
pub async fn requesting(soak: &Soak, place: Place, mut pace: Pace) -> Outcome<()> {
    let rep: RepSocket = place.server()?.build();
    let at = place.bind(&rep).await?;
    let connect = |req: ReqSocket| req.connect(&at).map(|()| req);
    let mut first = connect(place.client()?.build())?;
    let mut second = connect(place.client()?.correlate(true).build())?;
    let mut asked = 0;
    while pace.next().await {
        for _ in 0..BURST / 4 {
            let (one, other) = (asked, asked + 1);
            asked += 2;
            let serves = async {
                for _ in 0..2 {
                    let request = rep.accept().await?;
                    let question = request.message().clone();
                    request.reply(question).await?;
                }
                Outcome::Ok(())
            };
            let asks = async { check(&first.request(letter("?", one)).await?, "?", one) };
            let too = async { check(&second.request(letter("?", other)).await?, "?", other) };
            within("a request", async { try_join!(serves, asks, too) }).await?;
            soak.count(4);
        }
    }
    within("close", rep.close()).await?;
    Ok(())
}

/// Two DEALERs talk to a ROUTER, which sends back what it hears.
pub async fn dealing(soak: &Soak, place: Place, mut pace: Pace) -> Outcome<()> {
    let router: RouterSocket = place.server()?.build();
    let at = place.bind(&router).await?;
    let dealers: [DealerSocket; 2] = [place.client()?.build(), place.client()?.build()];
    for dealer in &dealers {
        dealer.connect(&at)?;
    }
    let mut sent = 0;
    while pace.next().await {
        let numbers = sent..sent + BURST / 2;
        sent += BURST / 2;
        let echo = async {
            for _ in 0..BURST {
                let (from, message) = router.recv_from().await?;
                router.send_to(&from, message).await?;
            }
            Outcome::Ok(())
        };
        let talk = async |dealer: &DealerSocket| {
            for number in numbers.clone() {
                dealer.send(letter("hello", number)).await?;
            }
            for number in numbers.clone() {
                check(&dealer.recv().await?, "hello", number)?;
            }
            Outcome::Ok(())
        };
        let [one, other] = &dealers;
        within("a burst", async { try_join!(echo, talk(one), talk(other)) }).await?;
        soak.count(2 * BURST);
    }
    for dealer in dealers {
        within("close", dealer.close()).await?;
    }
    within("close", router.close()).await?;
    Ok(())
}

/// Two PAIRs talk at once.
pub async fn pairing(soak: &Soak, place: Place, mut pace: Pace) -> Outcome<()> {
    let (bound, connected): (PairSocket, PairSocket) =
        (place.server()?.build(), place.client()?.build());
    let at: Endpoint = place.bind(&bound).await?;
    connected.connect(&at)?;
    let mut sent = 0;
    while pace.next().await {
        let numbers = sent..sent + BURST / 2;
        sent += BURST / 2;
        let talk = async |pair: &PairSocket, own: &'static str, others: &'static str| {
            for number in numbers.clone() {
                pair.send(letter(own, number)).await?;
            }
            for number in numbers.clone() {
                check(&pair.recv().await?, others, number)?;
            }
            Outcome::Ok(())
        };
        let both = async { try_join!(talk(&bound, "a", "b"), talk(&connected, "b", "a")) };
        within("a burst", both).await?;
        soak.count(BURST);
    }
    within("close", bound.close()).await?;
    within("close", connected.close()).await?;
    Ok(())
}
