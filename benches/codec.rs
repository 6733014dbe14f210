//! [`ZmtpCodec`] alone: octets to messages and back, without a connection.
//!
//! The time is that of one buffer full of messages, about as much as the largest single read brings. Divide by the
//! number of elements for one message: criterion's `elem/s` is messages per second.

use std::hint::black_box;
use std::iter::repeat_n;

use bytes::BytesMut;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use jackstay::Message;
use jackstay::zmtp::{Item, ZmtpCodec};
use tokio_util::codec::{Decoder, Encoder};

/// What is measured: a name, the number of frames and the octets of each.
const SHAPES: [(&str, usize, usize); 7] = [
    ("16 B", 1, 16),
    ("64 B", 1, 64),
    ("256 B", 1, 256),
    ("1 KiB", 1, 1 << 10),
    ("16 KiB", 1, 16 << 10),
    ("2 frames of 64 B", 2, 64),
    ("10 frames of 64 B", 10, 64),
];

/// The octets of one buffer.
const BUFFER: usize = 256 << 10;

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    for (name, frames, size) in SHAPES {
        let (messages, wire) = buffer(frames, size);
        group.throughput(throughput(&messages));
        group.bench_function(name, |b| {
            let mut codec = ZmtpCodec::new();
            b.iter_batched_ref(
                || BytesMut::from(&wire[..]),
                |buf| {
                    let mut decoded = 0;
                    while let Some(item) = codec.decode(buf).expect("well-formed frames") {
                        debug_assert!(matches!(item, Item::Message(_)));
                        black_box(&item);
                        decoded += 1;
                    }
                    assert_eq!(decoded, messages.len());
                },
                BatchSize::LargeInput,
            );
        });
    }
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    for (name, frames, size) in SHAPES {
        let (messages, wire) = buffer(frames, size);
        group.throughput(throughput(&messages));
        group.bench_function(name, |b| {
            let mut codec = ZmtpCodec::new();
            let mut out = BytesMut::with_capacity(wire.len());
            b.iter_batched_ref(
                || messages.clone(),
                |messages| {
                    out.clear();
                    for message in messages.drain(..) {
                        codec.encode(message, &mut out).expect("never fails");
                    }
                    assert_eq!(out.len(), wire.len());
                },
                BatchSize::LargeInput,
            );
        });
    }
}

/// As many messages as fill the buffer, and the buffer.
fn buffer(frames: usize, size: usize) -> (Vec<Message>, BytesMut) {
    let message: Message = repeat_n(vec![7; size], frames).collect();
    let messages = vec![message; BUFFER / (frames * size)];
    let mut wire = BytesMut::new();
    for message in messages.iter().cloned() {
        let encoded = ZmtpCodec::new().encode(message, &mut wire);
        encoded.expect("never fails");
    }
    (messages, wire)
}

fn throughput(messages: &[Message]) -> Throughput {
    let octets: usize = messages.iter().map(Message::size).sum();
    Throughput::ElementsAndBytes {
        elements: messages.len() as u64,
        bytes: octets as u64,
    }
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
