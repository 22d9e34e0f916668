//! Compiles `proto/` without a `protoc`: our lean view of the Check protocol into types and a service, and the public
//! protocol into the descriptor set that reflection serves.

use std::error::Error;
use std::path::PathBuf;

use prost::Message as _;
use tonic_build::manual::{Builder, Method, Service};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);

    let lean = protox::compile(["tollgate/wire/v1/check.proto"], ["proto"])?;
    prost_build::Config::new().bytes(["."]).compile_fds(lean)?;

    let public = protox::compile(["envoy/service/auth/v3/external_auth.proto"], ["proto"])?;
    std::fs::write(out.join("envoy_auth_descriptor.bin"), public.encode_to_vec())?;

    // Envoy's service, in our types.
    let check = Method::builder()
        .name("check")
        .route_name("Check")
        .input_type("crate::grpc::wire::CheckRequest")
        .output_type("crate::grpc::wire::CheckResponse")
        .codec_path("tonic_prost::ProstCodec")
        .build();
    let authorization = Service::builder().name("Authorization").package("envoy.service.auth.v3").method(check).build();
    Builder::new().build_client(true).build_server(true).compile(&[authorization]);
    Ok(())
}
