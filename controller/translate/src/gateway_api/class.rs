//! GatewayClass: which classes are ours, whether we take them, what we support.

use std::collections::BTreeMap;

use api::Object;
use api::gateway_api::{GatewayClass, GatewayClassStatus, SupportedFeature};
use api::own::GatewayParameters;

use crate::context::Context;
use crate::output::Status;
use crate::parameters;
use crate::problem::Problem;
use crate::status::Verdict;

/// A GatewayClass that names our controller.
#[derive(Debug)]
pub(super) struct Class<'a> {
    /// Whether Gateways of it are served.
    pub(super) accepted: Verdict,
    /// What it says about the proxies of its Gateways.
    pub(super) parameters: Option<&'a GatewayParameters>,
}

/// Our classes by name; their status is noted.
pub(super) fn classes<'a>(context: &mut Context<'a>) -> BTreeMap<&'a str, Class<'a>> {
    let mut ours = BTreeMap::new();
    for class in context.index.all::<GatewayClass>() {
        if class.spec.controller_name != context.index.inputs().controller_name {
            continue;
        }
        let mut accepted = Verdict::Yes;
        let mut parameters = None;
        if let Some(reference) = &class.spec.parameters_ref {
            let kind = (reference.group.as_str(), reference.kind.as_str());
            match parameters::find(context.index, kind, reference.namespace.as_deref(), &reference.name) {
                Ok(found) => parameters = Some(found),
                Err((message, mend)) => {
                    let reason = ("Accepted", "InvalidParameters");
                    let field = "spec.parametersRef";
                    let problem = Problem::error(&class.key(), field, reason, message, mend);
                    accepted.report(problem, &mut context.problems);
                }
            }
        }
        let condition =
            accepted.condition("Accepted", class.metadata.generation, ("Accepted", "This class is served"));
        let features = FEATURES.iter().map(|&name| SupportedFeature { name: name.to_owned() });
        let status = GatewayClassStatus {
            conditions: vec![condition],
            supported_features: if accepted.is_yes() { features.collect() } else { Vec::new() },
        };
        context.statuses.insert(class.key(), Status::GatewayClass(status));
        ours.insert(class.name(), Class { accepted, parameters });
    }
    ours
}

/// Gateway API v1.7.0, `pkg/features`: all features of the five GATEWAY profiles and the two of GRPCRoute that
/// no profile has. In alphabetical order, as the API demands.
pub const FEATURES: [&str; 54] = [
    "BackendTLSPolicy",
    "BackendTLSPolicySANValidation",
    "ClusterTrustBundle",
    "GRPCRoute",
    "GRPCRouteNamedRouteRule",
    "GRPCRouteRequestHeaderModifier",
    "Gateway",
    "GatewayAddressEmpty",
    "GatewayAddressRoutability",
    "GatewayAddressRoutabilityCluster",
    "GatewayBackendClientCertificate",
    "GatewayFrontendClientCertificateValidation",
    "GatewayFrontendClientCertificateValidationInsecureFallback",
    "GatewayHTTPListenerIsolation",
    "GatewayHTTPSListenerDetectMisdirectedRequests",
    "GatewayInfrastructure",
    "GatewayListenerFilters",
    "GatewayPort8080",
    "GatewayRouteHostnameIntersectionPrecedence",
    "GatewayStaticAddresses",
    "HTTPRoute",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
    "HTTPRouteBackendProtocolH2C",
    "HTTPRouteBackendProtocolWebSocket",
    "HTTPRouteBackendRequestHeaderModification",
    "HTTPRouteBackendTimeout",
    "HTTPRouteBackendURLRewrite",
    "HTTPRouteCORS",
    "HTTPRouteDestinationPortMatching",
    "HTTPRouteHostRewrite",
    "HTTPRouteMethodMatching",
    "HTTPRouteNamedRouteRule",
    "HTTPRouteParentRefPort",
    "HTTPRoutePathRedirect",
    "HTTPRoutePathRewrite",
    "HTTPRoutePortRedirect",
    "HTTPRouteQueryParamMatching",
    "HTTPRouteRequestMirror",
    "HTTPRouteRequestMultipleMirrors",
    "HTTPRouteRequestPercentageMirror",
    "HTTPRouteRequestTimeout",
    "HTTPRouteResponseHeaderModification",
    "HTTPRouteRetryCodes",
    "HTTPRouteRetryConnectionError",
    "HTTPRouteSchemeRedirect",
    "ListenerSet",
    "ReferenceGrant",
    "TCPRoute",
    "TLSRoute",
    "TLSRouteModeMixed",
    "TLSRouteModeTerminate",
    "UDPRoute",
];

#[cfg(test)]
mod tests {
    use super::FEATURES;

    #[test]
    fn features_are_in_order_and_once() {
        assert!(FEATURES.is_sorted_by(|a, b| a < b));
    }
}
