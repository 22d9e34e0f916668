use super::vectors::{Ec, Ed, Rsa, from_pem, pem, set};
use super::*;
use std::path::Path;

#[test]
fn all_forms_of_a_key_are_the_same_key() {
    let (rsa, p256, p384, ed) = (Rsa::generate(), Ec::p256(), Ec::p384(), Ed::generate());
    let text = [
        pem("PUBLIC KEY", &rsa.spki()),
        pem("PUBLIC KEY", &p256.spki()),
        pem("PUBLIC KEY", &p384.spki()),
        pem("PUBLIC KEY", &ed.spki()),
    ]
    .concat();
    let from_jwks = set(&[rsa.jwk("a"), p256.jwk("b"), p384.jwk("c"), ed.jwk("d")]);
    let from_text = from_pem(&text).unwrap();
    assert!(from_text.is_subset_of(&from_jwks) && from_jwks.is_subset_of(&from_text));
    assert!(from_pem(&pem("RSA PUBLIC KEY", &rsa.pkcs1())).unwrap().is_subset_of(&from_jwks));
    // The same key in two forms is one key.
    assert_eq!(
        from_pem(&[pem("RSA PUBLIC KEY", &rsa.pkcs1()), pem("PUBLIC KEY", &rsa.spki())].concat()).unwrap().len(),
        1
    );
    for (algorithm, signature) in [
        (Algorithm::RS256, rsa.sign(Algorithm::RS256, MESSAGE)),
        (Algorithm::PS256, rsa.sign(Algorithm::PS256, MESSAGE)),
        (Algorithm::ES256, p256.sign(MESSAGE)),
        (Algorithm::ES384, p384.sign(MESSAGE)),
        (Algorithm::EdDSA, ed.sign(MESSAGE)),
    ] {
        assert!(
            from_text.candidates(None, algorithm).any(|key| key.verify(algorithm, MESSAGE, &signature)),
            "{algorithm:?}"
        );
    }
}

#[test]
fn keys_in_pem_have_no_ids_and_a_tokens_id_says_nothing() {
    let rsa = Rsa::generate();
    let set = from_pem(&pem("PUBLIC KEY", &rsa.spki())).unwrap();
    for kid in [None, Some(""), Some("anything")] {
        assert_eq!(set.candidates(kid, Algorithm::RS256).count(), 1);
    }
    assert!(set.has_kid("anything"));
}

#[test]
fn row_077_certificates_crlf_text_around_and_several_blocks_are_fine() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let certificate = rcgen::CertificateParams::new(["issuer.example".to_owned()]).unwrap().self_signed(&pair).unwrap();
    let set = from_pem(&certificate.pem()).unwrap();
    assert_eq!(set.candidates(None, Algorithm::ES384).count(), 1);
    assert!(set.is_subset_of(&from_pem(&pair.public_key_pem()).unwrap()));

    let ec = pem("PUBLIC KEY", &Ec::p256().spki());
    let text = format!("# current\n{ec}\n# previous\n{}\nthe end", certificate.pem());
    assert_eq!(from_pem(&text).unwrap().len(), 2);
    assert_eq!(from_pem(&text.replace('\n', "\r\n")).unwrap().len(), 2);
    // Without a newline at the end, and indented as in a YAML block.
    assert_eq!(from_pem(ec.trim_end()).unwrap().len(), 1);
    assert_eq!(from_pem(&ec.replace('\n', "\n    ")).unwrap().len(), 1);
}

/// The message and line of the error.
fn error(text: &str) -> (usize, String) {
    let error = from_pem(text).unwrap_err();
    assert_eq!(error.to_string(), format!("keys.pem:{}: {}", error.line, error.problem));
    (error.line, error.problem.to_string())
}

#[test]
fn row_077_private_keys_are_an_error_that_names_file_and_line() {
    let pair = rcgen::KeyPair::generate().unwrap();
    let good = pem("PUBLIC KEY", &Ec::p256().spki());
    let (line, problem) = error(&format!("{good}\n{}", pair.serialize_pem()));
    assert_eq!(line, good.lines().count() + 2);
    assert!(problem.contains("private key") && problem.contains("openssl pkey -pubout"), "{problem}");
    for label in ["RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY"] {
        assert_eq!(error(&pem(label, b"x")).0, 1, "{label}");
        assert_eq!(from_pem(&pem(label, b"x")).unwrap_err().problem, PemProblem::PrivateKey);
    }
}

#[test]
fn row_077_unknown_labels_are_an_error() {
    for label in ["DSA PUBLIC KEY", "EC PARAMETERS", "X509 CRL", "CERTIFICATE REQUEST", "public key", "PUBLIC KEY ", ""]
    {
        let (line, problem) = error(&format!("\n{}", pem(label, b"x")));
        assert_eq!(line, 2, "{label}");
        assert!(problem.contains("not supported"), "{problem}");
    }
}

