//! Response flags: why a request or connection did not go the ordinary way, in Envoy's letters.

use std::fmt;

/// A set of response flags. Prints as `UF,URX`, or `-` for none (Envoy `%RESPONSE_FLAGS%`).
#[derive(Clone, Copy, Default, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Flags(u32);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $text:literal;)*) => {
        impl Flags {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*
        }

        const NAMES: &[(Flags, &str)] = &[$((Flags::$name, $text)),*];
    };
}

flags! {
    /// The connection to the upstream could not be made.
    UPSTREAM_CONNECTION_FAILURE = 0, "UF";
    /// No healthy upstream.
    NO_HEALTHY_UPSTREAM = 1, "UH";
    /// A circuit limit of the upstream was reached.
    UPSTREAM_OVERFLOW = 2, "UO";
    /// No route fits.
    NO_ROUTE = 3, "NR";
    /// The route's backend does not exist.
    NO_BACKEND = 4, "NC";
    /// All retries were used up, or the bound on connection attempts.
    RETRY_LIMIT = 5, "URX";
    /// The downstream went away.
    DOWNSTREAM_TERMINATED = 6, "DC";
    /// The upstream closed the connection.
    UPSTREAM_TERMINATED = 7, "UC";
    /// The upstream reset the stream.
    UPSTREAM_RESET = 8, "UR";
    /// The upstream did not answer in time.
    UPSTREAM_TIMEOUT = 9, "UT";
    /// The proxy reset the stream itself.
    LOCAL_RESET = 10, "LR";
    /// Rate limited.
    RATE_LIMITED = 11, "RL";
    /// External authorisation denied.
    UNAUTHORIZED_EXTERNAL = 12, "UAEX";
    /// The rate limit service failed.
    RATE_LIMIT_ERROR = 13, "RLSE";
    /// The downstream broke the protocol.
    DOWNSTREAM_PROTOCOL_ERROR = 14, "DPE";
    /// The upstream broke the protocol.
    UPSTREAM_PROTOCOL_ERROR = 15, "UPE";
    /// The upstream was reached but its bound on connection or request age ended it.
    UPSTREAM_MAX_DURATION = 16, "UMSDR";
    /// The overload manager shed it.
    OVERLOAD = 17, "OM";
    /// An idle time-out ended it.
    IDLE_TIMEOUT = 18, "SI";
    /// The longest allowed duration ended it.
    DURATION_TIMEOUT = 19, "DT";
    /// The upstream's name could not be resolved.
    DNS_FAILURE = 20, "DF";
}

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// Cut by the proxy at the end of its drain: Envoy says so with the letters of a local reset.
    pub const DRAINED: Self = Self::LOCAL_RESET;

    /// Whether every flag of `other` is set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether no flag is set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl std::ops::BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("-");
        }
        let mut separator = "";
        for (flag, text) in NAMES {
            if self.contains(*flag) {
                write!(f, "{separator}{text}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flags({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_letters_in_fixed_order() {
        assert_eq!(Flags::NONE.to_string(), "-");
        let both = Flags::RETRY_LIMIT | Flags::UPSTREAM_CONNECTION_FAILURE;
        assert_eq!(both.to_string(), "UF,URX");
        assert!(both.contains(Flags::RETRY_LIMIT));
        assert!(!both.contains(Flags::NO_ROUTE));
    }
}
