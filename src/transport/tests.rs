//! One suite for every transport; what only one of them does is tested beside it.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::task::{coop::unconstrained, spawn, spawn_blocking};

use super::*;

/// Runs each test on each transport.
macro_rules! suite {
    ($($transport:ident),*: $tests:tt) => {
        $(suite!(@ $transport $tests);)*
    };
    (@ $transport:ident ($($test:ident),*)) => {
        mod $transport {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    // None: this machine does not have it.
                    if let Some(pair) = super::pairs::$transport().await {
                        let test = super::$test(pair);
                        tokio::time::timeout(super::PATIENCE, test).await.expect("hangs");
                    }
                }
            )*
        }
    };
}

suite!(tcp_v4, tcp_v6, ipc_path, ipc_abstract, adopted: (
    octets_come_back,
    reads_of_every_size_meet_writes_of_every_size,
    a_side_that_said_its_last_still_reads,
    many_slices_go_out_in_order,
    a_reader_that_waits_holds_the_writer,
    any_thread_may_write_while_a_task_polls,
    a_full_stream_wakes_its_writer,
    a_peer_that_goes_is_noticed,
    the_peer_has_an_address
));

/// Two ends of one connection.
struct Pair {
    left: Arc<Stream>,
    right: Arc<Stream>,
    /// What holds the place where they met.
    at: Option<(Listener, Scratch)>,
}

mod pairs {
    use super::*;

    pub(super) async fn tcp_v4() -> Option<Pair> {
        over("tcp://127.0.0.1:0".into(), Scratch::new()).await
    }

    pub(super) async fn tcp_v6() -> Option<Pair> {
        over("tcp://[::1]:0".into(), Scratch::new()).await
    }

    pub(super) async fn ipc_path() -> Option<Pair> {
        let scratch = Scratch::new();
        over(format!("ipc://{}/s", scratch.0.display()), scratch).await
    }

    pub(super) async fn ipc_abstract() -> Option<Pair> {
        let scratch = Scratch::new();
        over(format!("ipc://@{}", scratch.0.display()), scratch).await
    }

    pub(super) async fn adopted() -> Option<Pair> {
        let (left, right) = tokio::io::duplex(64 << 10);
        Some(Pair {
            left: Arc::new(Stream::adopted(left)),
            right: Arc::new(Stream::adopted(right)),
            at: None,
        })
    }

    async fn over(endpoint: String, scratch: Scratch) -> Option<Pair> {
        let listener = match listen(&endpoint.parse().unwrap(), &listening()).await {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported
                ) =>
            {
                return None;
            }
            outcome => outcome.unwrap(),
        };
        let at = listener.endpoint().unwrap();
        let options = connecting();
        let (left, right) = tokio::join!(connect(&at, &options), listener.accept());
        Some(Pair {
            left: Arc::new(left.unwrap()),
            right: Arc::new(right.unwrap()),
            at: Some((listener, scratch)),
        })
    }
}

async fn octets_come_back(Pair { left, right, .. }: Pair) {
    let echo = spawn(async move {
        let mut octets = BytesMut::new();
        while read(&right, &mut octets, 1024).await.unwrap() > 0 {
            write_all(&right, &octets.split()).await.unwrap();
        }
    });
    let mut back = BytesMut::new();
    for round in 0..200 {
        let sent = pattern(round * 7, 1 + usize::try_from(round).unwrap() * 13);
        write_all(&left, &sent).await.unwrap();
        while back.len() < sent.len() {
            assert_ne!(read(&left, &mut back, 300).await.unwrap(), 0);
        }
        assert_eq!(back.split(), sent);
    }
    poll_fn(|cx| left.poll_shutdown(cx)).await.unwrap();
    echo.await.unwrap();
    assert_eq!(read(&left, &mut back, 1).await.unwrap(), 0);
}

