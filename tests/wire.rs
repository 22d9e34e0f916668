//! Our reading of Envoy's Check protocol, compared with `envoy-types`: what it encodes we read as meant, what we encode
//! it reads as meant, and the schema that reflection shows is the one it was generated from.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod specs;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3 as core_pb;
use envoy_types::pb::envoy::service::auth::v3 as auth_pb;
use envoy_types::pb::google::protobuf as google_pb;
use proptest::collection::{hash_map, vec};
use proptest::prelude::*;
use prost::Message as _;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet};
use tollgate::core::answer::{AllowedRequest, Answer, DecisionId, Verdict};
use tollgate::core::decide;
use tollgate::core::header_list::HeaderList;
use tollgate::core::principal::{Parts, Principal};
use tollgate::core::reason::Reason;
use tollgate::core::request::Direction;
use tollgate::grpc::reflection::CHECK_DESCRIPTOR;
use tollgate::grpc::{decode, encode, wire};

// ---- what Envoy asks

fn peer() -> impl Strategy<Value = auth_pb::attribute_context::Peer> {
    (".{0,20}", ".{0,20}", ".{0,20}", hash_map("[a-z]{1,5}", ".{0,5}", 0..3)).prop_map(
        |(service, principal, certificate, labels)| auth_pb::attribute_context::Peer {
            address: Some(core_pb::Address {
                address: Some(core_pb::address::Address::SocketAddress(core_pb::SocketAddress {
                    address: service.clone(),
                    port_specifier: Some(core_pb::socket_address::PortSpecifier::PortValue(443)),
                    ..Default::default()
                })),
            }),
            service,
            labels,
            principal,
            certificate,
        },
    )
}

fn header_map() -> impl Strategy<Value = core_pb::HeaderMap> {
    let line = ("[a-z:_-]{0,12}", ".{0,16}", vec(any::<u8>(), 0..16), any::<bool>());
    let line = line.prop_map(|(key, value, raw_value, raw)| match raw {
        true => core_pb::HeaderValue { key, value: String::new(), raw_value },
        false => core_pb::HeaderValue { key, value, raw_value: Vec::new() },
    });
    vec(line, 0..12).prop_map(|headers| core_pb::HeaderMap { headers })
}

fn http() -> impl Strategy<Value = auth_pb::attribute_context::HttpRequest> {
    let line = ("[A-Z]{0,8}", ".{0,30}", ".{0,20}", ".{0,20}");
    let headers = hash_map("[a-zA-Z0-9:_.-]{0,12}", ".{0,16}", 0..12);
    (line, headers, proptest::option::of(header_map()), vec(any::<u8>(), 0..32), any::<i64>()).prop_map(
        |((method, path, host, other), headers, header_map, raw_body, size)| auth_pb::attribute_context::HttpRequest {
            id: other.clone(),
            method,
            headers,
            header_map,
            path,
            host,
            scheme: "https".to_owned(),
            query: other.clone(),
            fragment: other.clone(),
            size,
            protocol: "HTTP/2".to_owned(),
            body: other,
            raw_body,
        },
    )
}

fn question() -> impl Strategy<Value = auth_pb::CheckRequest> {
    use proptest::option::of;
    let extensions = hash_map(".{0,8}", ".{0,8}", 0..6);
    (of(peer()), of(peer()), http(), extensions, ".{0,10}").prop_map(
        |(source, destination, http, context_extensions, text)| {
            let noted = google_pb::Value { kind: Some(google_pb::value::Kind::StringValue(text.clone())) };
            let noted = google_pb::Struct { fields: HashMap::from([(text.clone(), noted)]) };
            let metadata = core_pb::Metadata {
                filter_metadata: HashMap::from([(text.clone(), noted)]),
                typed_filter_metadata: HashMap::new(),
            };
            auth_pb::CheckRequest {
                attributes: Some(auth_pb::AttributeContext {
                    source,
                    destination,
                    request: Some(auth_pb::attribute_context::Request {
                        time: Some(google_pb::Timestamp { seconds: 1, nanos: 2 }),
                        http: Some(http),
                    }),
                    context_extensions,
                    metadata_context: Some(metadata.clone()),
                    route_metadata_context: Some(metadata),
                    tls_session: Some(auth_pb::attribute_context::TlsSession { sni: text }),
                }),
            }
        },
    )
}

