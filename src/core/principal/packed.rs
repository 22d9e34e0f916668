//! Texts and numbers in one text: each text behind its length.

/// Lengths are written in digits of six bits, the lowest first; all but the last have this bit. Each is ASCII.
const MORE: u8 = 0x40;

/// Writes a packed text.
#[derive(Debug)]
pub(super) struct Packer {
    /// `None` while only its length is counted.
    to: Option<String>,
    bytes: usize,
}

impl Packer {
    /// Writes twice: the second time into a text of just the length that the first one came to.
    pub(super) fn pack(write: impl Fn(&mut Self)) -> Box<str> {
        let mut counter = Self { to: None, bytes: 0 };
        write(&mut counter);
        let mut packer = Self { to: Some(String::with_capacity(counter.bytes)), bytes: 0 };
        write(&mut packer);
        packer.to.unwrap_or_default().into_boxed_str()
    }

    pub(super) fn text(&mut self, text: &str) {
        self.number(text.len());
        self.bytes += text.len();
        if let Some(to) = &mut self.to {
            to.push_str(text);
        }
    }

    pub(super) fn number(&mut self, mut number: usize) {
        loop {
            let (digit, rest) = (u8::try_from(number & 0x3f).unwrap_or_default(), number >> 6);
            let digit = if rest > 0 { digit | MORE } else { digit };
            self.bytes += 1;
            if let Some(to) = &mut self.to {
                to.push(char::from(digit));
            }
            if rest == 0 {
                return;
            }
            number = rest;
        }
    }
}

/// Reads a packed text. Beyond its end are zeros and empty texts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'p>(&'p str);

impl<'p> Reader<'p> {
    pub(super) fn new(packed: &'p str) -> Self {
        Self(packed)
    }

    pub(super) fn number(&mut self) -> usize {
        let (mut number, mut shift) = (0, 0);
        for (at, byte) in self.0.bytes().enumerate() {
            number |= usize::from(byte & !MORE).checked_shl(shift).unwrap_or_default();
            shift += 6;
            if byte & MORE == 0 {
                self.0 = self.0.get(at + 1..).unwrap_or_default();
                return number;
            }
        }
        0
    }

    pub(super) fn text(&mut self) -> &'p str {
        let length = self.number();
        let (text, rest) = self.0.split_at_checked(length).unwrap_or_default();
        self.0 = rest;
        text
    }

    pub(super) fn skip(&mut self, texts: usize) {
        for _ in 0..texts {
            self.text();
        }
    }

    /// A number, and so many texts.
    pub(super) fn list(mut self) -> Texts<'p> {
        let left = self.number();
        Texts { left, rest: self }
    }
}

/// The texts of a list.
#[derive(Clone, Debug)]
pub struct Texts<'p> {
    left: usize,
    rest: Reader<'p>,
}

impl<'p> Iterator for Texts<'p> {
    type Item = &'p str;

    fn next(&mut self) -> Option<&'p str> {
        self.left = self.left.checked_sub(1)?;
        Some(self.rest.text())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Texts<'_> {}
