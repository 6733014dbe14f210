//! A proxy would break the turn-taking of REQ and REP.
fn wrong(req: &jackstay::ReqSocket, rep: &jackstay::RepSocket) {
    let _ = jackstay::Proxy::new(rep, req);
}

fn main() {}
