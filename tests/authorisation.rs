//! What a principal may do, over connections whose client shows a name and a password.

mod support;

use jackstay::pattern::Pattern;
use jackstay::security::{
    Authenticator, Credentials, Permissions, Principal, Refusal, Security, SubscriptionPrefixes,
    from_fn,
};
use jackstay::zmtp::ProtocolError;
use jackstay::{
    Builder, DealerSocket, DisconnectCause, DuplicateIdentity, Event, EventKind, Forbidden,
    Identity, Monitor, PubSocket, PullSocket, PushSocket, RepSocket, ReqSocket, RouterSocket,
    Socket, SubSocket, Subscription, Subscriptions, XPubSocket, XSubSocket,
};

use support::raw::{Raw, command, frame, property};
use support::{Transport, event, eventually, join, join_at, peers, whole, within};

/// Everybody goes by their own name, and joe is silent.
struct House;

impl Permissions for House {
    fn may_use_identity(&self, who: &Principal, identity: &Identity) -> bool {
        identity.as_bytes() == who.user_id().as_bytes()
    }

    fn may_send(&self, who: &Principal) -> bool {
        who.user_id() != "joe"
    }
}

/// A server that lets everybody in under the name that they show.
fn server<P: Pattern>(builder: Builder<P>, permissions: impl Permissions) -> Socket<P> {
    let by_name = from_fn(|peer| async move {
        match peer.credentials {
            Credentials::Plain { user, .. } => Ok(Principal::new(user)),
            _ => Err(Refusal::denied("only with a name")),
        }
    });
    let security = Security::plain_server(by_name.restricted(permissions));
    builder.security(security).build()
}

fn client<P: Pattern>(builder: Builder<P>, user: &str) -> Socket<P> {
    builder
        .security(Security::plain_client(user, "").unwrap())
        .build()
}

fn dealer(user: &str, identity: &str) -> DealerSocket {
    let identity = Identity::try_from(identity).unwrap();
    client(DealerSocket::builder().identity(identity).unwrap(), user)
}

/// Only topics below `weather.`
fn weather() -> SubscriptionPrefixes {
    SubscriptionPrefixes::new().allow_everyone("weather.")
}

fn user(event: &Event) -> &str {
    event.principal.as_ref().expect("a principal").user_id()
}

/// What the monitor was told of forbidden deeds until now.
fn forbidden(events: &mut Monitor) -> Vec<Event> {
    std::iter::from_fn(|| events.try_recv())
        .filter(|event| matches!(event.kind, EventKind::Forbidden(_)))
        .collect()
}

fn is_refused(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Refused(_))
}

#[tokio::test]
async fn whoever_announces_an_identity_that_is_not_allowed_is_refused_and_told_what_to_change() {
    whole(async {
        let router = server(RouterSocket::builder(), House);
        let mut there = router.monitor();
        let at = router.bind(Transport::Tcp.any()).await.unwrap();
        let eve = dealer("eve", "ann");
        let mut here = eve.monitor();
        eve.connect(&at).unwrap();
        let refused = event(&mut there, is_refused).await;
        assert_eq!(user(&refused), "eve");
        let told = event(&mut here, |kind| {
            matches!(kind, EventKind::Disconnected(DisconnectCause::Protocol(_)))
        })
        .await;
        let EventKind::Disconnected(DisconnectCause::Protocol(ProtocolError::Refused { reason })) =
            &told.kind
        else {
            panic!("{told}");
        };
        assert!(reason.contains("announce another or none"), "{reason}");
        assert!(router.peers().is_empty());
        eve.close().await.ok();

        // Her own name, and none, are fine.
        let [own, none] = [dealer("eve", "eve"), client(DealerSocket::builder(), "eve")];
        join_at(&router, &own, &at).await;
        join_at(&router, &none, &at).await;
    })
    .await;
}

#[tokio::test]
async fn an_identity_that_is_not_allowed_takes_no_other_peers_place() {
    whole(async {
        let builder = RouterSocket::builder().duplicate_identity(DuplicateIdentity::HandOver);
        let router = server(builder, House);
        let mut there = router.monitor();
        let ann = dealer("ann", "ann");
        let at = join(&router, &ann, Transport::Tcp).await;
        let eve = dealer("eve", "ann");
        eve.connect(&at).unwrap();
        event(&mut there, is_refused).await;
        let name = Identity::try_from("ann").unwrap();
        router.send_to(&name, "for ann").await.unwrap();
        assert_eq!(within(ann.recv()).await.unwrap(), "for ann");
    })
    .await;
}

