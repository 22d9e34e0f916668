//! As much of RFC 6455 as an echo needs: unfragmented or fragmented frames come back as they came, pings are
//! answered, a close is answered and ends the connection.

use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Largest frame that is echoed.
const MAX_FRAME_BYTES: usize = 1 << 16;
/// Longest silence of a client.
const IDLE: Duration = Duration::from_secs(60);

const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// The answer to an opening handshake (RFC 6455 §4.2.2); `None` where the request is none.
pub(super) fn accept_key(headers: &HeaderMap) -> Option<String> {
    let upgrade = headers.get("upgrade")?.to_str().ok()?;
    if !upgrade.eq_ignore_ascii_case("websocket") {
        return None;
    }
    let key = headers.get("sec-websocket-key")?.to_str().ok()?;
    let seed = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    // The protocol asks for SHA-1, as a checksum and not for security.
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, seed.as_bytes());
    Some(STANDARD.encode(digest))
}

/// Echoes until the client closes, falls silent or breaks the protocol.
pub(super) async fn echo(upgraded: OnUpgrade) {
    if let Ok(Ok(upgraded)) = timeout(IDLE, upgraded).await {
        let _ = echo_frames(TokioIo::new(upgraded)).await;
    }
}

async fn echo_frames(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    loop {
        let (first, payload) = timeout(IDLE, read_frame(&mut stream)).await??;
        let opcode = first & 0x0f;
        let answer = match opcode {
            PONG => continue,
            PING => (first & 0xf0) | PONG,
            _ => first,
        };
        let mut frame = vec![answer];
        match u16::try_from(payload.len()) {
            Ok(short @ 0..=125) => frame.push(u8::try_from(short).unwrap_or_default()),
            Ok(long) => {
                frame.push(126);
                frame.extend_from_slice(&long.to_be_bytes());
            }
            Err(_) => return Err(io::ErrorKind::InvalidData.into()),
        }
        frame.extend_from_slice(&payload);
        stream.write_all(&frame).await?;
        stream.flush().await?;
        if opcode == CLOSE {
            return stream.shutdown().await;
        }
    }
}

/// The first byte and the unmasked payload. Clients mask (§5.3); a frame without a mask is an error.
async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(u8, Vec<u8>)> {
    let first = stream.read_u8().await?;
    let second = stream.read_u8().await?;
    let length = match second & 0x7f {
        126 => usize::from(stream.read_u16().await?),
        127 => usize::try_from(stream.read_u64().await?).unwrap_or(usize::MAX),
        short => usize::from(short),
    };
    if second & 0x80 == 0 || length >= MAX_FRAME_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut mask = [0; 4];
    stream.read_exact(&mut mask).await?;
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await?;
    for (byte, mask) in payload.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= mask;
    }
    Ok((first, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handshake_is_that_of_rfc_6455_section_1_3() {
        let mut headers = HeaderMap::new();
        headers.insert("upgrade", "websocket".parse().unwrap());
        headers.insert("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==".parse().unwrap());
        assert_eq!(accept_key(&headers).as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        headers.insert("upgrade", "h2c".parse().unwrap());
        assert_eq!(accept_key(&headers), None);
    }
}
