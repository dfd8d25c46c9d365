//! Filters on the wire.

use super::error::DecodeError;
use super::pb;
use super::pb::external_auth::Protocol as ProtocolKind;
use super::pb::filter::Kind as FilterKind;
use super::pb::path_rewrite::Kind as PathRewriteKind;
use super::value::{error_status, within};
use super::wire::{Wire, encode_all, encode_option, field, list, one_of, optional, required, variant};
use crate::{
    Buffer, Cors, ExternalAuth, ExternalAuthProtocol, Filter, HeaderEdit, HeaderField, Mirror, PathRewrite,
    Rewrite,
};

impl Wire for Filter {
    type Message = pb::Filter;

    fn encode(&self) -> pb::Filter {
        let kind = match self {
            Self::RequestHeaders(edit) => FilterKind::RequestHeaders(edit.encode()),
            Self::ResponseHeaders(edit) => FilterKind::ResponseHeaders(edit.encode()),
            Self::Rewrite(rewrite) => FilterKind::Rewrite(rewrite.encode()),
            Self::Mirror(mirror) => FilterKind::Mirror(mirror.encode()),
            Self::Cors(cors) => FilterKind::Cors(cors.encode()),
            Self::ExternalAuth(auth) => FilterKind::ExternalAuth(auth.encode()),
            Self::Buffer(Buffer { max_bytes }) => FilterKind::Buffer(pb::Buffer { max_bytes: *max_bytes }),
            Self::Closed { reason, status } => {
                FilterKind::Closed(pb::ClosedFilter { reason: reason.encode(), status: (*status).into() })
            }
        };
        pb::Filter { kind: Some(kind) }
    }

    fn decode(message: pb::Filter) -> Result<Self, DecodeError> {
        Ok(match variant(message.kind)? {
            FilterKind::RequestHeaders(edit) => Self::RequestHeaders(field("request_headers", edit)?),
            FilterKind::ResponseHeaders(edit) => Self::ResponseHeaders(field("response_headers", edit)?),
            FilterKind::Rewrite(rewrite) => Self::Rewrite(field("rewrite", rewrite)?),
            FilterKind::Mirror(mirror) => Self::Mirror(field("mirror", mirror)?),
            FilterKind::Cors(cors) => Self::Cors(field("cors", cors)?),
            FilterKind::ExternalAuth(auth) => Self::ExternalAuth(field("external_auth", auth)?),
            FilterKind::Buffer(pb::Buffer { max_bytes }) => Self::Buffer(Buffer { max_bytes }),
            FilterKind::Closed(pb::ClosedFilter { reason, status }) => {
                Self::Closed { reason: reason.into(), status: error_status("closed.status", status)? }
            }
        })
    }
}

impl Wire for HeaderEdit {
    type Message = pb::HeaderEdit;

    fn encode(&self) -> pb::HeaderEdit {
        let Self { set, add, remove } = self;
        pb::HeaderEdit { set: encode_all(set), add: encode_all(add), remove: encode_all(remove) }
    }

    fn decode(message: pb::HeaderEdit) -> Result<Self, DecodeError> {
        let pb::HeaderEdit { set, add, remove } = message;
        Ok(Self { set: list("set", set)?, add: list("add", add)?, remove: list("remove", remove)? })
    }
}

impl Wire for HeaderField {
    type Message = pb::HeaderField;

    fn encode(&self) -> pb::HeaderField {
        let Self { name, value } = self;
        pb::HeaderField { name: name.encode(), value: value.encode() }
    }

    fn decode(message: pb::HeaderField) -> Result<Self, DecodeError> {
        let pb::HeaderField { name, value } = message;
        Ok(Self { name: name.into(), value: value.into() })
    }
}

impl Wire for Rewrite {
    type Message = pb::Rewrite;

    fn encode(&self) -> pb::Rewrite {
        let Self { host, path } = self;
        pb::Rewrite { host: encode_option(host.as_ref()), path: encode_option(path.as_ref()) }
    }

    fn decode(message: pb::Rewrite) -> Result<Self, DecodeError> {
        let pb::Rewrite { host, path } = message;
        Ok(Self { host: optional("host", host)?, path: optional("path", path)? })
    }
}

impl Wire for PathRewrite {
    type Message = pb::PathRewrite;