#[tokio::test]
async fn a_subscription_beyond_what_is_allowed_has_no_effect_is_counted_and_told_of_once() {
    whole(async {
        let publisher = server(PubSocket::builder(), weather());
        let mut there = publisher.monitor();
        let joe = client(SubSocket::builder(), "joe");
        let at = join(&publisher, &joe, Transport::Tcp).await;
        for topic in ["news", "weather", "", "weather.ghent"] {
            joe.subscribe(topic).unwrap();
        }
        within(publisher.wait_for_subscribers(1)).await.unwrap();
        assert_eq!(publisher.stats().dropped.forbidden, 3);
        let told = forbidden(&mut there);
        let [told] = &told[..] else {
            panic!("{told:?}");
        };
        assert_eq!(user(told), "joe");
        let peer = publisher.peers()[0].id();
        assert_eq!(told.peer, Some(peer));
        let news = Forbidden::Subscription("news".into());
        assert!(matches!(&told.kind, EventKind::Forbidden(what) if *what == news));
        assert!(told.to_string().contains("\"news\""), "{told}");
        let counted = publisher.peer_stats(peer).unwrap().dropped.forbidden;
        assert_eq!(counted, 3);

        // What joe's own filter would let pass does not come. Taking back what was refused changes nothing.
        joe.unsubscribe("news").unwrap();
        for topic in ["news", "weather", "weather.bruges", "weather.ghent"] {
            publisher.send(topic).await.unwrap();
        }
        assert_eq!(within(joe.recv()).await.unwrap(), "weather.ghent");

        // Another connection is told of again.
        let ann = client(SubSocket::builder(), "ann");
        ann.subscribe("news").unwrap();
        join_at(&publisher, &ann, &at).await;
        let told = event(&mut there, |kind| matches!(kind, EventKind::Forbidden(_))).await;
        assert_eq!(user(&told), "ann");
    })
    .await;
}

#[tokio::test]
async fn an_xpub_in_manual_mode_is_not_asked_about_what_is_not_allowed() {
    whole(async {
        let builder = XPubSocket::builder().subscriptions(Subscriptions::Manual);
        let xpub = server(builder, weather());
        let joe = client(SubSocket::builder(), "joe");
        join(&xpub, &joe, Transport::Tcp).await;
        joe.subscribe("news").unwrap();
        joe.subscribe("weather.ghent").unwrap();
        let Subscription::Subscribe(peer, topic) = within(xpub.recv_subscription()).await.unwrap()
        else {
            panic!("it is a subscription");
        };
        assert_eq!(topic, "weather.ghent");
        assert_eq!(xpub.peer_stats(peer).unwrap().dropped.forbidden, 1);
    })
    .await;
}

#[tokio::test]
async fn s2_a_subscription_in_a_message_is_asked_about_too() {
    whole(async {
        let publisher = server(PubSocket::builder(), weather());
        let mut there = publisher.monitor();
        let at = publisher.bind(Transport::Tcp.any()).await.unwrap();
        let mut raw = Raw::greet(&at, b"PLAIN").await;
        raw.write(&command("HELLO", b"\x03joe\0")).await;
        raw.read_frame().await;
        raw.write(&command("INITIATE", &property("Socket-Type", b"SUB")))
            .await;
        raw.read_frame().await;
        // Longer than what is told of it.
        let long = [&[1][..], &[b'n'; 1_000]].concat();
        raw.write(&[frame(0, &long), frame(0, b"\x01weather.")].concat())
            .await;
        within(publisher.wait_for_subscribers(1)).await.unwrap();
        assert_eq!(publisher.stats().dropped.forbidden, 1);
        let told = forbidden(&mut there);
        assert_eq!(told.len(), 1);
        let EventKind::Forbidden(Forbidden::Subscription(shown)) = &told[0].kind else {
            panic!("{told:?}");
        };
        assert_eq!(shown[..], [b'n'; 255]);
    })
    .await;
}

#[tokio::test]
async fn s11_an_inverted_publisher_refuses_whoever_may_not_have_everything() {
    whole(async {
        let prefixes = weather().allow("ann", "");
        let publisher = server(PubSocket::builder().invert_matching(true), prefixes);
        let mut there = publisher.monitor();
        let subscriber = |user| client(SubSocket::builder().invert_matching(true), user);
        let at = join(&publisher, &subscriber("ann"), Transport::Tcp).await;
        let joe = subscriber("joe");
        joe.connect(&at).unwrap();
        assert_eq!(user(&event(&mut there, is_refused).await), "joe");
    })
    .await;
}

