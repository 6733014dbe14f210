//! Notes where libsodium was built.
use std::env;

fn main() {
    for place in ["LIB", "INCLUDE"] {
        let from = env::var(format!("DEP_SODIUM_{place}")).expect("libsodium says where it is");
        println!("cargo:rustc-env=SODIUM_{place}={from}");
    }
}
