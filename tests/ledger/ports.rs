//! Sockets of ours and of libzmq behind the same blocking calls, so that either can stand at either end.

use std::time::Duration;

use jackstay::blocking::{self, Request};
use jackstay::pattern::{Dealer, Pattern, Pub, Pull, Push, Rep, Req, Router, Sub};
use jackstay::{
    Builder, DuplicateIdentity, Endpoint, Identity, Message, OnPeerLoss, Reconnect, Socket, Stats,
};

use crate::support::LIMIT;

/// Whose a socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    Ours,
    Theirs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Push,
    Pull,
    Req,
    Rep,
    Dealer,
    Router,
    Pub,
    Sub,
}

/// A socket. What its type cannot do panics.
pub trait Port {
    /// Sends, and fails the test if that is not possible for long: it is stuck.
    fn send(&mut self, message: Message);

    /// The next message, if one comes within `limit`.
    fn recv(&mut self, limit: Duration) -> Option<Message>;

    /// What it counts, if it counts.
    fn stats(&self) -> Option<Stats>;
}

/// The name of each DEALER.
const NAME: &str = "the one";

impl Type {
    pub const ALL: [Self; 8] = [
        Self::Push,
        Self::Pull,
        Self::Req,
        Self::Rep,
        Self::Dealer,
        Self::Router,
        Self::Pub,
        Self::Sub,
    ];

    /// Bound to `at`, or connected to it.
    pub fn open(self, whose: Whose, binds: bool, at: &Endpoint) -> Box<dyn Port> {
        match whose {
            Whose::Ours => self.ours(binds, at),
            Whose::Theirs => Box::new(self.theirs(binds, at)),
        }
    }

    fn ours(self, binds: bool, at: &Endpoint) -> Box<dyn Port> {
        fn open<P: Pattern>(
            builder: Builder<P>,
            binds: bool,
            at: &Endpoint,
        ) -> blocking::Socket<P> {
            let first = Duration::from_millis(1);
            let again = Reconnect::default().first(first).max(20 * first);
            let socket = blocking::Socket::from(builder.reconnect(again).build());
            if binds {
                socket.bind(at).expect("a free endpoint");
            } else {
                socket.connect(at).expect("an endpoint");
            }
            socket
        }
        let name = Identity::new(NAME).expect("it is short");
        match self {
            Self::Push => Box::new(open(Socket::<Push>::builder(), binds, at)),
            Self::Pull => Box::new(open(Socket::<Pull>::builder(), binds, at)),
            Self::Req => {
                let req = Socket::<Req>::builder().on_peer_loss(OnPeerLoss::Resend);
                Box::new(Asking(open(req, binds, at), None))
            }
            Self::Rep => Box::new(Answering(open(Socket::<Rep>::builder(), binds, at), None)),
            Self::Dealer => {
                let dealer = Socket::<Dealer>::builder().identity(name);
                Box::new(open(dealer.expect("a name"), binds, at))
            }
            Self::Router => {
                let router = Socket::<Router>::builder();
                let router = router.duplicate_identity(DuplicateIdentity::HandOver);
                Box::new(open(router, binds, at))
            }
            Self::Pub => Box::new(open(Socket::<Pub>::builder().send_hwm(0), binds, at)),
            Self::Sub => {
                let sub = open(Socket::<Sub>::builder().recv_hwm(0), binds, at);
                sub.subscribe("").expect("it is open");
                Box::new(sub)
            }
        }
    }

    fn theirs(self, binds: bool, at: &Endpoint) -> zmq::Socket {
        let socket_type = match self {
            Self::Push => zmq::PUSH,
            Self::Pull => zmq::PULL,
            Self::Req => zmq::REQ,
            Self::Rep => zmq::REP,
            Self::Dealer => zmq::DEALER,
            Self::Router => zmq::ROUTER,
            Self::Pub => zmq::PUB,
            Self::Sub => zmq::SUB,
        };
        let open = || {
            let socket = zmq::Context::new().socket(socket_type)?;
            socket.set_linger(0)?;
            socket.set_sndtimeo(LIMIT.as_millis() as i32)?;
            socket.set_reconnect_ivl(10)?;
            match self {
                Self::Dealer => socket.set_identity(NAME.as_bytes())?,
                Self::Router => socket.set_router_handover(true)?,
                Self::Pub => socket.set_sndhwm(0)?,
                Self::Sub => {
                    socket.set_rcvhwm(0)?;
                    socket.set_subscribe(b"")?;
                }
                Self::Push | Self::Pull | Self::Req | Self::Rep => {}
            }
            if binds {
                socket.bind(&at.to_string())?;
            } else {
                socket.connect(&at.to_string())?;
            }
            Ok(socket)
        };
        open().unwrap_or_else(|error: zmq::Error| panic!("libzmq, {self:?} at {at}: {error}"))
    }
}

