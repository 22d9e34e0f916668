//! Reads a body within a limit. It may be a token: its memory is overwritten when it is dropped, as far as it is ours.

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use reqwest::Response;
use zeroize::Zeroizing;

use super::FetchError;

/// Room for a body whose length is not told, to begin with.
const FIRST_ROOM: usize = 8 << 10;

/// The whole body of an answer.
pub(super) async fn read(answer: &mut Response, max_bytes: usize) -> Result<Bytes, FetchError> {
    if answer.headers().get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(FetchError::Compressed);
    }
    let told = answer.content_length().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    if told.is_some_and(|length| length > max_bytes) {
        return Err(FetchError::TooLarge(max_bytes));
    }
    let mut body = Zeroizing::new(Vec::with_capacity(told.unwrap_or(FIRST_ROOM).min(FIRST_ROOM)));
    while let Some(chunk) = answer.chunk().await.map_err(|error| FetchError::from_reqwest(&error))? {
        if chunk.len() > max_bytes.saturating_sub(body.len()) {
            return Err(FetchError::TooLarge(max_bytes));
        }
        append(&mut body, &chunk);
    }
    Ok(Bytes::from_owner(body))
}

/// Growing in place would leave copies behind.
fn append(body: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) {
    let length = body.len().saturating_add(chunk.len());
    if length > body.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(length.saturating_mul(2)));
        larger.extend_from_slice(body);
        *body = larger;
    }
    body.extend_from_slice(chunk);
}