    fn encode(&self) -> pb::PathRewrite {
        let kind = match self {
            Self::Full(path) => PathRewriteKind::Full(path.encode()),
            Self::Prefix(prefix) => PathRewriteKind::Prefix(prefix.encode()),
        };
        pb::PathRewrite { kind: Some(kind) }
    }

    fn decode(message: pb::PathRewrite) -> Result<Self, DecodeError> {
        Ok(match variant(message.kind)? {
            PathRewriteKind::Full(path) => Self::Full(path.into()),
            PathRewriteKind::Prefix(prefix) => Self::Prefix(prefix.into()),
        })
    }
}

impl Wire for Mirror {
    type Message = pb::Mirror;

    fn encode(&self) -> pb::Mirror {
        let Self { backend, numerator, denominator } = self;
        pb::Mirror { backend: Some(backend.encode()), numerator: *numerator, denominator: *denominator }
    }

    fn decode(message: pb::Mirror) -> Result<Self, DecodeError> {
        let pb::Mirror { backend, numerator, denominator } = message;
        Ok(Self {
            backend: required("backend", backend)?,
            numerator,
            denominator: within("denominator", denominator, 1..=u32::MAX)?,
        })
    }
}

impl Wire for Cors {
    type Message = pb::Cors;

    fn encode(&self) -> pb::Cors {
        let Self { allow_origins, allow_methods, allow_headers, expose_headers, allow_credentials, max_age } =
            self;
        pb::Cors {
            allow_origins: encode_all(allow_origins),
            allow_methods: encode_all(allow_methods),
            allow_headers: encode_all(allow_headers),
            expose_headers: encode_all(expose_headers),
            allow_credentials: *allow_credentials,
            max_age: encode_option(max_age.as_ref()),
        }
    }

    fn decode(message: pb::Cors) -> Result<Self, DecodeError> {
        let pb::Cors {
            allow_origins,
            allow_methods,
            allow_headers,
            expose_headers,
            allow_credentials,
            max_age,
        } = message;
        Ok(Self {
            allow_origins: list("allow_origins", allow_origins)?,
            allow_methods: list("allow_methods", allow_methods)?,
            allow_headers: list("allow_headers", allow_headers)?,
            expose_headers: list("expose_headers", expose_headers)?,
            allow_credentials,
            max_age: optional("max_age", max_age)?,
        })
    }
}

impl Wire for ExternalAuth {
    type Message = pb::ExternalAuth;

    fn encode(&self) -> pb::ExternalAuth {
        let Self { backend, protocol, body_bytes, timeout, fail_open } = self;
        pb::ExternalAuth {
            backend: Some(backend.encode()),
            protocol: Some(protocol.encode()),
            body_bytes: *body_bytes,
            timeout: Some(timeout.encode()),
            fail_open: *fail_open,
        }
    }

    fn decode(message: pb::ExternalAuth) -> Result<Self, DecodeError> {
        let pb::ExternalAuth { backend, protocol, body_bytes, timeout, fail_open } = message;
        Ok(Self {
            backend: required("backend", backend)?,
            protocol: one_of("protocol", protocol)?,
            body_bytes,
            timeout: required("timeout", timeout)?,
            fail_open,
        })
    }
}

impl Wire for ExternalAuthProtocol {
    type Message = ProtocolKind;

    fn encode(&self) -> ProtocolKind {
        match self {
            Self::Grpc { allowed_headers } => {
                ProtocolKind::Grpc(pb::GrpcAuth { allowed_headers: encode_all(allowed_headers) })
            }
            Self::Http { path, allowed_headers, allowed_response_headers } => {
                ProtocolKind::Http(pb::HttpAuth {
                    path: path.encode(),
                    allowed_headers: encode_all(allowed_headers),
                    allowed_response_headers: encode_all(allowed_response_headers),
                })
            }
        }
    }

    fn decode(message: ProtocolKind) -> Result<Self, DecodeError> {
        Ok(match message {
            ProtocolKind::Grpc(pb::GrpcAuth { allowed_headers }) => {
                Self::Grpc { allowed_headers: list("grpc.allowed_headers", allowed_headers)? }
            }
            ProtocolKind::Http(pb::HttpAuth { path, allowed_headers, allowed_response_headers }) => {
                Self::Http {
                    path: path.into(),
                    allowed_headers: list("http.allowed_headers", allowed_headers)?,
                    allowed_response_headers: list(
                        "http.allowed_response_headers",
                        allowed_response_headers,
                    )?,
                }
            }
        })
    }
}
