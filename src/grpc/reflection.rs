//! `grpc.reflection`: the schema of what is served, for tools that have no files.

use tonic::service::Routes;
use tonic_reflection::server::{Builder, Error};

/// The public schema of the Check protocol with everything it imports, as an encoded
/// `google.protobuf.FileDescriptorSet`.
pub const CHECK_DESCRIPTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/check_descriptor.bin"));

/// Adds `grpc.reflection.v1` and, for older tools, `v1alpha`.
pub(super) fn add(routes: Routes) -> Result<Routes, Error> {
    let builder = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(CHECK_DESCRIPTOR)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(routes.add_service(builder().build_v1()?).add_service(builder().build_v1alpha()?))
}
