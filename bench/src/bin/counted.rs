//! The gate, or the tuned baseline, under an allocator that counts: `counted gate serve --config FILE`, or
//! `counted tuned ENDPOINT`. The count is kept in the file that `TOLLGATE_BENCH_COUNTER` names: eight bytes, little end
//! first, written every few milliseconds by a thread that does not allocate.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is handed on to mimalloc as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Relaxed);
        unsafe { mimalloc::MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Relaxed);
        unsafe { mimalloc::MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Relaxed);
        unsafe { mimalloc::MiMalloc.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { mimalloc::MiMalloc.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    if let Err(error) = publish() {
        eprintln!("cannot publish the count: {error}");
        return ExitCode::FAILURE;
    }
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_ref().and_then(|which| which.to_str()) {
        Some("gate") => tollgate::cli::run([OsString::from("tollgate")].into_iter().chain(arguments)).into(),
        Some("tuned") => match tuned(arguments.next()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!("usage: counted gate ARGUMENTS | counted tuned ENDPOINT");
            ExitCode::FAILURE
        }
    }
}

fn tuned(endpoint: Option<OsString>) -> anyhow::Result<()> {
    let endpoint = endpoint.as_ref().and_then(|endpoint| endpoint.to_str()).unwrap_or_default();
    tollgate_bench::baseline::serve_tuned(&endpoint.parse()?)
}

fn publish() -> std::io::Result<()> {
    let Some(path) = std::env::var_os("TOLLGATE_BENCH_COUNTER") else { return Ok(()) };
    let file = File::create(path)?;
    let write = move || file.write_all_at(&COUNT.load(Relaxed).to_le_bytes(), 0);
    write()?;
    std::thread::Builder::new().name("counter".to_owned()).spawn(move || {
        while write().is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
    })?;
    Ok(())
}
