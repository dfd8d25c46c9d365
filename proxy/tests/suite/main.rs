//! The whole proxy in process: a snapshot of model values in, bytes out.

#![expect(unreachable_pub, reason = "a test crate has no users; pub is for its own modules")]

mod forward;
mod support;
