//! The attacks, each a declaration, and the one way in which all are carried out.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[cfg(feature = "curve")]
use jackstay::DealerSocket;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Outcome;
use crate::healthy::NAME;
use crate::process::told;
use crate::raw::{GREETING, command, frame, greeting, ready, ready_with};
use crate::victim::Victim;

/// What hostile peers do.
pub struct Attack {
    pub name: &'static str,
    pub victim: Victim,
    /// How many connections it has at a time; one that ends is made anew. With none, it takes a processor and no more.
    connections: usize,
    /// What is said at once.
    first: Vec<u8>,
    /// What is said then, until the connection ends.
    again: Vec<u8>,
    /// How long it waits before it says that again, and before it connects anew.
    pause: Duration,
    manner: Manner,
    must: Must,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Reads what it is sent.
    Reads,
    /// Does not.
    Deaf,
    /// Goes as soon as it has said what it says first.
    Leaves,
    /// Says the same HELLO each time, one that is right, and goes when it is welcomed.
    #[cfg(feature = "curve")]
    IsWelcomed,
    /// Passes on what a peer says that may be here, but changes a bit of its first message.
    #[cfg(feature = "curve")]
    Flips,
    /// The same, but passes the message on twice.
    #[cfg(feature = "curve")]
    Repeats,
}

impl Manner {
    /// Whether it waits for the victim to close the connection.
    fn stays(self) -> bool {
        match self {
            Self::Reads | Self::Deaf => true,
            Self::Leaves => false,
            #[cfg(feature = "curve")]
            Self::IsWelcomed => false,
            #[cfg(feature = "curve")]
            Self::Flips | Self::Repeats => true,
        }
    }
}

/// What has to become of its connections.
enum Must {
    /// They are closed for one of these causes.
    End(&'static [&'static str]),
    /// They stay, and are held back.
    Stay,
}

const AWAY: &str = "turned a connection away";
const NOW: Duration = Duration::ZERO;

pub fn attacks() -> Vec<Attack> {
    use Manner::{Deaf, Leaves, Reads};
    use Must::{End, Stay};
    use Victim::{FewFiles, Plain, Pondering, Publisher, Router};

    let met = |octets: &[u8]| [&GREETING[..], &ready("DEALER"), octets].concat();
    let subscriber = |octets: &[u8]| [&GREETING[..], &ready("SUB"), octets].concat();
    let huge = |flags: u8, size: u64| [&[flags][..], &size.to_be_bytes()].concat();
    let declare = |name, victim, connections, first, again, pause, manner, must| Attack {
        name,
        victim,
        connections,
        first,
        again,
        pause,
        manner,
        must,
    };
    let millis = Duration::from_millis;
    let plain = |hello: &[u8]| [&greeting(3, 1, b"PLAIN")[..], &command("HELLO", hello)].concat();
    let all_of_a_crowd = End(&["not over in time", AWAY]);
    #[rustfmt::skip]
    let attacks = vec![
        declare("none: a process that only computes", Router, 0, vec![], vec![], NOW, Reads, Stay),
        declare("silent handshakes", Router, 1_000, vec![], vec![], millis(250), Reads, all_of_a_crowd),
        declare("dripping handshakes", Router, 1_000, GREETING[..16].to_vec(), vec![0], millis(50), Reads, End(&["not over in time", AWAY])),
        declare("connections that come and go", Router, 8, vec![], vec![], NOW, Leaves, End(&["within the handshake"])),
        declare("connections that come and stay, 64 files", FewFiles, 100, met(b""), vec![], millis(10), Reads, End(&[AWAY])),
        declare("another protocol", Router, 8, b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![], NOW, Reads, End(&["does not speak ZMTP"])),
        declare("version 2", Router, 8, greeting(2, 0, b"NULL").to_vec(), vec![], NOW, Reads, End(&["speaks ZMTP 2.0"])),
        declare("another mechanism", Plain, 8, met(b""), vec![], NOW, Reads, End(&["configure both alike"])),
        declare("a metadata bomb", Router, 8, [&GREETING[..], &bomb()].concat(), vec![], NOW, Reads, End(&["more than 32 properties"])),
        declare("a size of 2^63", Router, 8, met(&huge(2, 1 << 63)), vec![], NOW, Reads, End(&["more than can exist"])),
        declare("64 MiB announced, nothing sent", Router, 60, met(&huge(2, 64 << 20)), vec![], NOW, Reads, Stay),
        declare("frames without end", Router, 1, met(b""), [1, 0].repeat(4_096), NOW, Reads, End(&["more than 4096 frames"])),
        declare("a message without end", Router, 1, met(b""), frame(1, &[7; 65_000]), NOW, Reads, End(&["exceeds the limit"])),
        declare("messages without end, replies unread", Router, 1, met(b""), frame(0, &[7; 1_000]).repeat(64), NOW, Deaf, Stay),
        declare("PING without end", Router, 1, met(b""), command("PING", b"\0\0").repeat(100), NOW, Reads, End(&["control commands"])),
        declare("the name of another", Router, 8, [&GREETING[..], &ready_with(&[("Socket-Type", b"DEALER"), ("Identity", NAME.as_bytes())])].concat(), vec![], NOW, Reads, End(&["is taken"])),
        declare("a name that is reserved", Router, 8, [&GREETING[..], &ready_with(&[("Socket-Type", b"DEALER"), ("Identity", b"\0abcd")])].concat(), vec![], NOW, Reads, End(&["reserved"])),
        declare("a million subscriptions", Publisher, 1, subscriber(&million()), vec![], NOW, Reads, End(&["more than 65536 subscriptions"])),
        declare("subscribing and cancelling", Publisher, 1, subscriber(b""), [command("SUBSCRIBE", b"t"), command("CANCEL", b"t")].concat().repeat(100), NOW, Reads, End(&["more than 10000 subscriptions a second"])),
        declare("a topic of 1 MiB", Publisher, 8, subscriber(&command("SUBSCRIBE", &[7; 1 << 20])), vec![], NOW, Reads, End(&["exceeds the limit"])),
        declare("wrong passwords", Plain, 8, plain(b"\x03joe\x05wrong"), vec![], NOW, Reads, End(&["refused the peer"])),
        declare("an authenticator that hangs", Pondering, 1_000, plain(b"\x04jane\x00"), vec![], millis(250), Reads, End(&["did not decide in time", AWAY])),
    ];
    #[cfg(feature = "curve")]
    #[rustfmt::skip]
    let attacks = {
        use Victim::Curve;
        // A point of large order, the number 1, and a box that does not open.
        let mut hello = [0; 194];
        hello[0] = 1;
        hello[74] = 9;
        hello[113] = 1;
        let hello = [&greeting(3, 1, b"CURVE")[..], &command("HELLO", &hello)].concat();
        let on_curve = [
            declare("a forged HELLO", Curve, 8, hello, vec![], NOW, Reads, End(&["does not open with this server's key"])),
            declare("a right HELLO, again and again", Curve, 8, vec![], vec![], NOW, Manner::IsWelcomed, End(&["within the handshake"])),
            declare("a message with a bit changed", Curve, 8, vec![], vec![], NOW, Manner::Flips, End(&["octets were changed on the way"])),
            declare("a message that comes again", Curve, 8, vec![], vec![], NOW, Manner::Repeats, End(&["came again or out of order"])),
            declare("NULL to a CURVE server", Curve, 8, met(b""), vec![], NOW, Reads, End(&["configure both alike"])),
        ];
        attacks.into_iter().chain(on_curve).collect()
    };
    attacks
}

