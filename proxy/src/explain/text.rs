//! Explanations as text for people: one step a line, from the socket to the outcome.

use std::fmt::{self, Display, Formatter};

use model::{Filter, Match, PathMatch, Reach, ValueMatch};

use super::{BackendStep, EndpointStep, Explanation, Outcome, RouteStep};

impl Display for Explanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let query = self.request.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        line(
            f,
            "request",
            format_args!("{} {}{}{query}", self.request.method, self.request.host, self.request.path),
        )?;
        if let Some(sni) = &self.request.sni {
            line(f, "server name", format_args!("{}", if sni.is_empty() { "(none sent)" } else { sni }))?;
        }
        if let Some(listener) = &self.listener {
            line(
                f,
                "listener",
                format_args!("{} of {}, port {}", listener.name, listener.gateway, listener.port),
            )?;
        }
        if let Some(server) = &self.server {
            line(f, "section", format_args!("{} of {}", server.section, server.owner))?;
        }
        if let Some(route) = &self.route {
            route.fmt(f)?;
        }
        self.outcome.fmt(f)
    }
}

fn line(f: &mut Formatter<'_>, label: &str, text: impl Display) -> fmt::Result {
    writeln!(f, "{label:<12} {text}")
}

impl Display for RouteStep {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        line(f, "host", &self.host)?;
        let name = self.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        line(f, "route", format_args!("{} rule {}{name}", self.origin, self.rule))?;
        line(f, "match", conditions(&self.when))?;
        for filter in &self.filters {
            line(f, "filter", name_of(filter))?;
        }
        for (field, origin) in &self.set_by {
            line(f, "set by", format_args!("{field}: {origin}"))?;
        }
        Ok(())
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forward { backends, .. } if backends.is_empty() => {
                line(f, "outcome", "500: the rule has no backend")
            }
            Self::Forward { backends, .. } => {
                line(f, "outcome", "forwarded")?;
                backends.iter().try_for_each(|backend| backend.fmt(f))
            }
            Self::Opaque { origin, backends } => {
                line(f, "outcome", format_args!("forwarded as bytes by {origin}"))?;
                backends.iter().try_for_each(|backend| backend.fmt(f))
            }
            Self::Redirect(redirect) => {
                let scheme = redirect.scheme.as_deref().unwrap_or("same scheme");
                let host = redirect.host.as_deref().unwrap_or("same host");
                line(f, "outcome", format_args!("{}: redirected, {scheme}, {host}", redirect.status))
            }
            Self::Respond { status, body } => {
                line(f, "outcome", format_args!("{status}: answered directly, {body:?}"))
            }
            Self::Refused { status, reason, nearest } => {
                match status {
                    Some(status) => line(f, "outcome", format_args!("{status}: {reason}"))?,
                    None => line(f, "outcome", reason)?,
                }
                nearest.iter().try_for_each(|miss| {
                    let place = format_args!("{} rule {} ({})", miss.origin, miss.rule, miss.host);
                    line(f, "near miss", format_args!("{place} {}", miss.unmet))
                })
            }
        }
    }
}

impl Display for BackendStep {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { weight, reason, status } => {
                line(f, "backend", format_args!("weight {weight}: none, {status}: {reason}"))
            }
            Self::Backend { weight, name, origin, protocol, tls, endpoints, .. } => {
                line(f, "backend", format_args!("weight {weight}: {origin} ({name}), {protocol:?}, {tls}"))?;
                if endpoints.is_empty() {
                    return line(f, "endpoint", "none: 503");
                }
                endpoints.iter().try_for_each(|endpoint| endpoint.fmt(f))
            }
        }
    }
}

impl Display for EndpointStep {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let address = match &self.address {
            model::Address::Ip(ip) => std::net::SocketAddr::new(*ip, self.port).to_string(),
            model::Address::Name(name) => format!("{name}:{}", self.port),
        };
        let draining = if self.draining { ", draining" } else { "" };
        let fit = if self.fit { "" } else { ", unfit" };
        let reach = match &self.reach {
            Reach::AsBackend => String::new(),
            Reach::Mesh(peer) => format!(", mesh mTLS as {} to {}", peer.identity, peer.ids.join(" or ")),
            Reach::Closed { reason } => format!(", closed: {reason}"),
        };
        line(f, "endpoint", format_args!("{address}{draining}{fit}{reach}"))
    }
}

fn conditions(when: &Match) -> String {
    let path = when.path.as_ref().map(|path| match path {
        PathMatch::Exact(text) => format!("path is {text}"),
        PathMatch::SegmentPrefix(text) => format!("path is or is below {text}"),
        PathMatch::StringPrefix(text) => format!("path begins with {text}"),
        PathMatch::Regex(text) => format!("path matches {text}"),
    });
    let method = when.method.as_ref().map(|method| format!("method {method}"));
    let headers =
        when.headers.iter().map(|header| format!("header {} {}", header.name, value(&header.value)));
    let query = when.query.iter().map(|query| format!("query {} {}", query.name, value(&query.value)));
    let all: Vec<_> = path.into_iter().chain(method).chain(headers).chain(query).collect();
    if all.is_empty() { "everything".to_owned() } else { all.join(", ") }
}

fn value(value: &ValueMatch) -> String {
    match value {
        ValueMatch::Exact(text) => format!("is {text:?}"),
        ValueMatch::Prefix(text) => format!("begins with {text:?}"),
        ValueMatch::Regex(text) => format!("matches {text}"),
        ValueMatch::Present => "is there".to_owned(),
    }
}

fn name_of(filter: &Filter) -> String {
    match filter {
        Filter::RequestHeaders(_) => "edit request headers".to_owned(),
        Filter::ResponseHeaders(_) => "edit response headers".to_owned(),
        Filter::Rewrite(_) => "rewrite".to_owned(),
        Filter::Mirror(mirror) => format!("mirror {}/{}", mirror.numerator, mirror.denominator),
        Filter::Cors(_) => "CORS".to_owned(),
        Filter::ExternalAuth(_) => "external authorisation".to_owned(),
        Filter::Buffer(buffer) => format!("buffer up to {} bytes", buffer.max_bytes),
        Filter::Closed { reason, status } => format!("closed, {status}: {reason}"),
    }
}
