//! `crate::sync` of the library, under loom: each step may be followed by one of another thread.

pub use loom::sync::{Mutex, MutexGuard, atomic};

pub use self::notify::Notify;

#[path = "../model/notify.rs"]
pub mod notify;

/// No time passes here, and what a thread remembers would differ between executions.
pub const MOMENT: std::time::Duration = std::time::Duration::ZERO;

/// Made anew in each execution.
pub struct LazyLock<T: 'static>(loom::lazy_static::Lazy<T>);

impl<T> LazyLock<T> {
    pub const fn new(init: fn() -> T) -> Self {
        Self(loom::lazy_static::Lazy {
            init,
            _p: std::marker::PhantomData,
        })
    }

    pub fn force(this: &'static Self) -> &'static T {
        this.0.get()
    }
}

/// A task is a thread.
pub struct Handle;

impl Handle {
    pub fn try_current() -> Result<Self, std::convert::Infallible> {
        Ok(Self)
    }

    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        loom::thread::spawn(move || loom::future::block_on(task));
    }
}