/// A read that fills its buffer exactly, one that leaves room and one that leaves octets behind: all go on afterwards.
async fn reads_of_every_size_meet_writes_of_every_size(Pair { left, right, .. }: Pair) {
    for written in [1, 2, 63, 64, 65, 4096] {
        for room in [1, 2, 63, 64, 65, 4096] {
            let sent = pattern(0, written);
            write_all(&left, &sent).await.unwrap();
            let mut got = BytesMut::new();
            while got.len() < written {
                let mut part = BytesMut::with_capacity(room);
                assert_ne!(read(&right, &mut part, 0).await.unwrap(), 0);
                got.extend_from_slice(&part);
            }
            assert_eq!(got, sent, "{written} octets in reads of {room}");
        }
    }
}

async fn a_side_that_said_its_last_still_reads(Pair { left, right, .. }: Pair) {
    write_all(&left, b"last words").await.unwrap();
    poll_fn(|cx| left.poll_shutdown(cx)).await.unwrap();
    assert!(write_all(&left, b"more").await.is_err());
    assert_eq!(read_to_end(&right).await.unwrap(), "last words");

    write_all(&right, b"heard").await.unwrap();
    poll_fn(|cx| right.poll_shutdown(cx)).await.unwrap();
    assert_eq!(read_to_end(&left).await.unwrap(), "heard");
    // Both directions are down: saying so again is no error.
    poll_fn(|cx| left.poll_shutdown(cx)).await.unwrap();
}

async fn many_slices_go_out_in_order(Pair { left, right, .. }: Pair) {
    // More than one system call takes, of all lengths, among them empty ones.
    let parts: Vec<_> = (0..5_000)
        .map(|n| pattern(n, usize::try_from(n % 700).unwrap()))
        .collect();
    let whole = parts.concat();
    let reader = spawn(async move { read_to_end(&right).await });
    let mut slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut rest = slices.as_mut_slice();
    IoSlice::advance_slices(&mut rest, 0);
    let mut writes = 0;
    while !rest.is_empty() {
        let written = poll_fn(|cx| left.poll_write(cx, rest)).await.unwrap();
        assert_ne!(written, 0);
        IoSlice::advance_slices(&mut rest, written);
        writes += 1;
    }
    assert!(writes > 1);
    poll_fn(|cx| left.poll_flush(cx)).await.unwrap();
    poll_fn(|cx| left.poll_shutdown(cx)).await.unwrap();
    assert!(reader.await.unwrap().unwrap() == whole);
}

async fn a_reader_that_waits_holds_the_writer(Pair { left, right, .. }: Pair) {
    const WHOLE: usize = 8 << 20;
    let held = fill(&left, 0).await;
    let reader = spawn(async move { read_to_end(&right).await });
    let mut at = held;
    while at < WHOLE {
        let chunk = pattern(u32::try_from(at).unwrap(), (100 << 10).min(WHOLE - at));
        write_all(&left, &chunk).await.unwrap();
        at += chunk.len();
    }
    poll_fn(|cx| left.poll_shutdown(cx)).await.unwrap();
    assert!(reader.await.unwrap().unwrap() == pattern(0, at));
}

async fn any_thread_may_write_while_a_task_polls(Pair { left, right, .. }: Pair) {
    let polling = spawn({
        let left = left.clone();
        async move { read_to_end(&left).await }
    });
    // From here on the runtime knows that the stream is writable.
    write_all(&left, b"polled ").await.unwrap();
    let direct = spawn_blocking({
        let left = left.clone();
        move || left.try_write(&[IoSlice::new(b"di"), IoSlice::new(b"rect")])
    });
    match direct.await.unwrap() {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            assert_eq!(left.peer_address(), PeerAddress::Adopted);
            write_all(&left, b"direct").await.unwrap();
        }
        outcome => assert_eq!(outcome.unwrap(), 6),
    }
    let mut heard = BytesMut::new();
    while heard.len() < 13 {
        assert_ne!(read(&right, &mut heard, 64).await.unwrap(), 0);
    }
    assert_eq!(heard, "polled direct");
    write_all(&right, &heard).await.unwrap();
    poll_fn(|cx| right.poll_shutdown(cx)).await.unwrap();
    assert_eq!(polling.await.unwrap().unwrap(), "polled direct");
}

