//! A relay between a connecting and a bound peer, which remembers what passes and can stop passing it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use jackstay::Endpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Passes octets on between whoever connects and `to`, until it is dropped or told to [`freeze`](Self::freeze).
pub struct Relay {
    /// Where to connect.
    pub at: Endpoint,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    frozen: AtomicBool,
    from_connecting: Mutex<Vec<u8>>,
    from_bound: Mutex<Vec<u8>>,
}

impl Relay {
    pub async fn new(to: &Endpoint) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let at = listener.local_addr().expect("an address").into();
        let target = ("127.0.0.1", to.port().expect("tcp"));
        let shared = Arc::<Shared>::default();
        let mut tasks = JoinSet::new();
        let copies = shared.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(target).await else {
                    continue;
                };
                let (near_read, near_write) = near.into_split();
                let (far_read, far_write) = far.into_split();
                let (up, down) = (copies.clone(), copies.clone());
                connections.spawn(async move {
                    tokio::join!(
                        copy(near_read, far_write, &up, |shared| &shared.from_connecting),
                        copy(far_read, near_write, &down, |shared| &shared.from_bound),
                    );
                });
            }
        });
        Self {
            at,
            shared,
            _tasks: tasks,
        }
    }

    /// From now on octets are swallowed, and the connections stay open: both peers see a silent one.
    pub fn freeze(&self) {
        self.shared.frozen.store(true, Ordering::Release);
    }

    /// How often `octets` came from the connecting side.
    pub fn up(&self, octets: &[u8]) -> usize {
        count(&self.shared.from_connecting, octets)
    }

    /// How often `octets` came from the bound side.
    pub fn down(&self, octets: &[u8]) -> usize {
        count(&self.shared.from_bound, octets)
    }
}

async fn copy(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    shared: &Shared,
    log: fn(&Shared) -> &Mutex<Vec<u8>>,
) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        log(shared).lock().expect("no panic").extend(&buffer[..n]);
        if !shared.frozen.load(Ordering::Acquire) && to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

fn count(log: &Mutex<Vec<u8>>, octets: &[u8]) -> usize {
    log.lock()
        .expect("no panic")
        .windows(octets.len())
        .filter(|window| *window == octets)
        .count()
}