proptest! {
    #[test]
    fn what_envoy_asks_is_read_as_meant(question in question()) {
        let bytes = question.encode_to_vec();
        let read = decode::request(&bytes, Direction::Outbound).unwrap();

        let attributes = question.attributes.unwrap();
        let http = attributes.request.unwrap().http.unwrap();
        prop_assert_eq!(read.direction, Direction::Outbound);
        prop_assert_eq!(read.method, http.method);
        prop_assert_eq!(read.path, http.path);
        prop_assert_eq!(read.host, http.host);
        let source = attributes.source.unwrap_or_default();
        prop_assert_eq!(read.principal, source.principal);
        prop_assert_eq!(read.certificate, source.certificate);

        let mut extensions: Vec<(&str, &str)> = read.context_extensions.clone();
        extensions.sort_unstable();
        let mut expected: Vec<(&str, &str)> =
            attributes.context_extensions.iter().map(|(key, value)| (&**key, &**value)).collect();
        expected.sort_unstable();
        prop_assert_eq!(extensions, expected);

        let mut lines: Vec<(&str, &[u8])> = read.headers.iter().map(|line| (line.name, line.value)).collect();
        let mut expected: Vec<(&str, &[u8])> =
            http.headers.iter().map(|(key, value)| (&**key, value.as_bytes())).collect();
        for line in http.header_map.iter().flat_map(|map| &map.headers) {
            let value = if line.raw_value.is_empty() { line.value.as_bytes() } else { &line.raw_value[..] };
            expected.push((&line.key, value));
        }
        lines.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(lines, expected);
    }

    #[test]
    fn any_bytes_are_read_as_the_generated_reader_reads_them(bytes in vec(any::<u8>(), 0..200)) {
        same_as_generated(&bytes)?;
    }

    #[test]
    fn damage_is_read_as_the_generated_reader_reads_it(
        question in question(), at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let mut bytes = question.encode_to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        same_as_generated(&bytes)?;
    }

    #[test]
    fn messages_in_pieces_add_up(first in question(), second in question()) {
        // Fields that are there twice: the protocol merges them.
        let bytes = [first.encode_to_vec(), second.encode_to_vec()].concat();
        prop_assert!(decode::request(&bytes, Direction::Inbound).is_ok());
        same_as_generated(&bytes)?;
    }
}

/// Our own reader accepts what the generated one accepts, and says the same of it.
fn same_as_generated(bytes: &[u8]) -> Result<(), TestCaseError> {
    let ours = decode::request(bytes, Direction::Inbound);
    let grpc = decode::speaks_grpc(bytes);
    let Ok(lean) = wire::CheckRequest::decode(bytes) else {
        let error = ours.map(drop).unwrap_err();
        prop_assert!(error.rpc_error().is_some(), "{}", error);
        return Ok(());
    };
    let read = match ours {
        Ok(read) => read,
        Err(decode::DecodeError::Missing(part)) => {
            let request = lean.attributes.as_ref().map(|attributes| attributes.request.as_ref());
            let expected = match request {
                None => "attributes",
                Some(None) => "attributes.request",
                Some(Some(request)) if request.http.is_none() => "attributes.request.http",
                Some(Some(_)) => return Err(TestCaseError::fail("nothing is missing")),
            };
            prop_assert_eq!(part, expected);
            return Ok(());
        }
        // The generated reader leaves texts unread.
        Err(error) => {
            prop_assert!(matches!(error, decode::DecodeError::NotText(_)), "{}", error);
            return Ok(());
        }
    };
    let attributes = lean.attributes.unwrap();
    let http = attributes.request.unwrap().http.unwrap();
    prop_assert_eq!(read.method.as_bytes(), &http.method[..]);
    prop_assert_eq!(read.path.as_bytes(), &http.path[..]);
    prop_assert_eq!(read.host.as_bytes(), &http.host[..]);
    let source = attributes.source.unwrap_or_default();
    prop_assert_eq!(read.principal.as_bytes(), &source.principal[..]);
    prop_assert_eq!(read.certificate.as_bytes(), &source.certificate[..]);
    let pairs = read.context_extensions.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes()));
    prop_assert!(pairs.eq(attributes.context_extensions.iter().map(|entry| (&entry.key[..], &entry.value[..]))));
    // Where both forms are there, the wire may mix them.
    let mut lines: Vec<(&[u8], &[u8])> = read.headers.iter().map(|line| (line.name.as_bytes(), line.value)).collect();
    let mut expected: Vec<(&[u8], &[u8])> =
        http.headers.iter().map(|entry| (&entry.key[..], &entry.value[..])).collect();
    for line in http.header_map.iter().flat_map(|map| &map.headers) {
        let forms = [&line.raw_value[..], &line.value[..]];
        expected.push((&line.key, if forms[0].is_empty() { forms[1] } else { forms[0] }));
        if !forms[0].is_empty() && !forms[1].is_empty() && forms[0] != forms[1] {
            expected.push((&line.key, forms[1]));
        }
    }
    lines.sort_unstable();
    expected.sort_unstable();
    let is_grpc = expected
        .iter()
        .any(|(name, value)| name.eq_ignore_ascii_case(b"content-type") && tollgate::core::request::is_grpc(value));
    prop_assert_eq!(grpc, is_grpc);
    prop_assert_eq!(lines, expected);
    Ok(())
}

