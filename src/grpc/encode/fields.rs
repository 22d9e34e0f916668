//! The numbers of the fields that an answer fills, as in `proto/tollgate/wire/v1/check.proto`.

use super::message::Field;

// CheckResponse
pub(super) const RESPONSE_STATUS: Field = Field::new(1);
pub(super) const RESPONSE_DENIED: Field = Field::new(2);
pub(super) const RESPONSE_OK: Field = Field::new(3);
pub(super) const RESPONSE_METADATA: Field = Field::new(4);

// Status and HttpStatus
pub(super) const STATUS_CODE: Field = Field::new(1);

// Denied
pub(super) const DENIED_STATUS: Field = Field::new(1);
pub(super) const DENIED_HEADERS: Field = Field::new(2);
pub(super) const DENIED_BODY: Field = Field::new(3);

// Allowed
pub(super) const ALLOWED_HEADERS: Field = Field::new(2);
pub(super) const ALLOWED_REMOVE: Field = Field::new(5);
pub(super) const ALLOWED_RESPONSE_HEADERS: Field = Field::new(6);

// HeaderOption
pub(super) const OPTION_HEADER: Field = Field::new(1);
pub(super) const OPTION_ACTION: Field = Field::new(3);

// Header, and Field: an entry of a Struct
pub(super) const KEY: Field = Field::new(1);
pub(super) const VALUE: Field = Field::new(2);

// Struct and Value
pub(super) const STRUCT_FIELDS: Field = Field::new(1);
pub(super) const VALUE_STRING: Field = Field::new(3);
pub(super) const VALUE_STRUCT: Field = Field::new(5);
