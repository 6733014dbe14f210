//! A ZAP handler for libzmq, which asks it about peers (RFC 27).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, spawn};

/// A thread that answers libzmq's questions, until this is dropped.
pub struct Handler {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// In milliseconds: how long a stopped handler may go on.
const LOOK: i32 = 10;

impl Handler {
    pub fn start(
        context: &zmq::Context,
        accepts: impl Fn(&str, &[Vec<u8>]) -> bool + Send + 'static,
    ) -> Self {
        let socket = context.socket(zmq::REP).expect("a socket");
        socket.set_rcvtimeo(LOOK).expect("an option");
        socket.set_linger(0).expect("an option");
        socket.bind("inproc://zeromq.zap.01").expect("one handler");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                if let Ok(request) = socket.recv_multipart(0) {
                    answer(&socket, &request, &accepts);
                }
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the handler does not panic");
        }
    }
}

fn answer(socket: &zmq::Socket, request: &[Vec<u8>], accepts: &impl Fn(&str, &[Vec<u8>]) -> bool) {
    let [
        version,
        id,
        _domain,
        _address,
        _identity,
        mechanism,
        credentials @ ..,
    ] = request
    else {
        panic!("{request:?} is no request of ZAP");
    };
    assert_eq!(version, b"1.0");
    let mechanism = std::str::from_utf8(mechanism).expect("a mechanism");
    let status = if accepts(mechanism, credentials) {
        "200"
    } else {
        "400"
    };
    // No user id: with one, a REQ of libzmq takes no reply from that peer.
    let reply = [version.as_slice(), id, status.as_bytes(), b"", b"", b""];
    socket.send_multipart(reply, 0).expect("room");
}
