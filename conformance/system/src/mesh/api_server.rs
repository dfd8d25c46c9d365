//! A Kubernetes API server without objects: lists are empty, watches stay silent, everything is allowed, writes vanish.
//!
//! istiod without Kubernetes panics at the version that we test with, and of Kubernetes its certificate authority needs
//! no more than this.

use std::net::SocketAddr;

use anyhow::Result;
use bytes::Bytes;
use hyper::{Method, Request};
use serde_json::{Map, Value, json};

use super::http::{Answer, Server};

/// Starts it.
pub(super) async fn start(address: SocketAddr) -> Result<Server> {
    Server::start(address, answer).await
}

/// The configuration that leads a client to it.
pub(super) fn kubeconfig(address: SocketAddr) -> String {
    format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: stub, cluster: {{server: \"http://{address}\"}}}}]\n\
         users: [{{name: nobody, user: {{token: none}}}}]\n\
         contexts: [{{name: stub, context: {{cluster: stub, user: nobody}}}}]\ncurrent-context: stub\n"
    )
}

#[expect(clippy::needless_pass_by_value, reason = "the server hands over what it has read")]
fn answer(request: Request<Bytes>) -> Answer {
    let path = request.uri().path();
    let query = request.uri().query().unwrap_or_default();
    match *request.method() {
        Method::GET => read(path, query, &request),
        Method::DELETE => success(),
        _ => write(path, request.method(), request.body()),
    }
}

fn read(path: &str, query: &str, request: &Request<Bytes>) -> Answer {
    match path {
        "/version" => return reply(200, &json!({"major": "1", "minor": "36", "gitVersion": "v1.36.3"})),
        "/api" => return reply(200, &json!({"kind": "APIVersions", "versions": ["v1"]})),
        "/apis" => return reply(200, &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []})),
        _ => {}
    }
    let watch = query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"));
    match (is_collection(path), watch, query.contains("sendInitialEvents=true")) {
        (false, ..) => failure(404, "NotFound"),
        // The client falls back to a list and a plain watch.
        (true, true, true) => failure(422, "Invalid"),
        (true, true, false) => Answer::Quiet,
        (true, false, _) => reply(200, &empty_list(request)),
    }
}

/// Whether a path names a collection: `…/RESOURCE`, `…/namespaces/NAME/RESOURCE`.
fn is_collection(path: &str) -> bool {
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let root = if parts.first() == Some(&"api") { 2 } else { 3 };
    parts.drain(..root.min(parts.len()));
    matches!(parts.as_slice(), [_] | ["namespaces", _, _])
}

fn empty_list(request: &Request<Bytes>) -> Value {
    let accepts = request.headers().get("accept").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepts.contains("PartialObjectMetadataList") {
        return json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "1"}, "items": []});
    }
    json!({"metadata": {"resourceVersion": "1"}, "items": []})
}

fn write(path: &str, method: &Method, body: &[u8]) -> Answer {
    let mut object: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    if path.ends_with("accessreviews") {
        object.insert("status".to_owned(), json!({"allowed": true}));
    } else if path.ends_with("tokenreviews") {
        object.insert("status".to_owned(), json!({"authenticated": false}));
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), json!("2"));
    }
    reply(if *method == Method::POST { 201 } else { 200 }, &Value::Object(object))
}

fn success() -> Answer {
    reply(200, &json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))
}

fn failure(code: u16, reason: &str) -> Answer {
    reply(
        code,
        &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": reason}),
    )
}

fn reply(status: u16, value: &Value) -> Answer {
    Answer::Json(status, value.to_string())
}
