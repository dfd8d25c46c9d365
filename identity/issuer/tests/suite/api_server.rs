//! A stand-in for the Kubernetes API server: TokenReview over HTTPS, and nothing else.

use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use issuer::TokenReview;
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What the server answers to a token, and what it was asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct ApiServer {
    answers: Arc<Mutex<Vec<(String, Value)>>>,
    pub(crate) asked: Arc<Mutex<Vec<Value>>>,
    /// What it publishes as its keys, and how often they were fetched.
    pub(crate) keys: Arc<Mutex<(String, usize)>>,
}

impl ApiServer {
    /// Starts one; the settings say how an issuer reaches it.
    pub(crate) async fn start(folder: &Path) -> (Self, TokenReview) {
        let server = Self::default();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::IpAddress("127.0.0.1".parse().unwrap())];
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.join("ca.crt"), certificate.pem()).unwrap();
        std::fs::write(folder.join("token"), "the-issuers-own\n").unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(server.clone().serve(listener, TlsAcceptor::from(Arc::new(config))));
        let review = TokenReview {
            api_server: format!("https://{address}"),
            ca: folder.join("ca.crt"),
            token: folder.join("token"),
            audiences: vec!["istio-ca".to_owned()],
        };
        (server, review)
    }

    /// Answers that status to a token from now on.
    pub(crate) fn answer(&self, token: &str, status: Value) {
        self.answers.lock().unwrap().push((token.to_owned(), status));
    }

    pub(crate) fn questions(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    async fn serve(self, listener: TcpListener, acceptor: TlsAcceptor) {
        while let Ok((stream, _)) = listener.accept().await {
            let (server, acceptor) = (self.clone(), acceptor.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = hyper::service::service_fn(move |request| {
                    let server = server.clone();
                    async move { Ok::<_, Infallible>(server.review(request).await) }
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    }

    async fn review(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.uri().path() == "/openid/v1/jwks" {
            let mut keys = self.keys.lock().unwrap();
            keys.1 += 1;
            return Response::new(Full::new(Bytes::from(keys.0.clone())));
        }
        assert_eq!(request.uri().path(), "/apis/authentication.k8s.io/v1/tokenreviews");
        assert_eq!(request.headers()["authorization"], "Bearer the-issuers-own");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let token = body["spec"]["token"].as_str().unwrap().to_owned();
        self.asked.lock().unwrap().push(body);
        let answers = self.answers.lock().unwrap().clone();
        let known = answers.into_iter().rev().find(|(known, _)| *known == token);
        let status =
            known.map_or_else(|| json!({"authenticated": false, "error": "unknown"}), |(_, status)| status);
        let mut response = Response::new(Full::new(Bytes::from(json!({"status": status}).to_string())));
        *response.status_mut() =
            if status == json!("down") { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::CREATED };
        response
    }
}

/// The answer for a pod of shop/cart.
pub(crate) fn pod() -> Value {
    json!({
        "authenticated": true,
        "audiences": ["istio-ca"],
        "user": {
            "username": "system:serviceaccount:shop:cart",
            "uid": "u",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"],
            "extra": {
                "authentication.kubernetes.io/pod-name": ["cart-1"],
                "authentication.kubernetes.io/pod-uid": ["1-2-3"],
            },
        },
    })
}
