//! Terms that a subscription keeps: who it is, and who its consumers are.

use std::collections::BTreeMap;

use rustler::env::SavedTerm;
use rustler::{Env, LocalPid, NifResult, OwnedEnv, Term};

/// Where a consumer is, and what it calls the subscription: any term.
pub struct Consumer {
    env: OwnedEnv,
    pid: SavedTerm,
    tag: SavedTerm,
    local: Option<LocalPid>,
}

impl Consumer {
    pub fn new(pid: Term<'_>, tag: Term<'_>) -> Self {
        let env = OwnedEnv::new();
        let (saved_pid, saved_tag) = (env.save(pid), env.save(tag));
        Self { env, pid: saved_pid, tag: saved_tag, local: pid.decode().ok() }
    }

    /// `None` for a process of another node, to which only the BEAM itself can send.
    pub fn local(&self) -> Option<LocalPid> {
        self.local
    }

    pub fn pid<'a>(&self, env: Env<'a>) -> Term<'a> {
        self.env.run(|own| self.pid.load(own).in_env(env))
    }

    pub fn tag<'a>(&self, env: Env<'a>) -> Term<'a> {
        self.env.run(|own| self.tag.load(own).in_env(env))
    }
}

/// What goes into every message and every event.
pub struct Book {
    env: OwnedEnv,
    producer: SavedTerm,
    subscription: SavedTerm,
    consumers: BTreeMap<u64, Consumer>,
}

impl Book {
    pub fn new((producer, subscription): (Term<'_>, Term<'_>)) -> Self {
        let env = OwnedEnv::new();
        let (producer, subscription) = (env.save(producer), env.save(subscription));
        Self { env, producer, subscription, consumers: BTreeMap::new() }
    }

    /// The producer, and the subscription, as events name them.
    pub fn origin<'a>(&self, env: Env<'a>) -> (Term<'a>, Term<'a>) {
        self.env.run(|own| (self.producer.load(own).in_env(env), self.subscription.load(own).in_env(env)))
    }

    pub fn add(&mut self, key: u64, consumer: Consumer) {
        self.consumers.insert(key, consumer);
    }

    pub fn remove(&mut self, key: u64) {
        self.consumers.remove(&key);
    }

    pub fn consumer(&self, key: u64) -> NifResult<&Consumer> {
        self.consumers.get(&key).ok_or(rustler::Error::BadArg)
    }
}
