//! Endpoints on the wire, and how one is picked and found fit.

use super::error::DecodeError;
use super::pb;
use super::pb::affinity::Kind as AffinityKind;
use super::pb::endpoint::Address as AddressKind;
use super::pb::probe::Kind as ProbeKind;
use super::value::{port, statuses, text, within};
use super::wire::{
    Wire, encode_all, encode_option, field, list, one_of, optional, required, variant, wire_enum,
};
use crate::{
    ActiveHealth, Address, Affinity, Algorithm, Balance, Endpoint, EndpointSet, Health, Outlier, Probe,
};

impl Wire for EndpointSet {
    type Message = pb::Endpoints;

    fn encode(&self) -> pb::Endpoints {
        let Self(endpoints) = self;
        pb::Endpoints { endpoints: encode_all(endpoints) }
    }

    fn decode(message: pb::Endpoints) -> Result<Self, DecodeError> {
        let pb::Endpoints { endpoints } = message;
        Ok(Self(list("endpoints", endpoints)?))
    }
}

impl Wire for Endpoint {
    type Message = pb::Endpoint;

    fn encode(&self) -> pb::Endpoint {
        let Self { address, port, weight, zone, draining, workload, reach } = self;
        pb::Endpoint {
            address: Some(address.encode()),
            port: (*port).into(),
            weight: *weight,
            zone: zone.encode(),
            draining: *draining,
            workload: workload.encode(),
            reach: Some(reach.encode()),
        }
    }

    fn decode(message: pb::Endpoint) -> Result<Self, DecodeError> {
        let pb::Endpoint { address, port: number, weight, zone, draining, workload, reach } = message;
        Ok(Self {
            address: one_of("address", address)?,
            port: port("port", number)?,
            weight,
            zone: zone.into(),
            draining,
            workload: workload.into(),
            reach: required("reach", reach)?,
        })
    }
}

impl Wire for Address {
    type Message = AddressKind;

    fn encode(&self) -> AddressKind {
        match self {
            Self::Ip(ip) => AddressKind::Ip(ip.encode()),
            Self::Name(name) => AddressKind::Name(name.encode()),
        }
    }

    fn decode(message: AddressKind) -> Result<Self, DecodeError> {
        Ok(match message {
            AddressKind::Ip(ip) => Self::Ip(field("ip", ip)?),
            AddressKind::Name(name) => Self::Name(text("name", name)?),
        })
    }
}

impl Wire for Balance {
    type Message = pb::Balance;

    fn encode(&self) -> pb::Balance {
        let Self { algorithm, affinity, slow_start, prefer_zone, failover_zones } = self;
        pb::Balance {
            algorithm: algorithm.encode(),
            affinity: encode_option(affinity.as_ref()),
            slow_start: Some(slow_start.encode()),
            prefer_zone: *prefer_zone,
            failover_zones: encode_all(failover_zones),
        }
    }

    fn decode(message: pb::Balance) -> Result<Self, DecodeError> {
        let pb::Balance { algorithm, affinity, slow_start, prefer_zone, failover_zones } = message;
        Ok(Self {
            algorithm: field("algorithm", algorithm)?,
            affinity: optional("affinity", affinity)?,
            slow_start: required("slow_start", slow_start)?,
            prefer_zone,
            failover_zones: list("failover_zones", failover_zones)?,
        })
    }
}

wire_enum!(Algorithm { RoundRobin, LeastRequest, PeakEwma, Random, RingHash, Maglev });

impl Wire for Affinity {
    type Message = pb::Affinity;

    fn encode(&self) -> pb::Affinity {
        let kind = match self {
            Self::Cookie { name, path, ttl } => AffinityKind::Cookie(pb::CookieAffinity {
                name: name.encode(),
                path: path.encode(),
                ttl: encode_option(ttl.as_ref()),
            }),
            Self::Header(name) => AffinityKind::Header(name.encode()),
            Self::Query(name) => AffinityKind::Query(name.encode()),
            Self::ClientIp => AffinityKind::ClientIp(()),
        };
        pb::Affinity { kind: Some(kind) }
    }

