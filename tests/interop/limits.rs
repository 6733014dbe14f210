//! Messages of unusual shapes and sizes, both ways.

use jackstay::{Message, PairSocket};

use crate::support::{whole, within};
use crate::theirs::{Frames, TCP, Theirs};

/// Sends `frames` from ours to theirs and back, and the same from theirs.
async fn there_and_back(frames: Frames) {
    let (ours, mut theirs) = (PairSocket::new(), Theirs::new(zmq::PAIR));
    TCP.join(&ours, &theirs).await;
    let message: Message = frames.iter().cloned().collect();
    let (sent, received) = tokio::join!(ours.send(message.clone()), theirs.recv());
    sent.unwrap();
    assert!(received == frames, "ours arrived changed");
    let back = theirs.run(move |socket| socket.send_multipart(received, 0).unwrap());
    let ((), received) = tokio::join!(back, within(ours.recv()));
    assert!(received.unwrap() == message, "theirs arrived changed");
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

#[tokio::test]
async fn f2_bodies_around_the_limit_of_the_short_form() {
    for len in [0, 1, 254, 255, 256, 257, 65_535, 65_536] {
        whole(there_and_back(vec![pattern(len)])).await;
    }
}

#[tokio::test]
async fn f10_empty_frames_anywhere() {
    let shapes: [&[&[u8]]; 5] = [
        &[b""],
        &[b"", b""],
        &[b"", b"a"],
        &[b"a", b""],
        &[b"", b"", b"a", b"", b""],
    ];
    for shape in shapes {
        whole(there_and_back(
            shape.iter().map(|frame| frame.to_vec()).collect(),
        ))
        .await;
    }
}

#[tokio::test]
async fn f7_a_thousand_frames() {
    whole(there_and_back(
        (0..1_000).map(|n| pattern(n % 300)).collect(),
    ))
    .await;
}

#[tokio::test]
async fn f2_a_message_of_64_mib() {
    whole(there_and_back(vec![pattern(64 << 20)])).await;
}

#[tokio::test]
async fn f7_many_large_frames_of_one_message() {
    whole(there_and_back((0..20).map(|_| pattern(1 << 20)).collect())).await;
}
