//! As much of an answer as says what it was.

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Status OK, with what an allow carries.
    Allow,
    /// A denial, with the HTTP status that the client would get. 503 is a gate that sheds.
    Denied(u16),
    /// The call ended with this `grpc-status`.
    Rpc(u32),
    /// Something that is no answer of this protocol.
    Malformed,
    /// The stream or the connection broke.
    Transport,
    /// Not answered within the caller's patience, whether it was sent or still waited to be.
    GaveUp,
}

/// Reads a gRPC frame that holds a `CheckResponse`.
pub(super) fn decode(frame: &[u8]) -> Outcome {
    message(frame).and_then(response).unwrap_or(Outcome::Malformed)
}

/// The message of a frame: one, whole, not compressed.
fn message(frame: &[u8]) -> Option<&[u8]> {
    let (&[flag, a, b, c, d], message) = frame.split_first_chunk::<5>()?;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    (flag == 0 && message.len() == length).then_some(message)
}

/// `CheckResponse`: status = 1, denied_response = 2, ok_response = 3.
fn response(message: &[u8]) -> Option<Outcome> {
    let (mut code, mut denied, mut ok) = (0, None, false);
    for field in Fields(message) {
        match field? {
            (1, Value::Bytes(status)) => code = varint_of(status, 1)?,
            (2, Value::Bytes(response)) => (denied, ok) = (Some(response), false),
            (3, Value::Bytes(_)) => (denied, ok) = (None, true),
            _ => {}
        }
    }
    match (code, ok, denied) {
        (0, true, None) => Some(Outcome::Allow),
        // Envoy takes a status that is not OK for a denial with 403, where nothing more is said.
        (1.., false, None) => Some(Outcome::Denied(403)),
        (1.., false, Some(denied)) => match bytes_of(denied, 1)? {
            None => Some(Outcome::Denied(403)),
            Some(status) => Some(Outcome::Denied(u16::try_from(varint_of(status, 1)?).ok()?)),
        },
        _ => None,
    }
}

fn varint_of(message: &[u8], wanted: u64) -> Option<u64> {
    let mut found = 0;
    for field in Fields(message) {
        if let (number, Value::Varint(value)) = field?
            && number == wanted
        {
            found = value;
        }
    }
    Some(found)
}

fn bytes_of(message: &[u8], wanted: u64) -> Option<Option<&[u8]>> {
    let mut found = None;
    for field in Fields(message) {
        if let (number, Value::Bytes(value)) = field?
            && number == wanted
        {
            found = Some(value);
        }
    }
    Some(found)
}

enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Other,
}

/// The fields of a protobuf message; `None` in the middle where it is broken, and nothing after that.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn read(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.skip(8)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let (value, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Value::Bytes(value)
            }
            5 => self.skip(4)?,
            _ => return None,
        };
        Some((tag >> 3, value))
    }

    fn skip(&mut self, length: usize) -> Option<Value<'a>> {
        self.0 = self.0.get(length..)?;
        Some(Value::Other)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::ext_authz::v3::pb::{CheckResponse, HttpStatusCode};
    use envoy_types::ext_authz::v3::{CheckResponseExt as _, DeniedHttpResponseBuilder, OkHttpResponseBuilder};
    use prost::Message as _;
    use tonic::Status;

    use super::*;

    fn framed(response: &CheckResponse) -> Vec<u8> {
        let message = response.encode_to_vec();
        let mut frame = vec![0];
        frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        frame.extend(message);
        frame
    }

    fn denial(code: HttpStatusCode) -> CheckResponse {
        let mut denied = DeniedHttpResponseBuilder::new();
        denied.set_http_status(code).add_header("www-authenticate", "Bearer", None, false).set_body("no");
        let mut response = CheckResponse::with_status(Status::permission_denied("no"));
        response.set_http_response(denied);
        response
    }

    #[test]
    fn allows_denials_and_their_statuses_are_told_apart() {
        let mut allow = CheckResponse::with_status(Status::ok(""));
        let mut headers = OkHttpResponseBuilder::new();
        headers.add_header("x-service-name", "orders", None, false);
        allow.set_http_response(headers);
        assert_eq!(decode(&framed(&allow)), Outcome::Allow);
        assert_eq!(decode(&framed(&denial(HttpStatusCode::Unauthorized))), Outcome::Denied(401));
        assert_eq!(decode(&framed(&denial(HttpStatusCode::ServiceUnavailable))), Outcome::Denied(503));
        let bare = CheckResponse::with_status(Status::permission_denied("no"));
        assert_eq!(decode(&framed(&bare)), Outcome::Denied(403));
    }

    #[test]
    fn an_allow_that_says_no_more_than_ok_is_no_answer_of_a_gate() {
        assert_eq!(decode(&framed(&CheckResponse::default())), Outcome::Malformed);
        let mut contradiction = denial(HttpStatusCode::Forbidden);
        contradiction.set_status(Status::ok(""));
        assert_eq!(decode(&framed(&contradiction)), Outcome::Malformed);
    }

    #[test]
    fn a_frame_is_whole_alone_and_not_compressed() {
        let whole = framed(&denial(HttpStatusCode::Forbidden));
        for end in 0..whole.len() {
            assert_eq!(decode(&whole[..end]), Outcome::Malformed, "{end} bytes");
        }
        let mut compressed = whole.clone();
        compressed[0] = 1;
        assert_eq!(decode(&compressed), Outcome::Malformed);
        let mut longer = whole;
        longer.push(0);
        assert_eq!(decode(&longer), Outcome::Malformed);
    }

    #[test]
    fn broken_fields_are_not_an_allow() {
        for message in [&[0x1a, 5, 0][..], &[0x1a, 0, 0x08], &[0xff; 12], &[0x1a, 0, 0x0f]] {
            let mut frame = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
            frame.extend(message);
            assert_eq!(decode(&frame), Outcome::Malformed, "{message:?}");
        }
    }
}
