//! Socket types are those of the library.
struct Mine;

impl jackstay::pattern::Pattern for Mine {
    const TYPE: jackstay::SocketType = jackstay::SocketType::Push;
}

fn main() {}
