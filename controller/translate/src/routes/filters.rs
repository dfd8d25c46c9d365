//! Filters of HTTPRoute and GRPCRoute, of rules and of their backends, in the order written.

pub(crate) mod cors;
mod external_auth;
mod headers;
mod mirror;
mod path;

use api::gateway_api::{
    CorsFilter, ExternalAuthFilter, GrpcFilter, GrpcFilterType, HeaderModifier, HttpFilter, HttpFilterType,
    LocalObjectReference, RequestMirrorFilter, RequestRedirectFilter, UrlRewriteFilter,
};
use model::{Filter, Redirect};

use super::{Fault, Reason, Site};
use crate::backends::Wire;

pub(crate) use external_auth::external_auth;
pub(crate) use headers::header_edit;

/// A filter as it is written, of whichever route. None: its type says what is not there.
#[derive(Clone, Copy)]
pub(super) enum Wanted<'f> {
    RequestHeaders(Option<&'f HeaderModifier>),
    ResponseHeaders(Option<&'f HeaderModifier>),
    Mirror(Option<&'f RequestMirrorFilter>),
    Redirect(Option<&'f RequestRedirectFilter>),
    Rewrite(Option<&'f UrlRewriteFilter>),
    Cors(Option<&'f CorsFilter>),
    ExternalAuth(Option<&'f ExternalAuthFilter>),
    Extension(Option<&'f LocalObjectReference>),
}

impl<'f> From<&'f HttpFilter> for Wanted<'f> {
    fn from(filter: &'f HttpFilter) -> Self {
        match filter.type_ {
            HttpFilterType::RequestHeaderModifier => {
                Self::RequestHeaders(filter.request_header_modifier.as_ref())
            }
            HttpFilterType::ResponseHeaderModifier => {
                Self::ResponseHeaders(filter.response_header_modifier.as_ref())
            }
            HttpFilterType::RequestMirror => Self::Mirror(filter.request_mirror.as_ref()),
            HttpFilterType::RequestRedirect => Self::Redirect(filter.request_redirect.as_ref()),
            HttpFilterType::UrlRewrite => Self::Rewrite(filter.url_rewrite.as_ref()),
            HttpFilterType::ExtensionRef => Self::Extension(filter.extension_ref.as_ref()),
            HttpFilterType::Cors => Self::Cors(filter.cors.as_ref()),
            HttpFilterType::ExternalAuth => Self::ExternalAuth(filter.external_auth.as_ref()),
        }
    }
}

impl<'f> From<&'f GrpcFilter> for Wanted<'f> {
    fn from(filter: &'f GrpcFilter) -> Self {
        match filter.type_ {
            GrpcFilterType::RequestHeaderModifier => {
                Self::RequestHeaders(filter.request_header_modifier.as_ref())
            }
            GrpcFilterType::ResponseHeaderModifier => {
                Self::ResponseHeaders(filter.response_header_modifier.as_ref())
            }
            GrpcFilterType::RequestMirror => Self::Mirror(filter.request_mirror.as_ref()),
            GrpcFilterType::ExtensionRef => Self::Extension(filter.extension_ref.as_ref()),
        }
    }
}

impl Wanted<'_> {
    /// The field that holds it, and its `type`.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::RequestHeaders(_) => ("requestHeaderModifier", "RequestHeaderModifier"),
            Self::ResponseHeaders(_) => ("responseHeaderModifier", "ResponseHeaderModifier"),
            Self::Mirror(_) => ("requestMirror", "RequestMirror"),
            Self::Redirect(_) => ("requestRedirect", "RequestRedirect"),
            Self::Rewrite(_) => ("urlRewrite", "URLRewrite"),
            Self::Cors(_) => ("cors", "CORS"),
            Self::ExternalAuth(_) => ("externalAuth", "ExternalAuth"),
            Self::Extension(_) => ("extensionRef", "ExtensionRef"),
        }
    }

    fn is_repeatable(self) -> bool {
        matches!(self, Self::Mirror(_) | Self::Extension(_))
    }
}

/// Where filters stand.
#[derive(Clone, Copy)]
pub(super) enum Level {
    /// `rules[].filters`.
    Rule {
        /// The rule has one match, by prefix, so that there is a prefix to replace.
        replaces_prefix: bool,
    },
    /// `rules[].backendRefs[].filters`.
    Backend {
        /// The same.
        replaces_prefix: bool,
    },
}

impl Level {
    fn replaces_prefix(self) -> bool {
        let (Self::Rule { replaces_prefix } | Self::Backend { replaces_prefix }) = self;
        replaces_prefix
    }
}

/// Filters of the IR, and the redirect that takes the place of forwarding.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    pub(super) filters: Vec<Filter>,
    pub(super) redirect: Option<Redirect>,
}

/// Compiles filters.
///
/// # Errors
/// The first that cannot be served as written. References that lead nowhere are no error: the filter is closed.
pub(super) fn compile(
    wanted: &[Wanted<'_>],
    level: Level,
    wire: Wire,
    field: &str,
    site: &mut Site<'_, '_>,
) -> Result<Compiled, Fault> {
    check_combination(wanted, field)?;
    let mut compiled = Compiled::default();
    let mut fault = None;
    for (index, filter) in wanted.iter().enumerate() {
        let (name, type_) = filter.names();
        let place = format!("{field}[{index}].{name}");
        match one(*filter, level, wire, &place, &mut compiled, site) {
            Some(Ok(())) => {}
            // All references are to be reported, so the rest is still looked at.
            Some(Err(found)) => fault = fault.or(Some(found)),
            None => {
                let message = format_args!("must be given where type is {type_}");
                fault = fault.or(Some(Fault::unsupported(place, message)));
            }
        }
    }
    fault.map_or(Ok(compiled), Err)
}

/// None if what the filter's type names is not there.
fn one(
    wanted: Wanted<'_>,
    level: Level,
    wire: Wire,
    field: &str,
    compiled: &mut Compiled,
    site: &mut Site<'_, '_>,
) -> Option<Result<(), Fault>> {
    let filter = match wanted {
        Wanted::RequestHeaders(edit) => header_edit(edit?, field).map(Filter::RequestHeaders),
        Wanted::ResponseHeaders(edit) => header_edit(edit?, field).map(Filter::ResponseHeaders),
        Wanted::Rewrite(rewrite) => {
            path::rewrite(rewrite?, level.replaces_prefix(), field).map(Filter::Rewrite)
        }
        Wanted::Extension(reference) => Ok(extension(reference?, field, site)),
        Wanted::Mirror(mirror) => match mirror::mirror(mirror?, wire, field, site) {
            Ok(Some(mirror)) => Ok(Filter::Mirror(mirror)),
            Ok(None) => return Some(Ok(())),
            Err(fault) => Err(fault),
        },
        Wanted::Redirect(redirect) => {
            let redirect = match level {
                Level::Rule { .. } => path::redirect(redirect?, level.replaces_prefix(), field),
                Level::Backend { .. } => Err(not_at_a_backend("RequestRedirect", field)),
            };
            return Some(redirect.map(|redirect| compiled.redirect = Some(redirect)));
        }
        Wanted::Cors(cors) => match level {
            Level::Rule { .. } => cors::cors(cors?, field).map(Filter::Cors),
            Level::Backend { .. } => Err(not_at_a_backend("CORS", field)),
        },
        Wanted::ExternalAuth(auth) => match level {
            Level::Rule { .. } => external_auth(auth?, field, site),
            Level::Backend { .. } => Err(not_at_a_backend("ExternalAuth", field)),
        },
    };
    Some(filter.map(|filter| compiled.filters.push(filter)))
}

/// "If a reference to a custom filter type cannot be resolved, the filter MUST NOT be skipped" (HTTPRouteFilter).
fn extension(reference: &LocalObjectReference, field: &str, site: &mut Site<'_, '_>) -> Filter {
    let message = format_args!("kind {} of group {:?} is no kind of filter", reference.kind, reference.group);
    let fault = Fault::new(Reason::InvalidKind, field, message);
    let reason = site.unresolved(fault.mend("remove the filter; a TrafficPolicy may say the same"));
    Filter::Closed { reason, status: 500 }
}

fn not_at_a_backend(type_: &str, field: &str) -> Fault {
    let message = format_args!("{type_} is not served on a backend");
    Fault::unsupported(field, message).mend("move the filter to the rule")
}

fn check_combination(wanted: &[Wanted<'_>], field: &str) -> Result<(), Fault> {
    for (index, filter) in wanted.iter().enumerate() {
        let (_, type_) = filter.names();
        let mut before = wanted.iter().take(index);
        if !filter.is_repeatable() && before.any(|other| other.names() == filter.names()) {
            let message = format_args!("{type_} must not be repeated");
            return Err(Fault::incompatible(format!("{field}[{index}]"), message));
        }
    }
    let has = |type_: &str| wanted.iter().any(|filter| filter.names().1 == type_);
    if has("RequestRedirect") && has("URLRewrite") {
        return Err(Fault::incompatible(field, "RequestRedirect and URLRewrite exclude each other"));
    }
    Ok(())
}
