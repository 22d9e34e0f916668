use bytes::Bytes;
use prost::Message as _;

use super::*;
use crate::grpc::wire;

fn entry(key: &'static [u8], value: &'static [u8]) -> wire::Entry {
    wire::Entry { key: Bytes::from_static(key), value: Bytes::from_static(value) }
}

fn raw(key: &'static [u8], value: &'static [u8], raw_value: &'static [u8]) -> wire::RawHeader {
    wire::RawHeader {
        key: Bytes::from_static(key),
        value: Bytes::from_static(value),
        raw_value: Bytes::from_static(raw_value),
    }
}

fn message(http: wire::Http) -> wire::CheckRequest {
    let request = wire::Request { http: Some(http) };
    let attributes = wire::Attributes { source: None, request: Some(request), context_extensions: Vec::new() };
    wire::CheckRequest { attributes: Some(attributes) }
}

fn decoded(message: &wire::CheckRequest) -> Result<RawRequest<'static>, DecodeError> {
    request(message.encode_to_vec().leak(), Direction::Inbound)
}

fn speaks_grpc(message: &wire::CheckRequest) -> bool {
    super::speaks_grpc(&message.encode_to_vec())
}

#[test]
fn row_208_missing_parts_are_answered() {
    let no_http = wire::CheckRequest {
        attributes: Some(wire::Attributes { request: Some(wire::Request { http: None }), ..Default::default() }),
    };
    let no_request = wire::CheckRequest { attributes: Some(wire::Attributes::default()) };
    for message in [wire::CheckRequest { attributes: None }, no_request, no_http] {
        let error = decoded(&message).unwrap_err();
        assert!(matches!(error, DecodeError::Missing(_)));
        assert!(error.rpc_error().is_none());
        assert!(!speaks_grpc(&message));
    }
    let bare = message(wire::Http::default());
    let bare = decoded(&bare).unwrap();
    assert_eq!((bare.method, bare.host, bare.path, bare.headers.iter().count()), ("", "", "", 0));
}

#[test]
fn row_209_strings_that_are_not_text_are_no_message() {
    const BAD: &[u8] = b"a\xffb";
    let good = message(wire::Http::default());
    let spoil = |spoil: fn(&mut wire::Attributes)| {
        let mut message = good.clone();
        spoil(message.attributes.as_mut().unwrap());
        let error = decoded(&message).map(drop).unwrap_err();
        let DecodeError::NotText(field) = error else { panic!("{error}") };
        assert_eq!(error.rpc_error().unwrap().code(), tonic::Code::InvalidArgument);
        field
    };
    fn http(attributes: &mut wire::Attributes) -> &mut wire::Http {
        attributes.request.as_mut().unwrap().http.as_mut().unwrap()
    }
    assert_eq!(spoil(|a| http(a).method = BAD.into()), "http.method");
    assert_eq!(spoil(|a| http(a).path = BAD.into()), "http.path");
    assert_eq!(spoil(|a| http(a).host = BAD.into()), "http.host");
    assert_eq!(spoil(|a| http(a).headers.push(entry(BAD, b""))), "http.headers");
    assert_eq!(
        spoil(|a| http(a).header_map = Some(wire::HeaderMap { headers: vec![raw(BAD, b"", b"")] })),
        "http.headers"
    );
    assert_eq!(spoil(|a| a.context_extensions.push(entry(BAD, b""))), "context_extensions");
    assert_eq!(spoil(|a| a.context_extensions.push(entry(b"", BAD))), "context_extensions");
    assert_eq!(
        spoil(|a| a.source = Some(wire::Peer { principal: BAD.into(), certificate: Bytes::new() })),
        "source.principal"
    );
    assert_eq!(
        spoil(|a| a.source = Some(wire::Peer { principal: Bytes::new(), certificate: BAD.into() })),
        "source.certificate"
    );
}

