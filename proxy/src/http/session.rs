//! What ties a client to an endpoint: session persistence (GEP-1619) and hash affinity.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use model::{Affinity, SessionCarrier, SessionPersistence};

use super::cookie;
use super::exchange::Exchange;
use super::inbound::Inbound;
use crate::compiled::{CompiledForward, CompiledTarget};
use crate::upstream::{BackendHandle, EndpointToken, hash};

/// How a request is tied, and what its answer has to say so that the next one is.
#[derive(Debug, Default)]
pub(crate) struct Stickiness<'f> {
    hash: Option<u64>,
    session: Option<Session<'f>>,
    made: Option<HeaderValue>,
}

#[derive(Debug)]
struct Session<'f> {
    policy: &'f SessionPersistence,
    given: Option<Ticket>,
    now: u64,
    secure: bool,
}

/// A session's name as the client carries it: the endpoint's token, and when the session began and was last
/// seen, in seconds. It names no address. A client can forge the times, and gains its own session by it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Ticket {
    token: Box<str>,
    began: u64,
    seen: u64,
}

impl<'f> Stickiness<'f> {
    /// Reads what the request carries.
    pub(crate) fn of(
        forward: &'f CompiledForward,
        target: &'f CompiledTarget,
        backend: &'f BackendHandle,
        inbound: &Inbound,
        exchange: &Exchange,
    ) -> Self {
        let mut stickiness = Self::default();
        if let Some(policy) = forward.session(target) {
            let connection = &exchange.connection;
            let now = seconds(connection.core.wall(exchange.start));
            let given =
                Ticket::read(policy, &inbound.parts.headers).filter(|ticket| ticket.holds(policy, now));
            stickiness.session = Some(Session { policy, given, now, secure: connection.tls.is_some() });
        }
        if let Some(affinity) = &backend.spec.balance.affinity {
            stickiness.tie(affinity, inbound, exchange);
        }
        stickiness
    }

    /// For hashing algorithms.
    pub(crate) fn hash(&self) -> Option<u64> {
        self.hash
    }

    /// The token of the endpoint that the session is at.
    pub(crate) fn token(&self) -> Option<&str> {
        self.session.as_ref()?.given.as_ref().map(|ticket| &*ticket.token)
    }

    /// Says on the answer what the client is to carry, if that is not what it carries already.
    pub(crate) fn keep(&self, endpoint: EndpointToken, headers: &mut HeaderMap) {
        if let Some(cookie) = &self.made {
            headers.append(header::SET_COOKIE, cookie.clone());
        }
        if let Some(session) = &self.session {
            session.keep(endpoint, headers);
        }
    }

    fn tie(&mut self, affinity: &Affinity, inbound: &Inbound, exchange: &Exchange) {
        let headers = &inbound.parts.headers;
        let value = match affinity {
            Affinity::Header(name) => headers.get(&**name).map(HeaderValue::as_bytes),
            Affinity::Query(name) => query(inbound.parts.uri.query(), name),
            Affinity::ClientIp => {
                let policy = &exchange.live.listener.connection.forwarded;
                let address = exchange.connection.client.address(headers, policy);
                self.hash = Some(hash::of_bytes(address.to_string().as_bytes()));
                return;
            }
            Affinity::Cookie { name, path, ttl } => match cookie::find(headers, name) {
                Some(value) => Some(value),
                None => {
                    let value = format!("{:016x}", fastrand::u64(..));
                    self.hash = Some(hash::of_bytes(value.as_bytes()));
                    self.made = cookie::make(name, &value, path, *ttl, exchange.connection.tls.is_some());
                    return;
                }
            },
        };
        self.hash = value.map(hash::of_bytes);
    }
}

impl Session<'_> {
    fn keep(&self, endpoint: EndpointToken, headers: &mut HeaderMap) {
        let token = endpoint.to_string();
        let same = self.given.as_ref().filter(|ticket| *ticket.token == *token);
        let timed = self.policy.idle_timeout.is_some() || self.policy.absolute_timeout.is_some();
        // Only an idle time-out needs to hear of every request.
        if same.is_some() && self.policy.idle_timeout.is_none() {
            return;
        }
        let began = same.map_or(self.now, |ticket| ticket.began);
        let value = if timed { format!("{token}.{began:x}.{:x}", self.now) } else { token };
        match &self.policy.carrier {
            SessionCarrier::Header(name) => {
                if let (Ok(name), Ok(value)) =
                    (HeaderName::from_bytes(name.as_bytes()), HeaderValue::try_from(value))
                {
                    headers.insert(name, value);
                }
            }
            SessionCarrier::Cookie { name, path, permanent } => {
                let life = self.policy.absolute_timeout.filter(|_| *permanent);
                let left =
                    life.map(|life| life.saturating_sub(Duration::from_secs(self.now.saturating_sub(began))));
                if let Some(cookie) = cookie::make(name, &value, path, left, self.secure) {
                    headers.append(header::SET_COOKIE, cookie);
                }
            }
        }
    }
}

