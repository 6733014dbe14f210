//! The process under attack: a socket that sends back what it is sent, and tells how its connections ended.

use std::collections::BTreeMap;
use std::future::pending;
use std::time::Duration;

use jackstay::security::{
    Candidate, Credentials, Password, Principal, Security, UserList, from_fn,
};
use jackstay::{EventKind, Monitor, RouterSocket, Subscription, XPubSocket};

use crate::Outcome;
use crate::process::told;

/// What is attacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// A ROUTER under NULL.
    Router,
    /// The same in a process that may have 64 files open.
    FewFiles,
    /// An XPUB.
    Publisher,
    /// A ROUTER under PLAIN.
    Plain,
    /// A ROUTER under PLAIN whose authenticator never decides about anybody but the healthy peer.
    Pondering,
    /// A ROUTER under CURVE.
    #[cfg(feature = "curve")]
    Curve,
}

/// Shorter than the default, so that its end is seen within a measurement.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(1);
const USER: &str = "joe";
const PASSWORD: &str = "secret";

impl Victim {
    /// How many files its process may have open.
    pub fn files(self) -> Option<usize> {
        (self == Self::FewFiles).then_some(64)
    }

    fn security(self) -> Outcome<Option<Security>> {
        Ok(match self {
            Self::Router | Self::FewFiles | Self::Publisher => None,
            Self::Plain => {
                let users = UserList::new();
                users.insert(USER, Password::new(PASSWORD)?);
                Some(Security::plain_server(users))
            }
            Self::Pondering => {
                Some(Security::plain_server(from_fn(
                    async |peer: Candidate| match peer.credentials {
                        Credentials::Plain { user, .. } if user == USER => Ok(Principal::new(USER)),
                        _ => pending().await,
                    },
                )))
            }
            #[cfg(feature = "curve")]
            Self::Curve => {
                use jackstay::security::AnyClient;
                Some(Security::curve_server(curve::server(), AnyClient))
            }
        })
    }

    /// What the healthy peer shows of itself.
    pub fn healthy(self) -> Option<Security> {
        match self {
            Self::Router | Self::FewFiles | Self::Publisher => None,
            Self::Plain | Self::Pondering => Security::plain_client(USER, PASSWORD).ok(),
            #[cfg(feature = "curve")]
            Self::Curve => {
                use jackstay::security::KeyPair;
                let own = KeyPair::generate().ok()?;
                Some(Security::curve_client(*curve::server().public_key(), own))
            }
        }
    }
}

#[cfg(feature = "curve")]
mod curve {
    use jackstay::security::{KeyPair, SecretKey};

    /// Known to all processes of this measurement, and good for nothing else.
    pub fn server() -> KeyPair {
        SecretKey::from_bytes(&[7; 32]).into()
    }
}

/// The default, which holds for addresses of other machines.
const PER_ADDRESS: usize = 64;

/// Is attacked until its input ends.
pub async fn run(victim: Victim) -> Outcome<()> {
    let anywhere = "tcp://127.0.0.1:0";
    let events = if victim == Victim::Publisher {
        let socket = XPubSocket::builder()
            .handshake_timeout(HANDSHAKE_TIMEOUT)
            .max_pending_handshakes_per_address(PER_ADDRESS)
            .build();
        println!("{}", socket.bind(anywhere).await?);
        let events = socket.monitor();
        tokio::spawn(async move {
            while let Ok(heard) = socket.recv_subscription().await {
                if let Subscription::Message(_, message) = heard {
                    let _ = socket.send(message).await;
                }
            }
        });
        events
    } else {
        let mut builder = RouterSocket::builder()
            .handshake_timeout(HANDSHAKE_TIMEOUT)
            .max_pending_handshakes_per_address(PER_ADDRESS);
        if let Some(security) = victim.security()? {
            builder = builder.security(security);
        }
        let socket = builder.build();
        println!("{}", socket.bind(anywhere).await?);
        let events = socket.monitor();
        tokio::spawn(async move {
            while let Ok((from, message)) = socket.recv_from().await {
                let _ = socket.send_to(&from, message).await;
            }
        });
        events
    };
    answer(events).await
}

/// Counts how connections end, and answers questions.
async fn answer(mut events: Monitor) -> Outcome<()> {
    let mut questions = told();
    let mut causes = BTreeMap::<String, usize>::new();
    let mut before = 0.0;
    loop {
        let question = tokio::select! {
            event = events.recv() => {
                let cause = event.and_then(|event| cause(&event.kind));
                cause.into_iter().for_each(|cause| *causes.entry(cause).or_default() += 1);
                continue;
            }
            question = questions.recv() => question,
        };
        match question.as_deref() {
            Some("begin") => {
                // So that the peak is one of the attack.
                std::fs::write("/proc/self/clear_refs", "5")?;
                before = mebibytes("VmRSS:")?;
                causes.clear();
                println!("ready");
            }
            Some("memory") => println!("{}", mebibytes("VmHWM:")? - before),
            Some(_) => {
                causes
                    .iter()
                    .for_each(|(cause, count)| println!("{count} {cause}"));
                println!(".");
            }
            None => return Ok(()),
        }
    }
}

/// Why a connection ended, if that is what happened.
fn cause(kind: &EventKind) -> Option<String> {
    match kind {
        EventKind::TurnedAway(reason) => Some(reason.to_string()),
        EventKind::HandshakeFailed(error) => Some(error.to_string()),
        EventKind::Disconnected(cause) => Some(cause.to_string()),
        EventKind::Refused(reason) => Some((*reason).to_owned()),
        EventKind::AcceptFailed(error) => Some(format!("not accepted: {error}")),
        _ => None,
    }
}

/// A figure of this process's memory.
fn mebibytes(name: &str) -> Outcome<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .ok_or("no such figure")?;
    Ok(kib.parse::<f64>()? / 1024.0)
}
