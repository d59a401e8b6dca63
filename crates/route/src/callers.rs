//! Who used projects' keys and secrets: gathered for the bookkeeper, so that whoever resets one knows whom it concerns.
//!
//! # Invariants
//! * Bounded: between two drains at most [`CALLERS_MAX`] are told apart; what is more counts as nobody's in particular.
//! * Of an address, what the project keeps of its senders' addresses, and nothing else.

use std::{collections::HashMap, net::IpAddr};

use forebay_record::ProjectId;

use crate::{
    Uses,
    sync::{Mutex, lock},
};

const CALLERS_MAX: usize = 4096;
/// Of what a program calls itself.
const USER_AGENT_BYTES_MAX: usize = 128;

/// Somebody who used a credential of a project.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Whose credential it is.
    pub project: ProjectId,
    /// It was the API secret; else the API key.
    pub is_secret: bool,
    /// What the program calls itself, cut to 128 bytes.
    pub user_agent: Box<str>,
    /// From where, as far as the project keeps that.
    pub address: Option<IpAddr>,
}

impl Caller {
    /// A caller, what it calls itself being cut and freed of what no line may hold.
    #[must_use]
    pub fn new(project: ProjectId, is_secret: bool, user_agent: &[u8], address: Option<IpAddr>) -> Caller {
        let cut = &user_agent[..user_agent.len().min(USER_AGENT_BYTES_MAX)];
        let plain = cut.iter().map(|&b| if (b' '..=b'~').contains(&b) { char::from(b) } else { '?' });
        Caller { project, is_secret, user_agent: plain.collect::<String>().into(), address }
    }

    fn nobody(&self) -> Caller {
        Caller { user_agent: "".into(), address: None, ..*self }
    }
}

#[derive(Default)]
pub(crate) struct Callers(Mutex<HashMap<Caller, Uses>>);

impl Callers {
    pub(crate) fn note(&self, caller: Caller, more: Uses) {
        let mut callers = lock(&self.0);
        let is_known = callers.len() < CALLERS_MAX || callers.contains_key(&caller);
        let caller = if is_known { caller } else { caller.nobody() };
        let uses = callers.entry(caller).or_default();
        uses.count += more.count;
        uses.last_ms = more.last_ms.max(uses.last_ms);
    }

    pub(crate) fn drain(&self) -> Vec<(Caller, Uses)> {
        lock(&self.0).drain().collect()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn caller(user_agent: &str) -> Caller {
        Caller::new(ProjectId::new(7).expect("a number"), true, user_agent.as_bytes(), None)
    }

    #[test]
    fn callers_are_told_apart_and_counted() {
        let callers = Callers::default();
        callers.note(caller("a"), Uses { count: 1, last_ms: 5 });
        callers.note(caller("b"), Uses { count: 1, last_ms: 6 });
        callers.note(caller("a"), Uses { count: 2, last_ms: 4 });
        let mut drained = callers.drain();
        drained.sort_by_key(|(caller, _)| caller.user_agent.clone());
        let shown: Vec<_> =
            drained.iter().map(|(c, uses)| (&*c.user_agent, uses.count, uses.last_ms)).collect();
        assert_eq!(shown, [("a", 3, 5), ("b", 1, 6)]);
        assert_eq!(callers.drain(), []);
    }

    #[test]
    fn too_many_callers_count_as_nobody_in_particular() {
        let callers = Callers::default();
        for n in 0..CALLERS_MAX + 10 {
            callers.note(caller(&n.to_string()), Uses { count: 1, last_ms: 1 });
        }
        let drained = callers.drain();
        assert_eq!(drained.len(), CALLERS_MAX + 1);
        assert_eq!(drained.iter().find(|(c, _)| c.user_agent.is_empty()).unwrap().1.count, 10);
    }

    #[test]
    fn what_a_program_calls_itself_is_cut_and_on_one_line() {
        assert_eq!(&*caller("a\r\nb\u{e9}").user_agent, "a??b??");
        assert_eq!(caller(&"x".repeat(4000)).user_agent.len(), USER_AGENT_BYTES_MAX);
    }
}
