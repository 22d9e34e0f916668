//! C. Signatures.

use aws_lc_rs::digest::{self, digest};
use num_bigint::BigUint;
use serde_json::json;
use tollgate::authn::keys::KeySet;
use tollgate::core::reason::Reason;

use crate::bench::{Bench, KID, good_claims};
use crate::support::mint::{Signer, b64, fixed};

const SIGNATURE: &[Reason] = &[Reason::TokenSignature];
/// An emptied signature leaves an empty part.
const ANY: &[Reason] = &[Reason::TokenSignature, Reason::TokenMalformed];

/// What the signature of a good token is over, and the signature.
fn signed(bench: &Bench) -> (String, Vec<u8>) {
    let signed = format!("{}.{}", b64(bench.signer.header(KID).to_string()), b64(good_claims().to_string()));
    let signature = bench.signer.signature(signed.as_bytes());
    bench.accepted(&format!("{signed}.{}", b64(&signature)));
    (signed, signature)
}

#[test]
fn row_036_bit_flips_and_truncations() {
    for signer in [Signer::rs256(), Signer::ps256(), Signer::es256(), Signer::es384(), Signer::ed25519()] {
        let bench = Bench::new(signer);
        let (signed, signature) = signed(&bench);
        let attempt = |signature: &[u8], reasons| bench.refused(&format!("{signed}.{}", b64(signature)), reasons);
        for bit in 0..signature.len() * 8 {
            let mut flipped = signature.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            attempt(&flipped, SIGNATURE);
        }
        for length in 0..signature.len() {
            attempt(&signature[..length], ANY);
        }
        for extra in [0, 1, 255] {
            attempt(&[&signature[..], &[extra]].concat(), SIGNATURE);
            attempt(&[&[extra], &signature[..]].concat(), SIGNATURE);
        }
    }
}

