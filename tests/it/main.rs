//! The one integration binary: every module tests one promise.

mod examples;
mod harness;
mod sessions;
mod tidy;
