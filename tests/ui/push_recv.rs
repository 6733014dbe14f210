//! A PUSH socket only sends.
async fn wrong(push: jackstay::PushSocket) {
    let _ = push.recv().await;
}

fn main() {}
