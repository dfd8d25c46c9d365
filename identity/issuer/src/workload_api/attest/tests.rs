//! Processes, and selectors.

use super::*;

#[test]
fn the_start_time_is_read_past_any_program_name() {
    let stat = "7 (a) b) 1 (c) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 424242 1 1";
    assert_eq!(started(stat), Some(424_242));
    assert_eq!(started("7 (a"), None);
}

#[test]
fn pods_are_read_from_both_cgroup_drivers_and_only_below_the_kubelets_root() {
    let uid = "11112222-3333-4444-5555-666677778888";
    let systemd = format!(
        "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice/cri-containerd-1.scope\n",
        uid.replace('-', "_")
    );
    assert_eq!(pod_uid(&systemd).as_deref(), Some(uid));
    assert_eq!(pod_uid(&format!("0::/kubepods/besteffort/pod{uid}/abc\n")).as_deref(), Some(uid));
    assert_eq!(pod_uid(&format!("0::/user.slice/kubepods/pod{uid}/abc\n")), None);
    assert_eq!(pod_uid(&format!("0::/user.slice/pod{uid}\n")), None);
    assert_eq!(pod_uid("0::/kubepods/podevil\n"), None);
    let two = format!("1:cpu:/kubepods/pod{uid}/a\n2:memory:/kubepods/pod{}/b\n", uid.replace('1', "9"));
    assert_eq!(pod_uid(&two), None, "cgroups that disagree name no pod");
    assert_eq!(pod_uid(""), None);
}

#[test]
fn every_selector_given_must_match_and_none_matches_nobody() {
    let facts = Facts {
        pid: 7,
        uid: 1001,
        gid: 100,
        path: Some("/usr/bin/reports".into()),
        pod_uid: None,
        started: 1,
    };
    let given = |uid, gid, path: Option<&str>, pod: Option<&str>| Selectors {
        uid,
        gid,
        path: path.map(Into::into),
        pod_uid: pod.map(Into::into),
    };
    assert!(given(Some(1001), None, None, None).match_facts(&facts));
    assert!(given(Some(1001), Some(100), Some("/usr/bin/reports"), None).match_facts(&facts));
    assert!(!given(None, None, None, None).match_facts(&facts));
    assert!(!given(Some(1002), None, None, None).match_facts(&facts));
    assert!(!given(Some(1001), Some(0), None, None).match_facts(&facts));
    assert!(!given(Some(1001), None, Some("/usr/bin/other"), None).match_facts(&facts));
    assert!(!given(Some(1001), None, None, Some("pod")).match_facts(&facts));
    let hidden = Facts { path: None, ..facts };
    assert!(!given(Some(1001), None, Some("/usr/bin/reports"), None).match_facts(&hidden));
}

#[tokio::test]
async fn a_process_is_itself_until_it_ends() {
    let (ours, theirs) = tokio::net::UnixStream::pair().unwrap();
    let process = Process::attest(theirs.peer_cred().unwrap()).unwrap();
    let facts = process.facts().unwrap();
    assert_eq!(facts.pid, i32::try_from(std::process::id()).unwrap());
    assert_eq!(facts.path, std::env::current_exe().ok());
    drop(ours);
}

#[test]
fn a_process_that_has_ended_is_nobody_whoever_has_its_number_now() {
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let folder = File::open(format!("/proc/{pid}")).unwrap();
    let uid = folder.metadata().unwrap().uid();
    read(&folder, pid, uid, 0).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(matches!(read(&folder, pid, uid, 0), Err(AttestError::Ended)));
}

#[test]
fn a_programs_path_cannot_write_lines_of_the_log() {
    let facts = Facts {
        pid: 7,
        uid: 1,
        gid: 2,
        path: Some("/tmp/x\n{\"message\":\"Issued\"}\u{1b}[2J".into()),
        pod_uid: None,
        started: 1,
    };
    let text = facts.to_string();
    assert!(!text.chars().any(char::is_control), "{text:?}");
}
