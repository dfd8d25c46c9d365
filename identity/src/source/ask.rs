//! Sources that are asked: one request, one answer, and what can go wrong.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use rustls::pki_types::CertificateDer;
use tonic::Code;

use super::request::{KeyRequest, RequestError};
use super::watched::ReadError;
use crate::bundle::{BundleError, TrustBundles};
use crate::dial::{DialError, Seconds};
use crate::issue::IssueError;
use crate::pem::PemError;
use crate::svid::SvidError;
use crate::tls::ConfigError;

/// A source that answers a request with a certificate.
pub(crate) trait Ask: Send + 'static {
    /// Asks once. Bounded in time by the implementation.
    fn ask<'a>(&'a mut self, request: &'a KeyRequest) -> BoxFuture<'a, Result<Answer, AskError>>;
}

/// A certificate for the key of the request.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Leaf first, no roots.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// The bundles that came with it; none: they come by another way.
    pub(crate) bundles: Option<TrustBundles>,
}

/// Why there is no certificate. Nothing in it is secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// The random source.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// `HOST:PORT` is not one.
    #[error("{0:?} is not HOST:PORT")]
    Address(Arc<str>),
    /// No token.
    #[error("the token cannot be read")]
    Token(#[source] ReadError),
    /// An empty token, or one that no header can carry.
    #[error("the file {0} holds no token")]
    NoToken(Arc<str>),
    /// The roots to verify the source by.
    #[error("the roots to verify the source by cannot be read")]
    Roots(#[source] ReadError),
    /// The same.
    #[error("TLS to the source cannot be set up")]
    Config(#[from] ConfigError),
    /// Network, TLS.
    #[error("the source cannot be reached")]
    Dial(#[from] DialError),
    /// HTTP/2.
    #[error("the source does not speak gRPC")]
    Grpc(#[from] tonic::transport::Error),
    /// A gRPC status.
    #[error("the source {}: {message:?}", verdict(*code))]
    Status {
        /// The code.
        code: Code,
        /// The CA's words, cut short.
        message: String,
    },
    /// No answer.
    #[error("the source did not answer within {}", Seconds(*.0))]
    Timeout(Duration),
    /// An answer of too few parts.
    #[error("the answer has {0} parts: a leaf and roots are needed")]
    TooShort(usize),
    /// An answer that is no certificates.
    #[error("part {part} of the answer cannot be read")]
    Part {
        /// Its place, from 1.
        part: usize,
        /// Why.
        #[source]
        source: PemError,
    },
    /// Roots in the answer that are none, or trust anchors in a file.
    #[error("the roots cannot be used")]
    Bundle(#[from] BundleError),
    /// X32: not our key, not an SVID.
    #[error("the answer cannot be used")]
    Svid(#[from] SvidError),
    /// The issuer in this process.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

/// How to go on after an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pace {
    /// It may succeed soon: back off from a second.
    Soon,
    /// Asking again changes nothing; look now and then whether the other side has changed.
    Seldom,
}

impl AskError {
    /// A gRPC status. Whatever a CA writes, no `secret` of ours gets into a log by it.
    pub(crate) fn status(status: &tonic::Status, secret: &str) -> Self {
        let mut message = status.message().to_owned();
        if !secret.is_empty() {
            message = message.replace(secret, "[redacted]");
        }
        Self::Status { code: status.code(), message: message.chars().take(200).collect() }
    }

    /// Istio's agents retry neither `Unauthenticated` nor `PermissionDenied`; we do, as tokens rotate and are granted.
    pub(crate) fn pace(&self) -> Pace {
        match self {
            Self::Status { code: Code::InvalidArgument | Code::Unimplemented | Code::OutOfRange, .. }
            | Self::Address(_) => Pace::Seldom,
            _ => Pace::Soon,
        }
    }

    /// Whether the source does not accept who we say we are.
    pub(crate) fn is_unauthenticated(&self) -> bool {
        matches!(self, Self::Status { code: Code::Unauthenticated, .. })
    }
}

fn verdict(code: Code) -> String {
    match code {
        Code::Unauthenticated => "does not accept our credentials (Unauthenticated)".to_owned(),
        Code::PermissionDenied => "does not allow it (PermissionDenied)".to_owned(),
        Code::InvalidArgument => "refuses the request (InvalidArgument)".to_owned(),
        Code::Unimplemented => "does not offer this service (Unimplemented)".to_owned(),
        code => format!("answers {code:?}"),
    }
}
