//! XBackendTrafficPolicy, gateway.networking.x-k8s.io/v1alpha1.
//!
//! Written by `cargo xtask crds` from the CRDs of Gateway API v1.7.0 (Apache-2.0), experimental channel.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::common::{LocalObjectReference, PolicyStatus, SessionPersistence};
use crate::duration::Duration;
use crate::object::Object;

/// XBackendTrafficPolicy defines the configuration for how traffic to a target backend should be
/// handled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct XBackendTrafficPolicy {
    /// Name, namespace, labels and the rest of the standard metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What the user asks for.
    pub spec: XBackendTrafficPolicySpec,
    /// What the controllers have answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<PolicyStatus>,
}

impl Object for XBackendTrafficPolicy {
    const GROUP: &'static str = "gateway.networking.x-k8s.io";
    const VERSION: &'static str = "v1alpha1";
    const KIND: &'static str = "XBackendTrafficPolicy";
    const PLURAL: &'static str = "xbackendtrafficpolicies";
    const VERSIONS: &'static [&'static str] = &["v1alpha1"];
    const NAMESPACED: bool = true;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// Budget holds the details of the retry budget configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryBudget {
    /// Interval defines the duration in which requests will be considered for calculating the budget
    /// for retries.
    #[serde(default = "default_retry_budget_interval")]
    pub interval: Duration,
    /// Percent defines the maximum percentage of active requests that may be made up of retries.
    #[serde(default = "default_retry_budget_percent")]
    pub percent: u16,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { interval: default_retry_budget_interval(), percent: default_retry_budget_percent() }
    }
}

fn default_retry_budget_interval() -> Duration {
    Duration::from_secs(10)
}

fn default_retry_budget_percent() -> u16 {
    20
}

/// RetryConstraint defines the configuration for when to allow or prevent further retries to a
/// target backend, by dynamically calculating a 'retry budget'.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryConstraint {
    /// Budget holds the details of the retry budget configuration.
    #[serde(default = "default_retry_constraint_budget")]
    pub budget: RetryBudget,
    /// MinRetryRate defines the minimum rate of retries that will be allowable over a specified
    /// duration of time.
    #[serde(default = "default_retry_constraint_min_retry_rate")]
    pub min_retry_rate: RetryRate,
}

impl Default for RetryConstraint {
    fn default() -> Self {
        Self {
            budget: default_retry_constraint_budget(),
            min_retry_rate: default_retry_constraint_min_retry_rate(),
        }
    }
}

fn default_retry_constraint_budget() -> RetryBudget {
    RetryBudget { interval: Duration::from_secs(10), percent: 20 }
}

fn default_retry_constraint_min_retry_rate() -> RetryRate {
    RetryRate { count: Some(10), interval: Some(Duration::from_secs(1)) }
}

/// MinRetryRate defines the minimum rate of retries that will be allowable over a specified duration
/// of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryRate {
    /// Count specifies the number of requests per time interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Interval specifies the divisor of the rate of requests, the amount of time during which the
    /// given count of requests occur.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
}

/// Spec defines the desired state of BackendTrafficPolicy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct XBackendTrafficPolicySpec {
    /// RetryConstraint defines the configuration for when to allow or prevent further retries to a
    /// target backend, by dynamically calculating a 'retry budget'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_constraint: Option<RetryConstraint>,
    /// Deprecated: use the Backend resource for session persistence (GEP-4894).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_persistence: Option<SessionPersistence>,
    /// TargetRefs identifies API object(s) to apply this policy to.
    #[serde(default)]
    pub target_refs: Vec<LocalObjectReference>,
}
