//! Faults on demand that last until they are ended: what becomes of reads, and whether anything is written.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::Stream;
use store_core::{Fault, StorageError};
use tokio::sync::watch;
use tokio::time::{Sleep, sleep};
use tonic::Status;
use wire::proto::streams::ReadResp;
use wire::proto::streams::read_resp::{Content, FellBehind};

use crate::answers::Answers;
use crate::fault;
use crate::messages::Messages;

/// A fault on demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Subscriptions that there are end with UNAVAILABLE. Those that come later do not.
    DropSubscriptions,
    /// Subscriptions that there are send that they fell behind.
    FellBehind,
    /// Reads and subscriptions, also those that come, send nothing more; HTTP/2 goes on.
    Stall,
    /// Reads and subscriptions wait so long before whatever they send at a time.
    Slow(Duration),
    /// Reads and subscriptions send so many bytes more, and end well, be it in the middle of a message.
    Truncate(usize),
    /// Calls to streams are answered that the leader is there, whatever they ask for.
    NotLeader {
        /// The leader's host.
        host: String,
        /// The leader's port.
        port: u16,
    },
    /// Nothing is written: the server is not ready.
    RefuseAppends,
    /// Nothing is written: the disk is full.
    FillDisk,
}

/// What is to happen to calls.
pub struct Troubles(watch::Sender<Now>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Now {
    stalled: bool,
    slow: Option<Duration>,
    truncate: Option<usize>,
    leader: Option<(String, u16)>,
    unready: bool,
    full: bool,
    /// How many times subscriptions were dropped, and said that they fell behind.
    drops: u64,
    behind: u64,
}

impl Troubles {
    /// None.
    pub fn new() -> Self {
        Self(watch::Sender::new(Now::default()))
    }

    /// Begins one, beside those that there are.
    pub fn begin(&self, trouble: Trouble) {
        self.0.send_modify(|now| match trouble {
            Trouble::DropSubscriptions => now.drops += 1,
            Trouble::FellBehind => now.behind += 1,
            Trouble::Stall => now.stalled = true,
            Trouble::Slow(wait) => now.slow = Some(wait),
            Trouble::Truncate(bytes) => now.truncate = Some(bytes),
            Trouble::NotLeader { host, port } => now.leader = Some((host, port)),
            Trouble::RefuseAppends => now.unready = true,
            Trouble::FillDisk => now.full = true,
        });
    }

    /// Ends all.
    pub fn end(&self) {
        self.0.send_modify(|now| *now = Now { drops: now.drops, behind: now.behind, ..Now::default() });
    }

    /// Where the leader is said to be.
    pub fn leader(&self) -> Option<(String, u16)> {
        self.0.borrow().leader.clone()
    }

    /// Whether anything may be written.
    ///
    /// # Errors
    /// Why not.
    pub fn may_write(&self) -> Result<(), Fault> {
        let now = self.0.borrow();
        if now.unready {
            return Err(Fault::NotReady);
        }
        if now.full {
            return Err(Fault::Storage(StorageError::Full("there is no space left, on purpose".to_owned())));
        }
        Ok(())
    }

    /// Answers to a read or, as it may be, a subscription, with what becomes of them.
    pub fn befall(&self, answers: Answers, subscription: bool) -> Answers {
        let receiver = self.0.subscribe();
        let now = receiver.borrow().clone();
        let changed = changed(receiver);
        Answers::new(Befallen {
            answers,
            subscription,
            now,
            changed,
            waiting: None,
            waited: false,
            ended: false,
        })
    }
}

type Changed = Pin<Box<dyn Future<Output = watch::Receiver<Now>> + Send>>;

fn changed(mut receiver: watch::Receiver<Now>) -> Changed {
    Box::pin(async move {
        if receiver.changed().await.is_err() {
            // A server that is gone has no more troubles.
            std::future::pending::<()>().await;
        }
        receiver
    })
}

struct Befallen {
    answers: Answers,
    subscription: bool,
    now: Now,
    changed: Changed,
    waiting: Option<Pin<Box<Sleep>>>,
    /// Whether was waited for what comes next.
    waited: bool,
    ended: bool,
}

impl Stream for Befallen {
    type Item = Result<Messages, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        while let Poll::Ready(receiver) = self.changed.as_mut().poll(context) {
            let now = receiver.borrow().clone();
            self.changed = changed(receiver);
            let (dropped, behind) = (now.drops > self.now.drops, now.behind > self.now.behind);
            self.now = now;
            if dropped && self.subscription {
                self.ended = true;
                return Poll::Ready(Some(Err(fault::dropped())));
            }
            if behind && self.subscription {
                let content = Some(Content::FellBehind(FellBehind::default()));
                let message = ReadResp { content };
                return Poll::Ready(Some(Ok(Messages::of(&message))));
            }
        }
        if self.now.stalled {
            return Poll::Pending;
        }
        if let Some(wait) = self.now.slow.filter(|_| !self.waited) {
            let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(wait)));
            ready!(waiting.as_mut().poll(context));
            (self.waiting, self.waited) = (None, true);
        }
        let next = ready!(Pin::new(&mut self.answers).poll_next(context));
        self.waited = false;
        match (next, self.now.truncate) {
            (Some(Ok(mut messages)), Some(left)) => {
                let length = messages.length();
                messages.cut(left);
                self.ended = length >= left;
                self.now.truncate = Some(left.saturating_sub(length));
                Poll::Ready(Some(Ok(messages)).filter(|_| left > 0))
            }
            (next, _) => Poll::Ready(next),
        }
    }
}
