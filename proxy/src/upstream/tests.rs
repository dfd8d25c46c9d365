//! Requests over real loopback sockets: what is reused, what is not, what is refused.

mod health;
mod http1;
mod http2;
mod limits;
mod support;
mod tls;
