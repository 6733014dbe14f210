//! The body of a command, and what the engine reads in it.

use bytes::{Bytes, BytesMut};

use crate::zmtp as error;

#[path = "../../../src/zmtp/command.rs"]
#[allow(dead_code, reason = "what the handshake uses is not all used here")]
mod command;
#[path = "../../../src/zmtp/frame.rs"]
#[allow(dead_code, reason = "what the codec uses is not all used here")]
mod frame;

use self::command::{Command, ERROR, Ping, Pong, decode_error};
use self::frame::{FrameHeader, FrameKind};

/// F5, H1: what a command says it says again when it is encoded, and its parts are those of its body.
pub fn commands(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    let Ok(command) = Command::decode(body.clone()) else {
        assert!(
            data.first()
                .is_none_or(|&len| len == 0 || data.len() <= usize::from(len))
        );
        return;
    };
    assert_eq!(encoded(|out| command.encode(out)), body);
    let data = command.data();
    if let Ok(ping) = Ping::decode(data) {
        assert!(ping.context.len() <= 16);
        let again = Command::decode(encoded(|out| ping.encode(out))).unwrap();
        assert_eq!((again.name(), again.data()), (command::PING, data));
    }
    if let Ok(pong) = Pong::decode(data) {
        let again = Command::decode(encoded(|out| pong.encode(out))).unwrap();
        assert_eq!((again.name(), again.data()), (command::PONG, data));
    }
    if let Ok(reason) = decode_error(data) {
        assert!(reason.is_ascii() && !reason.contains(char::is_control));
        let again = Command::decode(encoded(|out| command::put_error(out, &reason))).unwrap();
        assert_eq!(again.name(), ERROR);
        decode_error(again.data()).unwrap();
    }
}

/// The body of the one command that `encode` appends.
fn encoded(encode: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    encode(&mut out);
    let header = FrameHeader::parse(&out).unwrap().unwrap();
    assert_eq!(header.kind, FrameKind::Command);
    let body = out.split_off(header.header_len).freeze();
    assert_eq!(body.len(), header.body_len);
    body
}
