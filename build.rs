//! Compiles `proto/`: the public schema of the Check protocol into a descriptor for gRPC reflection, and the gate's
//! lean view of it into Rust. No `protoc` is needed.

use std::env;
use std::error::Error;
use std::path::Path;

const PUBLIC: &str = "proto/envoy/service/auth/v3/external_auth.proto";
const LEAN: &str = "proto/tollgate/wire/v1/check.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=proto");
    let out = env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?;
    let out = Path::new(&out);

    // Comments stay out of the descriptor: they are for readers of proto/, and half its size.
    let public = protox::Compiler::new(["proto"])?
        .include_imports(true)
        .include_source_info(false)
        .open_file(PUBLIC)?
        .encode_file_descriptor_set();
    std::fs::write(out.join("check_descriptor.bin"), public)?;

    let lean = protox::compile([LEAN], ["proto"])?;
    prost_build::Config::new().bytes(["."]).out_dir(out).compile_fds(lean)?;

    // The service has Envoy's name and the lean types.
    let check = tonic_build::manual::Method::builder()
        .name("check")
        .route_name("Check")
        .comment("Whether a request may go on, and with which changes.")
        .input_type("crate::grpc::wire::CheckRequest")
        .output_type("crate::grpc::wire::CheckResponse")
        .codec_path("tonic_prost::ProstCodec")
        .build();
    let service = tonic_build::manual::Service::builder()
        .package("envoy.service.auth.v3")
        .name("Authorization")
        .comment("Decides on requests for Envoy.")
        .method(check)
        .build();
    tonic_build::manual::Builder::new().build_client(true).build_transport(false).out_dir(out).compile(&[service]);
    Ok(())
}
