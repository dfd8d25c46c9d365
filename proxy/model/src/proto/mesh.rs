//! The mesh on the wire: the gateway's identities, other trust domains, mesh peers on both sides.

use std::sync::Arc;

use super::error::DecodeError;
use super::pb;
use super::pb::bootstrap_bundle::Kind as BootstrapKind;
use super::pb::bundle_endpoint::Profile as ProfileKind;
use super::pb::identity::Source as SourceKind;
use super::pb::peer_match::Kind as PeerMatchKind;
use super::pb::reach::Kind as ReachKind;
use super::pb::roots_from::Kind as RootsFromKind;
use super::value::{closed, encode_closed, text};
use super::wire::{
    Wire, encode_all, encode_option, field, list, one_of, optional, required, variant, wire_enum,
};
use crate::{
    BootstrapBundle, BundleEndpoint, BundleProfile, FederatedDomain, GatewayIdentity, IdentitySource,
    IstioCa, LinkerdCa, MeshClients, MeshMode, MeshPeer, MeshWire, PeerMatch, PeerProfile, Reach, RootsFrom,
};

impl Wire for GatewayIdentity {
    type Message = pb::Identity;

    fn encode(&self) -> pb::Identity {
        let Self { trust_domain, spiffe_id, profile, source } = self;
        pb::Identity {
            trust_domain: trust_domain.encode(),
            spiffe_id: encode_option(spiffe_id.as_ref()),
            profile: profile.encode(),
            source: Some(source.encode()),
        }
    }

    fn decode(message: pb::Identity) -> Result<Self, DecodeError> {
        let pb::Identity { trust_domain, spiffe_id, profile, source } = message;
        Ok(Self {
            trust_domain: text("trust_domain", trust_domain)?,
            spiffe_id: optional("spiffe_id", spiffe_id)?,
            profile: field("profile", profile)?,
            source: one_of("source", source)?,
        })
    }
}

wire_enum!(PeerProfile { SpiffeStrict, Istio, LinkerdDns });

impl Wire for IdentitySource {
    type Message = SourceKind;

    fn encode(&self) -> SourceKind {
        match self {
            Self::BuiltIn { ttl } => SourceKind::BuiltIn(pb::BuiltIn { ttl: Some(ttl.encode()) }),
            Self::IstioCa(ca) => SourceKind::IstioCa(ca.encode()),
            Self::WorkloadApi { socket } => SourceKind::WorkloadApi(socket.encode()),
            Self::Linkerd(ca) => SourceKind::Linkerd(ca.encode()),
            Self::Secret { key_pair, roots, crl } => SourceKind::Secret(pb::IdentitySecret {
                key_pair: key_pair.encode(),
                roots: roots.encode(),
                crl: encode_option(crl.as_ref()),
            }),
            Self::Files { certificate, key, roots, crl } => SourceKind::Files(pb::IdentityFiles {
                certificate: certificate.encode(),
                key: key.encode(),
                roots: roots.encode(),
                crl: encode_option(crl.as_ref()),
            }),
            Self::Closed { reason } => SourceKind::Closed(encode_closed(reason)),
        }
    }

    fn decode(message: SourceKind) -> Result<Self, DecodeError> {
        Ok(match message {
            SourceKind::BuiltIn(pb::BuiltIn { ttl }) => Self::BuiltIn { ttl: required("ttl", ttl)? },
            SourceKind::IstioCa(ca) => Self::IstioCa(field("istio_ca", ca)?),
            SourceKind::WorkloadApi(socket) => Self::WorkloadApi { socket: text("workload_api", socket)? },
            SourceKind::Linkerd(ca) => Self::Linkerd(field("linkerd", ca)?),
            SourceKind::Secret(pb::IdentitySecret { key_pair, roots, crl }) => Self::Secret {
                key_pair: field("key_pair", key_pair)?,
                roots: field("roots", roots)?,
                crl: optional("crl", crl)?,
            },
            SourceKind::Files(pb::IdentityFiles { certificate, key, roots, crl }) => Self::Files {
                certificate: text("certificate", certificate)?,
                key: text("key", key)?,
                roots: text("roots", roots)?,
                crl: optional("crl", crl)?,
            },
            SourceKind::Closed(message) => Self::Closed { reason: closed(message) },
        })
    }
}

