//! The real OpenTelemetry collector.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::wait;
use crate::world::{Collector, RECORDS, SPANS, items, set};

/// It is ended when this is dropped.
pub(crate) struct Real {
    protocol: &'static str,
    grpc: SocketAddr,
    http: SocketAddr,
    folder: TempDir,
    child: Child,
}

fn binary() -> PathBuf {
    let named = std::env::var_os("TOLLGATE_OTELCOL").map(PathBuf::from);
    let built = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".tools/otelcol");
    let binary = named.unwrap_or(built);
    assert!(binary.is_file(), "no collector: `make otelcol` builds it, or name one in TOLLGATE_OTELCOL");
    binary
}

/// A port that nobody has at the moment: the collector does not tell which one it took.
fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Real {
    pub(crate) async fn start(protocol: &'static str) -> Self {
        let (folder, [grpc, http]) = (tempfile::tempdir().unwrap(), [free(), free()]);
        let config = format!(
            "
receivers:
  otlp: {{ protocols: {{ grpc: {{ endpoint: '{grpc}' }}, http: {{ endpoint: '{http}' }} }} }}
exporters:
  file/traces: {{ path: '{folder}/traces.jsonl', flush_interval: 10ms }}
  file/logs: {{ path: '{folder}/logs.jsonl', flush_interval: 10ms }}
service:
  telemetry: {{ metrics: {{ level: none }} }}
  pipelines:
    traces: {{ receivers: [otlp], exporters: [file/traces] }}
    logs: {{ receivers: [otlp], exporters: [file/logs] }}
",
            folder = folder.path().display()
        );
        fs::write(folder.path().join("config.yaml"), config).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new(binary());
        command.arg("--config").arg(folder.path().join("config.yaml")).stdout(Stdio::null()).stderr(log);
        let mut child = command.spawn().unwrap();
        let said = folder.path().join("log");
        wait::until("the collector listens", || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", fs::read_to_string(&said).unwrap());
            [grpc, http].iter().all(|address| TcpStream::connect(address).is_ok())
        })
        .await;
        Self { protocol, grpc, http, folder, child }
    }

    /// Where it takes gRPC.
    pub(crate) fn port(&self) -> u16 {
        self.grpc.port()
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub(crate) async fn end(&mut self) {
        self.signal("TERM");
        wait::until("the collector ends", || self.child.try_wait().unwrap().is_some()).await;
    }

    /// Its last line may not be whole yet.
    fn read(&self, name: &str, names: [&str; 3]) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        let documents = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        documents.flat_map(|document| items(&document, names)).collect()
    }
}

impl Collector for Real {
    fn variables(&self) -> Vec<(String, String)> {
        let address = if self.protocol == "grpc" { self.grpc } else { self.http };
        vec![
            set("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}")),
            set("OTEL_EXPORTER_OTLP_PROTOCOL", self.protocol),
        ]
    }

    fn spans(&self) -> Vec<Value> {
        self.read("traces.jsonl", SPANS)
    }

    fn records(&self) -> Vec<Value> {
        self.read("logs.jsonl", RECORDS)
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
