//! A SPIFFE issuer.