impl Wire for IstioCa {
    type Message = pb::IstioCa;

    fn encode(&self) -> pb::IstioCa {
        let Self { address, roots, token, cluster_id, ttl, crl } = self;
        pb::IstioCa {
            address: address.encode(),
            roots: Some(roots.encode()),
            token: token.encode(),
            cluster_id: cluster_id.encode(),
            ttl: Some(ttl.encode()),
            crl: encode_option(crl.as_ref()),
        }
    }

    fn decode(message: pb::IstioCa) -> Result<Self, DecodeError> {
        let pb::IstioCa { address, roots, token, cluster_id, ttl, crl } = message;
        Ok(Self {
            address: text("address", address)?,
            roots: required("roots", roots)?,
            token: text("token", token)?,
            cluster_id: field("cluster_id", cluster_id)?,
            ttl: required("ttl", ttl)?,
            crl: optional("crl", crl)?,
        })
    }
}

impl Wire for LinkerdCa {
    type Message = pb::LinkerdCa;

    fn encode(&self) -> pb::LinkerdCa {
        let Self { address, server_name, name, roots, token } = self;
        pb::LinkerdCa {
            address: address.encode(),
            server_name: server_name.encode(),
            name: name.encode(),
            roots: Some(roots.encode()),
            token: token.encode(),
        }
    }

    fn decode(message: pb::LinkerdCa) -> Result<Self, DecodeError> {
        let pb::LinkerdCa { address, server_name, name, roots, token } = message;
        Ok(Self {
            address: text("address", address)?,
            server_name: text("server_name", server_name)?,
            name: text("name", name)?,
            roots: required("roots", roots)?,
            token: text("token", token)?,
        })
    }
}

impl Wire for RootsFrom {
    type Message = pb::RootsFrom;

    fn encode(&self) -> pb::RootsFrom {
        let kind = match self {
            Self::System => RootsFromKind::System(()),
            Self::Pem(anchors) => RootsFromKind::Pem(anchors.encode()),
            Self::File(path) => RootsFromKind::File(path.encode()),
        };
        pb::RootsFrom { kind: Some(kind) }
    }

    fn decode(message: pb::RootsFrom) -> Result<Self, DecodeError> {
        Ok(match variant(message.kind)? {
            RootsFromKind::System(()) => Self::System,
            RootsFromKind::Pem(anchors) => Self::Pem(field("pem", anchors)?),
            RootsFromKind::File(path) => Self::File(text("file", path)?),
        })
    }
}

impl Wire for FederatedDomain {
    type Message = pb::TrustDomain;

    fn encode(&self) -> pb::TrustDomain {
        let Self { origin, endpoint, bootstrap } = self;
        pb::TrustDomain {
            origin: Some(origin.encode()),
            endpoint: encode_option(endpoint.as_ref()),
            bootstrap: encode_option(bootstrap.as_ref()),
        }
    }

    fn decode(message: pb::TrustDomain) -> Result<Self, DecodeError> {
        let pb::TrustDomain { origin, endpoint, bootstrap } = message;
        Ok(Self {
            origin: required("origin", origin)?,
            endpoint: optional("endpoint", endpoint)?,
            bootstrap: optional("bootstrap", bootstrap)?,
        })
    }
}

impl Wire for BundleEndpoint {
    type Message = pb::BundleEndpoint;

    fn encode(&self) -> pb::BundleEndpoint {
        let Self { url, profile } = self;
        let profile = match profile {
            BundleProfile::HttpsWeb => ProfileKind::HttpsWeb(()),
            BundleProfile::HttpsSpiffe { server_id } => ProfileKind::HttpsSpiffe(server_id.encode()),
        };
        pb::BundleEndpoint { url: url.encode(), profile: Some(profile) }
    }

    fn decode(message: pb::BundleEndpoint) -> Result<Self, DecodeError> {
        let pb::BundleEndpoint { url, profile } = message;
        let profile = match variant(profile).map_err(|error| error.at("profile"))? {
            ProfileKind::HttpsWeb(()) => BundleProfile::HttpsWeb,
            ProfileKind::HttpsSpiffe(id) => {
                BundleProfile::HttpsSpiffe { server_id: text("https_spiffe", id)? }
            }
        };
        Ok(Self { url: text("url", url)?, profile })
    }
}

