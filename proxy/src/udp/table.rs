//! Sessions by client, bounded: the one that was silent longest gives way.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// What makes datagrams belong together.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(super) struct SessionKey {
    /// The client.
    pub(super) client: SocketAddr,
    /// Which of our addresses it sent to; known where the socket is bound to all of them.
    pub(super) local: Option<IpAddr>,
}

/// A map with an order of use: a list through its slots, most recently used first.
#[derive(Debug)]
pub(super) struct SessionTable<T> {
    places: HashMap<SessionKey, usize, ahash::RandomState>,
    slots: Vec<Slot<T>>,
    free: Vec<usize>,
    newest: usize,
    oldest: usize,
    bound: usize,
}

#[derive(Debug)]
struct Slot<T> {
    entry: Option<(SessionKey, T)>,
    newer: usize,
    older: usize,
}

/// No slot.
const NONE: usize = usize::MAX;

impl<T> SessionTable<T> {
    /// Holds at most `bound` sessions, at least one.
    pub(super) fn new(bound: usize) -> Self {
        Self {
            places: HashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            newest: NONE,
            oldest: NONE,
            bound: bound.max(1),
        }
    }

    /// The session, without using it.
    pub(super) fn get(&self, key: &SessionKey) -> Option<&T> {
        let place = *self.places.get(key)?;
        self.slots.get(place)?.entry.as_ref().map(|(_, value)| value)
    }

    /// All sessions, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.entry.as_ref().map(|(_, value)| value))
    }

    /// The session, which becomes the most recently used one.
    pub(super) fn touch(&mut self, key: &SessionKey) -> Option<&T> {
        let place = *self.places.get(key)?;
        if self.newest != place {
            self.unlink(place);
            self.link(place);
        }
        self.get(key)
    }

    /// Adds a session as the most recently used one. Gives what had to go: the session of the same key, or
    /// with a full table the least recently used one.
    pub(super) fn insert(&mut self, key: SessionKey, value: T) -> Option<T> {
        let mut gone = self.remove(&key);
        if gone.is_none() && self.places.len() >= self.bound {
            gone = self.oldest_key().and_then(|oldest| self.remove(&oldest));
        }
        let slot = Slot { entry: Some((key, value)), newer: NONE, older: NONE };
        let place = match self.free.pop() {
            Some(place) => {
                if let Some(old) = self.slots.get_mut(place) {
                    *old = slot;
                }
                place
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        self.places.insert(key, place);
        self.link(place);
        gone
    }

    /// Takes a session out.
    pub(super) fn remove(&mut self, key: &SessionKey) -> Option<T> {
        let place = self.places.remove(key)?;
        self.unlink(place);
        self.free.push(place);
        self.slots.get_mut(place)?.entry.take().map(|(_, value)| value)
    }

    fn oldest_key(&self) -> Option<SessionKey> {
        self.slots.get(self.oldest)?.entry.as_ref().map(|(key, _)| *key)
    }

    fn unlink(&mut self, place: usize) {
        let Some((newer, older)) = self.slots.get(place).map(|slot| (slot.newer, slot.older)) else { return };
        match self.slots.get_mut(newer) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
        match self.slots.get_mut(older) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link(&mut self, place: usize) {
        let older = self.newest;
        if let Some(slot) = self.slots.get_mut(place) {
            (slot.newer, slot.older) = (NONE, older);
        }
        match self.slots.get_mut(older) {
            Some(slot) => slot.newer = place,
            None => self.oldest = place,
        }
        self.newest = place;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn key(port: u16) -> SessionKey {
        SessionKey { client: ([127, 0, 0, 1], port).into(), local: None }
    }

    #[test]
    fn silent_longest_gives_way() {
        let mut table = SessionTable::new(2);
        assert_eq!(table.insert(key(1), 'a'), None);
        assert_eq!(table.insert(key(2), 'b'), None);
        assert_eq!(table.touch(&key(1)), Some(&'a'));
        assert_eq!(table.insert(key(3), 'c'), Some('b'));
        assert_eq!(table.insert(key(3), 'd'), Some('c'));
        assert_eq!(
            (table.get(&key(1)), table.get(&key(2)), table.get(&key(3))),
            (Some(&'a'), None, Some(&'d'))
        );
    }

    proptest! {
        /// The oracle is a queue that is searched.
        #[test]
        fn behaves_like_a_queue(steps in prop::collection::vec((0..3_u8, 0..8_u16), 0..200)) {
            let mut table = SessionTable::new(4);
            let mut queue: VecDeque<u16> = VecDeque::new();
            for (step, port) in steps {
                let known = queue.iter().position(|other| *other == port);
                match step {
                    0 => {
                        let gone = known.and_then(|at| queue.remove(at));
                        let gone = gone.or_else(|| if queue.len() == 4 { queue.pop_back() } else { None });
                        queue.push_front(port);
                        prop_assert_eq!(table.insert(key(port), port), gone);
                    }
                    1 => {
                        if let Some(at) = known {
                            queue.remove(at);
                            queue.push_front(port);
                        }
                        prop_assert_eq!(table.touch(&key(port)).copied(), known.map(|_| port));
                    }
                    _ => {
                        let gone = known.and_then(|at| queue.remove(at));
                        prop_assert_eq!(table.remove(&key(port)), gone);
                    }
                }
                prop_assert!(table.slots.len() <= 4);
            }
        }
    }
}
