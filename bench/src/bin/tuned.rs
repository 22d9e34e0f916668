//! The baseline with the gate's allocator, profile, threads and HTTP/2 settings: `tuned ENDPOINT`.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let endpoint = std::env::args().nth(1).ok_or_else(|| anyhow::anyhow!("usage: tuned ENDPOINT"))?;
    tollgate_bench::baseline::serve_tuned(&endpoint.parse()?)
}
