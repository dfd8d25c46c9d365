//! A hash that is the same in every process: consistent hashing and session tokens must agree between proxies.

/// FNV-1a over the parts and a number, each part ended by 0xff (which no UTF-8 text holds), then mixed.
pub(crate) fn of_parts(parts: &[&str], number: u64) -> u64 {
    let mut hash = OFFSET;
    for part in parts {
        hash = fold(hash, part.as_bytes());
        hash = fold(hash, &[0xff]);
    }
    mix(fold(hash, &number.to_le_bytes()))
}

/// Of a request's affinity value (cookie, header, query parameter, address).
pub fn of_bytes(bytes: &[u8]) -> u64 {
    mix(fold(OFFSET, bytes))
}

/// The 64-bit finaliser of MurmurHash3: FNV alone leaves the high bits of short inputs alike.
pub(crate) fn mix(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

fn fold(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_pinned() {
        // A change here moves every client of every hashed backend.
        assert_eq!(of_bytes(b"client"), of_bytes(b"client"));
        assert_eq!(mix(0), 0);
        assert_eq!(of_bytes(b""), mix(OFFSET));
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(of_parts(&["ab", "c"], 1), of_parts(&["a", "bc"], 1));
        assert_ne!(of_parts(&["a"], 1), of_parts(&["a"], 2));
    }
}
