//! Ed25519 points that no honest key has.

/// Number of the field, 2^255 − 19, little-endian.
const P: [u8; 32] = with_ends(0xed, 0xff, 0x7f);

/// The y-coordinates of the eight points whose order divides 8, little-endian (RFC 8032 §5.1). Those of order 8 are
/// the roots of y⁴·d + 2·y² − 1 over the field.
const SMALL_ORDER: [[u8; 32]; 5] = [
    with_ends(0, 0, 0),
    with_ends(1, 0, 0),
    with_ends(0xec, 0xff, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

/// Whether this encoded point is of small order, so that signatures verify under it which nobody made, or not written
/// canonically, so that one key would have two names. That it is on the curve is found out when a signature is verified.
pub(super) fn is_weak(point: &[u8; 32]) -> bool {
    let mut y = *point;
    // The top bit is the sign of x.
    y[31] &= 0x7f;
    let canonical = y.iter().rev().lt(P.iter().rev());
    !canonical || SMALL_ORDER.contains(&y)
}

const fn with_ends(low: u8, middle: u8, high: u8) -> [u8; 32] {
    let mut number = [middle; 32];
    number[0] = low;
    number[31] = high;
    number
}
