//! Terms that a producer keeps: who it is, and who its consumers are.

use std::collections::BTreeMap;

use reader_core::Position;
use rustler::env::SavedTerm;
use rustler::{Encoder, Env, LocalPid, NifResult, OwnedEnv, Term};
use stage_core::{Lag, Membership};

use crate::stage::filter::Pattern;
use crate::sys::MessageEnv;

mod atoms {
    rustler::atoms! { nil, here, r#match = "match" }
}

/// Which events a consumer wants.
enum Filter {
    Every,
    /// Those that a pattern matches.
    Match(SavedTerm),
    /// Those that the producer's process chooses.
    Hosted,
}

/// Which events a consumer wants, as far as that is decided here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    Every,
    Match,
    Hosted,
}

/// Where a consumer is, what it calls the subscription (any term), and what it wants of its events.
pub struct Consumer {
    env: OwnedEnv,
    pid: SavedTerm,
    /// Who its events are from: `{producer, tag}`.
    from: SavedTerm,
    filter: Filter,
    local: Option<LocalPid>,
    /// It holds nobody up.
    lags: bool,
}

impl Consumer {
    /// `filter` is `nil`, `{:match, fields}`, or `:here` when the producer's process chooses.
    pub fn new(
        producer: LocalPid,
        (pid, tag): (Term<'_>, Term<'_>),
        membership: Membership,
        filter: Term<'_>,
    ) -> NifResult<Self> {
        let env = OwnedEnv::new();
        let filter = if filter.is_atom() && atoms::nil() == filter {
            Filter::Every
        } else if filter.is_atom() && atoms::here() == filter {
            Filter::Hosted
        } else {
            let (kind, fields) = filter.decode::<(rustler::Atom, Term<'_>)>()?;
            if kind != atoms::r#match() {
                return Err(rustler::Error::BadArg);
            }
            Pattern::decode(fields)?;
            Filter::Match(env.save(fields))
        };
        let saved_pid = env.save(pid);
        let from = env.save((producer, tag).encode(pid.get_env()));
        let lags = matches!(membership, Membership::Broadcast(lag) if lag != Lag::Block);
        Ok(Self { env, pid: saved_pid, from, filter, local: pid.decode().ok(), lags })
    }

    /// `None` for a process of another node, to which only the BEAM itself can send.
    pub fn local(&self) -> Option<LocalPid> {
        self.local
    }

    pub fn pid<'a>(&self, env: Env<'a>) -> Term<'a> {
        self.env.run(|own| self.pid.load(own).in_env(env))
    }

    pub fn from<'a>(&self, env: Env<'a>) -> Term<'a> {
        self.env.run(|own| self.from.load(own).in_env(env))
    }

    pub fn wants(&self) -> Wants {
        match self.filter {
            Filter::Every => Wants::Every,
            Filter::Match(_) => Wants::Match,
            Filter::Hosted => Wants::Hosted,
        }
    }

    /// The pattern, if there is one.
    pub fn pattern<'a>(&self, env: Env<'a>) -> NifResult<Option<Pattern<'a>>> {
        let Filter::Match(fields) = &self.filter else { return Ok(None) };
        self.env.run(|own| Pattern::decode(fields.load(own).in_env(env))).map(Some)
    }

    /// Whether it holds nobody up.
    pub fn lags(&self) -> bool {
        self.lags
    }
}

/// What goes into every message and every event.
pub struct Consumers {
    env: OwnedEnv,
    producer: SavedTerm,
    subscription: SavedTerm,
    all: BTreeMap<u64, Consumer>,
}

impl Consumers {
    pub fn new((producer, subscription): (Term<'_>, Term<'_>)) -> Self {
        let env = OwnedEnv::new();
        let (producer, subscription) = (env.save(producer), env.save(subscription));
        Self { env, producer, subscription, all: BTreeMap::new() }
    }

    /// The producer, and the subscription, as events name them.
    pub fn origin<'a>(&self, env: Env<'a>) -> (Term<'a>, Term<'a>) {
        self.env.run(|own| (self.producer.load(own).in_env(env), self.subscription.load(own).in_env(env)))
    }

    pub fn add(&mut self, key: u64, consumer: Consumer) {
        self.all.insert(key, consumer);
    }

    pub fn remove(&mut self, key: u64) {
        self.all.remove(&key);
    }

    pub fn get(&self, key: u64) -> NifResult<&Consumer> {
        self.all.get(&key).ok_or(rustler::Error::BadArg)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The one that there is, if there is only one.
    pub fn only(&self) -> Option<(u64, &Consumer)> {
        let first = self.all.iter().next().filter(|_| self.all.len() == 1);
        first.map(|(key, consumer)| (*key, consumer))
    }

    /// The numbers of all.
    pub fn keys(&self) -> impl Iterator<Item = u64> {
        self.all.keys().copied()
    }
}

/// What the producer's process keeps between its calls: its consumers, and the environments that messages are built in.
pub struct Delivery {
    pub consumers: Consumers,
    /// For one message after the other.
    pub message: MessageEnv,
    /// For events that are copied into messages.
    pub scratch: OwnedEnv,
    /// The latest place of the events given out, and of what was looked at without any.
    pub last: Option<Position>,
}

impl Delivery {
    pub fn new(consumers: Consumers) -> Self {
        Self { consumers, message: MessageEnv::new(), scratch: OwnedEnv::new(), last: None }
    }
}
