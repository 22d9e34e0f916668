use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};
use tonic::service::Routes;

use super::*;
use crate::config::server::Limits;
use crate::core::answer::Answer;
use crate::core::request::{Direction, RawRequest};
use crate::grpc::connection::Ending;
use crate::grpc::front::Front;
use crate::grpc::service::CheckService;
use crate::telemetry::Recorder;

const PATIENT: Duration = Duration::from_secs(60);

struct Undecided;

impl Decide for Undecided {
    fn decide(&self, _: RawRequest<'_>, _: Instant) -> impl Future<Output = Answer> + Send {
        std::future::pending()
    }
}

/// Hands out what it was given, then nothing.
struct Script(Mutex<VecDeque<io::Result<DuplexStream>>>);

impl Source for Script {
    type Io = DuplexStream;

    async fn next(&self) -> io::Result<DuplexStream> {
        let next = self.0.lock().unwrap().pop_front();
        match next {
            Some(next) => next,
            None => std::future::pending().await,
        }
    }
}

fn accepting(max_connections: usize, greeting: Duration) -> Accepting<Undecided> {
    let limits = Limits {
        max_message_bytes: 1024,
        max_concurrent_streams: 8,
        max_connections,
        tls_handshake: greeting,
        max_in_flight: 8,
    };
    let check = CheckService {
        decider: Arc::new(Undecided),
        recorder: Arc::new(Recorder::default()),
        direction: Direction::Inbound,
        trusted: true,
        limit: Duration::from_secs(1),
    };
    let front = Front::new(check, Routes::default(), Arc::new(Semaphore::new(8)), 1024);
    Accepting {
        listener: "test".into(),
        connections: Connections::new("test".into(), front, None, &limits, Ending::default()),
        max_connections,
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
    }
}

async fn speaks(mut peer: DuplexStream) -> bool {
    use tokio::io::AsyncWriteExt as _;
    // The preface and empty SETTINGS; the server begins with SETTINGS of its own.
    let greeting = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    if peer.write_all(&greeting).await.is_err() {
        return false;
    }
    let mut frame = [0; 9];
    peer.read_exact(&mut frame).await.is_ok() && frame[3] == 4
}

#[tokio::test]
async fn row_206_accept_errors_do_not_end_the_listener() {
    let (peer, ours) = duplex(4096);
    // EMFILE, ENFILE, ECONNABORTED, ENOMEM
    let errors = [24, 23, 103, 12].into_iter().map(|code| Err(io::Error::from_raw_os_error(code)));
    let script = Script(Mutex::new(errors.chain([Ok(ours)]).collect()));
    let started = Instant::now();
    let accepting = accepting(8, PATIENT);
    let stop = accepting.stop.clone();
    let running = tokio::spawn(accepting.run(script));
    assert!(speaks(peer).await);
    // Three of the errors concern the whole process: those were waited out, in growing steps.
    assert!(started.elapsed() >= FIRST_PAUSE * (1 + 2 + 4), "{:?}", started.elapsed());
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed() {
    let (first, one) = duplex(4096);
    let (mut second, two) = duplex(4096);
    let script = Script(Mutex::new([Ok(one), Ok(two)].into()));
    let accepting = accepting(1, PATIENT);
    let (stop, tasks) = (accepting.stop.clone(), accepting.tasks.clone());
    let running = tokio::spawn(accepting.run(script));
    assert_eq!(second.read(&mut [0; 1]).await.unwrap(), 0);
    assert!(speaks(first).await);
    stop.cancel();
    running.await.unwrap();
    tasks.close();
    tasks.wait().await;
}

#[tokio::test]
async fn what_waits_at_the_end_is_accepted() {
    let (peer, ours) = duplex(4096);
    let accepting = accepting(1, PATIENT);
    accepting.stop.cancel();
    accepting.run(Script(Mutex::new([Ok(ours)].into()))).await;
    assert!(speaks(peer).await);
}

#[tokio::test]
async fn a_peer_that_says_nothing_loses_its_place() {
    let (mut silent, ours) = duplex(4096);
    let accepting = accepting(1, Duration::from_millis(20));
    let tasks = accepting.tasks.clone();
    accepting.stop.cancel();
    accepting.run(Script(Mutex::new([Ok(ours)].into()))).await;
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0);
    tasks.close();
    tasks.wait().await;
}
