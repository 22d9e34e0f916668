//! Forms: `application/x-www-form-urlencoded`, by the URL Standard's serialiser.

use std::fmt;

use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

/// A form that is being filled in. It may hold tokens and secrets: its `Debug` is redacted, and its memory is
/// overwritten when it is dropped.
#[derive(Clone, Default)]
pub struct Form(Zeroizing<String>);

impl Form {
    /// Adds a field. Nothing in a name or value can end it or begin another.
    pub fn add(&mut self, name: &str, value: &str) {
        // Each byte becomes three at most. Growing in place would leave copies behind.
        let most = self.0.len() + 2 + 3 * (name.len() + value.len());
        if self.0.capacity() < most {
            let mut larger = Zeroizing::new(String::with_capacity(2 * most));
            larger.push_str(&self.0);
            self.0 = larger;
        }
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.extend(byte_serialize(name.as_bytes()));
        self.0.push('=');
        self.0.extend(byte_serialize(value.as_bytes()));
    }

    /// The form as it is sent.
    pub(super) fn bytes(&self) -> bytes::Bytes {
        bytes::Bytes::from_owner(Zeroizing::new(self.0.as_bytes().to_vec()))
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Form(…)")
    }
}

/// One value, encoded as in a form.
pub fn urlencoded(value: &str) -> Zeroizing<String> {
    let mut encoded = Zeroizing::new(String::with_capacity(3 * value.len()));
    encoded.extend(byte_serialize(value.as_bytes()));
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_180_no_value_ends_its_field() {
        let mut form = Form::default();
        form.add("token", "a&token=b\r\n%26=+ ü\0");
        form.add("client_id", "x");
        assert_eq!(&*form.bytes(), b"token=a%26token%3Db%0D%0A%2526%3D%2B+%C3%BC%00&client_id=x");
        let back: Vec<_> = url::form_urlencoded::parse(&form.bytes()).into_owned().collect();
        assert_eq!(back[0], ("token".into(), "a&token=b\r\n%26=+ ü\0".into()));
        assert_eq!(back.len(), 2);
    }

    #[test]
    fn row_202_debug_is_redacted() {
        let mut form = Form::default();
        form.add("client_secret", "hunter2");
        assert_eq!(format!("{form:?}"), "Form(…)");
        // Each byte has become three at most, so nothing was moved on the way.
        assert_eq!(&*urlencoded("a b:%"), "a+b%3A%25");
    }
}
