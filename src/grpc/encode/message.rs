//! Writes protobuf straight into the buffer that is sent: one pass, lengths filled in afterwards.

use bytes::Bytes;
use prost::encoding::{encode_varint, encoded_len_varint};

use super::super::reply::PREFIX;

const VARINT: u8 = 0;
const LENGTH_DELIMITED: u8 = 2;

/// A field's number: below 16, so that number and wire type fit one byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field(u8);

impl Field {
    /// For constants: a number that does not fit ends the compilation.
    pub(super) const fn new(number: u8) -> Self {
        assert!(0 < number && number < 16);
        Self(number)
    }
}

/// A message under construction, in its gRPC frame.
#[derive(Debug)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// An empty message with room for so many bytes; for more, room is made.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        let mut buffer = Vec::with_capacity(PREFIX + bytes);
        buffer.extend_from_slice(&[0; PREFIX]);
        Self(buffer)
    }

    /// Ends the message: its whole frame.
    pub(super) fn into_frame(mut self) -> Bytes {
        // Not compressed, and its length.
        let length = u32::try_from(self.0.len().saturating_sub(PREFIX)).unwrap_or(u32::MAX);
        if let Some(place) = self.0.get_mut(1..PREFIX) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        // A buffer without spare room becomes `Bytes` as it is; another would need a second allocation to be shared.
        Bytes::from(self.0.into_boxed_slice())
    }

    /// A number or the value of an enum.
    pub(super) fn number(&mut self, field: Field, number: u32) {
        self.0.push(field.0 << 3 | VARINT);
        encode_varint(number.into(), &mut self.0);
    }

    /// A string.
    pub(super) fn text(&mut self, field: Field, text: &str) {
        self.nested(field, |value| value.push(text));
    }

    /// A message, or a string that `write` pushes piece by piece.
    pub(super) fn nested(&mut self, field: Field, write: impl FnOnce(&mut Self)) {
        // Most lengths fit one byte. Where one does not, what was written moves on a little.
        self.0.extend_from_slice(&[field.0 << 3 | LENGTH_DELIMITED, 0]);
        let start = self.0.len();
        write(self);
        let end = self.0.len();
        let length = (end - start) as u64;
        let more = encoded_len_varint(length) - 1;
        if more > 0 {
            self.0.resize(end + more, 0);
            self.0.copy_within(start..end, start + more);
        }
        if let Some(mut place) = self.0.get_mut(start - 1..start + more) {
            encode_varint(length, &mut place);
        }
    }

    /// A piece of a string.
    pub(super) fn push(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }
}
