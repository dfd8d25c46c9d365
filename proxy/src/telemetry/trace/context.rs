//! W3C trace context, level 1 (<https://www.w3.org/TR/trace-context/>).

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// A trace's ID; never zero.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TraceId(pub(super) u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A span of ours in a trace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SpanContext {
    pub(super) trace: TraceId,
    pub(super) span: u64,
    /// The span that called us.
    pub(super) parent: Option<u64>,
    sampled: bool,
}

impl SpanContext {
    /// A child of what the headers name, else the first span of a new trace, sampled if `sample` says so. An
    /// unsound `traceparent` is as none, and its `tracestate` goes with it (§3.2, §4.3).
    pub(super) fn begin(headers: &mut HeaderMap, sample: impl FnOnce() -> bool) -> Self {
        let context = match incoming(headers) {
            Some(Incoming { trace, span, sampled }) => {
                Self { trace, span: random_u64(), parent: Some(span), sampled }
            }
            None => {
                headers.remove(&TRACESTATE);
                let trace = TraceId((u128::from(random_u64()) << 64) | u128::from(random_u64()));
                Self { trace, span: random_u64(), parent: None, sampled: sample() }
            }
        };
        headers.insert(TRACEPARENT, context.traceparent());
        context
    }

    /// The trace.
    pub fn trace_id(&self) -> TraceId {
        self.trace
    }

    /// Whether the span is exported.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    fn traceparent(&self) -> HeaderValue {
        let text = format!("00-{}-{:016x}-0{}", self.trace, self.span, u8::from(self.sampled));
        HeaderValue::try_from(text).expect("hexadecimal digits and dashes are a header value")
    }
}

/// The trace that a request's headers name; for the access log where nothing is exported.
pub fn trace_id(headers: &HeaderMap) -> Option<TraceId> {
    incoming(headers).map(|incoming| incoming.trace)
}

struct Incoming {
    trace: TraceId,
    span: u64,
    sampled: bool,
}

fn incoming(headers: &HeaderMap) -> Option<Incoming> {
    let mut values = headers.get_all(&TRACEPARENT).iter();
    let value = values.next()?;
    // Two of them contradict each other (§3.2: exactly one).
    if values.next().is_some() { None } else { parse(value.as_bytes()) }
}

/// `VERSION-TRACE-SPAN-FLAGS`, lower-case hexadecimal. Later versions may go on after a dash (§3.2.2.1).
fn parse(value: &[u8]) -> Option<Incoming> {
    let (head, rest) = value.split_at_checked(55)?;
    let [v0, v1, b'-', ..] = head else { return None };
    let version = hex(&[*v0, *v1])?;
    let rest_fits = if version == 0 { rest.is_empty() } else { rest.is_empty() || rest.starts_with(b"-") };
    if version == 0xff || !rest_fits || head.get(35) != Some(&b'-') || head.get(52) != Some(&b'-') {
        return None;
    }
    let trace = hex(head.get(3..35)?)?;
    let span = u64::try_from(hex(head.get(36..52)?)?).ok()?;
    let flags = hex(head.get(53..55)?)?;
    (trace != 0 && span != 0).then_some(Incoming { trace: TraceId(trace), span, sampled: flags & 1 == 1 })
}

fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some((value << 4) | u128::from(digit))
    })
}

/// IDs need not be secret, only different; zero is not one.
fn random_u64() -> u64 {
    fastrand::u64(1..)
}

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(parents: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for parent in parents {
            headers.append(TRACEPARENT, HeaderValue::from_str(parent).unwrap());
        }
        headers.insert(TRACESTATE, HeaderValue::from_static("vendor=1"));
        headers
    }

    #[test]
    fn sound_parent_is_continued() {
        for (parent, sampled) in [
            (SOUND, true),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", false),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03", true),
            ("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", true),
            ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true),
        ] {
            let mut headers = headers(&[parent]);
            let context = SpanContext::begin(&mut headers, || panic!("the caller has decided"));
            assert_eq!(context.trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
            assert_eq!((context.parent, context.sampled), (Some(0xb7ad_6b71_6920_3331), sampled));
            let next = incoming(&headers).unwrap();
            assert_eq!((next.trace, next.span, next.sampled), (context.trace, context.span, sampled));
            assert_eq!(headers[TRACESTATE], "vendor=1");
        }
    }

    #[test]
    fn unsound_parent_begins_a_new_trace() {
        for parents in [
            &[][..],
            &[SOUND, SOUND],
            &["00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"],
            &["00-00000000000000000000000000000000-b7ad6b7169203331-01"],
            &["00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"],
            &["ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
            &["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"],
            &["01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01more"],
            &["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"],
            &["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0"],
            &["00.0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
            &[""],
        ] {
            let mut headers = headers(parents);
            let context = SpanContext::begin(&mut headers, || true);
            assert_eq!((context.parent, context.sampled), (None, true), "{parents:?}");
            assert_ne!(context.trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
            assert_eq!(trace_id(&headers), Some(context.trace));
            assert_eq!(headers.get(TRACESTATE), None, "{parents:?}");
        }
    }
}
