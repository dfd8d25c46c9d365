//! Route tables on the wire: matches, rules, actions; and rules of opaque connections.

use super::error::DecodeError;
use super::pb;
use super::pb::path_match::Kind as PathMatchKind;
use super::pb::rule::Action as ActionKind;
use super::pb::value_match::Kind as ValueMatchKind;
use super::value::{encode_index, index, port, statuses, within};
use super::wire::{
    Wire, by_host, encode_all, encode_option, field, list, one_of, optional, required, variant,
};
use crate::{
    Action, Forward, HeaderMatch, L4Rule, Match, PathMatch, QueryMatch, Redirect, Retry, RouteMatch,
    RouteTable, Rule, Timeouts, ValueMatch, WeightedBackend,
};

impl Wire for RouteTable {
    type Message = pb::RouteTable;

    fn encode(&self) -> pb::RouteTable {
        let Self { hosts, rules } = self;
        let hosts = hosts
            .iter()
            .map(|(host, matches)| pb::RouteHost { host: host.encode(), matches: encode_all(matches) });
        pb::RouteTable { hosts: hosts.collect(), rules: encode_all(rules) }
    }

    fn decode(message: pb::RouteTable) -> Result<Self, DecodeError> {
        let pb::RouteTable { hosts, rules } = message;
        let hosts = by_host("hosts", hosts, |pb::RouteHost { host, matches }| {
            Ok((field("host", host)?, list("matches", matches)?))
        })?;
        Ok(Self { hosts, rules: list("rules", rules)? })
    }
}

impl Wire for RouteMatch {
    type Message = pb::RouteMatch;

    fn encode(&self) -> pb::RouteMatch {
        let Self { when, rule } = self;
        pb::RouteMatch { when: Some(when.encode()), rule: encode_index(*rule) }
    }

    fn decode(message: pb::RouteMatch) -> Result<Self, DecodeError> {
        let pb::RouteMatch { when, rule } = message;
        Ok(Self { when: required("when", when)?, rule: index("rule", rule)? })
    }
}

impl Wire for Match {
    type Message = pb::Match;

    fn encode(&self) -> pb::Match {
        let Self { path, method, headers, query } = self;
        pb::Match {
            path: encode_option(path.as_ref()),
            method: encode_option(method.as_ref()),
            headers: encode_all(headers),
            query: encode_all(query),
        }
    }

    fn decode(message: pb::Match) -> Result<Self, DecodeError> {
        let pb::Match { path, method, headers, query } = message;
        Ok(Self {
            path: optional("path", path)?,
            method: optional("method", method)?,
            headers: list("headers", headers)?,
            query: list("query", query)?,
        })
    }
}

impl Wire for PathMatch {
    type Message = pb::PathMatch;

    fn encode(&self) -> pb::PathMatch {
        let kind = match self {
            Self::Exact(path) => PathMatchKind::Exact(path.encode()),
            Self::SegmentPrefix(prefix) => PathMatchKind::SegmentPrefix(prefix.encode()),
            Self::StringPrefix(prefix) => PathMatchKind::StringPrefix(prefix.encode()),
            Self::Regex(pattern) => PathMatchKind::Regex(pattern.encode()),
        };
        pb::PathMatch { kind: Some(kind) }
    }

    fn decode(message: pb::PathMatch) -> Result<Self, DecodeError> {
        Ok(match variant(message.kind)? {
            PathMatchKind::Exact(path) => Self::Exact(path.into()),
            PathMatchKind::SegmentPrefix(prefix) => Self::SegmentPrefix(prefix.into()),
            PathMatchKind::StringPrefix(prefix) => Self::StringPrefix(prefix.into()),
            PathMatchKind::Regex(pattern) => Self::Regex(pattern.into()),
        })
    }
}

impl Wire for HeaderMatch {
    type Message = pb::HeaderMatch;

    fn encode(&self) -> pb::HeaderMatch {
        let Self { name, value } = self;
        pb::HeaderMatch { name: name.encode(), value: Some(value.encode()) }
    }

