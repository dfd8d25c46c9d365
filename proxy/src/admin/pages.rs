//! The pages: path and method to an answer.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use serde_json::json;

use super::guard::Refusal;
use super::{Admin, Surface, query, views};
use crate::compiled::Compiled;
use crate::explain::{Question, explain};

type Answer = Response<Full<Bytes>>;

/// Answers a request that may be answered. May take a while.
pub(super) fn answer(head: &Parts, surface: Surface, admin: &Admin) -> Answer {
    let path = head.uri.path();
    let Some(page) = PAGES.iter().find(|page| page.path == path && page.surfaces.contains(&surface)) else {
        return problem(StatusCode::NOT_FOUND, format!("there is no page {path}; GET / lists what there is"));
    };
    let reading = head.method == Method::GET || head.method == Method::HEAD;
    match (&head.method, page.get, page.post) {
        (_, Some(get), _) if reading => get(head, admin),
        (&Method::POST, _, Some(post)) => post(head, admin),
        (_, get, post) => {
            let allow = match (get, post) {
                (Some(_), Some(_)) => "GET, HEAD, POST",
                (None, Some(_)) => "POST",
                _ => "GET, HEAD",
            };
            let mut answer = problem(StatusCode::METHOD_NOT_ALLOWED, format!("{path} takes {allow}"));
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
            answer
        }
    }
}

pub(super) fn refused(refusal: &Refusal) -> Answer {
    problem(StatusCode::FORBIDDEN, refusal.to_string())
}

pub(super) fn failed(error: &str) -> Answer {
    problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_owned())
}

struct Page {
    path: &'static str,
    about: &'static str,
    surfaces: &'static [Surface],
    get: Option<Handler>,
    post: Option<Handler>,
}

type Handler = fn(&Parts, &Admin) -> Answer;

impl Page {
    const fn admin(path: &'static str, about: &'static str, get: Handler) -> Self {
        Self { path, about, surfaces: &[Surface::Admin], get: Some(get), post: None }
    }
}

const PAGES: &[Page] = &[
    Page { path: "/", about: "this list", surfaces: ALL, get: Some(index), post: None },
    Page {
        path: "/ready",
        about: "whether the proxy may get traffic",
        surfaces: HEALTH,
        get: Some(ready),
        post: None,
    },
    Page { path: "/healthz/ready", about: "the same", surfaces: HEALTH, get: Some(ready), post: None },
    Page {
        path: "/healthz/live",
        about: "that the process answers",
        surfaces: HEALTH,
        get: Some(live),
        post: None,
    },
    Page { path: "/stats/prometheus", about: "metrics", surfaces: METRICS, get: Some(metrics), post: None },
    Page { path: "/metrics", about: "the same", surfaces: METRICS, get: Some(metrics), post: None },
    Page::admin("/config_dump", "the snapshot that is served, secrets redacted", |_, admin| {
        served(admin, |compiled| {
            json(
                StatusCode::OK,
                &json!({ "generation": compiled.generation, "snapshot": &*compiled.snapshot }),
            )
        })
    }),
    Page::admin("/routes", "matches in their order, per table and host", |_, admin| {
        served(admin, |compiled| json(StatusCode::OK, &views::routes(compiled)))
    }),
    Page::admin("/listeners", "sockets and the hosts on them", |_, admin| {
        served(admin, |compiled| json(StatusCode::OK, &views::listeners(compiled)))
    }),
    Page::admin("/backends", "upstreams and what is under way to them", |_, admin| {
        served(admin, |compiled| json(StatusCode::OK, &views::backends(compiled)))
    }),
    Page::admin("/endpoints", "endpoints of each backend and whether they are fit", |_, admin| {
        served(admin, |compiled| json(StatusCode::OK, &views::endpoints(compiled)))
    }),
    Page::admin(
        "/identities",
        "workload identities: who we are, until when, and whom we believe",
        |_, admin| json(StatusCode::OK, &views::identities(&admin.identities.load())),
    ),
    Page {
        path: "/explain",
        about: "why a request goes where: ?url=http://HOST/PATH&method=GET&header=NAME:VALUE&sni=NAME&listener=NAME",
        surfaces: &[Surface::Admin],
        get: Some(explained),
        post: None,
    },
    Page::admin("/memory", "memory, descriptors, connections, overload", |_, admin| {
        json(StatusCode::OK, &views::memory(&admin.overload))
    }),
    Page {
        path: "/logging",
        about: "the log filter; POST /logging?level=debug sets it",
        surfaces: &[Surface::Admin],
        get: Some(|_, admin| json(StatusCode::OK, &json!({ "level": (admin.controls.log_level)() }))),
        post: Some(set_level),
    },
    Page {
        path: "/drain",
        about: "POST begins the drain",
        surfaces: &[Surface::Admin],
        get: None,
        post: Some(|_, admin| {
            (admin.controls.drain)();
            json(StatusCode::ACCEPTED, &json!({ "draining": true }))
        }),
    },
];

