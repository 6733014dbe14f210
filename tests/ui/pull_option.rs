//! An option that the type would not obey does not exist there.
fn main() {
    let _ = jackstay::PullSocket::builder().send_hwm(10).build();
}
