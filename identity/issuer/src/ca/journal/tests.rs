//! The journal: crashes, corruption, and who else may read.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn record(sequence: u64) -> Record {
    Record { trust_domain: "td.test".to_owned(), sequence, ..Record::default() }
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("state");
    (temp, path)
}

#[test]
fn what_is_written_is_read_again() {
    let (_temp, path) = folder();
    let journal = Journal::open(&path).unwrap();
    assert!(journal.read("td.test").unwrap().is_none());
    journal.write(&record(7)).unwrap();
    drop(journal);
    let journal = Journal::open(&path).unwrap();
    assert_eq!(journal.read("td.test").unwrap().unwrap().sequence, 7);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o700);
    for file in fs::read_dir(&path).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

#[test]
fn two_processes_never_share_a_folder() {
    let (_temp, path) = folder();
    let held = Journal::open(&path).unwrap();
    assert!(matches!(Journal::open(&path), Err(JournalError::Locked(_))));
    drop(held);
    Journal::open(&path).unwrap();
}

#[test]
fn a_crash_at_any_step_leaves_the_old_state_or_the_new_one() {
    use WriteStep::*;
    for step in [Create, Write, SyncFile, Rename, SyncFolder, Mark] {
        let (_temp, path) = folder();
        let mut journal = Journal::open(&path).unwrap();
        journal.write(&record(1)).unwrap();
        journal.fault = Some(step);
        journal.write(&record(2)).unwrap_err();
        drop(journal);
        let journal = Journal::open(&path).unwrap();
        let found = journal.read("td.test").unwrap().unwrap().sequence;
        let renamed = matches!(step, SyncFolder | Mark);
        assert_eq!(found, if renamed { 2 } else { 1 }, "{step:?}");
        // And the next write goes through whatever was left aside.
        journal.write(&record(3)).unwrap();
        assert_eq!(journal.read("td.test").unwrap().unwrap().sequence, 3, "{step:?}");
    }
}

#[test]
fn a_crash_in_the_first_write_leaves_an_unused_folder_or_the_state() {
    use WriteStep::*;
    for step in [Create, Write, SyncFile, Rename, SyncFolder, Mark] {
        let (_temp, path) = folder();
        let mut journal = Journal::open(&path).unwrap();
        journal.fault = Some(step);
        journal.write(&record(1)).unwrap_err();
        drop(journal);
        let found = Journal::open(&path).unwrap().read("td.test").unwrap();
        assert_eq!(found.is_some(), matches!(step, SyncFolder | Mark), "{step:?}");
    }
}

#[test]
fn state_that_cannot_be_trusted_is_refused_loudly() {
    let (_temp, path) = folder();
    let journal = Journal::open(&path).unwrap();
    journal.write(&record(1)).unwrap();
    let state = path.join(STATE);
    let good = fs::read_to_string(&state).unwrap();
    let corrupt = |text: &str| {
        fs::write(&state, text).unwrap();
        journal.read("td.test").unwrap_err().to_string()
    };
    assert!(corrupt(&good.replace("\"sequence\":1", "\"sequence\":2")).contains("checksum"));
    assert!(corrupt(&good[..good.len() - 1]).contains("checksum"));
    assert!(corrupt("").contains("first line"));
    assert!(corrupt("hello\nworld").contains("not written by an issuer"));
    assert!(corrupt(&good.replacen(" 1 ", " 2 ", 1)).contains("another version"));
    fs::write(&state, &good).unwrap();
    let foreign = journal.read("other.test").unwrap_err().to_string();
    assert!(foreign.contains("td.test") && foreign.contains("other.test"), "{foreign}");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(journal.read("td.test"), Err(JournalError::Open { .. })));
    fs::remove_file(&state).unwrap();
    assert!(journal.read("td.test").unwrap_err().to_string().contains("missing"));
}

#[test]
fn a_folder_that_others_can_enter_is_refused() {
    let (_temp, path) = folder();
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(Journal::open(&path), Err(JournalError::Open { mode: 0o755, .. })));
}
