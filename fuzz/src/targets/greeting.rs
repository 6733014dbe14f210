//! The first 64 octets of a peer.

use crate::zmtp as error;

#[path = "../../../src/zmtp/greeting.rs"]
#[allow(dead_code, reason = "what the handshake uses is not all used here")]
#[allow(clippy::module_inception, reason = "it is named after its file")]
mod greeting;

use self::greeting::{GREETING_LEN, Greeting};

/// G1 to G5: the verdict on a greeting does not depend on how it is cut, and it says itself again when it is encoded.
pub fn greeting(data: &[u8]) {
    let whole = Greeting::decode(data);
    for cut in 0..data.len().min(GREETING_LEN) {
        match Greeting::decode(&data[..cut]) {
            Ok(None) => {}
            Ok(Some(_)) => panic!("a greeting of {cut} octets"),
            Err(_) => {
                assert!(whole.is_err(), "what is wrong stays wrong");
                return;
            }
        }
    }
    match whole {
        Ok(Some(greeting)) => {
            let again = Greeting::encode(&greeting.mechanism, greeting.as_server);
            let again = Greeting::decode(&again).unwrap().unwrap();
            assert_eq!(again.mechanism, greeting.mechanism);
            assert_eq!(again.as_server, greeting.as_server);
        }
        Ok(None) => assert!(data.len() < GREETING_LEN),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