    fn decode(message: pb::HeaderMatch) -> Result<Self, DecodeError> {
        let pb::HeaderMatch { name, value } = message;
        Ok(Self { name: name.into(), value: required("value", value)? })
    }
}

impl Wire for QueryMatch {
    type Message = pb::QueryMatch;

    fn encode(&self) -> pb::QueryMatch {
        let Self { name, value } = self;
        pb::QueryMatch { name: name.encode(), value: Some(value.encode()) }
    }

    fn decode(message: pb::QueryMatch) -> Result<Self, DecodeError> {
        let pb::QueryMatch { name, value } = message;
        Ok(Self { name: name.into(), value: required("value", value)? })
    }
}

impl Wire for ValueMatch {
    type Message = pb::ValueMatch;

    fn encode(&self) -> pb::ValueMatch {
        let kind = match self {
            Self::Exact(text) => ValueMatchKind::Exact(text.encode()),
            Self::Prefix(prefix) => ValueMatchKind::Prefix(prefix.encode()),
            Self::Regex(pattern) => ValueMatchKind::Regex(pattern.encode()),
            Self::Present => ValueMatchKind::Present(()),
        };
        pb::ValueMatch { kind: Some(kind) }
    }

    fn decode(message: pb::ValueMatch) -> Result<Self, DecodeError> {
        Ok(match variant(message.kind)? {
            ValueMatchKind::Exact(text) => Self::Exact(text.into()),
            ValueMatchKind::Prefix(prefix) => Self::Prefix(prefix.into()),
            ValueMatchKind::Regex(pattern) => Self::Regex(pattern.into()),
            ValueMatchKind::Present(()) => Self::Present,
        })
    }
}

impl Wire for Rule {
    type Message = pb::Rule;

    fn encode(&self) -> pb::Rule {
        let Self { origin, index, name, filters, action, set_by } = self;
        pb::Rule {
            origin: Some(origin.encode()),
            index: encode_index(*index),
            name: encode_option(name.as_ref()),
            filters: encode_all(filters),
            action: Some(action.encode()),
            set_by: set_by.encode(),
        }
    }

    fn decode(message: pb::Rule) -> Result<Self, DecodeError> {
        let pb::Rule { origin, index: place, name, filters, action, set_by } = message;
        Ok(Self {
            origin: required("origin", origin)?,
            index: index("index", place)?,
            name: optional("name", name)?,
            filters: list("filters", filters)?,
            action: one_of("action", action)?,
            set_by: field("set_by", set_by)?,
        })
    }
}

impl Wire for Action {
    type Message = ActionKind;

    fn encode(&self) -> ActionKind {
        match self {
            Self::Forward(forward) => ActionKind::Forward(forward.encode()),
            Self::Redirect(redirect) => ActionKind::Redirect(redirect.encode()),
            Self::Respond { status, body } => {
                ActionKind::Respond(pb::Respond { status: (*status).into(), body: body.encode() })
            }
        }
    }

    fn decode(message: ActionKind) -> Result<Self, DecodeError> {
        Ok(match message {
            ActionKind::Forward(forward) => Self::Forward(field("forward", forward)?),
            ActionKind::Redirect(redirect) => Self::Redirect(field("redirect", redirect)?),
            ActionKind::Respond(pb::Respond { status, body }) => {
                Self::Respond { status: within("respond.status", status, 200..=599)?, body: body.into() }
            }
        })
    }
}

impl Wire for Forward {
    type Message = pb::Forward;

    fn encode(&self) -> pb::Forward {
        let Self { backends, timeouts, retry, session } = self;
        pb::Forward {
            backends: encode_all(backends),
            timeouts: Some(timeouts.encode()),
            retry: encode_option(retry.as_ref()),
            session: encode_option(session.as_ref()),
        }
    }

