//! Builds filters.

use std::sync::atomic::AtomicU64;

use http::{HeaderName, HeaderValue};
use model::{Cors, ExternalAuth, ExternalAuthProtocol, Filter, HeaderEdit, HeaderField, Mirror, Rewrite};

use super::{Build, rules};
use crate::compiled::{
    CompileError, CompiledAuthProtocol, CompiledCors, CompiledExternalAuth, CompiledFilter,
    CompiledHeaderEdit, CompiledMirror, CompiledRewrite, CorsList, CorsOrigins,
};

impl Build<'_> {
    pub(super) fn filters(
        &self,
        subject: &str,
        filters: &[Filter],
    ) -> Result<Box<[CompiledFilter]>, CompileError> {
        filters.iter().map(|filter| self.filter(subject, filter)).collect()
    }

    fn filter(&self, subject: &str, filter: &Filter) -> Result<CompiledFilter, CompileError> {
        let named = |reason: String| CompileError::new(subject, reason);
        Ok(match filter {
            Filter::RequestHeaders(edit) => {
                CompiledFilter::RequestHeaders(compile_edit(edit).map_err(named)?)
            }
            Filter::ResponseHeaders(edit) => {
                CompiledFilter::ResponseHeaders(compile_edit(edit).map_err(named)?)
            }
            Filter::Rewrite(rewrite) => CompiledFilter::Rewrite(compile_rewrite(rewrite).map_err(named)?),
            Filter::Mirror(mirror) => CompiledFilter::Mirror(self.mirror(subject, mirror)?),
            Filter::Cors(cors) => CompiledFilter::Cors(compile_cors(cors).map_err(named)?),
            Filter::ExternalAuth(auth) => CompiledFilter::ExternalAuth(self.external_auth(subject, auth)?),
            Filter::Buffer(buffer) => CompiledFilter::Buffer { max_bytes: buffer.max_bytes },
            Filter::Closed { reason, status } => CompiledFilter::Closed {
                reason: reason.clone(),
                status: rules::status(subject, *status, 400..=599)?,
            },
        })
    }

    fn mirror(&self, subject: &str, mirror: &Mirror) -> Result<CompiledMirror, CompileError> {
        if mirror.denominator == 0 {
            return Err(CompileError::new(
                subject,
                "the share of a mirror has denominator 0; it must be 1 or more",
            ));
        }
        Ok(CompiledMirror {
            backend: self.backend(subject, &mirror.backend)?,
            numerator: mirror.numerator.into(),
            denominator: mirror.denominator.into(),
            seen: AtomicU64::new(0),
        })
    }

    fn external_auth(
        &self,
        subject: &str,
        auth: &ExternalAuth,
    ) -> Result<CompiledExternalAuth, CompileError> {
        let parse = |list: &[_]| names(list).map_err(|reason| CompileError::new(subject, reason));
        let protocol = match &auth.protocol {
            ExternalAuthProtocol::Grpc { allowed_headers } => {
                CompiledAuthProtocol::Grpc { allowed_headers: parse(allowed_headers)? }
            }
            ExternalAuthProtocol::Http { path, allowed_headers, allowed_response_headers } => {
                CompiledAuthProtocol::Http {
                    path: path.clone(),
                    allowed_headers: parse(allowed_headers)?,
                    allowed_response_headers: parse(allowed_response_headers)?,
                }
            }
        };
        Ok(CompiledExternalAuth {
            backend: self.backend(subject, &auth.backend)?,
            protocol,
            body_bytes: usize::try_from(auth.body_bytes).unwrap_or(usize::MAX),
            timeout: auth.timeout,
            fail_open: auth.fail_open,
        })
    }
}

fn compile_edit(edit: &HeaderEdit) -> Result<CompiledHeaderEdit, String> {
    Ok(CompiledHeaderEdit { set: fields(&edit.set)?, add: fields(&edit.add)?, remove: names(&edit.remove)? })
}

fn compile_rewrite(rewrite: &Rewrite) -> Result<CompiledRewrite, String> {
    let host = rewrite.host.as_deref().map(|host| value("host", host)).transpose()?;
    Ok(CompiledRewrite { host, path: rewrite.path.clone() })
}

fn compile_cors(cors: &Cors) -> Result<CompiledCors, String> {
    let any = cors.allow_origins.iter().any(|origin| **origin == *"*");
    let (wildcard, exact): (Vec<_>, Vec<_>) =
        cors.allow_origins.iter().filter(|origin| ***origin != *"*").partition(|origin| origin.contains('*'));
    let wildcard = wildcard.into_iter().filter_map(|origin| origin.split_once('*'));
    let max_age = cors.max_age.map(|age| HeaderValue::from(age.as_secs()));
    Ok(CompiledCors {
        origins: CorsOrigins {
            any,
            exact: exact.into_iter().map(|origin| origin.to_ascii_lowercase().into()).collect(),
            wildcard: wildcard
                .map(|(before, after)| {
                    (before.to_ascii_lowercase().into(), after.to_ascii_lowercase().into())
                })
                .collect(),
        },
        allow_methods: list("Access-Control-Allow-Methods", &cors.allow_methods)?,
        allow_headers: list("Access-Control-Allow-Headers", &cors.allow_headers)?,
        expose_headers: list("Access-Control-Expose-Headers", &cors.expose_headers)?,
        allow_credentials: cors.allow_credentials,
        max_age,
    })
}

fn list(header: &str, items: &[impl AsRef<str>]) -> Result<CorsList, String> {
    let any = items.iter().any(|item| item.as_ref() == "*");
    let joined = items.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    let value = if joined.is_empty() { None } else { Some(value(header, &joined)?) };
    Ok(CorsList { any, value })
}

fn fields(fields: &[HeaderField]) -> Result<Box<[(HeaderName, HeaderValue)]>, String> {
    fields.iter().map(|field| Ok((name(&field.name)?, value(&field.name, &field.value)?))).collect()
}

fn names(names: &[impl AsRef<str>]) -> Result<Box<[HeaderName]>, String> {
    names.iter().map(|text| name(text.as_ref())).collect()
}

fn name(text: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| format!("{text:?} is not a header name"))
}

fn value(name: &str, text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text)
        .or_else(|_| HeaderValue::from_bytes(text.as_bytes()))
        .map_err(|_| format!("the value of {name} holds a control character"))
}
