//! Listeners on the wire: sockets, hosts, TLS, who is believed, limits.

use std::collections::BTreeMap;

use super::error::DecodeError;
use super::pb;
use super::pb::client_auth::Kind as ClientAuthKind;
use super::pb::listener::Protocol as ProtocolKind;
use super::pb::terminate::Inner as InnerKind;
use super::pb::tls_server::Kind as TlsServerKind;
use super::value::{closed, encode_closed, port, text};
use super::wire::{
    Wire, by_host, encode_all, encode_option, field, list, one_of, optional, required, variant, wire_enum,
};
use crate::{
    ClientAuth, ClientCertHeader, ConnectionPolicy, Forwarded, HostPattern, HttpServer, L4Rule, Listener,
    ListenerLimits, Protocol, ProxyProtocol, ProxyProtocolMode, ServerTls, TlsInner, TlsServer, TlsVersion,
};

impl Wire for Listener {
    type Message = pb::Listener;

    fn encode(&self) -> pb::Listener {
        let Self { gateway, addresses, port, protocol, connection } = self;
        pb::Listener {
            gateway: Some(gateway.encode()),
            addresses: encode_all(addresses),
            port: (*port).into(),
            protocol: Some(protocol.encode()),
            connection: Some(connection.encode()),
        }
    }

    fn decode(message: pb::Listener) -> Result<Self, DecodeError> {
        let pb::Listener { gateway, addresses, port: number, protocol, connection } = message;
        Ok(Self {
            gateway: required("gateway", gateway)?,
            addresses: list("addresses", addresses)?,
            port: port("port", number)?,
            protocol: one_of("protocol", protocol)?,
            connection: required("connection", connection)?,
        })
    }
}

impl Wire for Protocol {
    type Message = ProtocolKind;

    fn encode(&self) -> ProtocolKind {
        match self {
            Self::Http(servers) => ProtocolKind::Http(servers.encode()),
            Self::Tls(servers) => ProtocolKind::Tls(servers.encode()),
            Self::Tcp(rule) => ProtocolKind::Tcp(rule.encode()),
            Self::Udp(rule) => ProtocolKind::Udp(rule.encode()),
        }
    }

    fn decode(message: ProtocolKind) -> Result<Self, DecodeError> {
        Ok(match message {
            ProtocolKind::Http(servers) => Self::Http(field("http", servers)?),
            ProtocolKind::Tls(servers) => Self::Tls(field("tls", servers)?),
            ProtocolKind::Tcp(socket) => Self::Tcp(field("tcp", socket)?),
            ProtocolKind::Udp(socket) => Self::Udp(field("udp", socket)?),
        })
    }
}

impl Wire for BTreeMap<HostPattern, HttpServer> {
    type Message = pb::HttpHosts;

    fn encode(&self) -> pb::HttpHosts {
        let hosts = self.iter();
        let hosts =
            hosts.map(|(host, server)| pb::HttpHost { host: host.encode(), server: Some(server.encode()) });
        pb::HttpHosts { hosts: hosts.collect() }
    }

    fn decode(message: pb::HttpHosts) -> Result<Self, DecodeError> {
        let pb::HttpHosts { hosts } = message;
        by_host("hosts", hosts, |pb::HttpHost { host, server }| {
            Ok((field("host", host)?, required("server", server)?))
        })
    }
}

impl Wire for BTreeMap<HostPattern, TlsServer> {
    type Message = pb::TlsHosts;

    fn encode(&self) -> pb::TlsHosts {
        let hosts = self.iter();
        let hosts =
            hosts.map(|(host, server)| pb::TlsHost { host: host.encode(), server: Some(server.encode()) });
        pb::TlsHosts { hosts: hosts.collect() }
    }

    fn decode(message: pb::TlsHosts) -> Result<Self, DecodeError> {
        let pb::TlsHosts { hosts } = message;
        by_host("hosts", hosts, |pb::TlsHost { host, server }| {
            Ok((field("host", host)?, required("server", server)?))
        })
    }
}

impl Wire for BTreeMap<HostPattern, L4Rule> {
    type Message = pb::L4Hosts;

    fn encode(&self) -> pb::L4Hosts {
        let hosts = self.iter();
        let hosts = hosts.map(|(host, rule)| pb::L4Host { host: host.encode(), rule: Some(rule.encode()) });
        pb::L4Hosts { hosts: hosts.collect() }
    }

    fn decode(message: pb::L4Hosts) -> Result<Self, DecodeError> {
        let pb::L4Hosts { hosts } = message;
        by_host("hosts", hosts, |pb::L4Host { host, rule }| {
            Ok((field("host", host)?, required("rule", rule)?))
        })
    }
}

