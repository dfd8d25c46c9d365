//! URLRewrite and RequestRedirect: another host, another path.

use std::sync::Arc;

use api::gateway_api::{
    HttpPathModifier, PathModifierType, RedirectScheme, RequestRedirectFilter, UrlRewriteFilter,
};
use model::{HostPattern, PathRewrite, Redirect, Rewrite};

use super::super::Fault;

/// Changes what the backend sees.
///
/// # Errors
/// A host or path that is none; a prefix to replace where the rule does not match by prefix.
pub(super) fn rewrite(
    wanted: &UrlRewriteFilter,
    replaces_prefix: bool,
    field: &str,
) -> Result<Rewrite, Fault> {
    Ok(Rewrite {
        host: wanted.hostname.as_deref().map(|name| host(name, field)).transpose()?,
        path: wanted.path.as_ref().map(|path| modifier(path, replaces_prefix, field)).transpose()?,
    })
}

/// Answers with another location.
///
/// # Errors
/// As [`rewrite`]; a status that is no redirect.
pub(super) fn redirect(
    wanted: &RequestRedirectFilter,
    replaces_prefix: bool,
    field: &str,
) -> Result<Redirect, Fault> {
    let status = wanted.status_code.unwrap_or(302);
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        let message = format_args!("{status} is none of 301, 302, 303, 307, 308");
        return Err(Fault::unsupported(format!("{field}.statusCode"), message));
    }
    if wanted.port == Some(0) {
        return Err(Fault::unsupported(format!("{field}.port"), "a port is 1–65535"));
    }
    Ok(Redirect {
        scheme: wanted.scheme.map(RedirectScheme::as_str).map(Into::into),
        host: wanted.hostname.as_deref().map(|name| host(name, field)).transpose()?,
        port: wanted.port,
        path: wanted.path.as_ref().map(|path| modifier(path, replaces_prefix, field)).transpose()?,
        status,
    })
}

fn host(name: &str, field: &str) -> Result<Arc<str>, Fault> {
    match name.parse::<HostPattern>() {
        Ok(HostPattern::Exact(name)) => Ok(name),
        _ => Err(Fault::unsupported(
            format!("{field}.hostname"),
            format_args!("{name:?} is not the name of a host"),
        )),
    }
}

fn modifier(wanted: &HttpPathModifier, replaces_prefix: bool, field: &str) -> Result<PathRewrite, Fault> {
    match wanted.type_ {
        PathModifierType::ReplaceFullPath => {
            let field = format!("{field}.path.replaceFullPath");
            let path = path(wanted.replace_full_path.as_deref(), &field)?;
            Ok(PathRewrite::Full(if path.is_empty() { "/".into() } else { path }))
        }
        PathModifierType::ReplacePrefixMatch => {
            let field = format!("{field}.path.replacePrefixMatch");
            let path = path(wanted.replace_prefix_match.as_deref(), &field)?;
            if !replaces_prefix {
                let message = "the rule must have exactly one match, by PathPrefix";
                return Err(Fault::unsupported(field, message));
            }
            // HTTPPathModifier: with or without a trailing slash it is the same.
            Ok(PathRewrite::Prefix(path.trim_end_matches('/').into()))
        }
    }
}

fn path(text: Option<&str>, field: &str) -> Result<Arc<str>, Fault> {
    let Some(text) = text else {
        return Err(Fault::unsupported(field, "must be given where path.type names it"));
    };
    let printable = text.bytes().all(|b| (b'!'..=b'~').contains(&b));
    if !printable || text.contains(['?', '#', '\\']) {
        return Err(Fault::unsupported(field, format_args!("{text:?} is not a path")));
    }
    if text.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(Fault::unsupported(field, format_args!("{text:?} has . or .. as a segment")));
    }
    Ok(if text.is_empty() || text.starts_with('/') { text.into() } else { format!("/{text}").into() })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rewritten(path: Value, replaces_prefix: bool) -> Result<PathRewrite, Fault> {
        let wanted = serde_json::from_value(json!({"path": path})).unwrap();
        rewrite(&wanted, replaces_prefix, "f").map(|rewrite| rewrite.path.unwrap())
    }

    #[test]
    fn a_prefix_has_no_trailing_slash() {
        for (text, prefix) in [("/xyz", "/xyz"), ("/xyz/", "/xyz"), ("/", ""), ("", ""), ("xyz", "/xyz")] {
            let path = json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": text});
            assert_eq!(rewritten(path, true), Ok(PathRewrite::Prefix(prefix.into())));
        }
        let path = json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": "/a"});
        assert_eq!(rewritten(path, false).unwrap_err().field, "f.path.replacePrefixMatch");
    }

    #[test]
    fn a_full_path_is_kept() {
        for (text, path) in [("/a/", "/a/"), ("", "/"), ("a", "/a")] {
            let wanted = json!({"type": "ReplaceFullPath", "replaceFullPath": text});
            assert_eq!(rewritten(wanted, false), Ok(PathRewrite::Full(path.into())));
        }
        for bad in ["/a?b", "/a#b", "/a b", "/../a", "/é"] {
            let wanted = json!({"type": "ReplaceFullPath", "replaceFullPath": bad});
            assert!(rewritten(wanted, false).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_redirect_is_302_unless_said() {
        let wanted = serde_json::from_value(json!({"scheme": "https", "hostname": "A.example"})).unwrap();
        let expected = Redirect {
            scheme: Some("https".into()),
            host: Some("a.example".into()),
            port: None,
            path: None,
            status: 302,
        };
        assert_eq!(redirect(&wanted, false, "f"), Ok(expected));
        let wanted = serde_json::from_value(json!({"statusCode": 200})).unwrap();
        assert_eq!(redirect(&wanted, false, "f").unwrap_err().field, "f.statusCode");
    }
}
