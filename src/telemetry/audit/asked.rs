//! What a request said, borrowed from its message.

use crate::core::request::{Direction, RawRequest};

/// What an audit log holds of a request. It borrows from the message, and is made where there is a log alone.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'m> {
    pub(super) direction: Direction,
    pub(super) method: &'m str,
    pub(super) host: &'m str,
    pub(super) path: &'m str,
    pub(super) peer: &'m str,
    pub(super) request_id: Option<&'m [u8]>,
    pub(super) traceparent: Option<&'m [u8]>,
}

impl<'m> Asked<'m> {
    /// Of a request.
    pub fn of(request: &RawRequest<'m>) -> Self {
        let (mut request_id, mut traceparent, mut traces) = (None, None, 0_u8);
        for line in request.headers.iter() {
            // The length tells most names apart.
            match line.name.len() {
                12 if line.is("x-request-id") => request_id = request_id.or(Some(line.value)),
                11 if line.is("traceparent") => {
                    traceparent = Some(line.value);
                    traces = traces.saturating_add(1);
                }
                _ => {}
            }
        }
        // Of two nobody can tell which one it is.
        traceparent = traceparent.filter(|_| traces == 1);
        let RawRequest { direction, method, host, path, principal: peer, .. } = *request;
        // What follows may hold anything, secrets among it.
        let path = path.split(['?', '#']).next().unwrap_or_default();
        // Nor may what stands before an `@`, or in the URL that some clients send as a path.
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let path = match path.split_once("://") {
            Some((_, rest)) if !path.starts_with('/') => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or(""),
            Some(_) | None => path,
        };
        Self { direction, method, host, path, peer, request_id, traceparent }
    }

    /// Of a request that could not be read.
    pub fn nothing(direction: Direction) -> Self {
        Self { direction, method: "", host: "", path: "", peer: "", request_id: None, traceparent: None }
    }
}
