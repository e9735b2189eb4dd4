//! The atoms of terms, looked up once.

use std::sync::OnceLock;

use rustler::{Atom, Env};
use terms::word::{Shape, Word};

use crate::sys::Keys;

pub struct Atoms {
    words: Vec<Atom>,
    shapes: Vec<Keys>,
}

impl Atoms {
    /// Those of this library.
    pub fn get(env: Env<'_>) -> &'static Self {
        static ATOMS: OnceLock<Atoms> = OnceLock::new();
        ATOMS.get_or_init(|| {
            let atom = |word: &Word| {
                Atom::from_str(env, word.name()).unwrap_or_else(|_| rustler::types::atom::undefined())
            };
            let words = Word::ALL.iter().map(atom).collect();
            let shapes = Shape::ALL.iter().map(|shape| Keys::new(shape.words().iter().map(atom))).collect();
            Self { words, shapes }
        })
    }

    /// Each word's atom.
    pub fn word(&self, word: Word) -> Atom {
        self.words.get(word as usize).copied().unwrap_or_else(rustler::types::atom::undefined)
    }

    /// Each shape's keys.
    pub fn shape(&self, shape: Shape) -> Option<&Keys> {
        self.shapes.get(shape as usize)
    }
}