/// The order of P-256's base point.
fn p256_order() -> BigUint {
    BigUint::parse_bytes(b"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16).unwrap()
}

#[test]
fn row_037_psychic_signatures() {
    let bench = Bench::new(Signer::es256());
    let (signed, _) = signed(&bench);
    let n = p256_order();
    let values = [BigUint::from(0_u8), BigUint::from(1_u8), &n - 1_u8, n];
    for r in &values {
        for s in &values {
            let signature = [fixed(r, 32), fixed(s, 32)].concat();
            bench.refused(&format!("{signed}.{}", b64(signature)), SIGNATURE);
        }
    }
}

#[test]
fn row_038_numbers_out_of_range_and_long_halves() {
    let bench = Bench::new(Signer::es256());
    let (signed, signature) = signed(&bench);
    let n = p256_order();
    let (r, s) = (BigUint::from_bytes_be(&signature[..32]), BigUint::from_bytes_be(&signature[32..]));
    let mut wrong = vec![
        [fixed(&(&r + &n), 33), fixed(&s, 33)].concat(),
        [fixed(&r, 33), fixed(&(&s + &n), 33)].concat(),
        [fixed(&r, 33), fixed(&s, 33)].concat(),
        [fixed(&r, 48), fixed(&s, 48)].concat(),
        [fixed(&(&r + &n), 33), fixed(&s, 32)].concat(),
        vec![0; 128],
        vec![0; 64],
    ];
    // Where the sum still fits into 32 bytes, the only sign of it is that it is out of range.
    for (r, s) in [(&r + &n, s.clone()), (r.clone(), &s + &n)] {
        if r.bits() <= 256 && s.bits() <= 256 {
            wrong.push([fixed(&r, 32), fixed(&s, 32)].concat());
        }
    }
    for signature in wrong {
        bench.refused(&format!("{signed}.{}", b64(signature)), SIGNATURE);
    }
}

/// A signature as a DER sequence of two integers.
fn der(signature: &[u8]) -> Vec<u8> {
    let integer = |half: &[u8]| {
        let mut bytes = BigUint::from_bytes_be(half).to_bytes_be();
        if bytes[0] >= 0x80 {
            bytes.insert(0, 0);
        }
        [vec![2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    };
    let (r, s) = signature.split_at(signature.len() / 2);
    let body = [integer(r), integer(s)].concat();
    [vec![0x30, u8::try_from(body.len()).unwrap()], body].concat()
}

#[test]
fn row_039_der_signatures() {
    for signer in [Signer::es256(), Signer::es384()] {
        let bench = Bench::new(signer);
        let (signed, signature) = signed(&bench);
        bench.refused(&format!("{signed}.{}", b64(der(&signature))), SIGNATURE);
    }
}

#[test]
fn row_040_the_malleable_twin_is_a_good_signature() {
    let bench = Bench::new(Signer::es256());
    let (signed, signature) = signed(&bench);
    let s = BigUint::from_bytes_be(&signature[32..]);
    let twin = [signature[..32].to_vec(), fixed(&(p256_order() - s), 32)].concat();
    assert_ne!(twin, signature);
    bench.accepted(&format!("{signed}.{}", b64(twin)));
}

/// `DigestInfo` of SHA-256, up to the digest (RFC 8017 §9.2).
const SHA256_INFO: [u8; 19] = [0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20];

/// A PKCS#1 v1.5 block (RFC 8017 §9.2) with this in place of the `DigestInfo`, as long as the modulus.
fn pkcs1(info: &[u8]) -> Vec<u8> {
    let mut block = vec![0, 1];
    block.resize(256 - info.len() - 1, 0xff);
    block.push(0);
    block.extend(info);
    block
}

#[test]
fn row_041_pkcs1_paddings() {
    let bench = Bench::new(Signer::rs256());
    let (signed, _) = signed(&bench);
    let hash = digest(&digest::SHA256, signed.as_bytes()).as_ref().to_vec();
    let info = [&SHA256_INFO[..], &hash].concat();
    let good = pkcs1(&info);
    bench.accepted(&format!("{signed}.{}", b64(bench.signer.raw_rsa(&good))));

    let mut wrong: Vec<Vec<u8>> = Vec::new();
    // Any one byte of the block's frame, the DigestInfo or the digest.
    let frame = [1, 2, 3, 10, 100, 200, good.len() - info.len() - 2, good.len() - info.len() - 1];
    for at in frame.into_iter().chain(good.len() - info.len()..good.len()) {
        for flip in [0x01, 0x80] {
            let mut block = good.clone();
            block[at] ^= flip;
            wrong.push(block);
        }
    }
    // Block types 0 and 2, padding of zeros.
    for kind in [0, 2, 3] {
        let mut block = good.clone();
        block[1] = kind;
        wrong.push(block);
    }
    let mut zeros = good.clone();
    zeros[2..256 - info.len() - 1].fill(0);
    wrong.push(zeros);
    // Short paddings with garbage after the digest (Bleichenbacher 2006), of several lengths.
    for padding in [0, 1, 7, 8, 9, 20, 100, 190] {
        for garbage in [0x00, 0xff, 0x5a] {
            let mut block = [vec![0, 1], vec![0xff; padding], vec![0], info.clone()].concat();
            block.resize(256, garbage);
            wrong.push(block);
        }
    }
    // DigestInfo in other shapes: no parameters, parameters that are not NULL, BER lengths, garbage inside (BERserk).
    let oid = &SHA256_INFO[4..15];
    let with = |algorithm: &[u8], digest: &[u8]| {
        let algorithm = [vec![0x30, u8::try_from(algorithm.len()).unwrap()], algorithm.to_vec()].concat();
        let digest = [vec![4, u8::try_from(digest.len()).unwrap()], digest.to_vec()].concat();
        let body = [algorithm, digest].concat();
        [vec![0x30, u8::try_from(body.len()).unwrap()], body].concat()
    };
    let mut infos = vec![
        hash.clone(),
        with(oid, &hash),
        with(&[oid, &[5, 1, 0]].concat(), &hash),
        with(&[oid, &[5, 0x81, 0]].concat(), &hash),
        with(&[oid, &[4, 8, 1, 2, 3, 4, 5, 6, 7, 8]].concat(), &hash),
        with(&[oid, &[5, 0, 5, 0]].concat(), &hash),
        with(&[oid, &[0x30, 0]].concat(), &hash),
        with(&[oid, &[5, 0]].concat(), &hash[..31]),
        with(&[oid, &[5, 0]].concat(), &[&hash[..], &[0]].concat()),
        with(&[oid, &[5, 0]].concat(), b""),
        [&[0x30, 0x81, 0x31][..], &info[2..]].concat(),
        [&[0x30, 0x82, 0, 0x31][..], &info[2..]].concat(),
        [&[0x30, 0x80][..], &info[2..], &[0, 0]].concat(),
        [&info[..], &[5, 0]].concat(),
        [&info[..], &[0; 40]].concat(),
        vec![],
    ];
    // The digest under other algorithms' names: SHA-1, MD5, SHA-384, SHA-512, SHA-224.
    infos.push(with(&[6, 5, 0x2b, 0x0e, 3, 2, 0x1a, 5, 0], &hash[..20]));
    infos.push(with(&[6, 8, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 5, 5, 0], &hash[..16]));
    for last in [2, 3, 4] {
        let mut other = oid.to_vec();
        *other.last_mut().unwrap() = last;
        infos.push(with(&[&other[..], &[5, 0]].concat(), &hash));
    }
    wrong.extend(infos.iter().map(|info| pkcs1(info)));
    assert!(wrong.len() > 100, "{} paddings", wrong.len());
    for block in wrong {
        bench.refused(&format!("{signed}.{}", b64(bench.signer.raw_rsa(&block))), SIGNATURE);
    }
}

/// MGF1 (RFC 8017 §B.2.1).
fn mgf1(seed: &[u8], length: usize, algorithm: &'static digest::Algorithm) -> Vec<u8> {
    let mut mask = Vec::new();
    for counter in 0_u32.. {
        if mask.len() >= length {
            break;
        }
        mask.extend(digest(algorithm, &[seed, &counter.to_be_bytes()].concat()).as_ref());
    }
    mask.truncate(length);
    mask
}

/// How a PSS block departs from RFC 8017 §9.1.1.
struct Pss {
    salt: usize,
    salt_byte: u8,
    mask: &'static digest::Algorithm,
    separator: u8,
    trailer: u8,
    padding: u8,
    top_bit: bool,
}

const GOOD_PSS: Pss =
    Pss { salt: 32, salt_byte: 0x5a, mask: &digest::SHA256, separator: 1, trailer: 0xbc, padding: 0, top_bit: false };

/// An encoded message for SHA-256 and a modulus of 2048 bits.
fn pss(message: &[u8], form: &Pss) -> Vec<u8> {
    let salt = vec![form.salt_byte; form.salt];
    let hash = digest(&digest::SHA256, message);
    let h = digest(&digest::SHA256, &[&[0; 8][..], hash.as_ref(), &salt].concat());
    let mut db = vec![form.padding; 256 - form.salt - 32 - 2];
    db.push(form.separator);
    db.extend(&salt);
    let mask = mgf1(h.as_ref(), db.len(), form.mask);
    for (byte, mask) in db.iter_mut().zip(mask) {
        *byte ^= mask;
    }
    db[0] &= 0x7f;
    if form.top_bit {
        db[0] |= 0x80;
    }
    [&db[..], h.as_ref(), &[form.trailer]].concat()
}

#[test]
fn row_042_pss_forms() {
    let bench = Bench::new(Signer::ps256());
    let (signed, _) = signed(&bench);
    let token = |form: &Pss| format!("{signed}.{}", b64(bench.signer.raw_rsa(&pss(signed.as_bytes(), form))));
    bench.accepted(&token(&GOOD_PSS));
    for salt in [0, 20, 31, 33, 64] {
        bench.refused(&token(&Pss { salt, ..GOOD_PSS }), SIGNATURE);
    }
    for mask in [&digest::SHA1_FOR_LEGACY_USE_ONLY, &digest::SHA384, &digest::SHA512] {
        bench.refused(&token(&Pss { mask, ..GOOD_PSS }), SIGNATURE);
    }
    for separator in [0, 2, 0x80, 0xff] {
        bench.refused(&token(&Pss { separator, ..GOOD_PSS }), SIGNATURE);
    }
    for trailer in [0, 0xcc, 0xbd, 0x3c] {
        bench.refused(&token(&Pss { trailer, ..GOOD_PSS }), SIGNATURE);
    }
    for padding in [1, 0x80, 0xff] {
        bench.refused(&token(&Pss { padding, ..GOOD_PSS }), SIGNATURE);
    }
    // With the top bit set, but below the modulus: some salt makes it so.
    let (n, _) = bench.signer.rsa_numbers();
    let below = |salt_byte: &u8| {
        let block = pss(signed.as_bytes(), &Pss { top_bit: true, salt_byte: *salt_byte, ..GOOD_PSS });
        BigUint::from_bytes_be(&block) < n
    };
    let salt_byte = (0..=255).find(below).unwrap();
    bench.accepted(&token(&Pss { salt_byte, ..GOOD_PSS }));
    bench.refused(&token(&Pss { top_bit: true, salt_byte, ..GOOD_PSS }), SIGNATURE);
}

#[test]
fn row_043_rsa_numbers() {
    for signer in [Signer::rs256(), Signer::ps256()] {
        let bench = Bench::new(signer);
        let (signed, signature) = signed(&bench);
        let (n, _) = bench.signer.rsa_numbers();
        let s = BigUint::from_bytes_be(&signature);
        let sum = &s + &n;
        let size = sum.to_bytes_be().len();
        for wrong in [
            vec![0; 256],
            fixed(&BigUint::from(1_u8), 256),
            fixed(&BigUint::from(2_u8), 256),
            fixed(&(&n - 1_u8), 256),
            fixed(&n, 256),
            fixed(&(&n + 1_u8), 256),
            fixed(&sum, size),
            fixed(&(&n - &s), 256),
            [&[0][..], &signature].concat(),
            [&signature[..], &[0]].concat(),
            signature[1..].to_vec(),
            signature[..255].to_vec(),
            vec![0],
        ] {
            bench.refused(&format!("{signed}.{}", b64(wrong)), SIGNATURE);
        }
    }
}

#[test]
fn row_044_ed25519_lengths_and_small_order_keys() {
    let bench = Bench::new(Signer::ed25519());
    let (signed, signature) = signed(&bench);
    for wrong in
        [signature[..63].to_vec(), [&signature[..], &[0]].concat(), signature.repeat(2), vec![0; 64], vec![0; 1]]
    {
        bench.refused(&format!("{signed}.{}", b64(wrong)), SIGNATURE);
    }
    // Points of order 1, 2 and 4 (RFC 7748 §7): for some of them a signature of zeros fits many messages.
    let mut minus_one = [0xff; 32];
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    let mut one = [0; 32];
    one[0] = 1;
    for point in [[0; 32], one, minus_one] {
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": KID, "x": b64(point) });
        assert!(KeySet::from_jwks(json!({ "keys": [jwk] }).to_string().as_bytes()).is_err(), "{point:?}");
    }
}

#[test]
fn row_045_null_and_blank_signatures() {
    for signer in [Signer::rs256(), Signer::es256(), Signer::ed25519()] {
        let bench = Bench::new(signer);
        let (signed, signature) = signed(&bench);
        bench.refused(&format!("{signed}."), &[Reason::TokenMalformed]);
        bench.refused(&signed, &[Reason::TokenMalformed]);
        bench.refused(&format!("{signed}.{}", b64([0])), SIGNATURE);
        bench.refused(&format!("{signed}.{}", b64(vec![0; signature.len()])), SIGNATURE);
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"");
        let blank = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
        bench.refused(&format!("{signed}.{}", b64(blank.as_ref())), SIGNATURE);
        bench.refused(&format!("{signed}.null"), SIGNATURE);
    }
}
