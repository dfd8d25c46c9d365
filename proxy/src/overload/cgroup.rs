//! Memory limit and use of the process's cgroup, version 1 or 2.

use std::fs;
use std::path::{Path, PathBuf};

/// Bytes in use (without page cache that the kernel would give back) and allowed, or none where no limit is
/// set. `root` is `/`, or a directory that stands for it in tests.
///
/// The tightest limit of the process's cgroup and its ancestors counts (cgroup v2: `memory.max` is
/// hierarchical). With a cgroup namespace the visible ancestors end at the container's own.
pub(super) fn memory(root: &Path) -> Option<(u64, u64)> {
    let own = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mut tightest: Option<(u64, u64)> = None;
    for line in own.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let files = if controllers.is_empty() {
            &V2
        } else if controllers.split(',').any(|name| name == "memory") {
            &V1
        } else {
            continue;
        };
        for mount in files.mounts {
            let mount = root.join(mount);
            for directory in ancestors(&mount, path) {
                if let Some(found) = files.read(&directory)
                    && tightest.is_none_or(|(_, limit)| found.1 < limit)
                {
                    tightest = Some(found);
                }
            }
        }
    }
    tightest
}

struct Files {
    mounts: &'static [&'static str],
    limit: &'static str,
    usage: &'static str,
    /// In `memory.stat`: page cache that can be given back.
    cache: &'static str,
}

/// <https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files>; systemd's hybrid mode mounts
/// it at `unified`.
const V2: Files = Files {
    mounts: &["sys/fs/cgroup", "sys/fs/cgroup/unified"],
    limit: "memory.max",
    usage: "memory.current",
    cache: "inactive_file",
};

/// <https://docs.kernel.org/admin-guide/cgroup-v1/memory.html>.
const V1: Files = Files {
    mounts: &["sys/fs/cgroup/memory"],
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    cache: "total_inactive_file",
};

impl Files {
    fn read(&self, directory: &Path) -> Option<(u64, u64)> {
        // `max` is no number and so no limit; v1 says "no limit" by a number near 2^63.
        let limit = number(&directory.join(self.limit)).filter(|limit| *limit < UNLIMITED_V1)?;
        let usage = number(&directory.join(self.usage))?;
        let cache = fs::read_to_string(directory.join("memory.stat"))
            .ok()
            .and_then(|stat| {
                stat.lines().find_map(|line| {
                    line.strip_prefix(self.cache)?.strip_prefix(' ')?.trim().parse::<u64>().ok()
                })
            })
            .unwrap_or(0);
        Some((usage.saturating_sub(cache), limit))
    }
}

/// The directory of a cgroup path and those above it, down to the mount. In a container without a cgroup
/// namespace the path is the host's and does not exist here; the mount itself is then the container's.
fn ancestors(mount: &Path, path: &str) -> Vec<PathBuf> {
    let mut directory = mount.join(path.trim_start_matches('/'));
    let mut all = Vec::new();
    while directory.starts_with(mount) {
        all.push(directory.clone());
        if !directory.pop() {
            break;
        }
    }
    all
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

const UNLIMITED_V1: u64 = 1 << 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn v2_takes_the_tightest_ancestor_and_leaves_cache_out() {
        let root = tree(&[
            ("proc/self/cgroup", "0::/pod/container\n"),
            ("sys/fs/cgroup/pod/memory.max", "1000\n"),
            ("sys/fs/cgroup/pod/memory.current", "600\n"),
            ("sys/fs/cgroup/pod/memory.stat", "anon 400\ninactive_file 150\n"),
            ("sys/fs/cgroup/pod/container/memory.max", "max\n"),
            ("sys/fs/cgroup/pod/container/memory.current", "500\n"),
        ]);
        assert_eq!(memory(root.path()), Some((450, 1000)));
    }

    #[test]
    fn v1_with_a_hosts_path_reads_the_mount() {
        let root = tree(&[
            ("proc/self/cgroup", "5:cpu:/x\n4:memory:/docker/abc\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "100000\n"),
            ("sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 40000\n"),
        ]);
        assert_eq!(memory(root.path()), Some((60000, 268_435_456)));
    }

    #[test]
    fn no_limit_is_none() {
        let root = tree(&[
            ("proc/self/cgroup", "4:memory:/\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n"),
        ]);
        assert_eq!(memory(root.path()), None);
        assert_eq!(memory(tree(&[]).path()), None);
    }
}