#[test]
fn the_clients_word_on_its_service_is_not_read() {
    let source = auth_pb::attribute_context::Peer { service: "admin".to_owned(), ..Default::default() };
    let attributes = auth_pb::AttributeContext { source: Some(source), ..Default::default() };
    let bytes = auth_pb::CheckRequest { attributes: Some(attributes) }.encode_to_vec();
    let lean = wire::CheckRequest::decode(&bytes[..]).unwrap();
    assert!(!lean.encode_to_vec().windows(5).any(|bytes| bytes == b"admin"));
}

// ---- what we answer

fn meant(answer: &Answer) -> auth_pb::CheckResponse {
    auth_pb::CheckResponse::decode(&encode::frame(answer)[5..]).unwrap()
}

fn text(value: &google_pb::Value) -> &str {
    match value.kind.as_ref().unwrap() {
        google_pb::value::Kind::StringValue(text) => text,
        other => panic!("{other:?}"),
    }
}

/// The one struct in our namespace, as text.
fn metadata(response: &auth_pb::CheckResponse) -> BTreeMap<&str, &str> {
    let fields = &response.dynamic_metadata.as_ref().unwrap().fields;
    assert_eq!(fields.keys().collect::<Vec<_>>(), [encode::METADATA]);
    match fields[encode::METADATA].kind.as_ref().unwrap() {
        google_pb::value::Kind::StructValue(ours) => {
            ours.fields.iter().map(|(key, value)| (&**key, text(value))).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// Names and values; each with an explicit action, and none with the field whose default has changed.
fn headers(options: &[core_pb::HeaderValueOption]) -> Vec<(&str, &str)> {
    let header = |option: &core_pb::HeaderValueOption| {
        use core_pb::header_value_option::HeaderAppendAction::OverwriteIfExistsOrAdd;
        assert_eq!(option.append_action(), OverwriteIfExistsOrAdd);
        #[allow(deprecated, reason = "that it is not used is what is tested")]
        let append = option.append;
        assert_eq!(append, None);
    };
    options.iter().for_each(header);
    options.iter().map(|option| option.header.as_ref().unwrap()).map(|h| (&*h.key, &*h.value)).collect()
}

fn principal() -> Principal {
    let issuer = "keycloak".into();
    let parts = Parts {
        issuer_url: Some("https://keycloak.internal/realms/shop"),
        subject: Some("u-17"),
        client: Some("web"),
        audience: vec!["orders"],
        ..Parts::of(&issuer)
    };
    parts.into()
}

#[test]
fn an_allow_says_what_was_meant() {
    let answer = Answer {
        decision_id: DecisionId(0x2a),
        reason: Reason::Allowed,
        rule: Some(Arc::new(specs::marked_rule("orders").rule)),
        principal: Some(Arc::new(principal())),
        caller: Some("spiffe://cluster.local/ns/shop/sa/web".into()),
        trail: Default::default(),
        verdict: Verdict::Allow(AllowedRequest::new(
            HeaderList::from_iter([("x-user-id", "u-17"), ("x-empty", "")]),
            ["x-tenant".into(), "X-USER-ID".into()].into(),
            [("x-policy".into(), "checked".into())].into(),
        )),
    };
    let response = meant(&answer);
    assert_eq!(response.status.as_ref().unwrap().code, 0);
    let Some(auth_pb::check_response::HttpResponse::OkResponse(ok)) = &response.http_response else { panic!() };
    assert_eq!(headers(&ok.headers), [("x-user-id", "u-17"), ("x-empty", "")]);
    assert_eq!(ok.headers_to_remove, ["x-tenant"]);
    assert_eq!(headers(&ok.response_headers_to_add), [("x-policy", "checked")]);
    let expected = [
        ("client", "web"),
        ("decision_id", "0000000000000000000000000000002a"),
        ("issuer", "keycloak"),
        ("reason", "allowed"),
        ("rule", "orders"),
        ("subject", "u-17"),
    ];
    assert_eq!(metadata(&response), BTreeMap::from(expected));
}

#[test]
fn every_denial_says_what_was_meant() {
    for reason in Reason::ALL.iter().copied().filter(|reason| !reason.allows()) {
        let answer = decide::refuse(reason, false, DecisionId(7));
        let response = meant(&answer);
        assert_eq!(response.status.as_ref().unwrap().code, reason.rpc_code() as i32, "{reason}");
        assert_ne!(response.status.as_ref().unwrap().code, 0, "{reason}");
        let Some(auth_pb::check_response::HttpResponse::DeniedResponse(denied)) = &response.http_response else {
            panic!("{reason}")
        };
        assert_eq!(denied.status.as_ref().unwrap().code, i32::from(reason.http_status()), "{reason}");
        let Verdict::Deny(said) = &answer.verdict else { panic!("{reason}") };
        let expected: Vec<(&str, &str)> = said.headers().iter().collect();
        assert_eq!(headers(&denied.headers), expected);
        assert_eq!(denied.body, said.body());
        let known = [("decision_id", "00000000000000000000000000000007"), ("reason", reason.code())];
        assert_eq!(metadata(&response), BTreeMap::from(known));
    }
}

// ---- what reflection shows

/// Messages and enums of a schema by full name, with a leading dot as in references.
#[derive(Default)]
struct Schema {
    messages: HashMap<String, DescriptorProto>,
    enums: HashMap<String, EnumDescriptorProto>,
}

impl Schema {
    fn new(set: &[u8]) -> Self {
        let mut schema = Self::default();
        for file in FileDescriptorSet::decode(set).unwrap().file {
            let scope = format!(".{}", file.package());
            schema.add(&scope, file.message_type, file.enum_type);
        }
        schema
    }

    fn add(&mut self, scope: &str, messages: Vec<DescriptorProto>, enums: Vec<EnumDescriptorProto>) {
        for item in enums {
            self.enums.insert(format!("{scope}.{}", item.name()), item);
        }
        for item in messages {
            let name = format!("{scope}.{}", item.name());
            self.add(&name, item.nested_type.clone(), item.enum_type.clone());
            self.messages.insert(name, item);
        }
    }

    /// One line for each field of each message, and each value of each enum, that can be met from `roots`.
    fn reachable(&self, roots: &[&str]) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open: Vec<String> = roots.iter().map(|&root| root.to_owned()).collect();
        while let Some(name) = open.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            if let Some(item) = self.enums.get(&name) {
                lines.extend(item.value.iter().map(|value| format!("{name} {} = {}", value.name(), value.number())));
                continue;
            }
            let message = self.messages.get(&name).unwrap_or_else(|| panic!("{name} is not in the schema"));
            let is_map_entry = message.options.as_ref().is_some_and(|options| options.map_entry());
            lines.insert(format!("{name}, map entry: {is_map_entry}"));
            for field in &message.field {
                let oneof = field.oneof_index.map(|index| message.oneof_decl[usize::try_from(index).unwrap()].name());
                let deprecated = field.options.as_ref().is_some_and(|options| options.deprecated());
                lines.insert(format!(
                    "{name} {:?} {:?} {} {} = {}, json {}, in {oneof:?}, deprecated: {deprecated}",
                    field.label(),
                    field.r#type(),
                    field.type_name(),
                    field.name(),
                    field.number(),
                    field.json_name(),
                ));
                if matches!(field.r#type(), Type::Message | Type::Enum | Type::Group) {
                    open.push(field.type_name().to_owned());
                }
            }
        }
        lines
    }
}

/// The folder of the `envoy-types` that these tests are built with.
fn envoy_types() -> PathBuf {
    let lock = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    let (_, entry) = lock.split_once("name = \"envoy-types\"\nversion = \"").unwrap();
    let (version, _) = entry.split_once('"').unwrap();
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cargo"));
    let sources = std::fs::read_dir(home.join("registry/src")).unwrap();
    let mut found = sources.map(|source| source.unwrap().path().join(format!("envoy-types-{version}")));
    found.find(|folder| folder.is_dir()).expect("cargo keeps the sources of envoy-types in its registry folder")
}

#[test]
fn the_schema_for_reflection_is_envoys_to_the_last_field() {
    let reference = std::fs::read(envoy_types().join("src/generated/types.bin")).unwrap();
    let roots = [".envoy.service.auth.v3.CheckRequest", ".envoy.service.auth.v3.CheckResponse"];
    let ours = Schema::new(CHECK_DESCRIPTOR).reachable(&roots);
    let theirs = Schema::new(&reference).reachable(&roots);
    let missing: Vec<&String> = theirs.difference(&ours).collect();
    let invented: Vec<&String> = ours.difference(&theirs).collect();
    assert!(missing.is_empty() && invented.is_empty(), "missing: {missing:#?}\ninvented: {invented:#?}");
    assert!(ours.len() > 150, "{}", ours.len());
}

#[test]
fn the_schema_for_reflection_names_the_service() {
    let set = FileDescriptorSet::decode(CHECK_DESCRIPTOR).unwrap();
    let services: Vec<_> = set.file.iter().flat_map(|file| &file.service).collect();
    assert_eq!(services.len(), 1);
    let method = &services[0].method[0];
    assert_eq!((services[0].name(), method.name()), ("Authorization", "Check"));
    assert_eq!(method.input_type(), ".envoy.service.auth.v3.CheckRequest");
    assert_eq!(method.output_type(), ".envoy.service.auth.v3.CheckResponse");
    assert_eq!((method.client_streaming(), method.server_streaming()), (false, false));
}
