//! Two sockets of one process: the outbox of one is the door to the inbox of the other.

use std::sync::Arc;

use loom::thread;

use crate::message::Message;
use crate::pipe::{Claim, FarSocket, Life, Pipe, Push};
use crate::pipes::{Queues, Reader, message};
use crate::{Model, bounded};

pub const MODELS: &[Model] = &[
    bounded(
        "a_far_reader_is_told_of_each_message",
        (2, 4),
        "a reader that found nothing is woken by the far socket's next message, and reads each once, in order",
        a_far_reader_is_told_of_each_message,
    ),
    bounded(
        "credit_wakes_a_far_sender",
        (2, 3),
        "a sender that met the far inbox full is told when that is read",
        credit_wakes_a_far_sender,
    ),
    bounded(
        "what_is_sent_while_the_pair_is_cut_is_read_or_refused",
        (3, 4),
        "what was accepted before the far side went is in its inbox, and what comes later is refused",
        what_is_sent_while_the_pair_is_cut_is_read_or_refused,
    ),
    bounded(
        "both_sides_send_at_once",
        (2, 3),
        "two sockets that send to each other, and read, stand in nobody's way",
        both_sides_send_at_once,
    ),
    bounded(
        "both_sides_cut_at_once",
        (3, 5),
        "two sockets that end at the same time come to their end",
        both_sides_cut_at_once,
    ),
];

/// A far socket that simply receives.
struct Receives;

impl FarSocket for Receives {
    fn subscription(&self, _: &Arc<Pipe>, _: bool, _: &[u8]) {}

    fn gone(&self, _: &Arc<Pipe>) {}

    fn receives(&self) -> bool {
        true
    }

    fn message(&self, _: &Arc<Pipe>, _: Message) {
        panic!("it receives by its inbox");
    }
}

/// Two sockets with room for so many messages between them each way, and their pipes, that have met.
struct Pair {
    near: Arc<Queues>,
    far: Arc<Queues>,
    near_pipe: Arc<Pipe>,
    far_pipe: Arc<Pipe>,
}

impl Pair {
    fn with_marks(send: usize, recv: usize) -> Self {
        let (near, far) = (
            Queues::with_marks(send, send),
            Queues::with_marks(recv, recv),
        );
        let (near_pipe, far_pipe) = Pipe::inproc_pair(&near.config, false);
        near_pipe.outbox.join(Arc::new(Receives));
        far_pipe.outbox.join(Arc::new(Receives));
        far_pipe.outbox.announce_on(far.config.writable.clone());
        near_pipe.share_marks(&far_pipe, &near.config, &far.config);
        near_pipe.outbox.invite(&near_pipe);
        far_pipe.outbox.invite(&far_pipe);
        near_pipe.meet(&far_pipe, &near.config, &far.config);
        Self {
            near,
            far,
            near_pipe,
            far_pipe,
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.near_pipe.outbox.cut();
        self.far_pipe.outbox.cut();
    }
}

fn a_far_reader_is_told_of_each_message() {
    let pair = Pair::with_marks(0, 0);
    let sender = thread::spawn({
        let near = pair.near.clone();
        move || {
            for body in [1, 2] {
                near.send(&message(body));
            }
        }
    });
    let reader = Reader::of(&pair.far);
    assert_eq!([reader.recv(), reader.recv()], [message(1), message(2)]);
    assert_eq!(reader.try_recv(), None);
    sender.join().unwrap();
}

fn credit_wakes_a_far_sender() {
    let pair = Pair::with_marks(1, 1);
    let sender = thread::spawn({
        let near = pair.near.clone();
        move || {
            for body in [1, 2, 3, 4] {
                near.send(&message(body));
            }
        }
    });
    let reader = Reader::of(&pair.far);
    let read = [reader.recv(), reader.recv(), reader.recv(), reader.recv()];
    assert_eq!(read, [1, 2, 3, 4].map(message));
    sender.join().unwrap();
}

fn what_is_sent_while_the_pair_is_cut_is_read_or_refused() {
    let pair = Pair::with_marks(0, 0);
    let sender = thread::spawn({
        let pipe = pair.near_pipe.clone();
        move || {
            let accepted = |body: &u8| match pipe.outbox.push(&message(*body), Claim::Aside) {
                Push::Done { .. } => true,
                Push::Closed => false,
                pushed => panic!("{pushed:?}"),
            };
            [1, 2]
                .into_iter()
                .take_while(accepted)
                .map(message)
                .collect::<Vec<_>>()
        }
    });
    pair.far_pipe.outbox.end(Life::Ended);
    pair.far_pipe.outbox.cut();
    // From here on nothing more comes.
    let read: Vec<Message> = {
        let reader = Reader::of(&pair.far);
        std::iter::from_fn(|| reader.try_recv()).collect()
    };
    assert_eq!(read, sender.join().unwrap());
}

fn both_sides_send_at_once() {
    let pair = Pair::with_marks(1, 1);
    let side = |ours: &Arc<Queues>, body| {
        let ours = ours.clone();
        move || {
            ours.send(&message(body));
            Reader::of(&ours).recv()
        }
    };
    let far = thread::spawn(side(&pair.far, 2));
    assert_eq!(side(&pair.near, 1)(), message(2));
    assert_eq!(far.join().unwrap(), message(1));
}

fn both_sides_cut_at_once() {
    let pair = Pair::with_marks(0, 0);
    let far = thread::spawn({
        let pipe = pair.far_pipe.clone();
        move || pipe.outbox.cut().is_some()
    });
    let near = pair.near_pipe.outbox.cut().is_some();
    assert!(far.join().unwrap() || near);
    let sent = pair.near_pipe.outbox.push(&message(1), Claim::Aside);
    assert_eq!(sent, Push::Closed);
}
