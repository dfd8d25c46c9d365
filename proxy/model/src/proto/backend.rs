//! Backends on the wire: policy, TLS, balancing, health. Endpoints are in `endpoint`.

use super::error::DecodeError;
use super::pb;
use super::pb::backend_ref::Kind as BackendRefKind;
use super::pb::roots::Kind as RootsKind;
use super::pb::session_persistence::Carrier as CarrierKind;
use super::pb::subject_name::Kind as SubjectNameKind;
use super::pb::upstream_tls::Kind as UpstreamTlsKind;
use super::value::{closed, encode_closed, error_status, port, text};
use super::wire::{
    Wire, encode_all, encode_option, field, list, one_of, optional, required, variant, wire_enum,
};
use crate::{
    Backend, BackendProtocol, BackendRef, Circuit, ClientTls, RetryBudget, Roots, SendProxyProtocol,
    SessionCarrier, SessionPersistence, SubjectName, UpstreamConnection, UpstreamTls,
};

impl Wire for Backend {
    type Message = pb::Backend;

    fn encode(&self) -> pb::Backend {
        let Self {
            origin,
            port,
            protocol,
            tls,
            balance,
            health,
            circuit,
            connection,
            retry_budget,
            session,
            set_by,
        } = self;
        pb::Backend {
            origin: Some(origin.encode()),
            port: (*port).into(),
            protocol: protocol.encode(),
            tls: Some(tls.encode()),
            balance: Some(balance.encode()),
            health: Some(health.encode()),
            circuit: Some(circuit.encode()),
            connection: Some(connection.encode()),
            retry_budget: encode_option(retry_budget.as_ref()),
            session: encode_option(session.as_ref()),
            set_by: set_by.encode(),
        }
    }

    fn decode(message: pb::Backend) -> Result<Self, DecodeError> {
        let pb::Backend {
            origin,
            port: number,
            protocol,
            tls,
            balance,
            health,
            circuit,
            connection,
            retry_budget,
            session,
            set_by,
        } = message;
        Ok(Self {
            origin: required("origin", origin)?,
            port: port("port", number)?,
            protocol: field("protocol", protocol)?,
            tls: required("tls", tls)?,
            balance: required("balance", balance)?,
            health: required("health", health)?,
            circuit: required("circuit", circuit)?,
            connection: required("connection", connection)?,
            retry_budget: optional("retry_budget", retry_budget)?,
            session: optional("session", session)?,
            set_by: field("set_by", set_by)?,
        })
    }
}

wire_enum!(BackendProtocol { Auto, Http1, Http2, Tcp, Udp });

impl Wire for UpstreamTls {
    type Message = pb::UpstreamTls;

    fn encode(&self) -> pb::UpstreamTls {
        let kind = match self {
            Self::Plain => UpstreamTlsKind::Plain(()),
            Self::Tls(tls) => UpstreamTlsKind::Tls(tls.encode()),
            Self::Closed { reason } => UpstreamTlsKind::Closed(encode_closed(reason)),
        };
        pb::UpstreamTls { kind: Some(kind) }
    }

    fn decode(message: pb::UpstreamTls) -> Result<Self, DecodeError> {
        Ok(match variant(message.kind)? {
            UpstreamTlsKind::Plain(()) => Self::Plain,
            UpstreamTlsKind::Tls(tls) => Self::Tls(field("tls", tls)?),
            UpstreamTlsKind::Closed(message) => Self::Closed { reason: closed(message) },
        })
    }
}

impl Wire for ClientTls {
    type Message = pb::ClientTls;

    fn encode(&self) -> pb::ClientTls {
        let Self { server_name, roots, names, certificate } = self;
        pb::ClientTls {
            server_name: server_name.encode(),
            roots: Some(roots.encode()),
            names: encode_all(names),
            certificate: encode_option(certificate.as_ref()),
        }
    }

    fn decode(message: pb::ClientTls) -> Result<Self, DecodeError> {
        let pb::ClientTls { server_name, roots, names, certificate } = message;
        Ok(Self {
            server_name: text("server_name", server_name)?,
            roots: required("roots", roots)?,
            names: list("names", names)?,
            certificate: optional("certificate", certificate)?,
        })
    }
}

impl Wire for Roots {
    type Message = pb::Roots;

    fn encode(&self) -> pb::Roots {
        let kind = match self {
            Self::System => RootsKind::System(()),
            Self::Pem(anchors) => RootsKind::Pem(anchors.encode()),
        };
        pb::Roots { kind: Some(kind) }
    }

    fn decode(message: pb::Roots) -> Result<Self, DecodeError> {
        Ok(match variant(message.kind)? {
            RootsKind::System(()) => Self::System,
            RootsKind::Pem(anchors) => Self::Pem(field("pem", anchors)?),
        })
    }
}

impl Wire for SubjectName {
    type Message = pb::SubjectName;

    fn encode(&self) -> pb::SubjectName {
        let kind = match self {
            Self::Dns(name) => SubjectNameKind::Dns(name.encode()),
            Self::Uri(uri) => SubjectNameKind::Uri(uri.encode()),
        };
        pb::SubjectName { kind: Some(kind) }
    }

