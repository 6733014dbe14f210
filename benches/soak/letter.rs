//! What is sent: messages that say their number, and whose every octet can be checked.

use jackstay::Message;

use crate::soak::{Outcome, ensure};

/// The message with this topic and number: two frames, and sometimes a third.
///
/// Most are small; some are copied and some are referred to on their way, and a few are longer than what one read brings.
pub fn letter(topic: &'static str, number: u64) -> Message {
    let size = match number % 1_000 {
        7 => 300_000,
        8 | 508 => 40_000,
        n if n % 50 == 9 => 3_000,
        n => n % 200,
    };
    let mut body = number.to_be_bytes().to_vec();
    body.resize(8 + size as usize, number as u8);
    match number % 10 {
        3 => (topic, body, "end").into(),
        _ => (topic, body).into(),
    }
}

/// Fails unless `message` is the one with this topic and number.
pub fn check(message: &Message, topic: &'static str, number: u64) -> Outcome<()> {
    let right = *message == letter(topic, number);
    ensure(right, || {
        let found = number_of(message).map(|found| found.to_string());
        let found = found.unwrap_or_else(|_| "none".into());
        format!("instead of number {number} of {topic:?} came {found}, or a changed one")
    })
}

pub fn number_of(message: &Message) -> Outcome<u64> {
    let body = message.get(1).ok_or("a message without a body")?;
    let number = body.first_chunk().ok_or("a message without a number")?;
    Ok(u64::from_be_bytes(*number))
}