    fn decode(message: pb::Forward) -> Result<Self, DecodeError> {
        let pb::Forward { backends, timeouts, retry, session } = message;
        Ok(Self {
            backends: list("backends", backends)?,
            timeouts: required("timeouts", timeouts)?,
            retry: optional("retry", retry)?,
            session: optional("session", session)?,
        })
    }
}

impl Wire for WeightedBackend {
    type Message = pb::WeightedBackend;

    fn encode(&self) -> pb::WeightedBackend {
        let Self { weight, backend, filters } = self;
        pb::WeightedBackend { weight: *weight, backend: Some(backend.encode()), filters: encode_all(filters) }
    }

    fn decode(message: pb::WeightedBackend) -> Result<Self, DecodeError> {
        let pb::WeightedBackend { weight, backend, filters } = message;
        Ok(Self {
            weight: within("weight", weight, 0..=1_000_000)?,
            backend: required("backend", backend)?,
            filters: list("filters", filters)?,
        })
    }
}

impl Wire for Timeouts {
    type Message = pb::Timeouts;

    fn encode(&self) -> pb::Timeouts {
        let Self { request, backend_request, idle } = self;
        pb::Timeouts {
            request: encode_option(request.as_ref()),
            backend_request: encode_option(backend_request.as_ref()),
            idle: encode_option(idle.as_ref()),
        }
    }

    fn decode(message: pb::Timeouts) -> Result<Self, DecodeError> {
        let pb::Timeouts { request, backend_request, idle } = message;
        Ok(Self {
            request: optional("request", request)?,
            backend_request: optional("backend_request", backend_request)?,
            idle: optional("idle", idle)?,
        })
    }
}

impl Wire for Retry {
    type Message = pb::Retry;

    fn encode(&self) -> pb::Retry {
        let Self { attempts, codes, connect_failure, reset, backoff, budget } = self;
        pb::Retry {
            attempts: *attempts,
            codes: codes.iter().copied().map(u32::from).collect(),
            connect_failure: *connect_failure,
            reset: *reset,
            backoff: Some(backoff.encode()),
            budget: encode_option(budget.as_ref()),
        }
    }

    fn decode(message: pb::Retry) -> Result<Self, DecodeError> {
        let pb::Retry { attempts, codes, connect_failure, reset, backoff, budget } = message;
        Ok(Self {
            attempts,
            codes: statuses("codes", codes, 400..=599)?,
            connect_failure,
            reset,
            backoff: required("backoff", backoff)?,
            budget: optional("budget", budget)?,
        })
    }
}

impl Wire for Redirect {
    type Message = pb::Redirect;

    fn encode(&self) -> pb::Redirect {
        let Self { scheme, host, port, path, status } = self;
        pb::Redirect {
            scheme: encode_option(scheme.as_ref()),
            host: encode_option(host.as_ref()),
            port: port.map(u32::from),
            path: encode_option(path.as_ref()),
            status: (*status).into(),
        }
    }

    fn decode(message: pb::Redirect) -> Result<Self, DecodeError> {
        let pb::Redirect { scheme, host, port: number, path, status } = message;
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            return Err(DecodeError::new(format!("is {status}, which is no redirect")).at("status"));
        }
        Ok(Self {
            scheme: optional("scheme", scheme)?,
            host: optional("host", host)?,
            port: number.map(|number| port("port", number)).transpose()?,
            path: optional("path", path)?,
            status: within("status", status, 301..=308)?,
        })
    }
}

impl Wire for L4Rule {
    type Message = pb::L4Rule;

    fn encode(&self) -> pb::L4Rule {
        let Self { origin, backends, idle_timeout } = self;
        pb::L4Rule {
            origin: Some(origin.encode()),
            backends: encode_all(backends),
            idle_timeout: Some(idle_timeout.encode()),
        }
    }

    fn decode(message: pb::L4Rule) -> Result<Self, DecodeError> {
        let pb::L4Rule { origin, backends, idle_timeout } = message;
        Ok(Self {
            origin: required("origin", origin)?,
            backends: list("backends", backends)?,
            idle_timeout: required("idle_timeout", idle_timeout)?,
        })
    }
}
