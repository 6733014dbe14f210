//! A libzmq socket whose calls are made on threads that may block.

use std::cell::OnceCell;
use std::time::Duration;

use jackstay::pattern::Pattern;
use jackstay::{Builder, Endpoint, Socket};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::secured::Secured;
use crate::support::{Transport, within};
use crate::zap::Handler;

/// A socket of libzmq, with a context of its own. No call of it blocks for longer than [`TIMEOUT`].
pub struct Theirs {
    /// `None` only while a call of it runs.
    socket: Option<zmq::Socket>,
    context: zmq::Context,
    /// The file of an ipc endpoint, which libzmq leaves behind.
    file: OnceCell<String>,
    /// Decides about its peers.
    handler: Option<Handler>,
}

/// A message of libzmq.
pub type Frames = Vec<Vec<u8>>;

/// In milliseconds: nothing hangs for longer.
const TIMEOUT: i32 = 10_000;

impl Theirs {
    pub fn new(socket_type: zmq::SocketType) -> Self {
        let context = zmq::Context::new();
        let socket = context.socket(socket_type).expect("a socket");
        socket.set_rcvtimeo(TIMEOUT).expect("an option");
        socket.set_sndtimeo(TIMEOUT).expect("an option");
        socket.set_linger(0).expect("an option");
        Self {
            socket: Some(socket),
            context,
            file: OnceCell::new(),
            handler: None,
        }
    }

    /// Answers its questions about peers by ZAP: `accepts` is given the mechanism and the credentials.
    pub fn deciding(mut self, accepts: impl Fn(&str, &[Vec<u8>]) -> bool + Send + 'static) -> Self {
        self.handler = Some(Handler::start(&self.context, accepts));
        self
    }

    /// Sets options, and does what does not block.
    pub fn with(self, set: impl FnOnce(&zmq::Socket) -> zmq::Result<()>) -> Self {
        set(self.socket()).expect("libzmq does it");
        self
    }

    pub fn socket(&self) -> &zmq::Socket {
        self.socket.as_ref().expect("no call of it runs")
    }

    pub fn context(&self) -> &zmq::Context {
        &self.context
    }

    /// Binds and returns the real endpoint.
    pub fn bind(&self, endpoint: &str) -> Endpoint {
        self.socket().bind(endpoint).expect("a free endpoint");
        let real = self
            .socket()
            .get_last_endpoint()
            .expect("it is bound")
            .expect("text");
        if let Some(path) = real.strip_prefix("ipc://") {
            self.file.set(path.to_owned()).expect("one ipc endpoint");
        }
        real.parse().expect("an endpoint")
    }

    pub fn connect(&self, endpoint: &Endpoint) {
        self.socket()
            .connect(&endpoint.to_string())
            .expect("an endpoint");
    }

    /// Does what may block.
    pub async fn run<T: Send + 'static>(
        &mut self,
        call: impl FnOnce(&zmq::Socket) -> T + Send + 'static,
    ) -> T {
        let socket = self.socket.take().expect("one call at a time");
        let done = spawn_blocking(move || {
            let value = call(&socket);
            (socket, value)
        });
        let (socket, value) = within(done).await.expect("the call does not panic");
        self.socket = Some(socket);
        value
    }

    /// Waits for something that libzmq has to do: it attends to connections only while its socket is called.
    pub async fn attend<T>(&self, until: impl Future<Output = T>) -> T {
        let attended = async {
            loop {
                self.socket().get_events().expect("it is open");
                sleep(Duration::from_millis(1)).await;
            }
        };
        within(async {
            tokio::select! {
                value = until => value,
                () = attended => unreachable!("it has no end"),
            }
        })
        .await
    }

    pub async fn send(&mut self, frames: &[&[u8]]) {
        let frames: Frames = frames.iter().map(|frame| frame.to_vec()).collect();
        self.run(move |socket| {
            socket
                .send_multipart(frames, 0)
                .expect("room within the timeout")
        })
        .await;
    }

    pub async fn recv(&mut self) -> Frames {
        self.run(|socket| {
            socket
                .recv_multipart(0)
                .expect("a message within the timeout")
        })
        .await
    }

    /// Sends `n` messages that say their numbers.
    pub async fn send_numbered(&mut self, n: usize) {
        self.run(move |socket| {
            for n in 0..n {
                socket
                    .send_multipart([b"part", n.to_string().as_bytes()], 0)
                    .expect("room");
            }
        })
        .await;
    }

    /// Receives `n` messages, which have to say their numbers in order.
    pub async fn recv_numbered(&mut self, n: usize) {
        self.run(move |socket| {
            for n in 0..n {
                let frames = socket.recv_multipart(0).expect("a message");
                assert_eq!(frames, [b"part".to_vec(), n.to_string().into_bytes()]);
            }
        })
        .await;
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        if let Some(path) = self.file.get() {
            // In a test that fails, somebody else may have removed it.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Over what, and who binds.
#[derive(Clone, Copy)]
pub struct Link {
    pub over: Transport,
    pub ours_binds: bool,
    pub secured: Secured,
}

impl Link {
    /// Ours, with the mechanism of the link.
    pub fn ours<P: Pattern>(self, builder: Builder<P>) -> Socket<P> {
        builder.security(self.secured.ours()).build()
    }

    /// Theirs, with the mechanism of the link.
    pub fn theirs(self, socket_type: zmq::SocketType) -> Theirs {
        self.secured.theirs(Theirs::new(socket_type))
    }

    /// Connects the two, and waits until ours knows theirs.
    pub async fn join<P: Pattern>(self, ours: &Socket<P>, theirs: &Theirs) {
        if self.ours_binds {
            let at = ours.bind(self.over.any()).await.expect("a free endpoint");
            theirs.connect(&at);
        } else {
            // Not at a place of libzmq's choice: for ipc that is in the working directory.
            let at = theirs.bind(&self.over.fixed().to_string());
            ours.connect(at).expect("an endpoint");
        }
        within(ours.wait_for_peers(1)).await.unwrap();
    }
}

/// The usual one, where nothing depends on it.
pub const TCP: Link = Link {
    over: Transport::Tcp,
    ours_binds: true,
    secured: Secured::Null,
};