#[test]
fn row_077_dsa_p521_and_other_key_types_are_an_error() {
    let p521 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
    assert!(error(&p521.public_key_pem()).1.contains("an EC key on P-521"));
    // SubjectPublicKeyInfo of DSA, id-ecPublicKey on secp256k1, X25519: algorithm identifiers by hand.
    let spki = |algorithm: &[u8], key: &[u8]| {
        let mut bits = vec![0];
        bits.extend_from_slice(key);
        sequence(&[sequence(&[algorithm.to_vec()]), tagged(3, &bits)])
    };
    let dsa = spki(&[0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1], &[2, 1, 5]);
    assert!(error(&pem("PUBLIC KEY", &dsa)).1.contains("a DSA key"));
    let k1 = spki(&[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 5, 0x2b, 0x81, 4, 0, 0x0a], &[4; 65]);
    assert!(error(&pem("PUBLIC KEY", &k1)).1.contains("an EC key on an unknown curve"));
    let x25519 = spki(&[6, 3, 0x2b, 0x65, 110], &[9; 32]);
    assert!(error(&pem("PUBLIC KEY", &x25519)).1.contains("a key of an unknown type"));
    // Off the curve, and compressed.
    let p256 = [6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let mut off = Ec::p256().point();
    off[64] ^= 1;
    assert!(error(&pem("PUBLIC KEY", &spki(&p256, &off))).1.contains("not on its curve"));
    assert!(error(&pem("PUBLIC KEY", &spki(&p256, &off[..33]))).1.contains("uncompressed"));
    // A point of small order.
    let weak = spki(&[6, 3, 0x2b, 0x65, 112], &[0; 32]);
    assert!(error(&pem("PUBLIC KEY", &weak)).1.contains("small order"));
}

#[test]
fn a_key_for_pss_verifies_pss_only() {
    let rsa = Rsa::generate();
    let spki = |parameters: &[u8]| {
        let algorithm = [&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10], parameters].concat();
        let bits = [&[0], rsa.pkcs1().as_slice()].concat();
        pem("PUBLIC KEY", &sequence(&[sequence(&[algorithm]), tagged(3, &bits)]))
    };
    let set = from_pem(&spki(&[])).unwrap();
    assert!(set.keys[0].verify(Algorithm::PS256, MESSAGE, &rsa.sign(Algorithm::PS256, MESSAGE)));
    assert!(!set.keys[0].verify(Algorithm::RS256, MESSAGE, &rsa.sign(Algorithm::RS256, MESSAGE)));
    assert_eq!(set.candidates(None, Algorithm::RS256).count(), 0);
    // Parameters narrow it down further than is supported.
    assert!(error(&spki(&[0x30, 0])).1.contains("bound to parameters"));
}

#[test]
fn row_077_rsa_keys_in_pem_are_checked_as_those_in_jwks() {
    let rsa = |n: &[u8], e: &[u8]| sequence(&[tagged(2, n), tagged(2, e)]);
    let mut n = vec![0; 257];
    n[1] = 0x80;
    n[256] = 1;
    let short = [&[0], &n[1..128], &[1]].concat();
    assert!(from_pem(&pem("RSA PUBLIC KEY", &rsa(&n, &[1, 0, 1]))).is_ok());
    assert!(error(&pem("RSA PUBLIC KEY", &rsa(&n, &[1]))).1.contains("exponent"));
    assert!(error(&pem("RSA PUBLIC KEY", &rsa(&short, &[1, 0, 1]))).1.contains("fewer than 2048"));
    // Negative numbers.
    assert!(error(&pem("RSA PUBLIC KEY", &rsa(&n[1..], &[1, 0, 1]))).1.contains("does not hold"));
}

#[test]
fn row_077_broken_blocks_are_an_error() {
    let good = pem("PUBLIC KEY", &Ec::p256().spki());
    for (text, line) in [
        (String::new(), 1),
        ("no key here\n".to_owned(), 1),
        (good.replace("-----END PUBLIC KEY-----", ""), 1),
        (good.replace("-----END PUBLIC", "-----END RSA PUBLIC"), good.lines().count()),
        (good.replace("-----BEGIN PUBLIC KEY-----\n", ""), good.lines().count() - 1),
        (good.replace("BEGIN PUBLIC KEY-----", "BEGIN PUBLIC KEY"), 1),
        (format!("\n\n{}", good.replacen("MF", "M*", 1)), 3),
        (good.replacen("-----\n", "-----\nProc-Type: 4,ENCRYPTED\n\n", 1), 1),
        (pem("PUBLIC KEY", b""), 1),
        (pem("PUBLIC KEY", &[Ec::p256().spki(), vec![0]].concat()), 1),
        (pem("CERTIFICATE", &Ec::p256().spki()), 1),
        (pem("RSA PUBLIC KEY", &Rsa::generate().spki()), 1),
        (format!("{good}{}", good.lines().next().unwrap()), good.lines().count() + 1),
        (format!("{}\n{good}", good.lines().next().unwrap()), 1),
    ] {
        assert_eq!(error(&text).0, line, "{text}");
    }
    assert!(KeySet::from_pem([(Path::new("keys.pem"), &[0xff, 0xfe, 0][..])]).is_err());
}

#[test]
fn more_keys_than_are_tried_are_an_error_and_not_a_set_that_never_verifies() {
    let blocks: Vec<String> = (0..=KeySet::MAX_TRIES).map(|_| pem("PUBLIC KEY", &Ec::p256().spki())).collect();
    assert_eq!(from_pem(&blocks[..KeySet::MAX_TRIES].concat()).unwrap().candidates(None, Algorithm::ES256).count(), 4);
    let error = from_pem(&blocks.concat()).unwrap_err();
    assert_eq!(error.problem, PemProblem::TooManyKeys(Algorithm::ES256));
    assert!(error.line > 1);
}

#[test]
fn the_file_at_fault_is_named_among_several() {
    let good = pem("PUBLIC KEY", &Ec::p256().spki());
    let files = [(Path::new("a.pem"), good.as_bytes()), (Path::new("b.pem"), b"nothing".as_slice())];
    assert_eq!(KeySet::from_pem(files).unwrap_err().file, Path::new("b.pem"));
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut der = vec![tag];
    match length {
        0..128 => der.push(length as u8),
        128..256 => der.extend([0x81, length as u8]),
        _ => der.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    der.extend_from_slice(content);
    der
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tagged(0x30, &parts.concat())
}
