//! A reply consumes its request: there is no second one.
async fn wrong(request: jackstay::Request) {
    let _ = request.reply("one").await;
    let _ = request.reply("two").await;
}

fn main() {}