impl Wire for Option<L4Rule> {
    type Message = pb::L4Socket;

    fn encode(&self) -> pb::L4Socket {
        pb::L4Socket { rule: encode_option(self.as_ref()) }
    }

    fn decode(message: pb::L4Socket) -> Result<Self, DecodeError> {
        let pb::L4Socket { rule } = message;
        optional("rule", rule)
    }
}

impl Wire for HttpServer {
    type Message = pb::HttpServer;

    fn encode(&self) -> pb::HttpServer {
        let Self { owner, section, port, routes, filters } = self;
        pb::HttpServer {
            owner: Some(owner.encode()),
            section: section.encode(),
            port: (*port).into(),
            routes: routes.encode(),
            filters: encode_all(filters),
        }
    }

    fn decode(message: pb::HttpServer) -> Result<Self, DecodeError> {
        let pb::HttpServer { owner, section, port: number, routes, filters } = message;
        Ok(Self {
            owner: required("owner", owner)?,
            section: text("section", section)?,
            port: port("port", number)?,
            routes: field("routes", routes)?,
            filters: list("filters", filters)?,
        })
    }
}

impl Wire for TlsServer {
    type Message = pb::TlsServer;

    fn encode(&self) -> pb::TlsServer {
        let kind = match self {
            Self::Terminate { tls, inner } => TlsServerKind::Terminate(pb::Terminate {
                tls: Some(tls.encode()),
                inner: Some(inner.encode()),
            }),
            Self::Passthrough(rules) => TlsServerKind::Passthrough(rules.encode()),
            Self::Closed { reason } => TlsServerKind::Closed(encode_closed(reason)),
        };
        pb::TlsServer { kind: Some(kind) }
    }

    fn decode(message: pb::TlsServer) -> Result<Self, DecodeError> {
        Ok(match variant(message.kind)? {
            TlsServerKind::Terminate(pb::Terminate { tls, inner }) => {
                let tls = required("tls", tls).map_err(|error| error.at("terminate"))?;
                let inner = one_of("inner", inner).map_err(|error| error.at("terminate"))?;
                Self::Terminate { tls, inner }
            }
            TlsServerKind::Passthrough(rules) => Self::Passthrough(field("passthrough", rules)?),
            TlsServerKind::Closed(message) => Self::Closed { reason: closed(message) },
        })
    }
}

impl Wire for TlsInner {
    type Message = InnerKind;

    fn encode(&self) -> InnerKind {
        match self {
            Self::Http(server) => InnerKind::Http(server.encode()),
            Self::Tcp(rules) => InnerKind::Tcp(rules.encode()),
        }
    }

    fn decode(message: InnerKind) -> Result<Self, DecodeError> {
        Ok(match message {
            InnerKind::Http(server) => Self::Http(field("http", server)?),
            InnerKind::Tcp(rules) => Self::Tcp(field("tcp", rules)?),
        })
    }
}

impl Wire for ServerTls {
    type Message = pb::ServerTls;

    fn encode(&self) -> pb::ServerTls {
        let Self { certificates, svid, min_version, client_auth } = self;
        pb::ServerTls {
            certificates: encode_all(certificates),
            svid: encode_option(svid.as_ref()),
            min_version: min_version.encode(),
            client_auth: Some(client_auth.encode()),
        }
    }

    fn decode(message: pb::ServerTls) -> Result<Self, DecodeError> {
        let pb::ServerTls { certificates, svid, min_version, client_auth } = message;
        Ok(Self {
            certificates: list("certificates", certificates)?,
            svid: optional("svid", svid)?,
            min_version: field("min_version", min_version)?,
            client_auth: required("client_auth", client_auth)?,
        })
    }
}

wire_enum!(TlsVersion { V1_2 = V12, V1_3 = V13 });

impl Wire for ClientAuth {
    type Message = pb::ClientAuth;

    fn encode(&self) -> pb::ClientAuth {
        let kind = match self {
            Self::None => ClientAuthKind::None(()),
            Self::Require(anchors) => ClientAuthKind::Require(anchors.encode()),
            Self::InsecureFallback(anchors) => ClientAuthKind::InsecureFallback(anchors.encode()),
            Self::Mesh(clients) => ClientAuthKind::Mesh(clients.encode()),
            Self::Closed { reason } => ClientAuthKind::Closed(encode_closed(reason)),
        };
        pb::ClientAuth { kind: Some(kind) }
    }

