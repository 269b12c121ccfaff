//! Values in PostgreSQL's binary format: encoders for columns, decoders for parameters and COPY.
//!
//! Encoding mirrors [`crate::text`]: one encoder per column, whole arrays at a time, into the same [`ColumnText`].
//! Decoding checks lengths and counts before it allocates.

pub mod decode;
pub mod encode;

pub use encode::BinaryEncoder;

pub use crate::text::ColumnText;
