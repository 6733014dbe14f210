//! `crate::sync` of the library, under shuttle: each step may be followed by one of another task.

pub use shuttle::sync::{Mutex, MutexGuard, atomic};

pub use self::notify::Notify;

#[path = "../model/notify.rs"]
pub mod notify;

/// No time passes here, and what a thread remembers would differ between executions.
pub const MOMENT: std::time::Duration = std::time::Duration::ZERO;

/// Made anew in each execution.
pub struct LazyLock<T: Sync + 'static>(shuttle::lazy_static::Lazy<T>);

impl<T: Sync> LazyLock<T> {
    pub const fn new(init: fn() -> T) -> Self {
        Self(shuttle::lazy_static::Lazy::new(init))
    }

    pub fn force(this: &'static Self) -> &'static T {
        this.0.get()
    }
}

/// The executor of the models.
pub struct Handle;

impl Handle {
    pub fn try_current() -> Result<Self, std::convert::Infallible> {
        Ok(Self)
    }

    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        shuttle::future::spawn(task);
    }
}
