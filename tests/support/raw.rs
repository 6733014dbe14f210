//! A peer of octets: says what it is told to say, right or wrong.

use std::io;
use std::net::Ipv4Addr;

use jackstay::{Endpoint, PeerAddress};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::within;

/// The greeting of a healthy peer of version 3.1 with the NULL mechanism.
pub const GREETING: [u8; 64] = greeting(3, 1, b"NULL");

/// A greeting of this version and mechanism.
pub const fn greeting(major: u8, minor: u8, mechanism: &[u8]) -> [u8; 64] {
    let mut octets = [0; 64];
    octets[0] = 0xff;
    octets[9] = 0x7f;
    octets[10] = major;
    octets[11] = minor;
    let mut at = 0;
    while at < mechanism.len() {
        octets[12 + at] = mechanism[at];
        at += 1;
    }
    octets
}

/// A frame with these flags, in the short form if its body fits.
pub fn frame(flags: u8, body: &[u8]) -> Vec<u8> {
    let mut octets = vec![flags];
    match u8::try_from(body.len()) {
        Ok(len) => octets.push(len),
        Err(_) => {
            octets[0] |= 2;
            octets.extend((body.len() as u64).to_be_bytes());
        }
    }
    octets.extend(body);
    octets
}

/// A command.
pub fn command(name: &str, data: &[u8]) -> Vec<u8> {
    let mut body = vec![u8::try_from(name.len()).expect("a short name")];
    body.extend(name.as_bytes());
    body.extend(data);
    frame(4, &body)
}

/// A property of the metadata.
pub fn property(name: &str, value: &[u8]) -> Vec<u8> {
    let mut octets = vec![u8::try_from(name.len()).expect("a short name")];
    octets.extend(name.as_bytes());
    octets.extend(
        u32::try_from(value.len())
            .expect("a short value")
            .to_be_bytes(),
    );
    octets.extend(value);
    octets
}

/// The READY of a socket of this type.
pub fn ready(socket_type: &str) -> Vec<u8> {
    command("READY", &property("Socket-Type", socket_type.as_bytes()))
}

/// A READY with these properties.
pub fn ready_with(properties: &[(&str, &[u8])]) -> Vec<u8> {
    let metadata: Vec<_> = properties
        .iter()
        .flat_map(|(name, value)| property(name, value))
        .collect();
    command("READY", &metadata)
}

/// One connection, of octets.
pub struct Raw {
    stream: TcpStream,
}

impl Raw {
    /// Connects to where a socket is bound.
    pub async fn connect(at: &Endpoint) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", at.port().expect("tcp")))
            .await
            .expect("somebody listens");
        Self { stream }
    }

    /// Connects from this address.
    pub async fn connect_from(source: Ipv4Addr, at: &Endpoint) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((source, 0).into()).expect("a free port");
        let target = (Ipv4Addr::LOCALHOST, at.port().expect("tcp"));
        let stream = socket.connect(target.into()).await;
        Self {
            stream: stream.expect("somebody listens"),
        }
    }

    /// What the other side knows it by.
    pub fn address(&self) -> PeerAddress {
        PeerAddress::Tcp(self.stream.local_addr().expect("an address"))
    }

    /// Takes the connection of a socket.
    pub async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = within(listener.accept()).await.expect("a connection");
        Self { stream }
    }

    /// Connects and does all that a healthy peer of this type does until the first message.
    pub async fn shake_hands(at: &Endpoint, socket_type: &str) -> Self {
        Self::connect(at)
            .await
            .with_hands_shaken(&GREETING, &ready(socket_type))
            .await
    }

    /// Says this greeting and this READY, and reads the socket's own.
    pub async fn with_hands_shaken(mut self, greeting: &[u8; 64], ready: &[u8]) -> Self {
        self.write(greeting).await;
        self.write(ready).await;
        self.read_exact(64).await;
        let (flags, body) = self.read_frame().await;
        assert_eq!(flags, 4);
        assert!(body.starts_with(b"\x05READY"), "{}", body.escape_ascii());
        self
    }

    /// Writes, and does not mind when the socket closes the connection meanwhile.
    pub async fn write(&mut self, octets: &[u8]) {
        let _ = self.stream.write_all(octets).await;
    }

    pub async fn read_exact(&mut self, len: usize) -> Vec<u8> {
        let mut octets = vec![0; len];
        within(self.stream.read_exact(&mut octets))
            .await
            .expect("the socket goes on");
        octets
    }

    /// Connects, and exchanges greetings with this mechanism.
    pub async fn greet(at: &Endpoint, mechanism: &[u8]) -> Self {
        let mut raw = Self::connect(at).await;
        raw.write(&greeting(3, 1, mechanism)).await;
        raw.read_exact(64).await;
        raw
    }

    /// The next frame: flags and body.
    pub async fn read_frame(&mut self) -> (u8, Vec<u8>) {
        let flags = self.read_exact(1).await[0];
        let len = if flags & 2 == 0 {
            usize::from(self.read_exact(1).await[0])
        } else {
            let size = self.read_exact(8).await.try_into().expect("eight octets");
            usize::try_from(u64::from_be_bytes(size)).expect("a size that can be")
        };
        (flags, self.read_exact(len).await)
    }

    /// What the socket sends until it closes the connection.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        let mut octets = Vec::new();
        // A reset is an end, too.
        let _: io::Result<usize> = within(self.stream.read_to_end(&mut octets)).await;
        octets
    }
}
