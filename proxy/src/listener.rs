//! From an accepted socket to a stream that a protocol is spoken on.

pub mod prefixed;
pub mod proxy_protocol;
pub mod sniff;
pub mod tls;
