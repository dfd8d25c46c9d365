//! GatewayParameters: what a class and a Gateway say about the proxy as a whole.

use api::own::{
    AccessLogFormat, AutoOr, GatewayLimits, GatewayParameters, GatewayParametersSpec, Telemetry, Tracing,
};
use api::{Object, ObjectKey};
use model::GatewaySettings;

use crate::index::Index;

/// Follows a `parametersRef`.
///
/// # Errors
/// What is wrong with it and how to mend it.
pub(crate) fn find<'a>(
    index: &Index<'a>,
    (group, kind): (&str, &str),
    namespace: Option<&str>,
    name: &str,
) -> Result<&'a GatewayParameters, (String, String)> {
    if group != GatewayParameters::GROUP || kind != GatewayParameters::KIND {
        let (group_wanted, kind_wanted) = (GatewayParameters::GROUP, GatewayParameters::KIND);
        let message = format!("{kind} of group {group:?} is no kind of parameters");
        return Err((message, format!("name a {kind_wanted} of group {group_wanted}, or remove it")));
    }
    let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) else {
        return Err((format!("{kind} lives in a namespace, and none is named"), "add namespace".to_owned()));
    };
    index.find::<GatewayParameters>(namespace, name).ok_or_else(|| {
        let key = ObjectKey::of::<GatewayParameters>(namespace, name);
        (format!("{key} does not exist"), "create it, name another, or remove the reference".to_owned())
    })
}

/// What holds for the proxy: field by field the Gateway's word, else its class's.
pub(crate) fn settings(
    class: Option<&GatewayParameters>,
    gateway: Option<&GatewayParameters>,
) -> GatewaySettings {
    let specs: Vec<_> = [gateway, class].into_iter().flatten().map(|parameters| &parameters.spec).collect();
    let merge = Merge(&specs);
    let otlp = merge.pick(|spec| tracing(spec)?.otlp.as_deref());
    let percent = merge.pick(|spec| tracing(spec)?.percent).unwrap_or(DEFAULT_PERCENT);
    let format = merge.pick(|spec| telemetry(spec)?.access_log.as_ref()?.format);
    GatewaySettings {
        drain_delay: merge.pick(|spec| spec.drain.as_ref()?.delay).map(Into::into),
        drain_deadline: merge.pick(|spec| spec.drain.as_ref()?.deadline).map(Into::into),
        access_log_text: format == Some(AccessLogFormat::Text),
        tracing_otlp: otlp.map(Into::into),
        tracing_per_10_000: if otlp.is_some() { per_10_000(percent) } else { 0 },
        memory_limit: exactly(merge.pick(|spec| limits(spec)?.memory)).map_or(0, |memory| memory.bytes()),
        connection_limit: exactly(merge.pick(|spec| limits(spec)?.connections)).unwrap_or(0),
    }
}

struct Merge<'s>(&'s [&'s GatewayParametersSpec]);

impl<'s> Merge<'s> {
    fn pick<T>(&self, of: impl Fn(&'s GatewayParametersSpec) -> Option<T>) -> Option<T> {
        self.0.iter().find_map(|spec| of(spec))
    }
}

fn telemetry(spec: &GatewayParametersSpec) -> Option<&Telemetry> {
    spec.telemetry.as_ref()
}

fn tracing(spec: &GatewayParametersSpec) -> Option<&Tracing> {
    telemetry(spec)?.tracing.as_ref()
}

fn limits(spec: &GatewayParametersSpec) -> Option<&GatewayLimits> {
    spec.limits.as_ref()
}

fn exactly<T>(value: Option<AutoOr<T>>) -> Option<T> {
    match value {
        Some(AutoOr::Exactly(value)) => Some(value),
        Some(AutoOr::Auto) | None => None,
    }
}

/// A share in per cent, as 1/10,000; out of range is the nearest that is in it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value is clamped to 0–10,000"
)]
fn per_10_000(percent: f64) -> u32 {
    (percent * 100.0).round().clamp(0.0, 10_000.0) as u32
}

/// Share of new traces that is sampled, if tracing is on and nobody says how much.
const DEFAULT_PERCENT: f64 = 1.0;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn parameters(spec: serde_json::Value) -> GatewayParameters {
        GatewayParameters::new("p", serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn nothing_said_is_the_default() {
        assert_eq!(settings(None, None), GatewaySettings::default());
    }

    #[test]
    fn the_gateway_overrides_its_class_field_by_field() {
        let class = parameters(json!({
            "drain": {"delay": "10s", "deadline": "1m"},
            "telemetry": {"accessLog": {"format": "text"}, "tracing": {"otlp": "otel:4317", "percent": 2.5}},
            "limits": {"memory": "512Mi", "connections": 100},
        }));
        let gateway = parameters(json!({
            "drain": {"delay": "20s"},
            "telemetry": {"accessLog": {"format": "json"}},
            "limits": {"connections": "auto"},
        }));
        let merged = settings(Some(&class), Some(&gateway));
        assert_eq!(merged.drain_delay, Some(Duration::from_secs(20)));
        assert_eq!(merged.drain_deadline, Some(Duration::from_secs(60)));
        assert!(!merged.access_log_text);
        assert_eq!(merged.tracing_otlp.as_deref(), Some("otel:4317"));
        assert_eq!(merged.tracing_per_10_000, 250);
        assert_eq!(merged.memory_limit, 512 << 20);
        assert_eq!(merged.connection_limit, 0);
    }

    #[test]
    fn one_per_cent_of_traces_unless_said() {
        let said = parameters(json!({"telemetry": {"tracing": {"otlp": "otel:4317"}}}));
        assert_eq!(settings(None, Some(&said)).tracing_per_10_000, 100);
        let unused = parameters(json!({"telemetry": {"tracing": {"percent": 50.0}}}));
        assert_eq!(settings(None, Some(&unused)).tracing_per_10_000, 0);
    }
}