#[tokio::test]
async fn messages_of_whoever_may_not_send_are_dropped_counted_and_told_of_once() {
    whole(async {
        let pull = server(PullSocket::builder().recv_hwm(10), House);
        let mut there = pull.monitor();
        let joe = client(PushSocket::builder(), "joe");
        let at = join(&pull, &joe, Transport::Tcp).await;
        let peer = pull.peers()[0].id();
        // More than the queue would hold; in runs, alone, of several frames, and large.
        for n in 0..100 {
            joe.send(n.to_string()).await.unwrap();
        }
        joe.send(("a", "b")).await.unwrap();
        joe.send(vec![0; 1 << 20]).await.unwrap();
        eventually(|| pull.stats().dropped.forbidden == 102).await;
        let stats = pull.peer_stats(peer).unwrap();
        assert_eq!((stats.messages_received, stats.queued_in), (102, 0));
        let told = forbidden(&mut there);
        let [told] = &told[..] else {
            panic!("{told:?}");
        };
        assert!(matches!(
            told.kind,
            EventKind::Forbidden(Forbidden::Message)
        ));
        assert_eq!((user(told), told.peer), ("joe", Some(peer)));

        let ann = client(PushSocket::builder(), "ann");
        join_at(&pull, &ann, &at).await;
        ann.send("hello").await.unwrap();
        assert_eq!(within(pull.recv()).await.unwrap(), "hello");
        assert_eq!(pull.peers().len(), 2);
    })
    .await;
}

#[cfg(feature = "curve")]
#[tokio::test]
async fn what_is_encrypted_is_dropped_and_what_comes_behind_it_is_in_place() {
    use jackstay::security::{AnyClient, KeyPair};

    /// Nobody sends, and all may subscribe below `weather.`
    struct Silent;
    impl Permissions for Silent {
        fn may_send(&self, _who: &Principal) -> bool {
            false
        }

        fn may_subscribe(&self, _who: &Principal, prefix: &[u8]) -> bool {
            prefix.starts_with(b"weather.")
        }
    }
    whole(async {
        let keys = KeyPair::generate().unwrap();
        let public = *keys.public_key();
        let client = || Security::curve_client(public, KeyPair::generate().unwrap());
        let security = Security::curve_server(keys, AnyClient.restricted(Silent));
        let pull = PullSocket::builder().security(security.clone()).build();
        let push = PushSocket::builder().security(client()).build();
        join(&pull, &push, Transport::Tcp).await;
        for n in 0..100 {
            push.send(n.to_string()).await.unwrap();
        }
        push.send(("a", vec![0; 1 << 20])).await.unwrap();
        push.send("last").await.unwrap();
        eventually(|| pull.stats().dropped.forbidden == 102).await;
        assert_eq!(pull.stats().queued_in, 0);

        let publisher = PubSocket::builder().security(security).build();
        let subscriber = SubSocket::builder().security(client()).build();
        join(&publisher, &subscriber, Transport::Tcp).await;
        subscriber.subscribe("news").unwrap();
        subscriber.subscribe("weather.").unwrap();
        within(publisher.wait_for_subscribers(1)).await.unwrap();
        assert_eq!(publisher.stats().dropped.forbidden, 1);
    })
    .await;
}

#[tokio::test]
async fn whoever_may_not_send_may_still_subscribe_and_receive() {
    whole(async {
        let xpub = server(XPubSocket::builder(), House);
        let joe = client(XSubSocket::builder(), "joe");
        join(&xpub, &joe, Transport::Tcp).await;
        joe.send("a message").await.unwrap();
        joe.subscribe("news").unwrap();
        let asked = within(xpub.recv_subscription()).await.unwrap();
        assert!(matches!(asked, Subscription::Subscribe(_, topic) if topic == "news"));
        eventually(|| xpub.stats().dropped.forbidden == 1).await;
        xpub.send("news").await.unwrap();
        assert_eq!(within(joe.recv()).await.unwrap(), "news");
    })
    .await;
}

#[tokio::test]
async fn z5_a_message_to_a_router_keeps_its_principal_when_another_has_the_identity() {
    whole(async {
        struct Free;
        impl Permissions for Free {}
        let router = server(RouterSocket::builder(), Free);
        let ann = dealer("ann", "same");
        let at = join(&router, &ann, Transport::Tcp).await;
        ann.send("of ann").await.unwrap();
        ann.close().await.unwrap();
        peers(&router, 0).await;
        let eve = dealer("eve", "same");
        join_at(&router, &eve, &at).await;
        eve.send("of eve").await.unwrap();
        for name in ["ann", "eve"] {
            let (peer, message) = within(router.recv_with_peer()).await.unwrap();
            assert_eq!(peer.identity().as_bytes(), b"same");
            assert_eq!(peer.principal().unwrap().user_id(), name);
            assert_eq!(message, *format!("of {name}"));
        }
    })
    .await;
}

#[tokio::test]
async fn z5_a_request_says_whose_it_is() {
    whole(async {
        let rep = server(RepSocket::builder(), House);
        let mut req = client(ReqSocket::builder(), "ann");
        join(&rep, &req, Transport::Tcp).await;
        let serve = async {
            let request = within(rep.accept()).await.unwrap();
            let peer = request.peer().unwrap();
            let name = peer.principal().unwrap().user_id().to_owned();
            request.reply(name).await.unwrap();
        };
        let (reply, ()) = tokio::join!(within(req.request("who am I?")), serve);
        assert_eq!(reply.unwrap(), "ann");
    })
    .await;
}
