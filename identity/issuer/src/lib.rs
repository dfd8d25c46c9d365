//! A SPIFFE issuer: a CA with rotating roots, and the services that hand its certificates out. It signs only what the
//! authenticated caller is. The only crate that signs certificates.
//!
//! | file | what |
//! |---|---|
//! | `issuer` | wires the parts; what others hold of an issuer |
//! | `settings` | what it is told at its start, and while it runs |
//! | `ca` | roots and keys: the rotation, its journal on disk, CAs from files and from above |
//! | `caller` | who calls: service-account tokens, SVIDs of ours, bootstrap tokens |
//! | `csr` | reads requests; takes their public key and refuses what they must not ask |
//! | `mint` | issues X.509-SVIDs and JWT-SVIDs |
//! | `istio_ca`, `workload_api`, `bundle_endpoint`, `admin` | the services |
//! | `registry` | registrations, and the bundles of all trust domains together |
//! | `own` | the issuer's own certificate |
//! | `serve`, `tls`, `http_client`, `pem` | connections |
//! | `limits`, `audit`, `metrics`, `refusal`, `status` | how much, who and what, how often, why not |
//!
//! Invariants: nothing shows before it is in the journal. State that cannot be read stops the issuer; it never makes a
//! root in its place. A name in a certificate comes from the proof of who calls, never from the request. No key is in
//! a log, an error, a metric or the status.

pub mod ca;
pub mod csr;

mod admin;
mod audit;
mod bundle_endpoint;
mod caller;
mod http_client;
mod issuer;
mod istio_ca;
mod limits;
mod metrics;
mod mint;
mod own;
mod pem;
mod refusal;
mod registry;
mod serve;
mod settings;
mod status;
mod tls;
mod workload_api;

pub use ca::{Acknowledger, Overlap, Phase, Rotation, RotationError};
pub use issuer::{Issuer, IssuerError};
pub use settings::{
    BundleServer, BundleSettings, CaFiles, CaKind, Configuration, IssuerSettings, JwksSource, JwtCallers,
    Limits, Lives, Registration, Selectors, SettingsError, TokenReview,
};
pub use status::{Addresses, IssuerStatus, KeyStatus, RootStatus};