#[test]
fn header_values_may_be_any_bytes_in_either_form() {
    let message = message(wire::Http {
        headers: vec![entry(b"a", b"\xff")],
        header_map: Some(wire::HeaderMap {
            headers: vec![raw(b"b", b"", b"\xfe"), raw(b"c", b"\xfd", b""), raw(b"d", b"", b""), raw(b"e", b"x", b"x")],
        }),
        ..Default::default()
    });
    let request = decoded(&message).unwrap();
    let lines: Vec<(&str, &[u8])> = request.headers.iter().map(|line| (line.name, line.value)).collect();
    assert_eq!(lines, [("a", &b"\xff"[..]), ("b", b"\xfe"), ("c", b"\xfd"), ("d", b""), ("e", b"x")]);
}

#[test]
fn two_values_in_one_header_are_two_lines() {
    // One of them would be hidden from the check for two credentials otherwise.
    let message = message(wire::Http {
        header_map: Some(wire::HeaderMap { headers: vec![raw(b"authorization", b"Bearer a", b"Bearer b")] }),
        headers: vec![entry(b"authorization", b"Bearer c")],
        ..Default::default()
    });
    let request = decoded(&message).unwrap();
    let values: Vec<&[u8]> = request.headers.values("authorization").collect();
    assert_eq!(values, [&b"Bearer c"[..], b"Bearer b", b"Bearer a"]);
}

#[test]
fn row_210_headers_are_bounded_in_number_and_bytes() {
    let lines = |number: usize| wire::Http { headers: vec![entry(b"a", b"b"); number], ..Default::default() };
    assert!(decoded(&message(lines(MAX_HEADER_LINES))).is_ok());
    let split = wire::Http {
        header_map: Some(wire::HeaderMap { headers: vec![raw(b"a", b"b", b"")] }),
        ..lines(MAX_HEADER_LINES)
    };
    for many in [lines(MAX_HEADER_LINES + 1), lines(10_000), split] {
        let error = decoded(&message(many)).map(drop).unwrap_err();
        assert_eq!(error, DecodeError::TooManyHeaders);
        assert!(error.rpc_error().is_none());
    }
    let long = |bytes: usize| wire::Http {
        headers: vec![wire::Entry { key: Bytes::from_static(b"a"), value: vec![b'x'; bytes].into() }],
        ..Default::default()
    };
    assert!(decoded(&message(long(MAX_HEADER_BYTES - 1))).is_ok());
    for long in [long(MAX_HEADER_BYTES), long(1 << 20)] {
        let error = decoded(&message(long)).map(drop).unwrap_err();
        assert_eq!(error, DecodeError::HeadersTooLong);
        assert!(error.rpc_error().is_none());
    }
}

#[test]
fn grpc_clients_are_known_by_their_content_type() {
    let with = |header| message(wire::Http { headers: vec![header], ..Default::default() });
    assert!(speaks_grpc(&with(entry(b"Content-Type", b"application/grpc+proto"))));
    assert!(!speaks_grpc(&with(entry(b"content-type", b"application/json"))));
    let raw_form = wire::HeaderMap { headers: vec![raw(b"content-type", b"", b"application/grpc")] };
    assert!(speaks_grpc(&message(wire::Http { header_map: Some(raw_form), ..Default::default() })));
}

#[test]
fn row_209_bytes_that_are_no_message_are_an_rpc_error() {
    let nested = |depth: usize| [vec![0x1b; depth], vec![0x1c; depth]].concat();
    for bad in [
        // A field number of zero; an unknown wire type; a group that ends without a beginning, or not at all.
        &[0x00, 0x00][..],
        &[0x0e],
        &[0x1c],
        &[0x1b],
        &[0x1b, 0x24],
        // A length beyond the end; numbers that do not end, or that exceed 64 bits.
        &[0x0a, 0x05, 0x00],
        &[0x0a],
        &[0x10, 0xff],
        &[0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
        &[0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        // `attributes` as a number.
        &[0x08, 0x01],
        &nested(64),
    ] {
        let error = request(bad, Direction::Inbound).map(drop).unwrap_err();
        assert_eq!(error, DecodeError::Malformed, "{bad:x?}");
        assert_eq!(error.rpc_error().unwrap().code(), tonic::Code::InvalidArgument);
    }
    for unknown in [&nested(20)[..], &[0x10, 0x01], &[0x15, 0, 0, 0, 0], &[0x11, 0, 0, 0, 0, 0, 0, 0, 0]] {
        assert_eq!(request(unknown, Direction::Inbound).map(drop), Err(DecodeError::Missing("attributes")));
    }
}
