//! Subscriptions belong to SUB and XSUB.
fn wrong(push: jackstay::PushSocket) {
    let _ = push.subscribe("topic");
}

fn main() {}
