//! Settings of the proxy as a whole on the wire.

use super::error::DecodeError;
use super::pb;
use super::value::within;
use super::wire::{Wire, encode_option, optional};
use crate::GatewaySettings;

impl Wire for GatewaySettings {
    type Message = pb::Settings;

    fn encode(&self) -> pb::Settings {
        let Self {
            drain_delay,
            drain_deadline,
            access_log_text,
            tracing_otlp,
            tracing_per_10_000,
            memory_limit,
            connection_limit,
        } = self;
        pb::Settings {
            drain_delay: encode_option(drain_delay.as_ref()),
            drain_deadline: encode_option(drain_deadline.as_ref()),
            access_log_text: *access_log_text,
            tracing_otlp: encode_option(tracing_otlp.as_ref()),
            tracing_per_10_000: *tracing_per_10_000,
            memory_limit: *memory_limit,
            connection_limit: *connection_limit,
        }
    }

    fn decode(message: pb::Settings) -> Result<Self, DecodeError> {
        let pb::Settings {
            drain_delay,
            drain_deadline,
            access_log_text,
            tracing_otlp,
            tracing_per_10_000,
            memory_limit,
            connection_limit,
        } = message;
        Ok(Self {
            drain_delay: optional("drain_delay", drain_delay)?,
            drain_deadline: optional("drain_deadline", drain_deadline)?,
            access_log_text,
            tracing_otlp: optional("tracing_otlp", tracing_otlp)?,
            tracing_per_10_000: within("tracing_per_10_000", tracing_per_10_000, 0..=10_000)?,
            memory_limit,
            connection_limit,
        })
    }
}
