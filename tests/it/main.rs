//! The one integration binary: every module tests one promise.

mod crash;
mod demo;
mod examples;
mod harness;
mod readme;
mod sessions;
mod tidy;
