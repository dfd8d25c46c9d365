//! A small HTTPS client: one GET, a few redirects, everything bounded.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, HOST, LOCATION, USER_AGENT};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use crate::dial::{DialError, Dialer, Seconds, Target};
use crate::tls::ConfigError;
use crate::tls::client::ClientTlsConfig;

/// Why a document could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// Plain `http`, credentials in the URL, no host.
    #[error("{url:?} cannot be fetched: {reason}")]
    Url { url: String, reason: &'static str },
    /// TLS could not be set up.
    #[error("TLS cannot be set up")]
    Config(#[source] ConfigError),
    /// No connection.
    #[error("the server cannot be reached")]
    Dial(#[source] DialError),
    /// HTTP failed.
    #[error("the server does not speak HTTP/1.1 as it should")]
    Http(#[source] hyper::Error),
    /// Another status than 200.
    #[error("the server answers {0}")]
    Status(StatusCode),
    /// Redirected too often, or to nowhere.
    #[error("the server redirects {0}")]
    Redirect(&'static str),
    /// Too long.
    #[error("the document is larger than {BODY} bytes")]
    TooLarge,
    /// Too slow.
    #[error("the document did not come within {}", Seconds(TOTAL))]
    Timeout,
}

/// A URL that may be fetched: https, a host, no credentials.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct HttpsUrl(Uri);

impl HttpsUrl {
    /// Reads one.
    pub(crate) fn parse(text: &str) -> Result<Self, FetchError> {
        let error = |reason| FetchError::Url { url: without_credentials(text), reason };
        let uri: Uri = text.parse().map_err(|_| error("it is no URL"))?;
        if uri.scheme_str() != Some("https") {
            return Err(error("only https is allowed"));
        }
        let authority = uri.authority().ok_or_else(|| error("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(error("it carries credentials"));
        }
        if authority.host().is_empty() {
            return Err(error("it has no host"));
        }
        Ok(Self(uri))
    }

    /// The host, without brackets.
    pub(crate) fn host(&self) -> &str {
        let host = self.0.host().unwrap_or_default();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    fn target(&self) -> Target {
        Target::Tcp(self.host().into(), self.0.port_u16().unwrap_or(443))
    }

    /// Where a `Location` leads from here; only whole URLs and absolute paths.
    fn join(&self, location: &str) -> Result<Self, FetchError> {
        if location.starts_with('/') && !location.starts_with("//") {
            let authority = self.0.authority().map(http::uri::Authority::as_str).unwrap_or_default();
            return Self::parse(&format!("https://{authority}{location}"));
        }
        Self::parse(location)
    }
}

/// A URL that is to be shown: what stands before an `@` is nobody's business.
fn without_credentials(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            let (start, end) = (text.get(..scheme + 3), text.get(at..));
            format!("{}…{}", start.unwrap_or_default(), end.unwrap_or_default())
        }
        _ => text.to_owned(),
    }
}

/// Fetches a document: at most [`BODY`] bytes, [`TOTAL`] long, [`REDIRECTS`] redirects, each under the same rules and
/// none remembered. `tls` says how the server of a host is verified.
pub(crate) async fn fetch(
    dialer: &Dialer,
    url: &HttpsUrl,
    tls: impl Fn(&str) -> Result<ClientTlsConfig, ConfigError>,
) -> Result<Bytes, FetchError> {
    let all = async {
        let mut url = url.clone();
        for _ in 0..=REDIRECTS {
            let config = tls(url.host()).map_err(FetchError::Config)?;
            let response = get(dialer, &url, &config).await?;
            if response.status().is_redirection() {
                let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
                url = url.join(location.ok_or(FetchError::Redirect("to nowhere"))?)?;
                continue;
            }
            if response.status() != StatusCode::OK {
                return Err(FetchError::Status(response.status()));
            }
            return body(response).await;
        }
        Err(FetchError::Redirect("too often"))
    };
    tokio::time::timeout(TOTAL, all).await.unwrap_or(Err(FetchError::Timeout))
}

async fn get(
    dialer: &Dialer,
    url: &HttpsUrl,
    tls: &ClientTlsConfig,
) -> Result<Response<Connected>, FetchError> {
    let io = dialer.dial(&url.target(), Some(tls)).await.map_err(FetchError::Dial)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(io)).await.map_err(FetchError::Http)?;
    let driver = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(async move {
        // Its error is the request's or the body's too.
        let _ = connection.await;
    }));
    let path = url.0.path_and_query().map_or("/", |path| path.as_str());
    let authority = url.0.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let request = Request::get(path)
        .header(HOST, authority)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("diolkos/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchError::Url { url: url.0.to_string(), reason: "it cannot be asked for" })?;
    let response = sender.send_request(request).await.map_err(FetchError::Http)?;
    Ok(response.map(|body| Connected { body, _driver: driver }))
}

/// A body with the task that moves it.
struct Connected {
    body: Incoming,
    _driver: tokio_util::task::AbortOnDropHandle<()>,
}

async fn body(response: Response<Connected>) -> Result<Bytes, FetchError> {
    let mut incoming = response.into_body();
    let mut bytes = BytesMut::new();
    while let Some(frame) = incoming.body.frame().await {
        if let Ok(data) = frame.map_err(FetchError::Http)?.into_data() {
            if bytes.len() + data.len() > BODY {
                return Err(FetchError::TooLarge);
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.freeze())
}

/// Largest document. SPIRE's are some kilobytes.
const BODY: usize = 1 << 20;
/// Time for everything: connections, redirects, body.
const TOTAL: Duration = Duration::from_secs(10);
const REDIRECTS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_without_credentials() {
        for bad in
            ["http://a/b", "https://u:p@a/b", "https://@a/", "ftp://a", "/b", "https:///b", "https://", ""]
        {
            assert!(HttpsUrl::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(HttpsUrl::parse("https://[::1]:8443/x").unwrap().host(), "::1");
        let error = HttpsUrl::parse("https://user:canary@a/b").unwrap_err().to_string();
        assert!(!error.contains("canary"), "{error}");
    }

    #[test]
    fn redirects_stay_under_the_rules() {
        let url = HttpsUrl::parse("https://a:1/b").unwrap();
        assert_eq!(url.join("/c?d").unwrap(), HttpsUrl::parse("https://a:1/c?d").unwrap());
        assert_eq!(url.join("https://b/").unwrap(), HttpsUrl::parse("https://b/").unwrap());
        for bad in ["http://a/", "//evil/", "c", "https://u@b/"] {
            assert!(url.join(bad).is_err(), "{bad}");
        }
    }
}
