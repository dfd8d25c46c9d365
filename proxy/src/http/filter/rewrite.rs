//! Rewrites host and path in place. Performance-critical path.

use std::borrow::Cow;

use http::Uri;
use http::header;

use super::path::rewrite;
use crate::compiled::CompiledRewrite;
use crate::http::canonical::canonical_path;
use crate::http::door::join;
use crate::http::error::Error;
use crate::http::inbound::Inbound;

/// Changes the host or path that the endpoint sees.
///
/// # Errors
/// The new path has no canonical form: it would be read in different ways.
pub(super) fn apply(rewriting: &CompiledRewrite, inbound: &mut Inbound) -> Result<(), Error> {
    if let Some(path) = &rewriting.path {
        let path = rewrite(path, inbound.matched());
        let path = match canonical_path(&path).map_err(|_| Error::Target)?.path {
            Cow::Borrowed(path) => path.to_owned(),
            Cow::Owned(path) => path,
        };
        let target = join(path, inbound.parts.uri.query()).map_err(|_| Error::Target)?;
        inbound.parts.uri = Uri::from(target);
        inbound.prefix = None;
    }
    if let Some(host) = &rewriting.host {
        inbound.parts.headers.insert(header::HOST, host.clone());
    }
    Ok(())
}
