//! Compiles `proto/`: the public schema of the Check protocol into a descriptor for gRPC reflection, and the gate's
//! lean view of it into Rust. No `protoc` is needed.

use std::env;
use std::error::Error;
use std::path::Path;

use tonic_build::manual::{Builder, Method, Service};

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

    // The service has Envoy's name. Its server reads and writes messages itself; its client, for demonstrations and tests,
    // has the lean types.
    let server = service("::bytes::Bytes", "::bytes::Bytes", "crate::grpc::codec::Raw");
    generate(&out.join("server"), false, server)?;
    let lean = ["crate::grpc::wire::CheckRequest", "crate::grpc::wire::CheckResponse"];
    generate(&out.join("client"), true, service(lean[0], lean[1], "tonic_prost::ProstCodec"))?;
    Ok(())
}

fn service(input: &str, output: &str, codec: &str) -> Service {
    let check = Method::builder()
        .name("check")
        .route_name("Check")
        .comment("Whether a request may go on, and with which changes.")
        .input_type(input)
        .output_type(output)
        .codec_path(codec)
        .build();
    Service::builder()
        .package("envoy.service.auth.v3")
        .name("Authorization")
        .comment("Decides on requests for Envoy.")
        .method(check)
        .build()
}

fn generate(out: &Path, client: bool, service: Service) -> std::io::Result<()> {
    std::fs::create_dir_all(out)?;
    Builder::new().build_client(client).build_server(!client).build_transport(false).out_dir(out).compile(&[service]);
    Ok(())
}