const ALL: &[Surface] = &[Surface::Admin, Surface::Health, Surface::Metrics];
const HEALTH: &[Surface] = &[Surface::Admin, Surface::Health];
const METRICS: &[Surface] = &[Surface::Admin, Surface::Metrics];

fn index(_: &Parts, _: &Admin) -> Answer {
    let pages: serde_json::Map<_, _> =
        PAGES.iter().map(|page| (page.path.to_owned(), page.about.into())).collect();
    json(StatusCode::OK, &pages)
}

fn ready(_: &Parts, admin: &Admin) -> Answer {
    let reasons = admin.readiness.reasons();
    // Without an identity mesh traffic fails closed and the rest goes on: that is said, and takes no traffic away.
    let identities = admin.identities.load();
    let degraded: Vec<_> = identities.iter().filter_map(|live| live.not_ready()).collect();
    let (status, mut body) = match reasons.is_empty() {
        true => (StatusCode::OK, json!({ "ready": true })),
        false => (StatusCode::SERVICE_UNAVAILABLE, json!({ "ready": false, "reasons": reasons })),
    };
    if let (false, Some(body)) = (degraded.is_empty(), body.as_object_mut()) {
        body.insert("degraded".to_owned(), degraded.into());
    }
    json(status, &body)
}

fn live(_: &Parts, _: &Admin) -> Answer {
    json(StatusCode::OK, &json!({ "live": true }))
}

fn metrics(_: &Parts, admin: &Admin) -> Answer {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    text(StatusCode::OK, kind, admin.metrics.encode().into())
}

fn explained(head: &Parts, admin: &Admin) -> Answer {
    let query = head.uri.query();
    let Some(url) = query::first(query, "url") else {
        return problem(StatusCode::BAD_REQUEST, "write /explain?url=http://HOST/PATH".to_owned());
    };
    let method = query::first(query, "method").unwrap_or_else(|| "GET".to_owned());
    let headers: Vec<_> = query::all(query, "header").collect();
    let mut question = match Question::new(&method, &url, &headers) {
        Ok(question) => question,
        Err(error) => return problem(StatusCode::BAD_REQUEST, error.to_string()),
    };
    question.sni = query::first(query, "sni");
    question.listener = query::first(query, "listener").map(Into::into);
    served(admin, |compiled| json(StatusCode::OK, &explain(compiled, &question)))
}

fn set_level(head: &Parts, admin: &Admin) -> Answer {
    let Some(level) = query::first(head.uri.query(), "level").filter(|level| !level.is_empty()) else {
        return problem(StatusCode::BAD_REQUEST, "write /logging?level=debug".to_owned());
    };
    match (admin.controls.set_log_level)(&level) {
        Ok(()) => json(StatusCode::OK, &json!({ "level": (admin.controls.log_level)() })),
        Err(error) => problem(StatusCode::BAD_REQUEST, format!("{level:?} is no log filter: {error}")),
    }
}

fn served(admin: &Admin, page: impl FnOnce(&Compiled) -> Answer) -> Answer {
    match admin.compiled.load_full() {
        Some(compiled) => page(&compiled),
        None => problem(StatusCode::SERVICE_UNAVAILABLE, "no snapshot has been applied yet".to_owned()),
    }
}

fn problem(status: StatusCode, error: String) -> Answer {
    json(status, &json!({ "error": error }))
}

fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_vec_pretty(value) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            text(status, "application/json", bytes.into())
        }
        Err(error) => {
            let bytes = Bytes::from(error.to_string());
            text(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", bytes)
        }
    }
}

/// Names in a configuration are other people's text: no browser shall take an answer for a page.
fn text(status: StatusCode, kind: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}