impl Ticket {
    fn read(policy: &SessionPersistence, headers: &HeaderMap) -> Option<Self> {
        let value = match &policy.carrier {
            SessionCarrier::Cookie { name, .. } => cookie::find(headers, name)?,
            SessionCarrier::Header(name) => headers.get(&**name)?.as_bytes(),
        };
        Self::parse(std::str::from_utf8(value).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let token = EndpointToken::parse(parts.next()?)?.to_string().into();
        let mut number = || parts.next().map_or(Some(0), |part| u64::from_str_radix(part, 16).ok());
        let (began, seen) = (number()?, number()?);
        parts.next().is_none().then_some(Self { token, began, seen })
    }

    fn holds(&self, policy: &SessionPersistence, now: u64) -> bool {
        let within = |since: u64, limit: Option<Duration>| {
            limit.is_none_or(|limit| now.saturating_sub(since) <= limit.as_secs())
        };
        within(self.began, policy.absolute_timeout) && within(self.seen, policy.idle_timeout)
    }
}

/// The first value of a query parameter, as it came: equal clients spell it equally.
fn query<'q>(query: Option<&'q str>, name: &str) -> Option<&'q [u8]> {
    let mut pairs = query?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.as_bytes())
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(carrier: SessionCarrier) -> SessionPersistence {
        SessionPersistence { carrier, idle_timeout: None, absolute_timeout: None }
    }

    fn by_cookie() -> SessionPersistence {
        policy(SessionCarrier::Cookie { name: "sid".into(), path: "/".into(), permanent: false })
    }

    fn session(policy: &SessionPersistence, given: Option<Ticket>, now: u64) -> Session<'_> {
        Session { policy, given, now, secure: true }
    }

    fn kept(session: &Session<'_>, endpoint: u64) -> Option<String> {
        let mut headers = HeaderMap::new();
        session.keep(EndpointToken(endpoint), &mut headers);
        let value = headers.get(header::SET_COOKIE).or_else(|| headers.get("x-session"))?;
        Some(value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_new_session_gets_a_cookie_and_an_old_one_keeps_it() {
        let policy = by_cookie();
        let first = kept(&session(&policy, None, 100), 0xab).unwrap();
        assert_eq!(first, "sid=00000000000000ab; Path=/; HttpOnly; SameSite=Lax; Secure");
        let given = Ticket::parse("00000000000000ab").unwrap();
        assert_eq!(kept(&session(&policy, Some(given.clone()), 200), 0xab), None);
        assert!(
            kept(&session(&policy, Some(given), 200), 0xcd).unwrap().starts_with("sid=00000000000000cd;")
        );
    }

    #[test]
    fn a_header_carries_a_session_too() {
        let policy = policy(SessionCarrier::Header("x-session".into()));
        assert_eq!(kept(&session(&policy, None, 1), 0xab).unwrap(), "00000000000000ab");
        let headers = HeaderMap::from_iter([(
            HeaderName::from_static("x-session"),
            HeaderValue::from_static("00000000000000ab"),
        )]);
        assert_eq!(&*Ticket::read(&policy, &headers).unwrap().token, "00000000000000ab");
    }

    #[test]
    fn sessions_end_by_idleness_and_by_age() {
        let mut policy = by_cookie();
        policy.absolute_timeout = Some(Duration::from_secs(100));
        policy.idle_timeout = Some(Duration::from_secs(10));
        let ticket = Ticket::parse("00000000000000ab.3e8.3e8").unwrap();
        assert_eq!((ticket.began, ticket.seen), (1000, 1000));
        assert!(ticket.holds(&policy, 1010));
        assert!(!ticket.holds(&policy, 1011));
        let busy = Ticket { seen: 1095, ..ticket };
        assert!(busy.holds(&policy, 1100));
        assert!(!busy.holds(&policy, 1101));
        let value = kept(&session(&policy, Some(busy), 1099), 0xab).unwrap();
        assert!(value.starts_with("sid=00000000000000ab.3e8.44b;"), "{value}");
    }

    #[test]
    fn a_permanent_cookie_lives_as_long_as_the_session() {
        let mut policy =
            policy(SessionCarrier::Cookie { name: "sid".into(), path: "/".into(), permanent: true });
        policy.absolute_timeout = Some(Duration::from_secs(100));
        assert!(kept(&session(&policy, None, 1000), 0xab).unwrap().contains("; Max-Age=100;"));
    }

    #[test]
    fn forged_tickets_are_no_tickets() {
        for text in ["", "x", "00000000000000ab.zz", "00000000000000ab.1.2.3", "127.0.0.1:80"] {
            assert_eq!(Ticket::parse(text), None, "{text}");
        }
    }

    #[test]
    fn query_parameters_are_found() {
        assert_eq!(query(Some("a=1&user=x&user=y"), "user"), Some(&b"x"[..]));
        assert_eq!(query(Some("users=x"), "user"), None);
        assert_eq!(query(None, "user"), None);
    }
}
