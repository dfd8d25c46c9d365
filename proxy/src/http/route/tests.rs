//! Spellings of a path against every kind of match: the decision is one on the canonical path, or none.

use std::collections::BTreeMap;

use http::{HeaderMap, Method};
use model::{
    Action, HostPattern, HttpServer, Listener, Match, Origin, PathMatch, Protocol, RouteMatch, RouteTable,
    Rule, Snapshot,
};

use super::*;
use crate::compiled::{BuildContext, Compiled};
use crate::http::canonical::canonical_path;

const GUARDED: usize = 0;
const OPEN: usize = 1;

/// A listener whose first rule guards what `guarded` matches; everything else is open.
fn compiled(guarded: PathMatch) -> Compiled {
    let rule = |index| Rule {
        origin: Origin::new("HTTPRoute", "shop", "r"),
        index,
        name: None,
        filters: Vec::new(),
        action: Action::Respond { status: 200, body: "".into() },
        set_by: BTreeMap::new(),
    };
    let when = |path| Match { path: Some(path), ..Match::default() };
    let matches = vec![
        RouteMatch { when: when(guarded), rule: GUARDED },
        RouteMatch { when: when(PathMatch::SegmentPrefix("/".into())), rule: OPEN },
    ];
    let hosts = BTreeMap::from([(HostPattern::Any, matches)]);
    let table = RouteTable { hosts, rules: vec![rule(GUARDED), rule(OPEN)] };
    let server = HttpServer {
        owner: Origin::new("Gateway", "edge", "gw"),
        section: "http".into(),
        port: 80,
        routes: "t".into(),
        filters: Vec::new(),
    };
    let listener = Listener {
        gateway: Origin::new("Gateway", "edge", "gw"),
        addresses: Vec::new(),
        port: 80,
        protocol: Protocol::Http(BTreeMap::from([("*.example.com".parse().unwrap(), server)])),
        connection: Default::default(),
    };
    let snapshot = Snapshot {
        listeners: BTreeMap::from([("l".into(), listener)]),
        routes: BTreeMap::from([("t".into(), Arc::new(table))]),
        ..Snapshot::default()
    };
    Compiled::build(&Arc::new(snapshot), None, &BuildContext::default()).unwrap()
}

/// The rule for a path as it came, or the status that refuses it.
fn decide(compiled: &Compiled, path: &str) -> Result<usize, u16> {
    let canonical = canonical_path(path).map_err(|_| 400_u16)?;
    let server =
        server(&compiled.listeners["l"], "", "a.example.com").map_err(|refusal| refusal.status().as_u16())?;
    let facts = Facts {
        host: "a.example.com",
        path: &canonical.path,
        query: None,
        method: &Method::GET,
        headers: &HeaderMap::new(),
    };
    let routed = route(server, &facts, canonical.parameters).map_err(|refusal| refusal.status().as_u16())?;
    Ok(routed.rule.index)
}

#[test]
fn every_spelling_of_a_path_gets_one_decision() {
    let kinds = [
        PathMatch::Exact("/admin/x".into()),
        PathMatch::SegmentPrefix("/admin".into()),
        PathMatch::StringPrefix("/admin/".into()),
        PathMatch::Regex("/admin/[a-z]+".into()),
    ];
    for kind in kinds {
        let compiled = compiled(kind.clone());
        for (path, decision) in [
            ("/admin/x", Ok(GUARDED)),
            ("/%61dmin/x", Ok(GUARDED)),
            ("/admin/%78", Ok(GUARDED)),
            ("/./admin/x", Ok(GUARDED)),
            ("/admin/./x", Ok(GUARDED)),
            ("/%2E/admin/x", Ok(GUARDED)),
            ("/ADMIN/x", Ok(OPEN)),
            ("//admin/x", Ok(OPEN)),
            ("/adminx", Ok(OPEN)),
            ("/%2561dmin/x", Ok(OPEN)),
            ("/admin%2fx", Err(400)),
            ("/admin%5Cx", Err(400)),
            ("/admin\\x", Err(400)),
            ("/x/../admin/x", Err(400)),
            ("/x/%2e%2e/admin/x", Err(400)),
            ("/x/..;/admin/x", Err(400)),
            ("/admin;a=b/x", Err(400)),
            ("/admin/x;a=b", Err(400)),
            ("/;/admin/x", Err(400)),
            ("/admin%00/x", Err(400)),
            ("/admin%c0%afx", Err(400)),
            ("/admin%u002fx", Err(400)),
            ("/admin/x%", Err(400)),
            ("/admin/x#", Err(400)),
        ] {
            assert_eq!(decide(&compiled, path), decision, "{kind:?} {path}");
        }
    }
}

#[test]
fn a_route_that_names_parameters_takes_them() {
    let compiled = compiled(PathMatch::Regex("/map(;[a-z]+=[0-9]+)*".into()));
    assert_eq!(decide(&compiled, "/map;lat=1;lon=2"), Ok(GUARDED));
    assert_eq!(decide(&compiled, "/map;lat=x"), Err(400));
    assert_eq!(decide(&compiled, "/map%3Blat=1"), Ok(OPEN));
}

#[test]
fn a_plaintext_port_picks_the_server_by_host() {
    let compiled = compiled(PathMatch::Exact("/".into()));
    let listener = &compiled.listeners["l"];
    assert!(server(listener, "", "a.example.com").is_ok());
    assert_eq!(server(listener, "", "example.com").unwrap_err(), RouteRefusal::NoServer);
    assert_eq!(server(listener, "", "").unwrap_err().status(), StatusCode::NOT_FOUND);
}