    fn decode(message: pb::ClientAuth) -> Result<Self, DecodeError> {
        Ok(match variant(message.kind)? {
            ClientAuthKind::None(()) => Self::None,
            ClientAuthKind::Require(anchors) => Self::Require(field("require", anchors)?),
            ClientAuthKind::InsecureFallback(anchors) => {
                Self::InsecureFallback(field("insecure_fallback", anchors)?)
            }
            ClientAuthKind::Mesh(clients) => Self::Mesh(field("mesh", clients)?),
            ClientAuthKind::Closed(message) => Self::Closed { reason: closed(message) },
        })
    }
}

impl Wire for ConnectionPolicy {
    type Message = pb::ConnectionPolicy;

    fn encode(&self) -> pb::ConnectionPolicy {
        let Self { proxy_protocol, forwarded, mesh, limits, set_by } = self;
        pb::ConnectionPolicy {
            proxy_protocol: Some(proxy_protocol.encode()),
            forwarded: Some(forwarded.encode()),
            mesh: encode_option(mesh.as_ref()),
            limits: Some(limits.encode()),
            set_by: set_by.encode(),
        }
    }

    fn decode(message: pb::ConnectionPolicy) -> Result<Self, DecodeError> {
        let pb::ConnectionPolicy { proxy_protocol, forwarded, mesh, limits, set_by } = message;
        Ok(Self {
            proxy_protocol: required("proxy_protocol", proxy_protocol)?,
            forwarded: required("forwarded", forwarded)?,
            mesh: optional("mesh", mesh)?,
            limits: required("limits", limits)?,
            set_by: field("set_by", set_by)?,
        })
    }
}

impl Wire for ProxyProtocol {
    type Message = pb::ProxyProtocol;

    fn encode(&self) -> pb::ProxyProtocol {
        let Self { mode, trusted } = self;
        pb::ProxyProtocol { mode: mode.encode(), trusted: encode_all(trusted) }
    }

    fn decode(message: pb::ProxyProtocol) -> Result<Self, DecodeError> {
        let pb::ProxyProtocol { mode, trusted } = message;
        Ok(Self { mode: field("mode", mode)?, trusted: list("trusted", trusted)? })
    }
}

wire_enum!(ProxyProtocolMode { Off, Optional, Required });

impl Wire for Forwarded {
    type Message = pb::Forwarded;

    fn encode(&self) -> pb::Forwarded {
        let Self { trusted_hops, trusted, trusted_peers, client_cert } = self;
        pb::Forwarded {
            trusted_hops: *trusted_hops,
            trusted: encode_all(trusted),
            trusted_peers: encode_all(trusted_peers),
            client_cert: client_cert.encode(),
        }
    }

    fn decode(message: pb::Forwarded) -> Result<Self, DecodeError> {
        let pb::Forwarded { trusted_hops, trusted, trusted_peers, client_cert } = message;
        Ok(Self {
            trusted_hops,
            trusted: list("trusted", trusted)?,
            trusted_peers: list("trusted_peers", trusted_peers)?,
            client_cert: field("client_cert", client_cert)?,
        })
    }
}

wire_enum!(ClientCertHeader { Sanitize, SanitizeSet, AppendForward, ForwardOnly });

impl Wire for ListenerLimits {
    type Message = pb::ListenerLimits;

    fn encode(&self) -> pb::ListenerLimits {
        let Self {
            connections,
            requests_per_connection,
            header_bytes,
            headers,
            uri_bytes,
            streams,
            header_timeout,
            handshake_timeout,
            idle_timeout,
            max_age,
        } = self;
        pb::ListenerLimits {
            connections: *connections,
            requests_per_connection: *requests_per_connection,
            header_bytes: *header_bytes,
            headers: *headers,
            uri_bytes: *uri_bytes,
            streams: *streams,
            header_timeout: Some(header_timeout.encode()),
            handshake_timeout: Some(handshake_timeout.encode()),
            idle_timeout: Some(idle_timeout.encode()),
            max_age: Some(max_age.encode()),
        }
    }

    fn decode(message: pb::ListenerLimits) -> Result<Self, DecodeError> {
        let pb::ListenerLimits {
            connections,
            requests_per_connection,
            header_bytes,
            headers,
            uri_bytes,
            streams,
            header_timeout,
            handshake_timeout,
            idle_timeout,
            max_age,
        } = message;
        Ok(Self {
            connections,
            requests_per_connection,
            header_bytes,
            headers,
            uri_bytes,
            streams,
            header_timeout: required("header_timeout", header_timeout)?,
            handshake_timeout: required("handshake_timeout", handshake_timeout)?,
            idle_timeout: required("idle_timeout", idle_timeout)?,
            max_age: required("max_age", max_age)?,
        })
    }
}
