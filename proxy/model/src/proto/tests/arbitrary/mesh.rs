//! Arbitrary values of the mesh.

use std::sync::Arc;

use super::Source;
use crate::{
    BootstrapBundle, BundleEndpoint, BundleProfile, FederatedDomain, GatewayIdentity, IdentityName,
    IdentitySource, IstioCa, LinkerdCa, MeshClients, MeshMode, MeshPeer, MeshWire, PeerMatch, PeerProfile,
    Reach, RootsFrom,
};

pub(super) fn identity_name(s: &mut Source<'_>) -> IdentityName {
    IdentityName::new(s.word())
}

pub(super) fn identity(s: &mut Source<'_>) -> GatewayIdentity {
    GatewayIdentity {
        trust_domain: s.word(),
        spiffe_id: s.option(Source::text),
        profile: s.pick(&[PeerProfile::SpiffeStrict, PeerProfile::Istio, PeerProfile::LinkerdDns]),
        source: match s.below(7) {
            0 => IdentitySource::BuiltIn { ttl: s.span() },
            1 => IdentitySource::IstioCa(IstioCa {
                address: s.word(),
                roots: roots(s),
                token: s.word(),
                cluster_id: s.text(),
                ttl: s.span(),
                crl: s.option(Source::text),
            }),
            2 => IdentitySource::WorkloadApi { socket: s.word() },
            3 => IdentitySource::Linkerd(LinkerdCa {
                address: s.word(),
                server_name: s.word(),
                name: s.word(),
                roots: roots(s),
                token: s.word(),
            }),
            4 => IdentitySource::Secret {
                key_pair: s.secret_name(),
                roots: s.anchors(),
                crl: s.option(Source::text),
            },
            5 => IdentitySource::Files {
                certificate: s.word(),
                key: s.word(),
                roots: s.word(),
                crl: s.option(Source::text),
            },
            _ => IdentitySource::Closed { reason: s.text() },
        },
    }
}

fn roots(s: &mut Source<'_>) -> RootsFrom {
    match s.below(3) {
        0 => RootsFrom::System,
        1 => RootsFrom::Pem(s.anchors()),
        _ => RootsFrom::File(s.word()),
    }
}

pub(super) fn domain(s: &mut Source<'_>) -> FederatedDomain {
    FederatedDomain {
        origin: s.origin(),
        endpoint: s.option(|s| BundleEndpoint {
            url: s.word(),
            profile: match s.below(2) {
                0 => BundleProfile::HttpsWeb,
                _ => BundleProfile::HttpsSpiffe { server_id: s.word() },
            },
        }),
        bootstrap: s.option(|s| match s.below(2) {
            0 => BootstrapBundle::Document(s.word()),
            _ => BootstrapBundle::Pem(s.anchors()),
        }),
    }
}

pub(super) fn reach(s: &mut Source<'_>) -> Reach {
    match s.below(3) {
        0 => Reach::AsBackend,
        1 => Reach::Mesh(Arc::new(MeshPeer {
            wire: s.pick(&[MeshWire::Istio, MeshWire::Spiffe]),
            identity: identity_name(s),
            server_name: s.option(Source::text),
            ids: s.list(Source::text),
        })),
        _ => Reach::Closed { reason: s.text() },
    }
}

pub(super) fn clients(s: &mut Source<'_>) -> MeshClients {
    MeshClients {
        identity: identity_name(s),
        mode: s.pick(&[MeshMode::Permissive, MeshMode::Strict]),
        peers: s.list(peer),
    }
}

pub(super) fn peer(s: &mut Source<'_>) -> PeerMatch {
    match s.below(3) {
        0 => PeerMatch::Id(s.word()),
        1 => PeerMatch::Namespace { trust_domain: s.word(), namespace: s.word() },
        _ => PeerMatch::TrustDomain(s.word()),
    }
}
