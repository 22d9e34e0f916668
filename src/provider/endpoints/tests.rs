use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::clock::SystemClock;
use crate::core::event::Silent;
use crate::net::HttpClient;
use crate::provider::spec::BreakerSpec;

const ISSUER: &str = "https://idp.example.com";

/// Answers with metadata while it is up, and with 503 while it is not; counts.
struct Source {
    url: Url,
    up: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
}

impl Source {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/metadata", listener.local_addr().unwrap())).unwrap();
        let (up, count) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let (is_up, counted) = (Arc::clone(&up), Arc::clone(&count));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
                let endpoint = format!("{ISSUER}/token/{number}");
                let body = serde_json::json!({ "issuer": ISSUER, "token_endpoint": endpoint }).to_string();
                let status = if is_up.load(Ordering::SeqCst) { 200 } else { 503 };
                let answer =
                    format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all((answer + &body).as_bytes()).await.unwrap();
            }
        });
        Self { url, up, count }
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    fn endpoints(&self, pace: Pace) -> Endpoints {
        let spec = ProviderSpec {
            name: "p".into(),
            issuer: Some(ISSUER.into()),
            metadata: Some(self.url.clone()),
            allowed_hosts: Vec::new(),
            introspection_endpoint: None,
            token_endpoint: None,
            transport: Default::default(),
            timeout: Duration::from_secs(10),
            max_in_flight: 1,
            retries: 0,
            breaker: BreakerSpec { failures: 1, open_for: Duration::ZERO },
        };
        let deps = Deps::new(HttpClient::new(), Arc::new(SystemClock), Arc::new(Silent));
        Endpoints::with_pace(&spec, &deps, pace)
    }
}

async fn token(endpoints: &Endpoints) -> String {
    endpoints.find(Endpoint::Token, false).await.unwrap().path().to_owned()
}

async fn until(mut so: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        let mut tick = tokio::time::interval(Duration::from_millis(1));
        while !so() {
            tick.tick().await;
        }
    });
    waited.await.expect("in time");
}

const LONG: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn metadata_are_refreshed_in_the_background() {
    let source = Source::start().await;
    let endpoints = source.endpoints(Pace { refresh_after: Duration::ZERO, refresh_retry: LONG, failure_stands: LONG });
    assert_eq!(token(&endpoints).await, "/token/1");
    // This one finds what is there, and has it fetched.
    assert_eq!(token(&endpoints).await, "/token/1");
    until(|| source.count() == 2 && !endpoints.0.flights.is_under_way(&())).await;
    assert_eq!(token(&endpoints).await, "/token/2");
}

#[tokio::test]
async fn a_failed_refresh_keeps_what_is_there_and_is_not_repeated_at_once() {
    let source = Source::start().await;
    let endpoints = source.endpoints(Pace { refresh_after: Duration::ZERO, refresh_retry: LONG, failure_stands: LONG });
    assert_eq!(token(&endpoints).await, "/token/1");
    source.up.store(false, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(token(&endpoints).await, "/token/1");
        until(|| source.count() == 2 && !endpoints.0.flights.is_under_way(&())).await;
    }
    assert_eq!(token(&endpoints).await, "/token/1");
    assert_eq!(source.count(), 2);
}

#[tokio::test]
async fn fresh_metadata_are_left_alone() {
    let source = Source::start().await;
    let endpoints = source.endpoints(PACE);
    for _ in 0..100 {
        assert_eq!(token(&endpoints).await, "/token/1");
    }
    assert!(!endpoints.0.flights.is_under_way(&()));
    assert_eq!(source.count(), 1);
}
