//! Durations as Gateway API writes them (GEP-2257): `15s`, `1m30s`, `500ms`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A GEP-2257 duration: one to four groups of one to five digits and a unit, `h`, `m`, `s` or `ms`.
///
/// Two durations are equal if they last equally long, however they are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(std::time::Duration);

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a duration; write it as hours, minutes, seconds, milliseconds, such as 1m30s or 500ms"
)]
pub struct ParseDurationError {
    text: String,
}

impl Duration {
    /// So many whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }

    /// So many milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(std::time::Duration::from_millis(milliseconds))
    }

    /// As the standard library's type.
    pub const fn get(self) -> std::time::Duration {
        self.0
    }

    /// Whether it lasts no time at all, which many fields read as "no limit" (GEP-1742).
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

impl FromStr for Duration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let milliseconds = parse(text).ok_or_else(|| ParseDurationError { text: text.to_owned() })?;
        Ok(Self::from_millis(milliseconds))
    }
}

impl fmt::Display for Duration {
    /// Writes the shortest form from the largest unit down: `1m30s`, never `90s`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_millis();
        if rest == 0 {
            return formatter.write_str("0s");
        }
        for (unit, length) in UNITS {
            let count = rest / u128::from(length);
            if count > 0 {
                write!(formatter, "{count}{unit}")?;
                rest %= u128::from(length);
            }
        }
        Ok(())
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": PATTERN})
    }
}

fn parse(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0;
    for group in 0.. {
        if rest.is_empty() {
            return (group > 0).then_some(total);
        }
        if group == 4 {
            return None;
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(digits)?;
        if !(1..=5).contains(&digits) {
            return None;
        }
        let (unit, length) = UNITS_TO_PARSE.into_iter().find(|(unit, _)| after.starts_with(unit))?;
        total += number.parse::<u64>().ok()? * length;
        rest = after.strip_prefix(unit)?;
    }
    None
}

/// Units and their length in milliseconds, the largest first.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The same, `ms` before `m`, whose name it starts with.
const UNITS_TO_PARSE: [(&str, u64); 4] = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];

/// GEP-2257's grammar as the CRDs write it.
const PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

#[cfg(test)]
mod tests {
    use super::Duration;

    #[test]
    fn every_unit_counts() {
        for (text, milliseconds) in [
            ("0s", 0),
            ("500ms", 500),
            ("15s", 15_000),
            ("1m30s", 90_000),
            ("1h1m1s1ms", 3_661_001),
            ("10ms1h", 3_600_010),
            ("99999h", 359_996_400_000),
        ] {
            assert_eq!(text.parse(), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn what_the_grammar_lacks_is_refused() {
        for text in ["", "1", "s", "1.5s", "-1s", "100000s", "1s1s1s1s1s", "1d", "1 s", "1us", "1sm"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }

    #[test]
    fn it_is_written_in_the_shortest_form() {
        for (milliseconds, text) in [(0, "0s"), (90_000, "1m30s"), (3_600_500, "1h500ms")] {
            assert_eq!(Duration::from_millis(milliseconds).to_string(), text);
            assert_eq!(text.parse(), Ok(Duration::from_millis(milliseconds)));
        }
    }
}
