//! `loadBalancer` of a BackendPolicy.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::Duration;

/// How an endpoint is picked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.affinity) || !has(self.algorithm) || self.algorithm in ['RingHash', 'Maglev']").message("affinity needs algorithm RingHash or Maglev; leave algorithm out to get Maglev"))]
pub struct LoadBalancer {
    /// The rule. Default: `LeastRequest`; with `affinity`, `Maglev`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "LoadBalancerAlgorithm")]
    pub algorithm: Option<LoadBalancerAlgorithm>,
    /// A new endpoint's share grows over this time. Default: `0s`, all at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<Duration>,
    /// What ties a client to an endpoint. Merged as a whole. Default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// Which zones are preferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zones: Option<Zones>,
}

/// Balancing rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LoadBalancerAlgorithm {
    /// By turns, by weight.
    RoundRobin,
    /// The less busy of two picked at random.
    #[default]
    LeastRequest,
    /// The less loaded of two picked at random, by a peak-sensitive moving average of latency.
    PeakEwma,
    /// At random, by weight.
    Random,
    /// Consistent hashing on a ring; without `affinity` by the client's address.
    RingHash,
    /// Consistent hashing by a Maglev table; without `affinity` by the client's address.
    Maglev,
}

/// What ties a client to an endpoint; exactly one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.cookie), has(self.header), has(self.queryParameter), has(self.clientIP)].filter(x, x).size() == 1").message("affinity needs exactly one of cookie, header, queryParameter, clientIP"))]
pub struct Affinity {
    /// The value of a cookie, which is made and set if the request has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<AffinityCookie>,
    /// The value of a request header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<AffinityName>,
    /// The value of a query parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_parameter: Option<AffinityName>,
    /// The client's address.
    #[serde(default, rename = "clientIP", skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<AffinityClientIp>,
}

/// A cookie that ties a client to an endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AffinityCookie {
    /// Its name.
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[A-Za-z0-9!#$%&'*+.^_|~`-]+$"))]
    pub name: String,
    /// Its path. Default: `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^/"))]
    pub path: Option<String>,
    /// Its life. Default: until the browser closes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Duration>,
}

/// The name of a header or query parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AffinityName {
    /// Its name.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
}

/// The client's address; it has no settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AffinityClientIp {}

/// Which zones are preferred.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Zones {
    /// Prefer endpoints of the proxy's own zone while they are fit. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefer: Option<bool>,
    /// Zones to try next, in order. Default: all others alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63)))]
    pub failover: Option<Vec<String>>,
}