impl Port for zmq::Socket {
    fn send(&mut self, message: Message) {
        let sent = self.send_multipart(message.iter(), 0);
        sent.unwrap_or_else(|error| panic!("libzmq is stuck: {error}"));
    }

    fn recv(&mut self, limit: Duration) -> Option<Message> {
        self.set_rcvtimeo(limit.as_millis() as i32)
            .expect("it is open");
        Some(self.recv_multipart(0).ok()?.into_iter().collect())
    }

    fn stats(&self) -> Option<Stats> {
        None
    }
}

/// For those that only send, only receive, or do both by themselves.
macro_rules! port {
    ($($type:ident: $send:expr, $recv:expr;)+) => {$(
        impl Port for blocking::Socket<$type> {
            fn send(&mut self, message: Message) {
                let send: fn(&mut Self, Message) = $send;
                send(self, message);
            }

            fn recv(&mut self, limit: Duration) -> Option<Message> {
                let recv: fn(&mut Self, Duration) -> Option<Message> = $recv;
                recv(self, limit)
            }

            fn stats(&self) -> Option<Stats> {
                Some((**self).stats())
            }
        }
    )+};
}

const STUCK: &str = "it is stuck";

port! {
    Push: |push, message| push.send_timeout(message, LIMIT).expect(STUCK), |_, _| unreachable!();
    Pub: |publisher, message| publisher.send_timeout(message, LIMIT).expect(STUCK), |_, _| unreachable!();
    Pull: |_, _| unreachable!(), |pull, limit| pull.recv_timeout(limit).ok();
    Sub: |_, _| unreachable!(), |sub, limit| sub.recv_timeout(limit).ok();
    Dealer: |dealer, message| dealer.send_timeout(message, LIMIT).expect(STUCK),
        // A time limit costs a timer, which it would wait for.
        |dealer, limit| match limit {
            Duration::ZERO => dealer.try_recv().ok(),
            limit => dealer.recv_timeout(limit).ok(),
        };
    // As with libzmq, the first frame is the name of the peer.
    Router: |router, mut message| {
            let name = message.pop_front().expect("a name");
            let name = Identity::new(name).expect("it is short");
            router.send_to(&name, message).expect("it drops what nobody wants");
        },
        |router, limit| {
            let (name, mut message) = router.recv_from_timeout(limit).ok()?;
            message.push_front(name.as_bytes().to_vec());
            Some(message)
        };
}

/// A REQ, and what it is to ask: it asks and waits in one.
struct Asking(blocking::ReqSocket, Option<Message>);

impl Port for Asking {
    fn send(&mut self, message: Message) {
        self.1 = Some(message);
    }

    fn recv(&mut self, limit: Duration) -> Option<Message> {
        let message = self.1.take().expect("a question");
        self.0.request_timeout(message, limit).ok()
    }

    fn stats(&self) -> Option<Stats> {
        Some(self.0.stats())
    }
}

/// A REP, and the request that it is to answer.
struct Answering(blocking::RepSocket, Option<Request>);

impl Port for Answering {
    fn send(&mut self, message: Message) {
        let request = self.1.take().expect("a question");
        request.reply(message).expect("it is open");
    }

    fn recv(&mut self, limit: Duration) -> Option<Message> {
        let request = self.0.accept_timeout(limit).ok()?;
        let message = request.message().clone();
        self.1 = Some(request);
        Some(message)
    }

    fn stats(&self) -> Option<Stats> {
        Some(self.0.stats())
    }
}
