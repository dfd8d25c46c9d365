//! Filters of a listener, which run before a route is matched (GEP-5224).

use api::gateway_api::{Gateway, ListenerFilter, ListenerFilterType};
use model::Filter;

use super::gateway::GatewayState;
use super::listener::{ListenerProtocol, ListenerState};
use crate::context::Context;
use crate::mesh::GatewayMesh;
use crate::problem::Problem;
use crate::routes::filters::external_auth;
use crate::routes::{ClientCertificate, Scope, Site};

/// Compiles the filters of every listener, in the order written.
pub(super) fn apply(state: &mut GatewayState<'_>, context: &mut Context<'_>) {
    for listener in &mut state.listeners {
        let requests = listener.spec.filters.iter().flat_map(|filters| &filters.requests);
        for (position, filter) in requests.enumerate() {
            let field = format!("{}.filters.requests[{position}]", listener.field);
            if !matches!(listener.protocol, Some(ListenerProtocol::Http | ListenerProtocol::Https)) {
                let message = format!("protocol {} has no requests to filter", listener.spec.protocol);
                refuse(listener, field, message, context);
                continue;
            }
            let whom = (&state.client_certificate, &state.mesh);
            match compile(filter, &field, listener, state.gateway, whom, context) {
                Ok(filter) => listener.filters.push(filter),
                Err(message) => refuse(listener, field, message, context),
            }
        }
    }
}

/// A filter; an error says what is not supported about it. A reference that does not resolve gives a filter that
/// lets nothing through, and says so on the listener.
fn compile(
    filter: &ListenerFilter,
    field: &str,
    listener: &mut ListenerState<'_>,
    gateway: &Gateway,
    (client_certificate, mesh): (&ClientCertificate, &GatewayMesh),
    context: &mut Context<'_>,
) -> Result<Filter, String> {
    let auth = match (filter.type_, &filter.external_auth, &filter.extension_ref) {
        (ListenerFilterType::ExternalAuth, Some(auth), _) => auth,
        (ListenerFilterType::ExtensionRef, _, Some(reference)) => {
            return Err(format!("{} of group {:?} is no filter", reference.kind, reference.group));
        }
        (kind, ..) => return Err(format!("a filter of type {} needs the field of its name", kind.as_str())),
    };
    let scope = Scope {
        gateway,
        owner: &listener.owner,
        section: &listener.spec.name,
        port: listener.spec.port,
        host: &listener.host,
        passthrough: false,
        client_certificate,
        mesh,
    };
    let mut site = Site::new(&listener.owner, &scope, context);
    let compiled = external_auth(auth, &format!("{field}.externalAuth"), &mut site);
    if let Some((reason, message)) = site.resolved_refs().failure() {
        listener.resolved.fail(reason, message);
    }
    compiled.map_err(|fault| fault.to_string())
}

fn refuse(listener: &mut ListenerState<'_>, field: String, message: String, context: &mut Context<'_>) {
    let reason = ("Accepted", "UnsupportedValue");
    let problem = Problem::error(&listener.owner, field, reason, message, "change or remove it");
    listener.accepted.report(problem, &mut context.problems);
}
