//! The rotation, step by step.

use super::*;

const LIFE: u64 = 600;
const START: u64 = 1_000_000;
const LONGEST: Duration = Duration::from_secs(30);

fn slot(phase: Phase, from: u64) -> Slot<u32> {
    Slot {
        item: 0,
        phase,
        not_before: seconds(from),
        not_after: seconds(from + LIFE),
        hurry: false,
        sequence: 0,
        retire_at: None,
    }
}

fn facts() -> Facts {
    Facts { acknowledged: false, hints: Duration::from_secs(50), stragglers: seconds(0) }
}

fn line(slots: Vec<Slot<u32>>) -> Line<u32> {
    Line { slots }
}

#[test]
fn an_empty_line_prepares_publishes_and_activates_at_once() {
    let mut line = line(vec![]);
    let now = seconds(START);
    assert_eq!(line.due(now, &facts()), Some(Step::Prepare));
    line.slots.push(slot(Phase::Prepared, START));
    assert_eq!(line.due(now, &facts()), Some(Step::Publish));
    line.advance(Phase::Published { since: START });
    // There is no root that it could be told apart from: nobody has to wait.
    assert_eq!(line.due(now, &facts()), Some(Step::Acknowledge));
    line.advance(Phase::Acknowledged);
    assert_eq!(line.due(now, &facts()), Some(Step::Activate));
    line.activate(seconds(START + 500), LONGEST);
    assert_eq!(line.due(now, &facts()), None);
    assert_eq!(line.wake_at(&facts()), Some(seconds(START + LIFE / 2)));
}

#[test]
fn a_successor_signs_only_after_it_was_known_and_five_sixths_have_passed() {
    let mut line = line(vec![slot(Phase::Active, START)]);
    assert_eq!(line.due(seconds(START + 299), &facts()), None);
    assert_eq!(line.due(seconds(START + 300), &facts()), Some(Step::Prepare));
    line.slots.push(slot(Phase::Published { since: START + 300 }, START + 300));
    assert_eq!(line.due(seconds(START + 349), &facts()), None);
    assert_eq!(line.wake_at(&facts()), Some(seconds(START + 350)));
    assert_eq!(line.due(seconds(START + 350), &facts()), Some(Step::Acknowledge));
    line.advance(Phase::Acknowledged);
    assert_eq!(line.due(seconds(START + 499), &facts()), None);
    assert_eq!(line.wake_at(&facts()), Some(seconds(START + 500)));
    assert_eq!(line.due(seconds(START + 500), &facts()), Some(Step::Activate));
    line.activate(seconds(START + 500), LONGEST);
    let phases: Vec<_> = line.slots.iter().map(|slot| slot.phase).collect();
    assert_eq!(phases, [Phase::Superseded, Phase::Active]);
    let gone = seconds(START + LIFE) + KEEP_AFTER_EXPIRY;
    assert_eq!(line.due(gone - Duration::from_secs(1), &facts()), Some(Step::Prepare));
    assert_eq!(line.due(gone, &facts()), Some(Step::Retire(0)));
}

#[test]
fn hurry_skips_the_five_sixths_but_not_the_acknowledgement() {
    let mut next = slot(Phase::Published { since: START + 10 }, START + 10);
    next.hurry = true;
    let mut line = line(vec![slot(Phase::Active, START), next]);
    assert_eq!(line.due(seconds(START + 11), &facts()), None);
    let all = Facts { acknowledged: true, ..facts() };
    assert_eq!(line.due(seconds(START + 11), &all), Some(Step::Acknowledge));
    line.advance(Phase::Acknowledged);
    assert_eq!(line.due(seconds(START + 11), &all), Some(Step::Activate));
}

#[test]
fn certificates_from_before_the_publication_are_waited_for() {
    let next = slot(Phase::Published { since: START + 300 }, START + 300);
    let line = line(vec![slot(Phase::Active, START), next]);
    let facts = Facts { acknowledged: true, stragglers: seconds(START + 380), ..facts() };
    assert_eq!(line.due(seconds(START + 379), &facts), None);
    assert_eq!(line.due(seconds(START + 380), &facts), Some(Step::Acknowledge));
}

#[test]
fn an_expired_root_is_not_waited_for() {
    let next = slot(Phase::Published { since: START + LIFE - 1 }, START + 300);
    let line = line(vec![slot(Phase::Active, START), next]);
    let late = Facts { stragglers: seconds(START + 10 * LIFE), ..facts() };
    assert_eq!(line.due(seconds(START + LIFE), &late), Some(Step::Acknowledge));
}

#[test]
fn a_root_whose_end_was_asked_for_leaves_when_nothing_of_it_can_hold() {
    let mut next = slot(Phase::Acknowledged, START + 10);
    next.hurry = true;
    let mut line = line(vec![slot(Phase::Active, START), next]);
    line.activate(seconds(START + 20), LONGEST);
    let gone = seconds(START + 20) + LONGEST + SLOW_CLOCKS;
    assert_eq!(line.wake_at(&facts()), Some(gone));
    assert_eq!(line.due(gone - Duration::from_secs(1), &facts()), None);
    assert_eq!(line.due(gone, &facts()), Some(Step::Retire(0)));
}
