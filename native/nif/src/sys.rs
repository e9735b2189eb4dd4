//! What rustler does not offer, or not fast enough, over the NIF functions themselves: the one file with `unsafe`.

#![allow(unsafe_code, reason = "calls into the VM; every use says why it is sound")]

use std::marker::PhantomData;

use rustler::sys::{
    ErlNifPid, ErlNifTerm, enif_get_tuple, enif_make_list_from_array, enif_make_map_from_arrays,
    enif_make_tuple_from_array, enif_self, enif_send,
};
use rustler::types::map::map_new;
use rustler::{Atom, Env, LocalPid, NewBinary, OwnedEnv, Term};

/// Has small pieces of memory that are freed joined to their neighbours at once.
///
/// The C library leaves that to a later allocation, of anybody on the same arena: after a hundred thousand frees on another
/// thread one of 1 KiB takes 30 ms.
pub fn join_freed_at_once() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets a number of the C library, under a lock of its own; any time and thread will do.
    unsafe {
        libc::mallopt(libc::M_MXFAST, 0);
    }
}

/// A binary on the heap of the environment up to 64 bytes, a counted one of its own above.
pub fn binary<'a>(env: Env<'a>, bytes: &[u8]) -> Term<'a> {
    NewBinary::from_slice(env, bytes).into()
}

/// The keys of a map: atoms, which are distinct. It is built fastest with the keys in order.
pub struct Keys(Vec<ErlNifTerm>);

impl Keys {
    /// These atoms.
    pub fn new(atoms: impl Iterator<Item = Atom>) -> Self {
        Self(atoms.map(|atom| atom.as_c_arg()).collect())
    }
}

/// `None` when two keys are the same.
fn map<'a>(env: Env<'a>, keys: &[ErlNifTerm], values: &[ErlNifTerm]) -> Option<Term<'a>> {
    let count = keys.len().min(values.len());
    let mut made = keys.first().copied().unwrap_or_else(|| map_new(env).as_c_arg());
    // SAFETY: both arrays hold at least `count` terms, and those are of `env` (or atoms, which are of none); the
    // callers take them from `Term<'a>` only, whose lifetime is that of `env`.
    let done = unsafe {
        enif_make_map_from_arrays(env.as_c_arg(), keys.as_ptr(), values.as_ptr(), count, &raw mut made)
    };
    // SAFETY: the term was made in `env` by the call above.
    (done == 1).then(|| unsafe { Term::new(env, made) })
}

/// Terms of one environment that wait to become part of a list or map; a stack, so nothing is allocated for each.
pub struct Terms<'a> {
    env: Env<'a>,
    raw: Vec<ErlNifTerm>,
}

impl<'a> Terms<'a> {
    /// None yet.
    pub fn new(env: Env<'a>) -> Self {
        Self { env, raw: Vec::new() }
    }

    /// None yet, with room for so many.
    pub fn with_room(env: Env<'a>, room: usize) -> Self {
        Self { env, raw: Vec::with_capacity(room) }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// One more.
    pub fn push(&mut self, term: Term<'a>) {
        self.raw.push(term.as_c_arg());
    }

    /// The last one.
    pub fn last(&self) -> Option<Term<'a>> {
        // SAFETY: it is of `env`: `push` takes no others.
        self.raw.last().map(|raw| unsafe { Term::new(self.env, *raw) })
    }

    /// Takes the last one.
    pub fn pop(&mut self) -> Option<Term<'a>> {
        let last = self.last();
        self.raw.pop();
        last
    }

    /// Leaves the first `count`.
    pub fn truncate(&mut self, count: usize) {
        self.raw.truncate(count);
    }

    /// Makes a tuple of the last `size`, in their place.
    pub fn tuple(&mut self, size: usize) {
        let from = self.raw.len().saturating_sub(size);
        let rest = self.raw.get(from..).unwrap_or_default();
        let count = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        // SAFETY: `rest` holds `count` terms, all of `env`: `push` takes no others.
        let tuple = unsafe { enif_make_tuple_from_array(self.env.as_c_arg(), rest.as_ptr(), count) };
        self.raw.truncate(from);
        self.raw.push(tuple);
    }

    /// Makes a map of the last ones as the values of these keys, in their place.
    pub fn record(&mut self, keys: &Keys) {
        let from = self.raw.len().saturating_sub(keys.0.len());
        let values = self.raw.get(from..).unwrap_or_default();
        // Keys that are not distinct would be a fault of this library; an empty map shows it without taking the VM down.
        let made = map(self.env, &keys.0, values).unwrap_or_else(|| map_new(self.env));
        self.raw.truncate(from);
        self.raw.push(made.as_c_arg());
    }

    /// Takes those from the `from`-th on, as a list.
    pub fn list(&mut self, from: usize) -> Term<'a> {
        let rest = self.raw.get(from..).unwrap_or_default();
        let count = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        // SAFETY: `rest` holds `count` terms, all of `env`: `push` takes no others.
        let list = unsafe {
            Term::new(self.env, enif_make_list_from_array(self.env.as_c_arg(), rest.as_ptr(), count))
        };
        self.raw.truncate(from);
        list
    }

    /// Takes those from the `from`-th on, and as many keys, as a map. Of equal keys the last one counts.
    pub fn map(
        &mut self,
        keys: &mut Terms<'a>,
        keys_from: usize,
        from: usize,
        orders: Option<&mut Orders<'a>>,
    ) -> Term<'a> {
        let key_part = keys.raw.get(keys_from..).unwrap_or_default();
        let value_part = self.raw.get(from..).unwrap_or_default();
        let in_order = orders.and_then(|orders| orders.map(self.env, key_part, value_part));
        let made = in_order.or_else(|| map(self.env, key_part, value_part)).unwrap_or_else(|| {
            let pairs = key_part.iter().zip(value_part);
            pairs.fold(map_new(self.env), |map, (key, value)| {
                // SAFETY: both are of `env`: `push` takes no others.
                let (key, value) = unsafe { (Term::new(self.env, *key), Term::new(self.env, *value)) };
                map.map_put(key, value).unwrap_or(map)
            })
        });
        keys.raw.truncate(keys_from);
        self.raw.truncate(from);
        made
    }
}

