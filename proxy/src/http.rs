//! HTTP: from the bytes of a request to the bytes of its answer.
//!
//! | file | what |
//! |---|---|
//! | `request`   | the life of a request, top to bottom |
//! | `door`, `framing`, `canonical` | what is refused before anything is decided; canonical host and path |
//! | `hop`, `forwarded`, `xfcc`, `request_id` | hop-by-hop fields go, the client is named |
//! | `route`     | from the canonical request to a rule |
//! | `filter`    | filters in order |
//! | `forward`, `retry`, `session`, `upgrade` | one backend, one endpoint, several tries, tunnels |
//! | `inbound`, `body`, `answer`, `exchange` | the request and its answer as values |
//! | `error`, `respond` | what goes wrong, and the answer to it |
//! | `core`, `connection` | what requests share on a core and on a connection |

pub(crate) mod answer;
pub(crate) mod body;
pub mod canonical;
pub(crate) mod connection;
mod cookie;
pub(crate) mod core;
pub(crate) mod door;
pub(crate) mod error;
pub(crate) mod exchange;
mod filter;
mod forward;
pub(crate) mod forwarded;
pub(crate) mod framing;
mod hop;
mod inbound;
pub(crate) mod request;
mod request_id;
pub(crate) mod respond;
mod retry;
pub mod route;
mod session;
pub(crate) mod upgrade;
pub(crate) mod xfcc;
