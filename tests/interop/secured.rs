//! The mechanisms, with the part that ours plays, and credentials that both sides accept.

#[cfg(feature = "curve")]
use std::sync::{Arc, LazyLock};

#[cfg(feature = "curve")]
use jackstay::security::{KeyList, KeyPair};
use jackstay::security::{Password, Security, UserList};

use crate::theirs::Theirs;

/// Which mechanism is spoken, and what ours is in it; theirs is the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secured {
    Null,
    PlainClient,
    PlainServer,
    #[cfg(feature = "curve")]
    CurveClient,
    #[cfg(feature = "curve")]
    CurveServer,
}

pub const USER: &str = "joe";
pub const PASSWORD: &str = "secret";

/// The keys of the server and the client, whichever is ours.
#[cfg(feature = "curve")]
pub static SERVER: LazyLock<Arc<KeyPair>> = LazyLock::new(key_pair);
#[cfg(feature = "curve")]
pub static CLIENT: LazyLock<Arc<KeyPair>> = LazyLock::new(key_pair);

#[cfg(feature = "curve")]
pub fn key_pair() -> Arc<KeyPair> {
    Arc::new(KeyPair::generate().expect("randomness"))
}

pub fn users() -> UserList {
    let users = UserList::new();
    users.insert(USER, Password::new(PASSWORD).expect("it is short"));
    users
}

impl Secured {
    pub fn ours(self) -> Security {
        match self {
            Self::Null => Security::default(),
            Self::PlainClient => Security::plain_client(USER, PASSWORD).expect("both are short"),
            Self::PlainServer => Security::plain_server(users()),
            #[cfg(feature = "curve")]
            Self::CurveClient => Security::curve_client(*SERVER.public_key(), CLIENT.clone()),
            #[cfg(feature = "curve")]
            Self::CurveServer => {
                let keys = KeyList::new();
                keys.insert(*CLIENT.public_key());
                Security::curve_server(SERVER.clone(), keys)
            }
        }
    }

    pub fn theirs(self, theirs: Theirs) -> Theirs {
        match self {
            Self::Null => theirs,
            Self::PlainClient => theirs
                .with(|socket| socket.set_plain_server(true))
                .deciding(|mechanism, credentials| {
                    assert_eq!(mechanism, "PLAIN");
                    credentials == [USER.as_bytes().to_vec(), PASSWORD.as_bytes().to_vec()]
                }),
            Self::PlainServer => theirs.with(|socket| {
                socket.set_plain_username(Some(USER))?;
                socket.set_plain_password(Some(PASSWORD))
            }),
            #[cfg(feature = "curve")]
            Self::CurveClient => theirs
                .with(|socket| {
                    socket.set_curve_server(true)?;
                    socket.set_curve_secretkey(SERVER.secret_key().as_bytes())
                })
                .deciding(|mechanism, credentials| {
                    assert_eq!(mechanism, "CURVE");
                    credentials == [CLIENT.public_key().as_bytes().to_vec()]
                }),
            #[cfg(feature = "curve")]
            Self::CurveServer => theirs.with(|socket| {
                socket.set_curve_serverkey(SERVER.public_key().as_bytes())?;
                socket.set_curve_publickey(CLIENT.public_key().as_bytes())?;
                socket.set_curve_secretkey(CLIENT.secret_key().as_bytes())
            }),
        }
    }
}
