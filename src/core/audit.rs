//! What an audit log holds, and what it leaves out: the part of its configuration that a reload changes.

use super::answer::DecisionId;
use crate::secret::Secret;

/// A field that may be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MaskedField {
    /// The request's `x-request-id`.
    RequestId,
    /// The host that was asked for.
    Host,
    /// The path.
    Path,
    /// What Envoy called the peer.
    Caller,
    /// Whom the token is about.
    Subject,
    /// The OAuth client.
    Client,
    /// The calling service.
    Service,
    /// The tenant.
    Tenant,
}

impl MaskedField {
    /// All of them, in their order.
    pub const ALL: [Self; 8] = [
        Self::RequestId,
        Self::Host,
        Self::Path,
        Self::Caller,
        Self::Subject,
        Self::Client,
        Self::Service,
        Self::Tenant,
    ];

    /// Its name in a line and in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestId => "request_id",
            Self::Host => "host",
            Self::Path => "path",
            Self::Caller => "caller",
            Self::Subject => "subject",
            Self::Client => "client",
            Self::Service => "service",
            Self::Tenant => "tenant",
        }
    }
}

/// What becomes of a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mask {
    /// It is written as it is.
    #[default]
    Keep,
    /// It is left out.
    Omit,
    /// A keyed digest stands for it.
    Hash,
}

/// Which decisions are written, and what of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// The part of allows that are written: 0 to 1. Denials always are.
    pub sample_allows: f64,
    /// By the position of a field in [`MaskedField::ALL`].
    pub masks: [Mask; MaskedField::ALL.len()],
    /// The key of the digests; there wherever a field is hashed.
    pub hash_key: Option<Secret>,
}

// A share is never NaN.
impl Eq for Selection {}

impl Default for Selection {
    fn default() -> Self {
        Self { sample_allows: 1.0, masks: Default::default(), hash_key: None }
    }
}

impl Selection {
    /// Whether an allow of this name is written. A function of the name alone: whoever has the name of a decision can tell
    /// whether there is a line, and each replica tells the same.
    pub fn samples(&self, id: DecisionId) -> bool {
        // The first 53 bits, which a float holds exactly.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let share = (id.0 >> 75) as f64 / (1_u64 << 53) as f64;
        share < self.sample_allows
    }

    /// What becomes of a field.
    pub fn mask(&self, field: MaskedField) -> Mask {
        self.masks.get(field as usize).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampling_is_a_share_of_all_names() {
        let with = |sample_allows| Selection { sample_allows, ..Selection::default() };
        for id in [0, 1, u128::MAX / 3, u128::MAX] {
            assert!(with(1.0).samples(DecisionId(id)));
            assert!(!with(0.0).samples(DecisionId(id)));
        }
        let quarter = with(0.25);
        assert!(quarter.samples(DecisionId(0x3fff << 112)));
        assert!(!quarter.samples(DecisionId(0x4000 << 112)));
    }

    #[test]
    fn each_field_has_its_own_mask() {
        for (position, field) in MaskedField::ALL.into_iter().enumerate() {
            let mut selection = Selection::default();
            selection.masks[position] = Mask::Omit;
            assert_eq!(selection.mask(field), Mask::Omit);
            assert_eq!(MaskedField::ALL.into_iter().filter(|other| selection.mask(*other) == Mask::Omit).count(), 1);
        }
    }
}
