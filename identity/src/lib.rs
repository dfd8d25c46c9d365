//! Identity: key pairs, trust, and the rustls configurations made of them. Knows no routes and no Kubernetes.
//!
//! | file | what |
//! |---|---|
//! | `id` | who a certificate says it is |
//! | `svid` | an X.509-SVID of our own: chain and key |
//! | `bundle` | whom a trust domain is believed by; SPIFFE bundle documents |
//! | `material` | SVID, bundles and revocation lists of the moment; who publishes and who uses them |
//! | `verify` | whether a peer is who its certificate says |
//! | `jwt` | verifies JWT-SVIDs |
//! | `json` | JSON objects whose members' names are unique |
//! | `issue` | the seam to an issuer in the same process |
//! | `source` | where an identity comes from: an Istio CA, the Workload API, Linkerd, files, the issuer in the process |
//! | `rotation` | when a certificate is renewed: a pure schedule |
//! | `federation` | other trust domains' bundles, fetched and kept fresh |
//! | `dial`, `https` | connections to all of these, bounded in time and size |
//! | `clock` | the wall clock, or one that a test turns |
//! | `pem` | reads PEM certificates, keys and roots; says what is wrong with them |
//! | `tls/server`, `tls/mesh_server` | what a listener shows and asks for |
//! | `tls/client`, `tls/mesh_client` | what we show to an endpoint and how it is verified |
//! | `proto` | generated gRPC: the Istio CA, the SPIFFE Workload API |
//! | `handshake` | whose fault a failed handshake is |
//! | `fuzzing` | entry points of the fuzz targets |
//! | `testing` | certificate authorities for tests (feature `testing`) |

pub mod bundle;
mod clock;
mod dial;
pub mod federation;
pub mod fuzzing;
mod handshake;
mod https;
mod id;
mod issue;
mod json;
mod jwt;
mod material;
mod pem;
pub mod proto;
pub mod rotation;
mod source;
mod svid;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod tls;
pub mod verify;

pub use bundle::{BundleError, JwtKey, TrustBundle, TrustBundles};
pub use clock::{Clock, Hand};
pub use handshake::{Blame, HandshakeError};
pub use id::{IdError, WorkloadId};
pub use issue::{Issue, IssueError};
pub use jwt::{JwtError, JwtSvid, verify_jwt_svid};
pub use material::{
    BundleStatus, Counters, Identity, IdentityMetrics, IdentityStatus, Material, PublishError, Publisher,
};
pub use pem::{CertificateFacts, PemError, revocation_lists, validate_key_pair, validate_roots};
pub use source::{FetchJwtError, OwnJwtSvid, Running, SourceContext, fetch_jwt_svid, start};
pub use spiffe::{SpiffeId, TrustDomain};
pub use svid::{SvidError, X509Svid};
pub use tls::ConfigError;
pub use tls::client::{ClientAlpn, ClientTlsConfig, client_config};
pub use tls::mesh::{HttpVersion, http_version};
pub use tls::mesh_client::{MeshClient, mesh_client_config, pinned_client_config};
pub use tls::mesh_server::{MeshAlpn, MeshServer, mesh_server_config};
pub use tls::server::{PeerVerdict, ServerAlpn, ServerTlsConfig, server_config};
pub use verify::{PeerFacts, VerifyError, peer_facts};
