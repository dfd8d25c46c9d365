//! Why a request goes where it goes, or why it goes nowhere: asked of the very matcher of the data path.

mod miss;
mod step;
mod text;

use http::header::HOST;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use model::{HostPattern, ListenerName};

pub use self::miss::Miss;
pub use self::step::{
    BackendStep, EndpointStep, Explanation, ListenerStep, Outcome, RequestStep, RouteStep, ServerStep,
};
use crate::compiled::{
    Compiled, CompiledFilter, CompiledListener, CompiledProtocol, CompiledServer, CompiledTlsInner,
    CompiledTlsServer, Facts,
};
use crate::http::canonical::{CanonicalHost, CanonicalPath, canonical_host, canonical_path};
use crate::http::route::{self, RouteRefusal};

/// A request that is asked about.
#[derive(Clone, Debug)]
pub struct Question {
    /// Its method.
    pub method: Method,
    /// Absolute, `http` or `https`: picks the port and whether there is TLS.
    pub url: Uri,
    /// Its headers. `Host` stands above the host of the URL, as in curl.
    pub headers: HeaderMap,
    /// Server name of the TLS handshake; none: the host of the URL.
    pub sni: Option<String>,
    /// Just this listener; none: all that the URL's port may mean.
    pub listener: Option<ListenerName>,
}

/// A question that cannot be asked.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum QuestionError {
    /// The method.
    #[error("{0:?} is not a method")]
    Method(String),
    /// The URL.
    #[error("{0:?} is not an http:// or https:// URL")]
    Url(String),
    /// A header.
    #[error("{0:?} is not a header; write NAME: VALUE")]
    Header(String),
}

impl Question {
    /// A question as people write it: headers as `NAME: VALUE`.
    ///
    /// # Errors
    /// Names the part that cannot be read.
    pub fn new(method: &str, url: &str, headers: &[impl AsRef<str>]) -> Result<Self, QuestionError> {
        let uri: Option<Uri> = url.parse().ok();
        let web = |uri: &Uri| uri.scheme() == Some(&Scheme::HTTP) || uri.scheme() == Some(&Scheme::HTTPS);
        let mut map = HeaderMap::new();
        for header in headers {
            let (name, value) = parse_header(header.as_ref())?;
            map.append(name, value);
        }
        Ok(Self {
            method: Method::from_bytes(method.as_bytes())
                .map_err(|_| QuestionError::Method(method.to_owned()))?,
            url: uri.filter(web).ok_or_else(|| QuestionError::Url(url.to_owned()))?,
            headers: map,
            sni: None,
            listener: None,
        })
    }

    fn is_tls(&self) -> bool {
        self.url.scheme() == Some(&Scheme::HTTPS)
    }

    fn port(&self) -> u16 {
        self.url.port_u16().unwrap_or(if self.is_tls() { 443 } else { 80 })
    }

    fn authority(&self) -> &str {
        let host = self.headers.get(HOST).and_then(|host| host.to_str().ok());
        host.unwrap_or_else(|| self.url.authority().map_or("", |authority| authority.as_str()))
    }

    /// Clients send no server name for an address (RFC 6066 §3).
    fn server_name(&self) -> &str {
        let host = self.url.host().unwrap_or_default();
        let address = host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok();
        self.sni.as_deref().unwrap_or(if address { "" } else { host })
    }
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), QuestionError> {
    let parsed = text.split_once(':').and_then(|(name, value)| {
        let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
        Some((name, HeaderValue::from_str(value.trim()).ok()?))
    });
    parsed.ok_or_else(|| QuestionError::Header(text.to_owned()))
}

/// Answers for every listener that the question may mean; several only where several Gateways share a port on
/// different addresses. Never empty.
pub fn explain(compiled: &Compiled, question: &Question) -> Vec<Explanation> {
    let wanted = |listener: &&CompiledListener| match &question.listener {
        Some(name) => listener.name == *name,
        None => listener.port == question.port() && !matches!(listener.protocol, CompiledProtocol::Udp(_)),
    };
    let answers: Vec<_> = compiled
        .listeners
        .values()
        .map(AsRef::as_ref)
        .filter(wanted)
        .map(|listener| explain_listener(listener, question))
        .collect();
    if answers.is_empty() { vec![no_listener(compiled, question)] } else { answers }
}

fn no_listener(compiled: &Compiled, question: &Question) -> Explanation {
    let known: Vec<_> = compiled
        .listeners
        .values()
        .map(|listener| format!("{} ({})", listener.port, listener.name))
        .collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let reason = match &question.listener {
        Some(name) => format!("there is no listener {name}; there are: {known}"),
        None => format!("no listener has port {}; there are: {known}", question.port()),
    };
    Explanation {
        listener: None,
        request: RequestStep::raw(question),
        server: None,
        route: None,
        outcome: Outcome::refused(None, reason),
    }
}