/// A READY with as many properties as a handshake command has room for.
fn bomb() -> Vec<u8> {
    let names: Vec<String> = (0..4_000).map(|n| format!("X-{n}")).collect();
    let properties: Vec<_> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    ready_with(&properties)
}

fn million() -> Vec<u8> {
    (0..1_000_000_u32)
        .flat_map(|n| command("SUBSCRIBE", &n.to_be_bytes()))
        .collect()
}

pub fn named(name: &str) -> Outcome<Attack> {
    attacks()
        .into_iter()
        .find(|attack| attack.name == name)
        .ok_or_else(|| "there is no such attack".into())
}

impl Attack {
    /// What has become of its connections, in short, if it is what has to.
    pub fn check(&self, causes: &[String]) -> Outcome<String> {
        let expected = match self.must {
            Must::Stay => &[][..],
            Must::End(expected) => expected,
        };
        let mut counts = vec![0; expected.len()];
        for line in causes {
            let (count, cause) = line.split_once(' ').ok_or("not what a victim says")?;
            let Some(at) = expected.iter().position(|part| cause.contains(part)) else {
                return Err(format!("{}: ended for another cause: {line}", self.name).into());
            };
            counts[at] += count.parse::<usize>()?;
        }
        if counts.contains(&0) {
            return Err(format!("{}: did not end as it has to: {causes:?}", self.name).into());
        }
        if expected.is_empty() {
            return Ok("they stay".into());
        }
        Ok(expected.join("; "))
    }
}

/// What an attacker has seen.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    /// How long connections lasted that the victim closed.
    lasted: Mutex<Vec<Duration>>,
}

