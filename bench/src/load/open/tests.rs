use super::*;
use crate::load::Rotation;
use crate::shuffle::Shuffle;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio::net::UnixListener;

const ALLOW: &[u8] = &[0, 0, 0, 0, 4, 0x0a, 0, 0x1a, 0];

/// A server that takes so many calls at one time; `stall`, from the first call on, holds all answers back.
async fn server(path: &std::path::Path, most: u32, stall: Duration, peak: Arc<AtomicUsize>) {
    let listener = UnixListener::bind(path).unwrap();
    let free = Arc::new(OnceLock::new());
    tokio::spawn(async move {
        loop {
            let (io, _) = listener.accept().await.unwrap();
            let (peak, free) = (Arc::clone(&peak), Arc::clone(&free));
            tokio::spawn(async move {
                let mut builder = h2::server::Builder::new();
                let mut connection = builder.max_concurrent_streams(most).handshake::<_, Bytes>(io).await.unwrap();
                let now = Arc::new(AtomicUsize::new(0));
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let (peak, now) = (Arc::clone(&peak), Arc::clone(&now));
                    let free = *free.get_or_init(|| Instant::now() + stall);
                    tokio::spawn(async move {
                        peak.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                        let mut body = request.into_body();
                        while body.data().await.is_some() {}
                        tokio::time::sleep_until(free.into()).await;
                        now.fetch_sub(1, SeqCst);
                        // The caller may have given up.
                        let Ok(mut stream) = respond.send_response(http::Response::new(()), false) else { return };
                        stream.send_data(Bytes::from_static(ALLOW), false).unwrap();
                        let mut trailers = http::HeaderMap::new();
                        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
                        stream.send_trailers(trailers).unwrap();
                    });
                }
            });
        }
    });
}

fn bodies() -> Stream {
    let mut shuffle = Shuffle::new(3);
    stream(Rotation::shuffled((0..100).map(|_| Bytes::from(shuffle.draw().to_be_bytes().to_vec())).collect()))
}

fn shape(path: &std::path::Path) -> Shape {
    Shape { endpoint: Endpoint::Unix(path.to_owned()), connections: 1, in_flight: 1000, patience: None }
}

async fn against(most: u32, stall: Duration, patience: Option<Duration>) -> (Vec<Seen>, usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let peak = Arc::new(AtomicUsize::new(0));
    server(&path, most, stall, Arc::clone(&peak)).await;
    let shape = Shape { patience, ..shape(&path) };
    let phases = steady(&[Duration::from_millis(500), Duration::from_millis(500)], &[200.0]);
    let seen = run(&shape, vec![bodies()], &phases, &mut || Ok(1.0)).await.unwrap();
    (seen, peak.load(SeqCst))
}

#[tokio::test]
async fn a_stall_counts_for_every_call_that_was_due_in_it() {
    let (seen, _) = against(1000, Duration::from_millis(500), None).await;
    let first = &seen[0].tallies[0];
    assert_eq!((first.total(), first.count(Outcome::Allow)), (100, 100));
    // Due evenly over the stall: half of them waited for more than about half of it.
    assert!(first.quantile_us(0.5) > 200e3, "{}", first.quantile_us(0.5));
    assert!(first.quantile_us(0.9) - first.quantile_us(0.1) > 200e3, "the later a call was due, the less it waited");
    assert_eq!(seen[1].tallies[0].count(Outcome::Allow), 100);
}

#[tokio::test]
async fn calls_beyond_the_servers_bound_wait_and_their_wait_counts() {
    let (seen, peak) = against(3, Duration::from_millis(500), None).await;
    assert!(peak <= 3, "{peak} at one time");
    assert_eq!(seen[0].tallies[0].count(Outcome::Allow), 100);
    assert!(seen[0].waiting > 50, "{} were waiting", seen[0].waiting);
    assert!(seen[0].tallies[0].quantile_us(0.5) > 200e3);
}

#[tokio::test]
async fn what_is_not_answered_in_time_is_given_up_and_counted() {
    let (seen, _) = against(3, Duration::from_millis(500), Some(Duration::from_millis(100))).await;
    let first = &seen[0].tallies[0];
    assert_eq!(first.total(), 100, "each call is counted once");
    assert!(first.count(Outcome::GaveUp) >= 70, "{:?}", first.counts());
    let second = &seen[1].tallies[0];
    assert_eq!(second.total(), 100);
    assert!(second.count(Outcome::Allow) > 0, "{:?}", second.counts());
}

#[tokio::test]
async fn calls_to_a_server_that_went_away_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (io, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(io).await.unwrap();
        drop(connection.accept().await);
    });
    let phases = steady(&[Duration::from_millis(200)], &[100.0]);
    let seen = run(&shape(&path), vec![bodies()], &phases, &mut || Ok(0.0)).await.unwrap();
    assert_eq!(seen[0].tallies[0].count(Outcome::Transport), 20, "{:?}", seen[0].tallies[0].counts());
}
