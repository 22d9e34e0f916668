//! The `tollgate` program; everything is in the library.

use std::process::ExitCode;

/// Small allocations that live as long as one call are most of the work, and threads hand them to each other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tollgate::cli::main()
}
