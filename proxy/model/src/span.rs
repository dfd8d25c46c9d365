//! Durations as people write them: `15s`, `1500ms`. Use with `#[serde(with = "span")]`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// Writes whole seconds as `15s`, everything else in milliseconds or microseconds.
pub fn format(span: Duration) -> String {
    if span.subsec_nanos() == 0 {
        format!("{}s", span.as_secs())
    } else if span.subsec_nanos().is_multiple_of(1_000_000) {
        format!("{}ms", span.as_millis())
    } else {
        format!("{}us", span.as_micros())
    }
}

/// Reads what [`format`] writes. None if it is anything else.
pub fn parse(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    match text.strip_prefix(digits)? {
        "s" => Some(Duration::from_secs(number)),
        "ms" => Some(Duration::from_millis(number)),
        "us" => Some(Duration::from_micros(number)),
        _ => None,
    }
}

/// For `#[serde(with = "span")]`.
pub fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*span))
}

/// For `#[serde(with = "span")]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is not a duration such as 15s or 500ms")))
}

/// The same for `Option<Duration>`: `#[serde(with = "span::option")]`.
pub mod option {
    use super::*;

    /// For `#[serde(with = "span::option")]`.
    pub fn serialize<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => serializer.serialize_some(&super::format(*span)),
            None => serializer.serialize_none(),
        }
    }

    /// For `#[serde(with = "span::option")]`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| parse(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is not a duration"))))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for (span, text) in [
            (Duration::from_secs(15), "15s"),
            (Duration::ZERO, "0s"),
            (Duration::from_millis(1500), "1500ms"),
            (Duration::from_micros(25), "25us"),
        ] {
            assert_eq!(format(span), text);
            assert_eq!(parse(text), Some(span));
        }
        for bad in ["", "s", "5", "5m", "-1s", "1.5s"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
