//! `X-Forwarded-Client-Cert` in Envoy's form: elements by comma, pairs by semicolon, values quoted where they must be.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use identity::WorkloadId;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

/// A client's verified certificate, and the element that says so, made when it is first asked for.
#[derive(Debug)]
pub(crate) struct ClientCertificate {
    der: CertificateDer<'static>,
    /// Who we are to the client.
    by: Option<WorkloadId>,
    element: OnceCell<Option<HeaderValue>>,
}

impl ClientCertificate {
    /// Of a certificate that was verified. `by` is the SVID that we have shown.
    pub(crate) fn new(der: CertificateDer<'static>, by: Option<WorkloadId>) -> Self {
        Self { der, by, element: OnceCell::new() }
    }

    /// One whose element is already made.
    #[cfg(test)]
    pub(crate) fn said(element: &'static str) -> Self {
        let element = OnceCell::from(Some(HeaderValue::from_static(element)));
        Self { der: CertificateDer::from(Vec::new()), by: None, element }
    }

    /// The element; none if the certificate cannot be read: then nothing is said of the client.
    pub(crate) fn element(&self) -> Option<&HeaderValue> {
        self.element
            .get_or_init(|| {
                let text = element(&self.der, self.by.as_ref().map(WorkloadId::as_str))?;
                HeaderValue::try_from(text).ok()
            })
            .as_ref()
    }
}

/// By, Hash, Cert, Subject, URI, DNS: the keys that Istio's gateways set, in Envoy's order.
fn element(der: &CertificateDer<'_>, by: Option<&str>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let mut text = String::with_capacity(der.len() * 2);
    if let Some(by) = by {
        text.push_str("By=");
        text.push_str(&quoted(by));
        text.push(';');
    }
    text.push_str("Hash=");
    for byte in Sha256::digest(der) {
        let _ = write!(text, "{byte:02x}");
    }
    text.push_str(";Cert=\"");
    push_pem(&mut text, der);
    // RFC 2253 escapes quotes and backslashes as a quoted value needs it.
    let _ = write!(text, "\";Subject=\"{}\"", rfc2253(certificate.subject()));
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = || names.iter().flat_map(|names| &names.value.general_names);
    let uris = names().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(("URI", *uri)),
        _ => None,
    });
    let dns = names().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(("DNS", *name)),
        _ => None,
    });
    for (key, value) in uris.chain(dns) {
        let _ = write!(text, ";{key}={}", quoted(value));
    }
    Some(text)
}

/// The certificate as PEM, with the characters encoded that Envoy encodes.
fn push_pem(text: &mut String, der: &[u8]) {
    text.push_str("-----BEGIN%20CERTIFICATE-----%0A");
    for line in der.chunks(48) {
        for character in STANDARD.encode(line).chars() {
            match character {
                '+' => text.push_str("%2B"),
                '/' => text.push_str("%2F"),
                '=' => text.push_str("%3D"),
                other => text.push(other),
            }
        }
        text.push_str("%0A");
    }
    text.push_str("-----END%20CERTIFICATE-----%0A");
}

/// A value as it stands, or in quotes if it holds what would end it.
fn quoted(value: &str) -> Cow<'_, str> {
    if value.is_empty() || !value.contains([',', ';', '=', '"', '\\', ' ']) {
        return value.into();
    }
    let mut text = String::with_capacity(value.len() + 4);
    text.push('"');
    for character in value.chars() {
        if matches!(character, '"' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    text.push('"');
    text.into()
}

/// A distinguished name as OpenSSL prints it by RFC 2253: the last part first, no spaces, bytes that are not plain as
/// `\XX`.
fn rfc2253(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for (index, part) in parts.iter().rev().enumerate() {
        if index > 0 {
            text.push(',');
        }
        for (index, attribute) in part.iter().enumerate() {
            if index > 0 {
                text.push('+');
            }
            match oid2abbrev(attribute.attr_type(), oid_registry()) {
                Ok(short) => text.push_str(short),
                Err(_) => text.push_str(&attribute.attr_type().to_id_string()),
            }
            text.push('=');
            push_escaped(&mut text, attribute.attr_value().data);
        }
    }
    text
}

fn push_escaped(text: &mut String, value: &[u8]) {
    let last = value.len().saturating_sub(1);
    for (index, byte) in value.iter().enumerate() {
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => {
                text.push('\\');
                text.push(char::from(*byte));
            }
            b' ' if index == 0 || index == last => text.push_str("\\ "),
            b'#' if index == 0 => text.push_str("\\#"),
            b' '..=b'~' => text.push(char::from(*byte)),
            other => {
                let _ = write!(text, "\\{other:02X}");
            }
        }
    }
}

/// A header that is not of this form: what is appended to it could be swallowed by an open quote.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the header is not a list of elements")]
pub(crate) struct Malformed;

/// An element: keys and values in their order.
pub(crate) type Pairs<'v> = Vec<(&'v str, Cow<'v, str>)>;

/// Reads a header's elements.
///
/// # Errors
/// [`Malformed`].
pub(crate) fn parse(value: &str) -> Result<Vec<Pairs<'_>>, Malformed> {
    let mut elements = Vec::new();
    let mut rest = value;
    loop {
        let mut pairs = Pairs::new();
        loop {
            let (pair, separator, after) = pair(rest)?;
            pairs.push(pair);
            rest = after;
            match separator {
                Some(b';') => {}
                Some(_) => break,
                None => {
                    elements.push(pairs);
                    return Ok(elements);
                }
            }
        }
        elements.push(pairs);
    }
}

type Pair<'v> = (&'v str, Cow<'v, str>);

/// The next pair, what ended it, and the rest.
fn pair(text: &str) -> Result<(Pair<'_>, Option<u8>, &str), Malformed> {
    let (key, rest) = text.trim_start_matches(' ').split_once('=').ok_or(Malformed)?;
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Malformed);
    }
    let (value, rest) = match rest.strip_prefix('"') {
        Some(inside) => unquoted(inside)?,
        None => {
            let end = rest.find([',', ';']).unwrap_or(rest.len());
            let (value, rest) = rest.split_at(end);
            if value.contains('"') {
                return Err(Malformed);
            }
            (Cow::Borrowed(value), rest)
        }
    };
    let mut bytes = rest.bytes();
    match bytes.next() {
        None => Ok(((key, value), None, "")),
        Some(separator @ (b',' | b';')) => {
            Ok(((key, value), Some(separator), rest.get(1..).unwrap_or_default()))
        }
        Some(_) => Err(Malformed),
    }
}

/// The value up to the closing quote, and what follows that.
fn unquoted(text: &str) -> Result<(Cow<'_, str>, &str), Malformed> {
    let mut value = Cow::Borrowed("");
    let mut plain = 0;
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => {
                value += text.get(plain..index).unwrap_or_default();
                return Ok((value, text.get(index + 1..).unwrap_or_default()));
            }
            '\\' => {
                let (next, _) = characters.next().ok_or(Malformed)?;
                value += text.get(plain..index).unwrap_or_default();
                plain = next;
            }
            _ => {}
        }
    }
    Err(Malformed)
}

/// Writes elements so that [`parse`] reads them again.
pub(crate) fn format(elements: &[Pairs<'_>]) -> String {
    let element = |pairs: &Pairs<'_>| {
        let pairs = pairs.iter().map(|(key, value)| format!("{key}={}", quoted(value)));
        pairs.collect::<Vec<_>>().join(";")
    };
    elements.iter().map(element).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
