//! On which core a thread, and the processes that it starts, run.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Keeps this thread on one core from now on.
///
/// # Errors
/// The system's, also where there is no such core.
pub fn pin_to(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

/// Does something on one core and goes back to where this thread was. A process that is started there stays there.
///
/// # Errors
/// The system's.
pub fn on_core<T>(core: usize, work: impl FnOnce() -> T) -> io::Result<T> {
    let before = everywhere()?;
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set)?;
    let done = work();
    sched_setaffinity(None, &before)?;
    Ok(done)
}

fn everywhere() -> io::Result<CpuSet> {
    Ok(sched_getaffinity(None)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_on_its_core_and_the_thread_goes_back() {
        let before = everywhere().unwrap();
        let there = on_core(0, everywhere).unwrap().unwrap();
        assert!(there.is_set(0) && there.count() == 1);
        assert_eq!(everywhere().unwrap().count(), before.count());
    }
}
