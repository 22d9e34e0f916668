//! Protocol Buffers' wire format, as far as a reader needs it that looks at texts and messages alone.

/// Deepest nesting of groups that is skipped. Envoy's protocol has none.
const MAX_GROUPS: usize = 32;

/// Bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// A field's number and, where it is of the kind that texts and messages are, its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'m> {
    pub(super) number: u32,
    bytes: Option<&'m [u8]>,
}

impl<'m> Field<'m> {
    /// The bytes of a text or message.
    pub(super) fn bytes(self) -> Result<&'m [u8], Malformed> {
        self.bytes.ok_or(Malformed)
    }
}

/// The fields of a message, in the order of the wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'m>(&'m [u8]);

/// A field's kind on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Varint,
    Fixed64,
    Bytes,
    GroupStart,
    GroupEnd,
    Fixed32,
}

impl<'m> Fields<'m> {
    pub(super) fn of(message: &'m [u8]) -> Self {
        Self(message)
    }

    /// The next field; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Field<'m>>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let (number, kind) = self.key()?;
        let bytes = match kind {
            Kind::Bytes => Some(self.delimited()?),
            kind => {
                self.skip(number, kind, MAX_GROUPS)?;
                None
            }
        };
        Ok(Some(Field { number, bytes }))
    }

    fn key(&mut self) -> Result<(u32, Kind), Malformed> {
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed)?;
        let kind = match key & 7 {
            0 => Kind::Varint,
            1 => Kind::Fixed64,
            2 => Kind::Bytes,
            3 => Kind::GroupStart,
            4 => Kind::GroupEnd,
            5 => Kind::Fixed32,
            _ => return Err(Malformed),
        };
        match key >> 3 {
            0 => Err(Malformed),
            number => Ok((number, kind)),
        }
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(Malformed)?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if shift == 63 && bits > 1 {
                return Err(Malformed);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, length: usize) -> Result<&'m [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn delimited(&mut self) -> Result<&'m [u8], Malformed> {
        let length = self.varint()?;
        self.take(usize::try_from(length).map_err(|_| Malformed)?)
    }

    fn skip(&mut self, number: u32, kind: Kind, deeper: usize) -> Result<(), Malformed> {
        match kind {
            Kind::Varint => self.varint().map(drop),
            Kind::Fixed64 => self.take(8).map(drop),
            Kind::Bytes => self.delimited().map(drop),
            Kind::Fixed32 => self.take(4).map(drop),
            Kind::GroupStart => loop {
                match self.key()? {
                    (end, Kind::GroupEnd) if end == number => break Ok(()),
                    (inner, kind) => {
                        self.skip(inner, kind, deeper.checked_sub(1).ok_or(Malformed)?)?;
                    }
                }
            },
            Kind::GroupEnd => Err(Malformed),
        }
    }
}
