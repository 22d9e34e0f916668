//! The configurations in `envoy/`: Envoy takes them, and they say what they must.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/envoy.rs"]
mod support;
#[path = "support/wait.rs"]
mod wait;

use std::net::SocketAddr;

use serde_json::Value;
use support::{Pki, binary};
use tollgate::demo::envoy::{Envoy, Gate, Shipped};

fn yaml(shipped: &Shipped) -> Value {
    serde_saphyr::from_str(shipped.text()).unwrap()
}

fn manager(config: &Value) -> &Value {
    config.pointer("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config").unwrap()
}

fn ext_authz(config: &Value) -> &Value {
    let filter = &manager(config)["http_filters"][0];
    assert_eq!(filter["name"], "envoy.filters.http.ext_authz");
    &filter["typed_config"]
}

#[tokio::test]
async fn envoy_accepts_every_shipped_configuration_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    Pki::new().write_server_files(directory.path());
    let mtls = Shipped::inbound_mtls().certificates(directory.path()).unwrap();
    // But for files that not every machine has.
    let authorities = directory.path().join("ca.crt").display().to_string();
    let outbound = Shipped::outbound().replace("/etc/ssl/certs/ca-certificates.crt", &authorities).unwrap();
    for config in [Shipped::inbound(), mtls, outbound] {
        Envoy::validate(&binary(), config.text()).await.unwrap();
    }
    let broken = Shipped::inbound().replace("transport_api_version: V3", "transport_api_version: V9").unwrap();
    assert!(Envoy::validate(&binary(), broken.text()).await.is_err());
}

#[tokio::test]
async fn every_value_that_is_documented_as_replaceable_is_there_once_and_nothing_shipped_remains() {
    let service = SocketAddr::from(([127, 0, 0, 1], 18081));
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("authorities.pem");
    Pki::new().write_ca(&ca);
    let tcp = |port: u16| Gate::Tcp(SocketAddr::from(([127, 0, 0, 1], port)));
    let gates =
        [vec![Gate::Unix("/tmp/gate.sock".into())], vec![tcp(18082), Gate::Unix("/tmp/b.sock".into()), tcp(18083)]];
    for gate in &gates {
        let configs = [
            Shipped::inbound().between(18080, 19901, service, gate).unwrap(),
            Shipped::outbound().towards(service, (service, &ca), gate).unwrap(),
        ];
        for config in configs {
            let shipped =
                ["port_value: 80", "port_value: 99", "port_value: 443", "path: /run/", "0.0.0.0", "filename: /etc/"];
            for shipped in shipped.iter().chain(&["address: payments", "address: ledger"]) {
                assert!(!config.text().contains(shipped), "{shipped}\n{}", config.text());
            }
            Envoy::validate(&binary(), config.text()).await.unwrap();
        }
    }
    assert!(Shipped::inbound().replace("cluster: nowhere", "").is_err());
}

#[test]
fn mutual_tls_differs_from_the_plain_configuration_by_its_transport_socket_alone() {
    let plain = yaml(&Shipped::inbound());
    let mut mutual = yaml(&Shipped::inbound_mtls());
    let chain = mutual.pointer_mut("/static_resources/listeners/0/filter_chains/0").unwrap().as_object_mut().unwrap();
    let socket = chain.remove("transport_socket").unwrap();
    assert_eq!(mutual, plain);
    let tls = &socket["typed_config"];
    assert_eq!(tls["require_client_certificate"], true);
    let validation = &tls["common_tls_context"]["validation_context"];
    assert!(validation["trusted_ca"].is_object());
    assert_eq!(validation["match_typed_subject_alt_names"][0]["san_type"], "URI");
    // Points 16 and 17: a caller's name is only as good as this.
    assert!(validation.get("trust_chain_verification").is_none());
}

/// Points 3, 5, 10, 14, 15, 16 and 20 of the contract with Envoy, as far as they are settings.
#[test]
fn the_safe_settings_are_shipped() {
    for shipped in [Shipped::inbound(), Shipped::inbound_mtls(), Shipped::outbound()] {
        let config = yaml(&shipped);
        let filter = ext_authz(&config);
        assert_eq!(filter["transport_api_version"], "V3");
        assert_eq!(filter["failure_mode_allow"], false);
        assert_eq!(filter["status_on_error"]["code"], "ServiceUnavailable");
        assert_eq!(filter["validate_mutations"], true);
        assert!(filter["grpc_service"]["timeout"].is_string());
        for absent in ["allowed_headers", "disallowed_headers", "with_request_body", "clear_route_cache"] {
            assert!(filter.get(absent).is_none(), "{absent}");
        }
        assert!(filter["grpc_service"].get("retry_policy").is_none());
        let manager = manager(&config);
        assert_eq!(manager["normalize_path"], true);
        assert_eq!(manager["merge_slashes"], true);
        assert_eq!(manager["path_with_escaped_slashes_action"], "REJECT_REQUEST");
        assert_eq!(manager["use_remote_address"], true);
        assert_eq!(manager["forward_client_cert_details"], "SANITIZE");
        let common = &manager["common_http_protocol_options"];
        assert_eq!(common["headers_with_underscores_action"], "REJECT_REQUEST");
        assert!(common["max_stream_duration"].is_string());
        assert!(manager["stream_idle_timeout"].is_string());
        // Admin interfaces can stop Envoy.
        assert_eq!(config["admin"]["address"]["socket_address"]["address"], "127.0.0.1");
        // No route is exempt from the gate.
        assert!(!shipped.text().contains("typed_per_filter_config"));
    }
    assert_eq!(ext_authz(&yaml(&Shipped::inbound()))["include_peer_certificate"], true);
}

/// A token that is attached on the way out goes where the gate was told it goes.
#[test]
fn what_leaves_goes_to_named_destinations_and_over_tls_to_the_right_one() {
    let config = yaml(&Shipped::outbound());
    let clusters = config["static_resources"]["clusters"].as_array().unwrap();
    let cluster = |name: &Value| clusters.iter().find(|cluster| cluster["name"] == *name).unwrap();
    let hosts = manager(&config)["route_config"]["virtual_hosts"].as_array().unwrap();
    assert!(hosts.len() >= 2);
    for host in hosts {
        let domains: Vec<&str> =
            host["domains"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        assert!(domains.iter().all(|name| !name.starts_with('*')), "{domains:?}");
        for route in host["routes"].as_array().unwrap() {
            let cluster = cluster(&route["route"]["cluster"]);
            assert_eq!(cluster["type"], "STRICT_DNS", "an address that is written here");
            let address =
                cluster.pointer("/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address");
            assert_eq!(address.unwrap()["address"], domains[0], "the host is the destination's name");
        }
    }
    for word in ["ORIGINAL_DST", "original_dst", "dynamic_forward_proxy", "PassthroughCluster"] {
        let used =
            Shipped::outbound().text().lines().any(|line| !line.trim_start().starts_with('#') && line.contains(word));
        assert!(!used, "{word}");
    }
    let tls = &cluster(&Value::from("ledger"))["transport_socket"]["typed_config"];
    assert_eq!(tls["sni"], "ledger.example.com");
    let validation = &tls["common_tls_context"]["validation_context"];
    assert!(validation["trusted_ca"]["filename"].is_string());
    let name = &validation["match_typed_subject_alt_names"][0];
    assert_eq!(
        (&name["san_type"], &name["matcher"]["exact"]),
        (&Value::from("DNS"), &Value::from("ledger.example.com"))
    );
    assert!(validation.get("trust_chain_verification").is_none());
}