async fn a_full_stream_wakes_its_writer(Pair { left, right, .. }: Pair) {
    let held = fill(&left, 0).await;
    let full = left.try_write(&[IoSlice::new(b"x")]).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    let writer = spawn(async move {
        write_all(&left, b"the end").await?;
        poll_fn(|cx| left.poll_shutdown(cx)).await
    });
    let got = read_to_end(&right).await.unwrap();
    writer.await.unwrap().unwrap();
    let mut whole = pattern(0, held);
    whole.extend_from_slice(b"the end");
    assert!(got == whole);
}

async fn a_peer_that_goes_is_noticed(Pair { left, right, .. }: Pair) {
    let waiting = spawn({
        let left = left.clone();
        async move { read_to_end(&left).await }
    });
    drop(right);
    // An end or an error, as the transport can tell; but not silence.
    if let Ok(octets) = waiting.await.unwrap() {
        assert_eq!(octets, "");
    }
    let chunk = pattern(0, 1024);
    let error = loop {
        if let Err(error) = write_all(&left, &chunk).await {
            break error;
        }
    };
    assert!(matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    ));
}

async fn the_peer_has_an_address(Pair { left, right, at }: Pair) {
    for stream in [&left, &right] {
        let text = stream.peer_address().to_string();
        match stream.peer_address() {
            PeerAddress::Tcp(address) => {
                assert!(address.ip().is_loopback());
                assert_eq!(text, format!("tcp://{address}"));
            }
            PeerAddress::Ipc { pid, uid } => {
                assert_eq!(pid, i32::try_from(std::process::id()).ok());
                assert_eq!(
                    text,
                    format!("ipc pid {} uid {}", pid.unwrap(), uid.unwrap())
                );
            }
            PeerAddress::Adopted => assert_eq!(text, "an adopted stream"),
            PeerAddress::Inproc => unreachable!(),
        }
    }
    if let (PeerAddress::Tcp(address), Some((listener, _))) = (left.peer_address(), at) {
        assert_eq!(listener.endpoint().unwrap(), address.into());
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_dropped_accept_takes_nobody() {
    let scratch = Scratch::new();
    for endpoint in [
        "tcp://127.0.0.1:0".into(),
        format!("ipc://{}/s", scratch.0.display()),
    ] {
        let listener = listen(&endpoint.parse().unwrap(), &listening())
            .await
            .unwrap();
        {
            let mut accept = std::pin::pin!(listener.accept());
            let first = poll_fn(|cx| Poll::Ready(accept.as_mut().poll(cx))).await;
            assert!(first.is_pending());
        }
        let stream = connect(&listener.endpoint().unwrap(), &connecting())
            .await
            .unwrap();
        let accepted = listener.accept().await.unwrap();
        write_all(&stream, b"here").await.unwrap();
        drop(stream);
        assert_eq!(read_to_end(&accepted).await.unwrap(), "here");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn listeners_are_adopted() {
    let scratch = Scratch::new();
    let path = scratch.0.join("s");
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let at = Endpoint::from(tcp.local_addr().unwrap());
    let tcp = Listener::try_from(tcp).unwrap();
    assert_eq!(tcp.endpoint().unwrap(), at);
    let unix = Listener::try_from(unix).unwrap();
    assert_eq!(
        unix.endpoint().unwrap().to_string(),
        format!("ipc://{}", path.display())
    );
    for listener in [&tcp, &unix] {
        let endpoint = listener.endpoint().unwrap();
        let options = connecting();
        let (stream, accepted) = tokio::join!(connect(&endpoint, &options), listener.accept());
        write_all(&accepted.unwrap(), b"welcome").await.unwrap();
        assert_eq!(read_to_end(&stream.unwrap()).await.unwrap(), "welcome");
    }
    drop(unix);
    assert!(path.exists(), "the file is its owner's");
}

#[test]
fn without_a_runtime_nothing_is_adopted() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(Listener::try_from(listener).is_err());
}

#[tokio::test]
async fn endpoints_are_refused_where_they_mean_nothing() {
    for text in ["tcp://*:1", "tcp://127.0.0.1:0", "ipc://*"] {
        let error = connect(&text.parse().unwrap(), &connecting())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("can only be bound"));
    }
    let source = "tcp://127.0.0.1:0;127.0.0.1:1".parse().unwrap();
    let error = listen(&source, &listening()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let inproc = "inproc://x".parse().unwrap();
    let error = listen(&inproc, &listening()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    let error = connect(&inproc, &connecting()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
}

#[test]
fn accept_errors_that_pass_are_told_from_those_that_stay() {
    let told = |code| accept_error_is_temporary(&io::Error::from_raw_os_error(code));
    // Linux: EINTR, EAGAIN, ENOMEM, ENFILE, EMFILE, EPROTO, ECONNABORTED, ENOBUFS, EHOSTUNREACH.
    if cfg!(target_os = "linux") {
        assert!([4, 11, 12, 23, 24, 71, 103, 105, 113].into_iter().all(told));
        // EBADF, EFAULT, EINVAL, ENOTSOCK, EOPNOTSUPP.
        assert!(![9, 14, 22, 88, 95].into_iter().any(told));
    }
    assert!(accept_error_is_temporary(
        &io::ErrorKind::ConnectionAborted.into()
    ));
    assert!(!accept_error_is_temporary(&io::Error::other(
        "the runtime is gone"
    )));
}

pub(super) fn connecting() -> ConnectOptions {
    ConnectOptions {
        tcp: TcpOptions::new(),
        timeout: Some(PATIENCE),
    }
}

pub(super) fn listening() -> ListenOptions {
    ListenOptions {
        tcp: TcpOptions::new(),
        ipv6: false,
        backlog: 16,
    }
}

pub(super) async fn write_all(stream: &Stream, mut octets: &[u8]) -> io::Result<()> {
    while !octets.is_empty() {
        let written = poll_fn(|cx| stream.poll_write(cx, &[IoSlice::new(octets)])).await?;
        octets.advance(written);
    }
    poll_fn(|cx| stream.poll_flush(cx)).await
}

pub(super) async fn read_to_end(stream: &Stream) -> io::Result<BytesMut> {
    let mut octets = BytesMut::new();
    while read(stream, &mut octets, 16 << 10).await? > 0 {}
    Ok(octets)
}

async fn read(stream: &Stream, octets: &mut BytesMut, room: usize) -> io::Result<usize> {
    octets.reserve(room);
    poll_fn(|cx| stream.poll_read(cx, octets, usize::MAX)).await
}

/// Writes the pattern from `at` until nothing more fits, and returns how much did.
async fn fill(stream: &Stream, at: u32) -> usize {
    let mut filled = 0;
    // Pending has to mean that the stream is full, not that the task has used up its turn.
    unconstrained(async {
        loop {
            let chunk = pattern(at + u32::try_from(filled).unwrap(), 64 << 10);
            let polled =
                poll_fn(|cx| Poll::Ready(stream.poll_write(cx, &[IoSlice::new(&chunk)]))).await;
            match polled {
                Poll::Ready(written) => filled += written.unwrap(),
                Poll::Pending if filled > 0 => break,
                // The runtime has not looked at it yet.
                Poll::Pending => tokio::task::yield_now().await,
            }
            assert!(filled < 64 << 20, "nothing holds the writer back");
        }
    })
    .await;
    filled
}

/// Octets that tell where they are.
fn pattern(at: u32, length: usize) -> BytesMut {
    (at..)
        .take(length)
        .map(|n| (n % 251).to_le_bytes()[0])
        .collect()
}

/// A directory of its own for each test.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        use std::hash::{BuildHasher, Hasher, RandomState};
        let random = RandomState::new().build_hasher().finish();
        let path = std::env::temp_dir().join(format!("jackstay-test-{random:016x}"));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Far more than any of the tests takes.
const PATIENCE: Duration = Duration::from_secs(30);
