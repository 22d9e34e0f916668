//! The identity provider of a corpus file: it answers introspection and requests for tokens as the file's `provider` says.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A provider on loopback, up to the end of the process. `script` has its answers:
/// - `introspection`: by the token, or a JWT's `jti`; tokens that are not there are inactive;
/// - `tokens`: a list, of which the first answers whose `when` the form holds: `status`, 200 unless it says so, and `answer`.
///
/// Returns where it is.
pub fn start(script: Value) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // A caller that hangs up is no reason to leave the others alone.
            let _ = stream.and_then(|stream| serve(stream, &script));
        }
    });
    format!("http://{address}")
}

fn serve(mut stream: TcpStream, script: &Value) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    let (head, body) = loop {
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        if body.len() >= length.map_or(0, |(_, length)| length.trim().parse().unwrap()) {
            break (head.to_owned(), body.to_owned());
        }
    };
    let form: Vec<(String, String)> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let (status, answer) = match head.split(' ').nth(1) {
        Some("/introspect") => (200, introspected(script, &form)),
        Some("/token") => token(script, &form),
        _ => (404, json!({})),
    };
    let answer = answer.to_string();
    write!(
        stream,
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
        answer.len()
    )
}

fn field<'f>(form: &'f [(String, String)], name: &str) -> Option<&'f str> {
    form.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
}

fn introspected(script: &Value, form: &[(String, String)]) -> Value {
    let token = field(form, "token").unwrap_or_default();
    let payload = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Value = payload.and_then(|payload| serde_json::from_slice(&payload).ok()).unwrap_or_default();
    let key = claims["jti"].as_str().unwrap_or(token);
    script["introspection"].get(key).cloned().unwrap_or_else(|| json!({"active": false}))
}

fn token(script: &Value, form: &[(String, String)]) -> (u64, Value) {
    let holds = |entry: &&Value| {
        let when = entry["when"].as_object().unwrap();
        when.iter().all(|(name, value)| field(form, name) == value.as_str())
    };
    match script["tokens"].as_array().into_iter().flatten().find(holds) {
        Some(entry) => (entry["status"].as_u64().unwrap_or(200), entry["answer"].clone()),
        None => (400, json!({"error": "invalid_request"})),
    }
}
