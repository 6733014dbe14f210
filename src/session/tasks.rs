//! [`Tasks`]: the tasks of one socket, which end before it is closed.

use std::future::Future;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use tracing::Instrument;

use crate::sync::Handle;
use crate::watch::Watch;

/// Spawns the tasks of one socket and waits for their end.
#[derive(Default)]
pub(crate) struct Tasks {
    live: Arc<Watch<usize>>,
    stop: Watch<bool>,
}

impl Tasks {
    /// Runs `task` on the runtime of the caller, or returns it when there is none.
    pub fn spawn(
        &self,
        span: tracing::Span,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), NoRuntime> {
        let runtime = Handle::try_current().map_err(|_| NoRuntime)?;
        let guard = Guard::enter(&self.live);
        // By itself: within the other future it would have room twice.
        let task = Box::pin(task);
        runtime.spawn(
            async move {
                let _guard = guard;
                task.await;
            }
            .instrument(span),
        );
        Ok(())
    }

    /// Tells the tasks that have nothing to deliver to end: listeners, and handshakes of accepted connections.
    pub fn stop(&self) {
        self.stop.set(true);
    }

    /// Waits until [`stop`](Self::stop).
    pub async fn stopping(&self) {
        self.stop.until(|stop| stop).await;
    }

    /// Waits until no task is left.
    pub async fn finished(&self) {
        self.live.until(|live| live == 0).await;
    }
}

/// Runs `job` on a thread beside those that run tasks; `None` if the runtime ends before it does. Dropped, what has begun
/// is still done, for nobody.
pub(super) async fn aside<T: Send + 'static>(
    job: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    spawn_blocking(job).await.ok()
}

/// There is no Tokio runtime to spawn on.
#[derive(Debug)]
pub(crate) struct NoRuntime;

/// Counts a task until it ends, however it ends.
struct Guard(Arc<Watch<usize>>);

impl Guard {
    fn enter(live: &Arc<Watch<usize>>) -> Self {
        live.update(|live| *live += 1);
        Self(live.clone())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.update(|live| *live -= 1);
    }
}
