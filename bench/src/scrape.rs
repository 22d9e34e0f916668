//! What a gate says of itself over HTTP: probes and metrics.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, ensure};

/// The body of an answer with status 200.
///
/// # Errors
/// Nobody listens, or the status is another.
pub fn fetch(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{}", head.lines().next().unwrap_or_default());
    Ok(body.to_owned())
}

/// The sum of a metric's samples whose labels hold all of these texts.
pub fn sum(metrics: &str, family: &str, labels: &[&str]) -> f64 {
    let sample = |line: &str| {
        let (name, rest) = line.split_at_checked(line.find(['{', ' '])?)?;
        let (labelled, value) = rest.rsplit_once(' ')?;
        (name == family && labels.iter().all(|label| labelled.contains(label))).then(|| value.parse::<f64>().ok())?
    };
    metrics.lines().filter_map(sample).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_chosen_by_name_and_labels() {
        let metrics = "# HELP a_total x\na_total{issuer=\"i\",result=\"hit\"} 3\na_total{issuer=\"j\",result=\"hit\"} 4\n\
                       a_total{issuer=\"i\",result=\"miss\"} 50\na_total_more{result=\"hit\"} 600\nb 7\n";
        assert_eq!(sum(metrics, "a_total", &["result=\"hit\""]), 7.0);
        assert_eq!(sum(metrics, "a_total", &["issuer=\"i\"", "result=\"hit\""]), 3.0);
        assert_eq!(sum(metrics, "b", &[]), 7.0);
        assert_eq!(sum(metrics, "c", &[]), 0.0);
    }
}
