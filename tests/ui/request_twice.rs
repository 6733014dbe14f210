//! REQ is lock-step: a second request cannot begin before the first has its reply.
async fn wrong(mut req: jackstay::ReqSocket) {
    let first = req.request("one");
    let second = req.request("two");
    let _ = (first.await, second.await);
}

fn main() {}
