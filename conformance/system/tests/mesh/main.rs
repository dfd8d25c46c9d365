//! The mesh: the gateway and the issuer among foreign members. One program, since linking is what costs time.
//!
//! | file | what |
//! |---|---|
//! | `foreign`   | the foreign members with one another |
//! | `handshake` | our TLS with stock Envoy's |
//! | `sources`   | identities from istiod and SPIRE |
//! | `istio`     | the gateway in Istio's mesh: istiod, sidecars |
//! | `issuer`    | our issuer with Istio's clients, go-spiffe, py-spiffe |
//! | `spiffe`    | the gateway among go-spiffe workloads, federated with SPIRE |
//! | `rotation`  | certificates and roots that change under traffic |
#![cfg(feature = "peers")]

mod foreign;
mod handshake;
mod issuer;
mod istio;
mod rotation;
mod sources;
mod spiffe;
