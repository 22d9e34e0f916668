//! Denials that say the same of every call but for their decision's name: encoded once.

use bytes::Bytes;

use super::frame;
use crate::core::answer::DecisionId;
use crate::core::decide;
use crate::core::reason::Reason;

/// Digits of a decision's name.
const DIGITS: usize = 32;

/// The frame of a denial that no rule and no table had a part in, with gaps where the decision's name stands.
#[derive(Clone, Debug)]
pub struct Prepared {
    reason: Reason,
    frame: Box<[u8]>,
    /// Where the gaps begin.
    gaps: Box<[usize]>,
}

impl Prepared {
    /// What [`decide::refuse`] says for this reason to a client that does not speak gRPC.
    pub fn new(reason: Reason) -> Self {
        let of = |id| frame(&decide::refuse(reason, false, DecisionId(id)));
        let (frame, other) = (of(0), of(u128::MAX));
        // Of two names that have no digit in common.
        let mut gaps: Vec<usize> = Vec::new();
        for (at, _) in frame.iter().zip(&other).enumerate().filter(|(_, (one, other))| one != other) {
            if gaps.last().is_none_or(|begin| at >= begin + DIGITS) {
                gaps.push(at);
            }
        }
        Self { reason, frame: frame.to_vec().into(), gaps: gaps.into() }
    }

    /// Why.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The frame of this decision.
    pub fn frame(&self, id: DecisionId) -> Bytes {
        let (mut frame, hex) = (self.frame.to_vec(), id.hex());
        for begin in &self.gaps {
            if let Some(gap) = frame.get_mut(*begin..begin + DIGITS) {
                gap.copy_from_slice(hex.as_str().as_bytes());
            }
        }
        frame.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_would_be_encoded() {
        for reason in Reason::ALL {
            let prepared = Prepared::new(*reason);
            assert_eq!(prepared.gaps.len(), 2, "in the body and in the metadata");
            for id in [0, 1, 0xabc, u128::MAX / 3, u128::MAX, rand::random()].map(DecisionId) {
                assert_eq!(prepared.frame(id), frame(&decide::refuse(*reason, false, id)), "{reason}");
            }
        }
    }
}
