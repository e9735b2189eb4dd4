//! Keys of JSON objects that come again: one term for all of them.

use rustler::{Env, Term};

use crate::sys;

/// So many keys are made before any is kept: that costs more than it saves where few come again, as in one document.
const AT_FIRST: usize = 64;
const SLOTS: usize = 64;
const LONGEST: usize = 32;

/// The keys that were made lately, each at a place that its text tells.
pub struct Keys<'a> {
    made: usize,
    slots: Vec<Slot<'a>>,
}

#[derive(Clone, Copy)]
struct Slot<'a> {
    text: [u8; LONGEST],
    length: usize,
    term: Option<Term<'a>>,
}

impl Slot<'_> {
    fn is(&self, text: &[u8]) -> bool {
        self.text.get(..self.length).is_some_and(|known| known == text)
    }
}

impl<'a> Keys<'a> {
    pub fn new() -> Self {
        Self { made: 0, slots: Vec::new() }
    }

    /// Whether keys are kept by now.
    pub fn are_kept(&self) -> bool {
        !self.slots.is_empty()
    }

    /// The term of a key.
    pub fn term(&mut self, env: Env<'a>, text: &[u8]) -> Term<'a> {
        if self.slots.is_empty() {
            self.made += 1;
            if self.made > AT_FIRST {
                self.slots = vec![Slot { text: [0; LONGEST], length: 0, term: None }; SLOTS];
            }
            return sys::binary(env, text);
        }
        let Some(slot) = self.slots.get_mut(place(text)) else { return sys::binary(env, text) };
        match slot.term {
            Some(term) if slot.is(text) => term,
            _ => {
                let term = sys::binary(env, text);
                if let Some(kept) = slot.text.get_mut(..text.len()) {
                    kept.copy_from_slice(text);
                    slot.length = text.len();
                    slot.term = Some(term);
                }
                term
            }
        }
    }
}

fn place(text: &[u8]) -> usize {
    let hash = text
        .iter()
        .take(LONGEST)
        .fold(0_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193).rotate_left(5));
    hash as usize % SLOTS
}
