//! The known name that a mistyped one probably meant.

/// Longest name that is compared; longer ones are not typing errors of field names.
const LONGEST: usize = 64;

/// The candidate nearest to `name`, if one is near enough to be meant: equal but for case, or within a third of its length in edits.
pub(super) fn nearest<'c>(name: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    if name.len() > LONGEST {
        return None;
    }
    let allowed = (name.chars().count() / 3).max(1);
    candidates
        .map(|candidate| {
            let distance = if candidate.eq_ignore_ascii_case(name) { 0 } else { distance(name, candidate) };
            (distance, candidate)
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits between two words in characters, the exchange of two neighbours counting as one (optimal string alignment).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut older: Vec<usize> = Vec::new();
    let mut old: Vec<usize> = (0..=right.len()).collect();
    let mut last_from = None;
    for (index, from) in left.chars().enumerate() {
        let mut row = Vec::with_capacity(old.len());
        row.push(index + 1);
        let mut last_to = None;
        for (column, to) in right.iter().copied().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX - 1);
            let mut cost = at(&old, column) + usize::from(from != to);
            cost = cost.min(at(&old, column + 1) + 1).min(at(&row, column) + 1);
            if last_from == Some(to) && last_to == Some(from) {
                cost = cost.min(at(&older, column - 1) + 1);
            }
            row.push(cost);
            last_to = Some(to);
        }
        last_from = Some(from);
        older = std::mem::replace(&mut old, row);
    }
    old.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn nearest_is_the_one_meant() {
        let known = ["hostnames", "parentRefs", "rules", "port"];
        for (typed, meant) in [
            ("hostname", Some("hostnames")),
            ("parentrefs", Some("parentRefs")),
            ("ruels", Some("rules")),
            ("prt", Some("port")),
            ("backendRefs", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, known.into_iter()), meant, "{typed}");
        }
    }
}
