//! Work that calls must not feel: it gets what time they leave.

use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Work that did not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AsideError {
    /// There was no thread for it.
    NoThread,
    /// It panicked.
    Panicked,
}

/// Runs work that blocks and takes long, on a thread of its own. Where the processor is busy, threads that answer calls
/// get nearly all of it. What is under way goes on where nobody waits for it any more.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, AsideError> {
    let (runtime, (done, result)) = (Handle::current(), oneshot::channel());
    let work = move || {
        let _entered = runtime.enter();
        give_way();
        let _ = done.send(work());
    };
    // The runtime's own threads are no help: who has made way once may not go back.
    std::thread::Builder::new().name("tollgate-aside".to_owned()).spawn(work).map_err(|error| {
        tracing::error!(%error, "no thread could be started");
        AsideError::NoThread
    })?;
    result.await.map_err(|_| AsideError::Panicked)
}

/// Takes the lowest priority for this thread. Elsewhere than on Linux it would be that of the whole process.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(LOWEST) {
        tracing::debug!(%error, "the thread keeps its priority");
    }
}

/// About a seventieth of the time that a usual thread gets beside it.
#[cfg(target_os = "linux")]
const LOWEST: i32 = 19;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_and_its_end_is_told() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let mine = priority();
        assert_eq!(aside(priority).await, Ok(LOWEST));
        assert_eq!(priority(), mine, "another thread's is its own");
        assert_eq!(aside(|| Handle::try_current().is_ok()).await, Ok(true), "it may start tasks");
        assert_eq!(aside(|| panic!("for the test")).await, Err::<(), _>(AsideError::Panicked));
    }
}