fn explain_listener(listener: &CompiledListener, question: &Question) -> Explanation {
    let mut explanation = Explanation {
        listener: Some(ListenerStep::new(listener)),
        request: RequestStep::raw(question),
        server: None,
        route: None,
        outcome: Outcome::refused(None, String::new()),
    };
    explanation.outcome = match &listener.protocol {
        CompiledProtocol::Tcp(Some(rule)) | CompiledProtocol::Udp(Some(rule)) => Outcome::opaque(rule),
        CompiledProtocol::Tcp(None) | CompiledProtocol::Udp(None) => {
            Outcome::refused(None, "no route is attached; connections are closed".to_owned())
        }
        CompiledProtocol::Http(_) if question.is_tls() => {
            Outcome::refused(None, "the port speaks plaintext HTTP, not TLS".to_owned())
        }
        CompiledProtocol::Tls(_) if !question.is_tls() => {
            Outcome::refused(None, "the port speaks TLS, not plaintext HTTP".to_owned())
        }
        CompiledProtocol::Http(_) => http(listener, question, "", &mut explanation),
        CompiledProtocol::Tls(servers) => {
            let sni = match canonical_host(question.server_name()) {
                Ok(sni) => sni.host,
                Err(refusal) => return explanation.refuse(None, format!("server name: {refusal}")),
            };
            explanation.request.sni = Some(sni.clone().into_owned());
            match servers.find(&sni) {
                None => Outcome::refused(
                    None,
                    format!("no listener serves the server name {sni:?}; handshake refused"),
                ),
                Some(CompiledTlsServer::Closed { reason }) => {
                    Outcome::refused(None, format!("the listener is closed: {reason}; handshake refused"))
                }
                Some(
                    CompiledTlsServer::Passthrough(rules)
                    | CompiledTlsServer::Terminate { inner: CompiledTlsInner::Tcp(rules), .. },
                ) => match rules.find(&sni) {
                    Some(rule) => Outcome::opaque(rule),
                    None => Outcome::refused(None, format!("no TLSRoute serves the server name {sni:?}")),
                },
                Some(CompiledTlsServer::Terminate { inner: CompiledTlsInner::Http(_), .. }) => {
                    http(listener, question, &sni, &mut explanation)
                }
            }
        }
    };
    explanation
}

fn http(
    listener: &CompiledListener,
    question: &Question,
    sni: &str,
    explanation: &mut Explanation,
) -> Outcome {
    let bad = |part, refusal: &dyn std::fmt::Display| {
        Outcome::refused(Some(StatusCode::BAD_REQUEST), format!("{part}: {refusal}"))
    };
    let CanonicalHost { host, .. } = match canonical_host(question.authority()) {
        Ok(host) => host,
        Err(refusal) => return bad("host", &refusal),
    };
    let CanonicalPath { path, parameters } = match canonical_path(question.url.path()) {
        Ok(path) => path,
        Err(refusal) => return bad("path", &refusal),
    };
    explanation.request.host = host.clone().into_owned();
    explanation.request.path = path.clone().into_owned();
    let facts = Facts {
        host: &host,
        path: &path,
        query: question.url.query(),
        method: &question.method,
        headers: &question.headers,
    };
    let server = match route::server(listener, sni, &host) {
        Ok(server) => server,
        Err(refusal) => return refused(refusal, listener, &facts),
    };
    explanation.server = Some(ServerStep::new(server));
    if let Some(CompiledFilter::Closed { reason, status }) = first_closed(&server.filters) {
        return Outcome::refused(Some(*status), format!("a filter of the listener is closed: {reason}"));
    }
    let routed = match route::route(server, &facts, parameters) {
        Ok(routed) => routed,
        Err(RouteRefusal::NoRoute) => return no_route(server, &facts),
        Err(refusal) => return refused(refusal, listener, &facts),
    };
    let (step, rule) = RouteStep::find(server, &facts, &routed).expect("the match was found there just now");
    explanation.route = Some(step);
    match first_closed(&routed.rule.filters) {
        Some(CompiledFilter::Closed { reason, status }) => {
            Outcome::refused(Some(*status), format!("a filter of the rule is closed: {reason}"))
        }
        _ => Outcome::of(server, rule, &routed),
    }
}

fn first_closed(filters: &[CompiledFilter]) -> Option<&CompiledFilter> {
    filters.iter().find(|filter| matches!(filter, CompiledFilter::Closed { .. }))
}

fn refused(refusal: RouteRefusal, listener: &CompiledListener, facts: &Facts<'_>) -> Outcome {
    let status = refusal.status();
    match refusal {
        RouteRefusal::NoServer => {
            let hosts = listing(listener_hosts(listener));
            Outcome::refused(Some(status), format!("{refusal}: {:?}; the port serves {hosts}", facts.host))
        }
        RouteRefusal::Misdirected | RouteRefusal::NoRoute | RouteRefusal::Parameters => {
            Outcome::refused(Some(status), refusal.to_string())
        }
    }
}

fn no_route(server: &CompiledServer, facts: &Facts<'_>) -> Outcome {
    let nearest = miss::nearest(&server.routes, facts);
    let reason = if nearest.is_empty() {
        let hosts = listing(server.routes.source.hosts.keys().cloned().collect());
        format!("no route of the listener serves the host {:?}; routes serve {hosts}", facts.host)
    } else {
        "no route matches".to_owned()
    };
    Outcome::Refused { status: Some(StatusCode::NOT_FOUND.as_u16()), reason, nearest }
}

fn listener_hosts(listener: &CompiledListener) -> Vec<HostPattern> {
    let mut hosts: Vec<_> = match &listener.protocol {
        CompiledProtocol::Http(servers) => servers.iter().map(|(host, _)| host).collect(),
        CompiledProtocol::Tls(servers) => servers.iter().map(|(host, _)| host).collect(),
        CompiledProtocol::Tcp(_) | CompiledProtocol::Udp(_) => Vec::new(),
    };
    hosts.sort();
    hosts
}

/// Some of the patterns, for a message that stays readable.
fn listing(hosts: Vec<HostPattern>) -> String {
    const SHOWN: usize = 8;
    if hosts.is_empty() {
        return "nothing".to_owned();
    }
    let mut text = hosts.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if hosts.len() > SHOWN {
        text.push_str(&format!(" and {} more", hosts.len() - SHOWN));
    }
    text
}

#[cfg(test)]
mod tests;
