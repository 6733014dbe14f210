//! The healthy peer: sends a message, waits for it to come back, and loses none.

use std::time::{Duration, Instant};

use jackstay::{DealerSocket, Identity, Message, XSubSocket};
use tokio::time::timeout;

use crate::Outcome;
use crate::victim::Victim;

/// The name of the healthy peer, and what its messages begin with.
pub const NAME: &str = "healthy";

/// Longer than a round trip may ever take.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Healthy {
    socket: Socket,
    sent: u64,
}

enum Socket {
    Dealer(DealerSocket),
    XSub(XSubSocket),
}

impl Healthy {
    pub async fn connect(victim: Victim, at: &str) -> Outcome<Self> {
        let socket = match victim {
            Victim::Publisher => {
                let socket = XSubSocket::new();
                socket.subscribe(NAME)?;
                socket.connect(at)?;
                socket.wait_for_peers(1).await?;
                Socket::XSub(socket)
            }
            _ => {
                let mut builder = DealerSocket::builder().identity(Identity::try_from(NAME)?)?;
                if let Some(security) = victim.healthy() {
                    builder = builder.security(security);
                }
                let socket = builder.build();
                socket.connect(at)?;
                socket.wait_for_peers(1).await?;
                Socket::Dealer(socket)
            }
        };
        let mut healthy = Self { socket, sent: 0 };
        // Not counted: the first ones find everything cold.
        healthy.round_trips(Duration::from_millis(300)).await?;
        Ok(healthy)
    }

    /// Makes round trips for `duration`; returns the time within which 99 of 100 are over.
    ///
    /// That is taken of each tenth of a second, and the median of those returned: what else happens on the machine comes
    /// in bursts, an attack does not cease.
    pub async fn round_trips(&mut self, duration: Duration) -> Outcome<Duration> {
        let end = Instant::now() + duration;
        let mut slices = Vec::new();
        while Instant::now() < end {
            slices.push(self.slice().await?);
        }
        Ok(nth(&mut slices, 50))
    }

    /// The time within which 99 of 100 round trips are over, of those in a tenth of a second.
    async fn slice(&mut self) -> Outcome<Duration> {
        let mut times = Vec::new();
        let first = Instant::now();
        let mut begin = first;
        while begin - first < Duration::from_millis(100) {
            timeout(PATIENCE, self.round_trip())
                .await
                .map_err(|_| "a message of the healthy peer was lost")??;
            let end = Instant::now();
            times.push(end - begin);
            begin = end;
        }
        Ok(nth(&mut times, 99))
    }

    async fn round_trip(&mut self) -> Outcome<()> {
        let message: Message = format!("{NAME} {:024}", self.sent).into();
        self.sent += 1;
        let back = match &mut self.socket {
            Socket::Dealer(socket) => {
                socket.send(message.clone()).await?;
                socket.recv().await?
            }
            Socket::XSub(socket) => {
                // Until its subscription has arrived, nothing comes back.
                loop {
                    socket.send(message.clone()).await?;
                    if let Ok(back) = timeout(RESEND, socket.recv()).await {
                        break back?;
                    }
                    if self.sent > 1 {
                        return Err("a message of the healthy peer was lost".into());
                    }
                }
            }
        };
        if back != message {
            return Err(format!("{message:?} came back as {back:?}").into());
        }
        Ok(())
    }
}

/// The time that so many of a hundred do not exceed.
fn nth(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let at = times.len().saturating_sub(1) * percent / 100;
    times.get(at).copied().unwrap_or_default()
}

/// When a first message to a publisher is taken for one that came before the subscription.
const RESEND: Duration = Duration::from_secs(5);
