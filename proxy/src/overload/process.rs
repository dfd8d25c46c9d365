//! Memory and descriptors of this process, from `/proc`.

use std::fs;
use std::path::Path;

use super::cgroup;

/// Bytes in use and allowed. A configured limit is held against the resident set of this process; without one
/// the cgroup's limit counts, else the machine's memory. The limit is 0 where none of them is known.
pub(super) fn memory(root: &Path, configured: u64) -> (u64, u64) {
    let cgroup = cgroup::memory(root);
    let resident = kilobytes(&root.join("proc/self/status"), "VmRSS:").unwrap_or(0);
    match (configured, cgroup) {
        (0, Some(found)) => found,
        (0, None) => (resident, kilobytes(&root.join("proc/meminfo"), "MemTotal:").unwrap_or(0)),
        // The fuller of the two decides: the kernel kills by the cgroup whatever was configured.
        (limit, Some((usage, hard)))
            if u128::from(usage) * u128::from(limit) > u128::from(resident) * u128::from(hard) =>
        {
            (usage, hard)
        }
        (limit, _) => (resident, limit),
    }
}

/// Open descriptors and their soft limit; 0 where unknown.
pub(super) fn descriptors(root: &Path) -> (u64, u64) {
    let directory = root.join("proc/self/fd");
    // Since Linux 6.2 the directory's size is the count; before, it is 0 and the entries have to be counted.
    let open = match fs::metadata(&directory).map(|metadata| metadata.len()) {
        Ok(0) | Err(_) => fs::read_dir(&directory).map_or(0, |entries| entries.count() as u64),
        Ok(count) => count,
    };
    let limit = fs::read_to_string(root.join("proc/self/limits"))
        .ok()
        .and_then(|limits| {
            let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
            line.split_whitespace().next()?.parse().ok()
        })
        .unwrap_or(0);
    (open, limit)
}

/// `KEY   1234 kB` as bytes.
fn kilobytes(path: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    value.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_limit_is_held_against_the_resident_set_unless_the_cgroup_is_fuller() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/self/status", "Name:\tx\nVmRSS:\t     100 kB\n");
        write("proc/meminfo", "MemTotal:       1000 kB\n");
        write("proc/self/limits", "Limit  Soft Hard Units\nMax open files            20000  20000  files\n");
        write("proc/self/fd/0", "");
        assert_eq!(memory(root.path(), 0), (100 * 1024, 1000 * 1024));
        assert_eq!(memory(root.path(), 200 * 1024), (100 * 1024, 200 * 1024));
        write("proc/self/cgroup", "0::/\n");
        write("sys/fs/cgroup/memory.max", "1000000\n");
        write("sys/fs/cgroup/memory.current", "900000\n");
        assert_eq!(memory(root.path(), 0), (900_000, 1_000_000));
        assert_eq!(memory(root.path(), 200 * 1024), (900_000, 1_000_000));
        assert_eq!(memory(root.path(), 110 * 1024), (100 * 1024, 110 * 1024));
        assert_eq!(descriptors(root.path()).1, 20_000);
    }
}
