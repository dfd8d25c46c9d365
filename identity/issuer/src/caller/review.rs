//! Service-account tokens that the Kubernetes API server reviews (`authentication.k8s.io/v1` TokenReview).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::subject::Subject;
use crate::http_client;
use crate::refusal::Refusal;
use crate::settings::TokenReview;

/// Asks the API server.
#[derive(Debug)]
pub(super) struct Reviewer {
    settings: TokenReview,
    /// Tokens that were refused a moment ago, by SHA-256. Nothing that was accepted is remembered: a pod that is
    /// deleted is nobody at once.
    refused: Mutex<Refused>,
    under_way: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Refused {
    until: HashMap<[u8; 32], (Instant, Refusal)>,
    order: VecDeque<[u8; 32]>,
}

#[derive(Serialize)]
struct Request<'a> {
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    kind: &'static str,
    spec: RequestSpec<'a>,
}

#[derive(Serialize)]
struct RequestSpec<'a> {
    token: &'a str,
    audiences: &'a [String],
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    authenticated: bool,
    #[serde(default)]
    user: User,
    #[serde(default)]
    audiences: Vec<String>,
}

#[derive(Default, Deserialize)]
struct User {
    #[serde(default)]
    username: String,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    extra: HashMap<String, Vec<String>>,
}

impl Reviewer {
    pub(super) fn new(settings: TokenReview) -> Self {
        Self { settings, refused: Mutex::default(), under_way: Arc::new(Semaphore::new(MAX_UNDER_WAY)) }
    }

    /// Has a token reviewed.
    ///
    /// # Errors
    /// It is refused, or the API server cannot be asked.
    pub(super) async fn review(&self, token: &str) -> Result<Subject, Refusal> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(refusal) = self.lock().get(&digest) {
            return Err(refusal);
        }
        let result = match self.ask(token).await {
            Ok(status) => self.judge(status),
            Err(error) => return Err(Refusal::VerifierAway(error)),
        };
        if let Err(refusal) = &result {
            self.lock().remember(digest, refusal);
        }
        result
    }

    async fn ask(&self, token: &str) -> Result<Status, String> {
        let place = tokio::time::timeout(LONGEST_WAIT, self.under_way.acquire()).await;
        let _place = place.map_err(|_| "too many tokens wait for review".to_owned())?;
        let spec = RequestSpec { token, audiences: &self.settings.audiences };
        let request = Request { api_version: "authentication.k8s.io/v1", kind: "TokenReview", spec };
        let body = serde_json::to_vec(&request).map_err(|error| error.to_string())?;
        // Our own token rotates, so it is read for each call.
        let own = tokio::fs::read_to_string(&self.settings.token).await;
        let own = Zeroizing::new(own.map_err(|error| format!("our own token cannot be read: {error}"))?);
        let url = format!(
            "{}/apis/authentication.k8s.io/v1/tokenreviews",
            self.settings.api_server.trim_end_matches('/')
        );
        let answer = http_client::post_json(&url, &self.settings.ca, own.trim(), body)
            .await
            .map_err(|error| error.to_string())?;
        let answer: Answer = serde_json::from_slice(&answer)
            .map_err(|_| "the API server's answer is no TokenReview".to_owned())?;
        Ok(answer.status)
    }

    fn judge(&self, status: Status) -> Result<Subject, Refusal> {
        let refuse = Refusal::unauthenticated;
        if !status.authenticated {
            return Err(refuse("token-refused", "the API server refuses it"));
        }
        // An API server that does not know audiences answers without: then the token may be for anybody.
        if !status.audiences.iter().any(|audience| self.settings.audiences.contains(audience)) {
            return Err(refuse("other-audience", "it was not reviewed for our audience"));
        }
        if !status.user.groups.iter().any(|group| group == "system:serviceaccounts") {
            return Err(refuse("no-service-account", "it is not a service account's"));
        }
        let extra = |name: &str| status.user.extra.get(name).and_then(|values| values.first()).cloned();
        let pod = extra("authentication.kubernetes.io/pod-name")
            .zip(extra("authentication.kubernetes.io/pod-uid"))
            .filter(|(name, uid)| !name.is_empty() && !uid.is_empty());
        if pod.is_none() {
            return Err(refuse("not-pod-bound", "it is not bound to a pod"));
        }
        Subject::parse(&status.user.username, pod)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refused {
    fn get(&self, digest: &[u8; 32]) -> Option<Refusal> {
        self.until
            .get(digest)
            .filter(|(until, _)| Instant::now() < *until)
            .map(|(_, refusal)| refusal.clone())
    }

    fn remember(&mut self, digest: [u8; 32], refusal: &Refusal) {
        if self.until.insert(digest, (Instant::now() + REMEMBERED, refusal.clone())).is_none() {
            self.order.push_back(digest);
        }
        while self.order.len() > MAX_REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.until.remove(&oldest);
            }
        }
    }
}

/// How long a refused token is not asked about again.
const REMEMBERED: Duration = Duration::from_secs(10);
/// How many refused tokens are remembered.
const MAX_REMEMBERED: usize = 1024;
/// How long a token waits for others' reviews.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Reviews at once.
const MAX_UNDER_WAY: usize = 32;
