//! A SUB socket only receives.
async fn wrong(sub: jackstay::SubSocket) {
    let _ = sub.send("message").await;
}

fn main() {}
