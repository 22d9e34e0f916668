//! `grpc.reflection`: the schema of what is served, for tools that have no files.

use tonic::service::Routes;
use tonic_reflection::server::{Builder, Error};

use super::wire::MAX_SMALL_MESSAGE;

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
    let v1 = builder().build_v1()?.max_decoding_message_size(MAX_SMALL_MESSAGE);
    let v1alpha = builder().build_v1alpha()?.max_decoding_message_size(MAX_SMALL_MESSAGE);
    Ok(routes.add_service(v1).add_service(v1alpha))
}