impl Wire for BootstrapBundle {
    type Message = pb::BootstrapBundle;

    fn encode(&self) -> pb::BootstrapBundle {
        let kind = match self {
            Self::Document(document) => BootstrapKind::Document(document.encode()),
            Self::Pem(anchors) => BootstrapKind::Pem(anchors.encode()),
        };
        pb::BootstrapBundle { kind: Some(kind) }
    }

    fn decode(message: pb::BootstrapBundle) -> Result<Self, DecodeError> {
        Ok(match variant(message.kind)? {
            BootstrapKind::Document(document) => Self::Document(text("document", document)?),
            BootstrapKind::Pem(anchors) => Self::Pem(field("pem", anchors)?),
        })
    }
}

impl Wire for Reach {
    type Message = pb::Reach;

    fn encode(&self) -> pb::Reach {
        let kind = match self {
            Self::AsBackend => ReachKind::AsBackend(()),
            Self::Mesh(peer) => ReachKind::Mesh(peer.encode()),
            Self::Closed { reason } => ReachKind::Closed(encode_closed(reason)),
        };
        pb::Reach { kind: Some(kind) }
    }

    fn decode(message: pb::Reach) -> Result<Self, DecodeError> {
        Ok(match variant(message.kind)? {
            ReachKind::AsBackend(()) => Self::AsBackend,
            ReachKind::Mesh(peer) => Self::Mesh(Arc::new(field("mesh", peer)?)),
            ReachKind::Closed(message) => Self::Closed { reason: closed(message) },
        })
    }
}

impl Wire for MeshPeer {
    type Message = pb::MeshPeer;

    fn encode(&self) -> pb::MeshPeer {
        let Self { wire, identity, server_name, ids } = self;
        pb::MeshPeer {
            wire: wire.encode(),
            identity: identity.encode(),
            server_name: encode_option(server_name.as_ref()),
            ids: encode_all(ids),
        }
    }

    fn decode(message: pb::MeshPeer) -> Result<Self, DecodeError> {
        let pb::MeshPeer { wire, identity, server_name, ids } = message;
        Ok(Self {
            wire: field("wire", wire)?,
            identity: field("identity", identity)?,
            server_name: optional("server_name", server_name)?,
            ids: list("ids", ids)?,
        })
    }
}

wire_enum!(MeshWire { Istio, Spiffe });

impl Wire for MeshClients {
    type Message = pb::MeshClients;

    fn encode(&self) -> pb::MeshClients {
        let Self { identity, mode, peers } = self;
        pb::MeshClients { identity: identity.encode(), mode: mode.encode(), peers: encode_all(peers) }
    }

    fn decode(message: pb::MeshClients) -> Result<Self, DecodeError> {
        let pb::MeshClients { identity, mode, peers } = message;
        Ok(Self {
            identity: field("identity", identity)?,
            mode: field("mode", mode)?,
            peers: list("peers", peers)?,
        })
    }
}

wire_enum!(MeshMode { Permissive, Strict });

impl Wire for PeerMatch {
    type Message = pb::PeerMatch;

    fn encode(&self) -> pb::PeerMatch {
        let kind = match self {
            Self::Id(id) => PeerMatchKind::Id(id.encode()),
            Self::Namespace { trust_domain, namespace } => PeerMatchKind::Namespace(pb::PeerNamespace {
                trust_domain: trust_domain.encode(),
                namespace: namespace.encode(),
            }),
            Self::TrustDomain(trust_domain) => PeerMatchKind::TrustDomain(trust_domain.encode()),
        };
        pb::PeerMatch { kind: Some(kind) }
    }

    fn decode(message: pb::PeerMatch) -> Result<Self, DecodeError> {
        Ok(match variant(message.kind)? {
            PeerMatchKind::Id(id) => Self::Id(text("id", id)?),
            PeerMatchKind::Namespace(pb::PeerNamespace { trust_domain, namespace }) => Self::Namespace {
                trust_domain: text("trust_domain", trust_domain)?,
                namespace: text("namespace", namespace)?,
            },
            PeerMatchKind::TrustDomain(trust_domain) => {
                Self::TrustDomain(text("trust_domain", trust_domain)?)
            }
        })
    }
}