/// How many elements a tuple has, without a copy of them; `None` for what is none.
pub fn arity(term: Term<'_>) -> Option<usize> {
    let (mut arity, mut elements) = (0, std::ptr::null());
    // SAFETY: the term is of this environment; both are written to, and the elements are not looked at.
    let is_tuple = unsafe {
        enif_get_tuple(term.get_env().as_c_arg(), term.as_c_arg(), &raw mut arity, &raw mut elements)
    };
    if is_tuple == 1 { usize::try_from(arity).ok() } else { None }
}

/// Rows of keys that maps of one environment had, with the order that a map has them in: the VM sorts keys by
/// comparing nearly each with each, unless they come in order.
pub struct Orders<'a> {
    rows: Vec<Row>,
    sorted_values: Vec<ErlNifTerm>,
    environment: PhantomData<Env<'a>>,
}

/// The same keys as they came and as they are in a map, and where each of the latter came.
struct Row {
    keys: Vec<ErlNifTerm>,
    sorted: Vec<ErlNifTerm>,
    places: Vec<usize>,
}

impl<'a> Orders<'a> {
    /// Larger maps are trees, whose keys are in no order.
    const LARGEST: usize = 32;
    const ROWS: usize = 16;

    /// None yet.
    pub fn new() -> Self {
        Self { rows: Vec::new(), sorted_values: Vec::new(), environment: PhantomData }
    }

    /// A map whose row of keys is known; one that is not is known from then on, as long as there is room.
    fn map(&mut self, env: Env<'a>, keys: &[ErlNifTerm], values: &[ErlNifTerm]) -> Option<Term<'a>> {
        if !(2..=Self::LARGEST).contains(&keys.len()) || keys.len() != values.len() {
            return None;
        }
        let row = match self.rows.iter().position(|row| row.keys == keys) {
            Some(at) => self.rows.get(at)?,
            None if self.rows.len() < Self::ROWS => {
                self.rows.push(Row::of(env, keys));
                self.rows.last()?
            }
            None => return None,
        };
        self.sorted_values.clear();
        self.sorted_values.extend(row.places.iter().filter_map(|place| values.get(*place)));
        map(env, &row.sorted, &self.sorted_values)
    }
}

impl Row {
    fn of(env: Env<'_>, keys: &[ErlNifTerm]) -> Self {
        // SAFETY: all are of `env`: `Terms` takes no others.
        let terms = keys.iter().map(|key| unsafe { Term::new(env, *key) });
        let mut pairs: Vec<_> = terms.zip(0..).collect();
        pairs.sort_by_key(|(key, _)| *key);
        let sorted = pairs.iter().map(|(key, _)| key.as_c_arg()).collect();
        Self { keys: keys.to_vec(), sorted, places: pairs.into_iter().map(|(_, place)| place).collect() }
    }
}

/// An environment for messages that a NIF sends: terms are built in it and go to their process without a copy.
pub struct MessageEnv {
    env: OwnedEnv,
    /// It holds terms; also after a closure that panicked.
    used: bool,
    message: Option<ErlNifTerm>,
}

impl MessageEnv {
    /// An empty one.
    pub fn new() -> Self {
        Self { env: OwnedEnv::new(), used: false, message: None }
    }

    /// Builds the message. What an earlier call built and nobody sent is dropped.
    ///
    /// The environment's lifetime is known to the closure alone, so no term of it can leave but the one returned.
    pub fn build(&mut self, message: impl for<'m> FnOnce(Env<'m>) -> Term<'m>) {
        self.message = None;
        if self.used {
            self.env.clear();
        }
        self.used = true;
        self.message = Some(self.env.run(|env| message(env).as_c_arg()));
    }

    /// Sends what was built, from within a NIF: `caller` is the environment of the process that called it.
    ///
    /// False when nothing was built, when the process is dead, or when `caller` is no process' environment.
    pub fn send(&mut self, caller: Env<'_>, to: &LocalPid) -> bool {
        let Some(message) = self.message.take() else { return false };
        let env = self.env.run(|env| env.as_c_arg());
        let mut own = std::mem::MaybeUninit::<ErlNifPid>::uninit();
        // SAFETY: `caller` is a valid environment; the call fills `own`, or answers null in an environment that
        // belongs to no process. Only one that does may send from a scheduler thread.
        let is_process = !unsafe { enif_self(caller.as_c_arg(), own.as_mut_ptr()) }.is_null();
        // SAFETY: `message` is a term of `env`, which this value owns and nobody else uses meanwhile. After a send
        // that went well its terms are no longer valid; they are given up below in either case.
        let sent = is_process && unsafe { enif_send(caller.as_c_arg(), to.as_c_arg(), env, message) } == 1;
        self.env.clear();
        self.used = false;
        sent
    }
}

impl Default for MessageEnv {
    fn default() -> Self {
        Self::new()
    }
}
