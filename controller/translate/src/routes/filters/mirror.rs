//! RequestMirror.

use api::gateway_api::RequestMirrorFilter;
use model::{BackendRef, Mirror};

use super::super::{Fault, Site};
use crate::backends::Wire;

/// A mirror. None where nothing is to be mirrored: to an invalid backend, or none of the requests.
///
/// # Errors
/// A share that is none.
pub(super) fn mirror(
    wanted: &RequestMirrorFilter,
    wire: Wire,
    field: &str,
    site: &mut Site<'_, '_>,
) -> Result<Option<Mirror>, Fault> {
    // "dropped from the Gateway" (HTTPRequestMirrorFilter), and reported.
    let backend = site.resolve(&wanted.backend_ref, wire, &format!("{field}.backendRef"));
    let (numerator, denominator) = match (wanted.percent, &wanted.fraction) {
        (None, None) => (1, 1),
        (Some(percent), None) => (u32::from(percent), 100),
        (None, Some(fraction)) => (fraction.numerator, fraction.denominator),
        (Some(_), Some(_)) => {
            return Err(Fault::unsupported(field, "percent and fraction exclude each other"));
        }
    };
    if denominator == 0 || numerator > denominator {
        return Err(Fault::unsupported(field, format_args!("{numerator} of {denominator} is not a share")));
    }
    let mirror = |name| Mirror { backend: BackendRef::Name(name), numerator, denominator };
    Ok(backend.ok().filter(|_| numerator > 0).map(mirror))
}
