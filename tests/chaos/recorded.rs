//! Sessions of libzmq, recorded live, and played to our sockets again: cut in two at every octet, one octet at a time,
//! and cut off at every octet. What arrives is the same however it is cut, and nothing of a message that is cut off.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use jackstay::pattern::Pattern;
use jackstay::{
    DealerSocket, EventKind, Message, PairSocket, PullSocket, RepSocket, RouterSocket, Socket,
    SubSocket, XPubSocket,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::clock::within_a_year;
use crate::secured::Secured;
use crate::support::relay::{Relay, Way};
use crate::support::{whole, within};
use crate::theirs::Theirs;

/// One side of a connection as it was recorded. Each piece is a read of its own; what is written to it is ignored.
struct Recording {
    pieces: VecDeque<Vec<u8>>,
    /// Whether a piece may be read now. Nothing is there to read between two.
    ready: bool,
    /// Whether it stays open behind the last one.
    stays: bool,
}

impl Recording {
    fn new<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, stays: bool) -> Self {
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
        Self {
            pieces: pieces.map(<[u8]>::to_vec).collect(),
            ready: false,
            stays,
        }
    }
}

impl AsyncRead for Recording {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.ready = !self.ready;
        if self.ready {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let stays = self.stays;
        let Some(piece) = self.pieces.front_mut() else {
            return if stays {
                Poll::Pending
            } else {
                Poll::Ready(Ok(()))
            };
        };
        let fits = piece.len().min(buffer.remaining());
        buffer.put_slice(&piece[..fits]);
        piece.drain(..fits);
        if piece.is_empty() {
            self.pieces.pop_front();
        } else {
            // The rest of the same piece is there already.
            self.ready = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Recording {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Records what `theirs` says to `ours`, a socket of ours, and plays it to others like it.
fn play<P: Pattern>(
    theirs: Theirs,
    ours: impl Fn() -> Socket<P>,
    recv: impl AsyncFn(&Socket<P>) -> Message,
    talk: impl AsyncFnOnce(&Socket<P>, Theirs) -> Vec<Message>,
) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut recorded = (Vec::new(), Vec::new());
    runtime.block_on(whole(async {
        let socket = ours();
        let at = socket.bind("tcp://127.0.0.1:0").await.unwrap();
        let relay = Relay::new(&at).await;
        theirs.connect(&relay.at);
        within(socket.wait_for_peers(1)).await.unwrap();
        let heard = talk(&socket, theirs).await;
        recorded = (relay.recorded(Way::Up), heard);
    }));
    let (octets, heard) = recorded;
    assert!(!heard.is_empty());
    let paused = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    paused.expect("a runtime").block_on(within_a_year(async {
        for cut in 0..=octets.len() {
            let (one, two) = octets.split_at(cut);
            same(&ours(), &recv, [one, two], &heard).await;
        }
        same(&ours(), &recv, octets.chunks(1), &heard).await;
        let mut arrived = 0;
        for end in 0..=octets.len() {
            let now = cut_off(&ours(), &recv, &octets[..end], &heard).await;
            assert!(
                now >= arrived,
                "at {end} of {}: {now} messages",
                octets.len()
            );
            arrived = now;
        }
        assert_eq!(arrived, heard.len());
    }));
}

/// The pieces say what was heard.
async fn same<'a, P: Pattern>(
    socket: &Socket<P>,
    recv: impl AsyncFn(&Socket<P>) -> Message,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    heard: &[Message],
) {
    socket.adopt(Recording::new(pieces, true)).unwrap();
    for message in heard {
        assert_eq!(within(recv(socket)).await, *message);
    }
    assert_eq!(socket.stats().dropped.total(), 0);
}

/// The octets end the connection, and of what was heard only whole messages arrive. Returns how many.
async fn cut_off<P: Pattern>(
    socket: &Socket<P>,
    recv: impl AsyncFn(&Socket<P>) -> Message,
    octets: &[u8],
    heard: &[Message],
) -> usize {
    let mut events = socket.monitor();
    socket.adopt(Recording::new([octets], false)).unwrap();
    let over = async {
        loop {
            match events.recv().await.expect("the socket lives").kind {
                EventKind::Disconnected(_) | EventKind::HandshakeFailed(_) => return,
                _ => {}
            }
        }
    };
    within(over).await;
    let mut arrived = 0;
    // Time is paused: it passes only when nothing more can come.
    while let Ok(message) = timeout(Duration::from_secs(1), recv(socket)).await {
        assert_eq!(message, heard[arrived]);
        arrived += 1;
    }
    arrived
}

/// Of each form that a message has on the wire.
fn messages() -> Vec<Vec<Vec<u8>>> {
    vec![
        vec![b"short".to_vec()],
        vec![b"two".to_vec(), b"frames".to_vec()],
        vec![Vec::new()],
        vec![b"long".repeat(80)],
        vec![Vec::new(), Vec::new(), b"x".repeat(256)],
        vec![b"last".to_vec()],
    ]
}

/// They send all messages, and ours receives them.
async fn all_messages<P: Pattern>(
    ours: &Socket<P>,
    mut theirs: Theirs,
    recv: impl AsyncFn(&Socket<P>) -> Message,
) -> Vec<Message> {
    let mut heard = Vec::new();
    for frames in messages() {
        let frames: Vec<_> = frames.iter().map(|frame| &frame[..]).collect();
        theirs.send(&frames).await;
        heard.push(within(recv(ours)).await);
    }
    heard
}

fn push_to_pull(secured: Secured) {
    let recv = async |pull: &PullSocket| pull.recv().await.unwrap();
    play(
        secured.theirs(Theirs::new(zmq::PUSH)),
        || PullSocket::builder().security(secured.ours()).build(),
        recv,
        async |ours, theirs| all_messages(ours, theirs, recv).await,
    );
}

#[test]
fn push_to_pull_under_null() {
    push_to_pull(Secured::Null);
}

#[test]
fn push_to_pull_under_plain() {
    push_to_pull(Secured::PlainServer);
}

#[test]
fn pair_to_pair() {
    let recv = async |pair: &PairSocket| pair.recv().await.unwrap();
    let theirs = Theirs::new(zmq::PAIR);
    play(theirs, PairSocket::new, recv, async |ours, theirs| {
        all_messages(ours, theirs, recv).await
    });
}

#[test]
fn router_to_dealer() {
    let recv = async |dealer: &DealerSocket| dealer.recv().await.unwrap();
    let theirs = Theirs::new(zmq::ROUTER).with(|socket| socket.set_identity(b"router"));
    play(theirs, DealerSocket::new, recv, async |ours, mut theirs| {
        ours.send("who is there?").await.unwrap();
        let [from, _] = <[_; 2]>::try_from(theirs.recv().await).unwrap();
        let mut heard = Vec::new();
        for frames in messages() {
            let frames = [from.clone()].into_iter().chain(frames).collect::<Vec<_>>();
            let frames: Vec<_> = frames.iter().map(|frame| &frame[..]).collect();
            theirs.send(&frames).await;
            heard.push(within(recv(ours)).await);
        }
        heard
    });
}

#[test]
fn dealer_with_a_name_to_router() {
    let recv = async |router: &RouterSocket| {
        let (peer, mut message) = router.recv_from().await.unwrap();
        message.push_front(peer.as_bytes().to_vec());
        message
    };
    let theirs = Theirs::new(zmq::DEALER).with(|socket| socket.set_identity(b"joe"));
    play(theirs, RouterSocket::new, recv, async |ours, theirs| {
        let heard = all_messages(ours, theirs, recv).await;
        assert!(heard.iter().all(|message| message.first() == b"joe"));
        heard
    });
}

#[test]
fn req_to_rep() {
    // Replying has no effect on a recording, which does not listen.
    let recv = async |rep: &RepSocket| {
        let request = rep.accept().await.unwrap();
        let message = request.message().clone();
        request.reply("yes").await.unwrap();
        message
    };
    let theirs = Theirs::new(zmq::REQ);
    play(theirs, RepSocket::new, recv, async |ours, mut theirs| {
        let mut heard = Vec::new();
        for frames in messages() {
            let frames: Vec<_> = frames.iter().map(|frame| &frame[..]).collect();
            theirs.send(&frames).await;
            heard.push(within(recv(ours)).await);
            assert_eq!(theirs.recv().await, [b"yes"]);
        }
        heard
    });
}

#[test]
fn pub_to_sub() {
    let recv = async |sub: &SubSocket| sub.recv().await.unwrap();
    let ours = || {
        let sub = SubSocket::new();
        sub.subscribe("").unwrap();
        sub
    };
    let theirs = Theirs::new(zmq::XPUB);
    play(theirs, ours, recv, async |ours, mut theirs| {
        // Our subscription is there.
        assert_eq!(theirs.recv().await, [b"\x01"]);
        all_messages(ours, theirs, recv).await
    });
}

#[test]
fn sub_to_xpub() {
    // The loss of a connection cancels what was subscribed to through it.
    let recv = async |publisher: &XPubSocket| loop {
        let event = publisher.recv().await.unwrap();
        if event.first()[0] == 1 {
            return event;
        }
    };
    let theirs = Theirs::new(zmq::SUB);
    play(theirs, XPubSocket::new, recv, async |ours, mut theirs| {
        let mut heard = Vec::new();
        for topic in [&b"a"[..], b"", b"long", &[b'x'; 300]] {
            let topic = topic.to_vec();
            theirs
                .run(move |socket| socket.set_subscribe(&topic).unwrap())
                .await;
            heard.push(theirs.attend(recv(ours)).await);
        }
        heard
    });
}

/// Under CURVE nothing can be played again: both sides are live, with the relay between them.
#[cfg(feature = "curve")]
mod live {
    use std::time::Duration;

    use jackstay::{EventKind, Message, Monitor, PullSocket};

    use super::messages;
    use crate::secured::Secured;
    use crate::support::relay::{Fault, FaultKind, Relay, Way};
    use crate::support::seed::Chance;
    use crate::support::times::times;
    use crate::support::{Transport, event, whole, within};
    use crate::theirs::Theirs;

    /// Where to cut: at a few octets anywhere, and at every octet in the long form.
    async fn cuts(name: &str) -> impl Iterator<Item = usize> {
        let (pull, _, (relay, _theirs)) = session([]).await;
        for message in sent() {
            assert_eq!(within(pull.recv()).await.unwrap(), message);
        }
        let octets = relay.recorded(Way::Up).len();
        let step = (octets / usize::try_from(times(24)).unwrap()).max(1);
        let cuts = (Chance::of(name).within(0..step)..octets).step_by(step);
        println!("{name}: at {} of {octets} octets", cuts.clone().count());
        cuts
    }

    /// libzmq connected through a relay with these faults, with all messages on their way.
    async fn session<const N: usize>(faults: [Fault; N]) -> (PullSocket, Monitor, (Relay, Theirs)) {
        let security = Secured::CurveServer.ours();
        let pull = PullSocket::builder().security(security).build();
        let events = pull.monitor();
        let at = pull.bind("tcp://127.0.0.1:0").await.unwrap();
        let relay = match N {
            0 => Relay::new(&at).await,
            _ => Relay::with_faults(&at, Transport::Tcp, faults).await,
        };
        let mut theirs = Secured::CurveServer.theirs(Theirs::new(zmq::PUSH));
        theirs.connect(&relay.at);
        for frames in messages() {
            let frames: Vec<_> = frames.iter().map(|frame| &frame[..]).collect();
            theirs.send(&frames).await;
        }
        (pull, events, (relay, theirs))
    }

    fn sent() -> impl Iterator<Item = Message> {
        messages().into_iter().map(Message::from_iter)
    }

    #[tokio::test]
    async fn push_to_pull_cut_in_two() {
        whole(async {
            for after in cuts("CURVE cut in two").await {
                let kind = FaultKind::Delay(Duration::from_millis(1));
                let way = Way::Up;
                let (pull, _, (relay, _theirs)) = session([Fault { way, after, kind }]).await;
                for message in sent() {
                    assert_eq!(within(pull.recv()).await.unwrap(), message, "at {after}");
                }
                assert!(relay.is_calm(), "{after} octets are never reached");
            }
        })
        .await;
    }

    #[tokio::test]
    async fn push_to_pull_one_octet_at_a_time() {
        whole(async {
            // A drip lasts for what is read at a time.
            let ways = [Way::Up, Way::Down].repeat(50);
            let faults: [_; 100] = std::array::from_fn(|n| Fault {
                way: ways[n],
                after: 0,
                kind: FaultKind::Drip(usize::MAX),
            });
            let (pull, _, _rest) = session(faults).await;
            for message in sent() {
                assert_eq!(within(pull.recv()).await.unwrap(), message);
            }
        })
        .await;
    }

    #[tokio::test]
    async fn push_to_pull_cut_off() {
        whole(async {
            for after in cuts("CURVE cut off").await {
                let way = Way::Up;
                let kind = FaultKind::Cut;
                let cut = Fault { way, after, kind };
                // Who comes again is not heard.
                let kind = FaultKind::Silence;
                let mut faults = [Fault {
                    way,
                    after: 0,
                    kind,
                }; 100];
                faults[0] = cut;
                let (pull, mut events, _rest) = session(faults).await;
                event(&mut events, |kind| {
                    matches!(
                        kind,
                        EventKind::Disconnected(_) | EventKind::HandshakeFailed(_)
                    )
                })
                .await;
                let mut messages = sent();
                while let Ok(message) = pull.try_recv() {
                    assert_eq!(Some(message), messages.next(), "at {after}");
                }
            }
        })
        .await;
    }
}