    fn decode(message: pb::Affinity) -> Result<Self, DecodeError> {
        Ok(match variant(message.kind)? {
            AffinityKind::Cookie(pb::CookieAffinity { name, path, ttl }) => Self::Cookie {
                name: text("cookie.name", name)?,
                path: path.into(),
                ttl: optional("cookie.ttl", ttl)?,
            },
            AffinityKind::Header(name) => Self::Header(text("header", name)?),
            AffinityKind::Query(name) => Self::Query(text("query", name)?),
            AffinityKind::ClientIp(()) => Self::ClientIp,
        })
    }
}

impl Wire for Health {
    type Message = pb::Health;

    fn encode(&self) -> pb::Health {
        let Self { active, outlier } = self;
        pb::Health { active: encode_option(active.as_ref()), outlier: encode_option(outlier.as_ref()) }
    }

    fn decode(message: pb::Health) -> Result<Self, DecodeError> {
        let pb::Health { active, outlier } = message;
        Ok(Self { active: optional("active", active)?, outlier: optional("outlier", outlier)? })
    }
}

impl Wire for ActiveHealth {
    type Message = pb::ActiveHealth;

    fn encode(&self) -> pb::ActiveHealth {
        let Self { probe, interval, timeout, healthy_threshold, unhealthy_threshold } = self;
        pb::ActiveHealth {
            probe: Some(probe.encode()),
            interval: Some(interval.encode()),
            timeout: Some(timeout.encode()),
            healthy_threshold: *healthy_threshold,
            unhealthy_threshold: *unhealthy_threshold,
        }
    }

    fn decode(message: pb::ActiveHealth) -> Result<Self, DecodeError> {
        let pb::ActiveHealth { probe, interval, timeout, healthy_threshold, unhealthy_threshold } = message;
        Ok(Self {
            probe: required("probe", probe)?,
            interval: required("interval", interval)?,
            timeout: required("timeout", timeout)?,
            healthy_threshold,
            unhealthy_threshold,
        })
    }
}

impl Wire for Probe {
    type Message = pb::Probe;

    fn encode(&self) -> pb::Probe {
        let kind = match self {
            Self::Http { path, host, statuses } => ProbeKind::Http(pb::HttpProbe {
                path: path.encode(),
                host: host.encode(),
                statuses: statuses.iter().copied().map(u32::from).collect(),
            }),
            Self::Tcp => ProbeKind::Tcp(()),
            Self::Grpc { service } => ProbeKind::Grpc(pb::GrpcProbe { service: service.encode() }),
        };
        pb::Probe { kind: Some(kind) }
    }

    fn decode(message: pb::Probe) -> Result<Self, DecodeError> {
        Ok(match variant(message.kind)? {
            ProbeKind::Http(pb::HttpProbe { path, host, statuses: numbers }) => Self::Http {
                path: path.into(),
                host: host.into(),
                statuses: statuses("http.statuses", numbers, 100..=599)?,
            },
            ProbeKind::Tcp(()) => Self::Tcp,
            ProbeKind::Grpc(pb::GrpcProbe { service }) => Self::Grpc { service: service.into() },
        })
    }
}

impl Wire for Outlier {
    type Message = pb::Outlier;

    fn encode(&self) -> pb::Outlier {
        let Self { consecutive_5xx, ejection, max_ejected_percent } = self;
        pb::Outlier {
            consecutive_5xx: *consecutive_5xx,
            ejection: Some(ejection.encode()),
            max_ejected_percent: *max_ejected_percent,
        }
    }

    fn decode(message: pb::Outlier) -> Result<Self, DecodeError> {
        let pb::Outlier { consecutive_5xx, ejection, max_ejected_percent } = message;
        Ok(Self {
            consecutive_5xx,
            ejection: required("ejection", ejection)?,
            max_ejected_percent: within("max_ejected_percent", max_ejected_percent, 0..=100)?,
        })
    }
}
