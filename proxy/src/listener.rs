//! From an accepted socket to a stream that a protocol is spoken on.

pub(crate) mod accept;
pub(crate) mod bind;
pub(crate) mod conn;
pub(crate) mod datagrams;
pub(crate) mod mesh;
pub mod prefixed;
pub mod proxy_protocol;
pub(crate) mod registry;
#[cfg(test)]
mod segments;
mod serve;
pub mod sniff;
pub mod tls;
mod watched;