/// Attacks until it is told to end; says how many connections it made, and after what time they were closed.
pub async fn run(attack: Attack, at: &str) -> Outcome<()> {
    #[cfg(feature = "curve")]
    let attack = greeted(attack).await?;
    let seen = Arc::<Seen>::default();
    let address: Arc<str> = at.trim_start_matches("tcp://").into();
    let mut questions = told();
    println!("attacking");
    if attack.connections == 0 {
        std::thread::spawn(|| {
            loop {
                std::hint::spin_loop();
            }
        });
    }
    let mut tasks = JoinSet::new();
    let connections = attack.connections;
    let attack = Arc::new(attack);
    for _ in 0..connections {
        tasks.spawn(connect_again(attack.clone(), address.clone(), seen.clone()));
    }
    let _ = questions.recv().await;
    let mut lasted = std::mem::take(&mut *seen.lasted.lock().map_err(|_| "it panicked")?);
    lasted.sort_unstable();
    let closed_after = match lasted.get(lasted.len() / 2) {
        Some(median) => format!("{:.1} ms", median.as_secs_f64() * 1_000.0),
        None => "–".into(),
    };
    println!(
        "{} {closed_after}",
        seen.connections.load(Ordering::Relaxed)
    );
    Ok(())
}

/// `attack` with a HELLO for its victim, if it is one that is welcomed.
#[cfg(feature = "curve")]
async fn greeted(mut attack: Attack) -> Outcome<Attack> {
    if attack.manner == Manner::IsWelcomed {
        attack.first = hello(attack.victim).await?;
    }
    Ok(attack)
}

async fn connect_again(attack: Arc<Attack>, address: Arc<str>, seen: Arc<Seen>) {
    loop {
        match TcpStream::connect(&*address).await {
            Ok(stream) => {
                seen.connections.fetch_add(1, Ordering::Relaxed);
                let begin = Instant::now();
                carry_out(&attack, stream).await;
                if let (Ok(mut lasted), true) = (seen.lasted.lock(), attack.manner.stays()) {
                    lasted.push(begin.elapsed());
                }
            }
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
        sleep(attack.pause).await;
    }
}

/// Returns when the connection is closed.
async fn carry_out(attack: &Attack, mut stream: TcpStream) {
    match attack.manner {
        Manner::Reads | Manner::Deaf => {}
        Manner::Leaves => {
            let _ = stream.write_all(&attack.first).await;
            return;
        }
        #[cfg(feature = "curve")]
        Manner::IsWelcomed => {
            let mut answer = [0; GREETING.len() + WELCOME];
            if stream.write_all(&attack.first).await.is_ok() {
                let _ = stream.read_exact(&mut answer).await;
            }
            return;
        }
        #[cfg(feature = "curve")]
        Manner::Flips | Manner::Repeats => return meddle(attack, stream).await,
    }
    let (mut read, mut write) = stream.split();
    let says = async {
        write.write_all(&attack.first).await?;
        while !attack.again.is_empty() {
            write.write_all(&attack.again).await?;
            sleep(attack.pause).await;
        }
        if attack.manner == Manner::Reads {
            std::future::pending::<()>().await;
        }
        Ok::<(), std::io::Error>(())
    };
    let hears = async {
        let mut octets = vec![0; 64 << 10];
        while attack.manner == Manner::Deaf || matches!(read.read(&mut octets).await, Ok(1..)) {
            if attack.manner == Manner::Deaf {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        _ = says => {}
        () = hears => {}
    }
}

/// The frame of a WELCOME.
#[cfg(feature = "curve")]
const WELCOME: usize = 170;

/// What a peer that may be here says first.
#[cfg(feature = "curve")]
async fn hello(victim: Victim) -> Outcome<Vec<u8>> {
    let (near, mut far) = tokio::io::duplex(64 << 10);
    let security = victim.healthy().ok_or("it asks for nothing")?;
    let peer = DealerSocket::builder().security(security).build();
    peer.adopt(near)?;
    far.write_all(&greeting(3, 1, b"CURVE")).await?;
    let mut said = vec![0; GREETING.len() + 202];
    far.read_exact(&mut said).await?;
    Ok(said)
}

/// Stands between the victim and a peer that may be here.
#[cfg(feature = "curve")]
async fn meddle(attack: &Attack, stream: TcpStream) {
    let (near, far) = tokio::io::duplex(64 << 10);
    let Some(security) = attack.victim.healthy() else {
        return;
    };
    let peer = DealerSocket::builder().security(security).build();
    if peer.adopt(near).is_err() {
        return;
    }
    let says = async {
        let _ = peer.send("a message").await;
        std::future::pending::<()>().await;
    };
    let (mut from_victim, mut to_victim) = stream.into_split();
    let (mut from_peer, mut to_peer) = tokio::io::split(far);
    let there = async {
        let mut octets = vec![0; 64 << 10];
        while let Ok(n @ 1..) = from_peer.read(&mut octets).await {
            let mut passed = octets[..n].to_vec();
            let message = passed.windows(8).any(|part| part == b"\x07MESSAGE");
            match attack.manner {
                Manner::Flips if message => passed[n - 1] ^= 1,
                Manner::Repeats if message => passed.extend_from_slice(&octets[..n]),
                _ => {}
            }
            if to_victim.write_all(&passed).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = says => {}
        () = there => {}
        _ = tokio::io::copy(&mut from_victim, &mut to_peer) => {}
    }
}
