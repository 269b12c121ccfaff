//! The one integration binary: every module tests one promise.

mod sessions;
mod tidy;