    fn decode(message: pb::SubjectName) -> Result<Self, DecodeError> {
        Ok(match variant(message.kind)? {
            SubjectNameKind::Dns(name) => Self::Dns(text("dns", name)?),
            SubjectNameKind::Uri(uri) => Self::Uri(text("uri", uri)?),
        })
    }
}

impl Wire for Circuit {
    type Message = pb::Circuit;

    fn encode(&self) -> pb::Circuit {
        let Self { connections, pending, requests } = self;
        pb::Circuit { connections: *connections, pending: *pending, requests: *requests }
    }

    fn decode(message: pb::Circuit) -> Result<Self, DecodeError> {
        let pb::Circuit { connections, pending, requests } = message;
        Ok(Self { connections, pending, requests })
    }
}

impl Wire for UpstreamConnection {
    type Message = pb::UpstreamConnection;

    fn encode(&self) -> pb::UpstreamConnection {
        let Self { connect_timeout, idle_timeout, max_requests, proxy_protocol } = self;
        pb::UpstreamConnection {
            connect_timeout: Some(connect_timeout.encode()),
            idle_timeout: Some(idle_timeout.encode()),
            max_requests: *max_requests,
            proxy_protocol: proxy_protocol.encode(),
        }
    }

    fn decode(message: pb::UpstreamConnection) -> Result<Self, DecodeError> {
        let pb::UpstreamConnection { connect_timeout, idle_timeout, max_requests, proxy_protocol } = message;
        Ok(Self {
            connect_timeout: required("connect_timeout", connect_timeout)?,
            idle_timeout: required("idle_timeout", idle_timeout)?,
            max_requests,
            proxy_protocol: field("proxy_protocol", proxy_protocol)?,
        })
    }
}

wire_enum!(SendProxyProtocol { Off, V1, V2 });

impl Wire for RetryBudget {
    type Message = pb::RetryBudget;

    fn encode(&self) -> pb::RetryBudget {
        let Self { percent, min_per_second, interval } = self;
        pb::RetryBudget {
            percent: *percent,
            min_per_second: *min_per_second,
            interval: Some(interval.encode()),
        }
    }

    fn decode(message: pb::RetryBudget) -> Result<Self, DecodeError> {
        let pb::RetryBudget { percent, min_per_second, interval } = message;
        Ok(Self { percent, min_per_second, interval: required("interval", interval)? })
    }
}

impl Wire for SessionPersistence {
    type Message = pb::SessionPersistence;

    fn encode(&self) -> pb::SessionPersistence {
        let Self { carrier, idle_timeout, absolute_timeout } = self;
        pb::SessionPersistence {
            carrier: Some(carrier.encode()),
            idle_timeout: encode_option(idle_timeout.as_ref()),
            absolute_timeout: encode_option(absolute_timeout.as_ref()),
        }
    }

    fn decode(message: pb::SessionPersistence) -> Result<Self, DecodeError> {
        let pb::SessionPersistence { carrier, idle_timeout, absolute_timeout } = message;
        Ok(Self {
            carrier: one_of("carrier", carrier)?,
            idle_timeout: optional("idle_timeout", idle_timeout)?,
            absolute_timeout: optional("absolute_timeout", absolute_timeout)?,
        })
    }
}

impl Wire for SessionCarrier {
    type Message = CarrierKind;

    fn encode(&self) -> CarrierKind {
        match self {
            Self::Cookie { name, path, permanent } => CarrierKind::Cookie(pb::SessionCookie {
                name: name.encode(),
                path: path.encode(),
                permanent: *permanent,
            }),
            Self::Header(name) => CarrierKind::Header(name.encode()),
        }
    }

    fn decode(message: CarrierKind) -> Result<Self, DecodeError> {
        Ok(match message {
            CarrierKind::Cookie(pb::SessionCookie { name, path, permanent }) => {
                Self::Cookie { name: text("cookie.name", name)?, path: path.into(), permanent }
            }
            CarrierKind::Header(name) => Self::Header(text("header", name)?),
        })
    }
}

impl Wire for BackendRef {
    type Message = pb::BackendRef;

    fn encode(&self) -> pb::BackendRef {
        let kind = match self {
            Self::Name(name) => BackendRefKind::Name(name.encode()),
            Self::Invalid { reason, status } => BackendRefKind::Invalid(pb::InvalidBackend {
                reason: reason.encode(),
                status: (*status).into(),
            }),
        };
        pb::BackendRef { kind: Some(kind) }
    }

    fn decode(message: pb::BackendRef) -> Result<Self, DecodeError> {
        Ok(match variant(message.kind)? {
            BackendRefKind::Name(name) => Self::Name(field("name", name)?),
            BackendRefKind::Invalid(pb::InvalidBackend { reason, status }) => {
                Self::Invalid { reason: reason.into(), status: error_status("invalid.status", status)? }
            }
        })
    }
}
