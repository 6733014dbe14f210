//! libzmq 4.3.5 for a `zmq-sys` that asks for the builder of 4.3.4.
//!
//! The source crate compiles with an empty `platform.hpp`, so libzmq would do without what every packaged libzmq on
//! Linux has: above all `eventfd`, in place of which each wake would go through a socket pair. A comparison with that
//! would flatter its rivals, so what `configure` finds on any Linux is defined here. It also gets libsodium, without
//! which there is no CURVE.
use std::env;

/// Where a library lies. Only its absence is ever passed.
pub use newer::LibLocation;

/// The part of the builder of 0.2 that `zmq-sys` calls.
#[derive(Default)]
pub struct Build(newer::Build);

impl Build {
    pub fn new() -> Self {
        Self::default()
    }

    /// Whatever the caller says, libsodium is there: the crate beside this one has built it.
    pub fn with_libsodium(&mut self, _location: Option<LibLocation>) -> &mut Self {
        let built = LibLocation::new(env!("SODIUM_LIB"), env!("SODIUM_INCLUDE"));
        self.0.with_libsodium(Some(built));
        self
    }

    pub fn build(&mut self) {
        if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
            let defines = LINUX.iter().map(|define| format!("-D{define}"));
            let given = env::var("CXXFLAGS").ok();
            let flags: Vec<String> = given.into_iter().chain(defines).collect();
            env::set_var("CXXFLAGS", flags.join(" "));
        }
        self.0.build();
    }
}

/// What `configure` of libzmq 4.3.5 defines on Linux and the source crate leaves out.
const LINUX: &[&str] = &[
    "ZMQ_HAVE_EVENTFD=1",
    "ZMQ_HAVE_EVENTFD_CLOEXEC=1",
    "ZMQ_HAVE_SOCK_CLOEXEC=1",
    "ZMQ_HAVE_O_CLOEXEC=1",
    "ZMQ_HAVE_SO_KEEPALIVE=1",
    "ZMQ_HAVE_TCP_KEEPCNT=1",
    "ZMQ_HAVE_TCP_KEEPIDLE=1",
    "ZMQ_HAVE_TCP_KEEPINTVL=1",
    "ZMQ_HAVE_IFADDRS=1",
    "ZMQ_HAVE_PPOLL=1",
    "HAVE_ACCEPT4=1",
    "HAVE_CLOCK_GETTIME=1",
    "HAVE_POSIX_MEMALIGN=1",
    "HAVE_MKDTEMP=1",
    "HAVE_FORK=1",
    "ZMQ_CACHELINE_SIZE=64",
    "ZMQ_HAVE_CRYPTO_BOX_EASY_FNS=1",
];
