//! CURVE: the handshake of each side, and what is encrypted after it.
//!
//! The other side is ours, too. All that is random in it is the same in every run, and the input says how what it says is
//! changed on the way; or the other side is one that holds the keys and uses them for what it should not say.

mod client;
mod said;
mod server;
mod transmission;

#[path = "../../../src/mechanism/curve/boxes/mod.rs"]
#[allow(dead_code, reason = "what is mounted twice is used once")]
mod boxes;
#[path = "../../../src/mechanism/curve/mod.rs"]
#[allow(dead_code, reason = "keys of the connection are given, not drawn")]
mod mechanism;
#[path = "../../../src/mechanism/curve/traffic.rs"]
mod traffic;

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use zeroize::Zeroizing;

use self::boxes::SharedKey;
use self::mechanism::{CurveClient, CurveServer, Entropy};
use crate::mechanism::Mechanism;
use crate::security::{KeyPair, SecretKey};

pub use self::client::curve_client;
pub use self::server::curve_server;
pub use self::transmission::curve_traffic;
pub(super) use self::transmission::{opener, sealed};

/// The long-lived keys.
static CLIENT: LazyLock<Arc<KeyPair>> = LazyLock::new(|| pair(1));
static SERVER: LazyLock<Arc<KeyPair>> = LazyLock::new(|| pair(2));
/// Of another client.
static STRANGER: LazyLock<Arc<KeyPair>> = LazyLock::new(|| pair(5));

/// The keys for the connection alone.
const CLIENT_TRANSIENT: [u8; KEY] = [3; KEY];
const SERVER_TRANSIENT: [u8; KEY] = [4; KEY];

fn pair(seed: u8) -> Arc<KeyPair> {
    Arc::new(SecretKey::from_bytes(&[seed; KEY]).into())
}

fn public(transient: &[u8; KEY]) -> [u8; KEY] {
    *SecretKey::from_bytes(transient).public_key().as_bytes()
}

/// A side that announces `metadata`, the same in every run.
pub(super) fn client(metadata: Bytes) -> Box<dyn Mechanism> {
    let (server, entropy) = (*SERVER.public_key(), entropy(CLIENT_TRANSIENT));
    Box::new(CurveClient::new(server, CLIENT.clone(), metadata, &entropy).unwrap())
}

/// The side that it connects to.
pub(super) fn server(metadata: Bytes) -> Box<dyn Mechanism> {
    Box::new(CurveServer::new(
        SERVER.clone(),
        metadata,
        entropy(SERVER_TRANSIENT),
    ))
}

fn entropy(transient: [u8; KEY]) -> Entropy {
    Entropy {
        transient: Zeroizing::new(transient),
        cookie_key: Zeroizing::new([6; KEY]),
        nonces: [[7; LONG_NONCE], [8; LONG_NONCE]],
    }
}

fn shared(secret: &[u8; KEY], public: &[u8; KEY]) -> SharedKey {
    SharedKey::between(secret, public).expect("not of low order")
}

/// Public keys with which every secret makes the same shared key.
const LOW_ORDER: [[u8; KEY]; 2] = {
    let mut one = [0; KEY];
    one[0] = 1;
    [[0; KEY], one]
};

/// As in the mechanism, where they are private.
const KEY: usize = 32;
const LONG_NONCE: usize = 16;
const SHORT_NONCE: usize = 8;
const TAG: usize = 16;
