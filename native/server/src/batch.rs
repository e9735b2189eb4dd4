//! `Streams.BatchAppend`: many appends over one call, each in chunks under an id of its own.
//!
//! What is wrong with a batch is an answer, and the call goes on.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use wire::proto::streams::BatchAppendReq;
use wire::proto::streams::batch_append_req::options::DeadlineOption;
use wire::proto::streams::batch_append_req::{Options, ProposedMessage};
use wire::proto::{StreamIdentifier, Uuid};

use crate::batch_answer::{Problem, answer, expected};
use crate::calls::Answers;
use crate::engine::Engine;
use crate::fault;
use crate::messages::{Message, structured};
use crate::proposal::{Proposal, parse_id};
use crate::requests::Requests;

/// Answers that wait for a client that does not take them; then its requests wait, too.
const WAITING: usize = 64;

/// A batch of which more may come.
struct Batch {
    options: Options,
    proposal: Proposal,
    deadline: Option<Instant>,
}

struct Call {
    engine: Arc<Engine>,
    batches: HashMap<u128, Batch>,
    answers: mpsc::Sender<Result<Message, Status>>,
}

/// Appends batches until the client has no more.
pub async fn batch_append(
    engine: Arc<Engine>,
    requests: Requests<BatchAppendReq>,
) -> Result<Answers, Status> {
    let (answers, receiver) = mpsc::channel(WAITING);
    let call = Call { engine, batches: HashMap::new(), answers };
    tokio::spawn(call.run(requests));
    Ok(Answers::new(ReceiverStream::new(receiver)))
}

impl Call {
    async fn run(mut self, mut requests: Requests<BatchAppendReq>) {
        loop {
            let (answers, stopping) = (self.answers.clone(), self.engine.stopping());
            let next_deadline = self.next_deadline();
            let going_on = tokio::select! {
                request = requests.next() => match request {
                    Ok(Some(request)) => self.take(request).await,
                    Ok(None) => break,
                    Err(status) => Err(status),
                },
                id = next_deadline => self.time_out(id).await,
                () = answers.closed() => break,
                () = stopping => Err(Status::unavailable("the server is shutting down")),
            };
            if let Err(status) = going_on {
                // A client that is gone does not need to know.
                let _ = answers.send(Err(status)).await;
                break;
            }
        }
    }

    /// The batch whose time runs out first, when it does.
    fn next_deadline(&self) -> impl Future<Output = u128> + use<> {
        let first = self.batches.iter().filter_map(|(id, batch)| Some((batch.deadline?, *id))).min();
        async move {
            match first {
                Some((deadline, id)) => {
                    tokio::time::sleep_until(deadline).await;
                    id
                }
                None => std::future::pending().await,
            }
        }
    }

    async fn time_out(&mut self, id: u128) -> Result<(), Status> {
        if let Some(batch) = self.batches.remove(&id) {
            self.say(Some(structured(id)), &batch.options, Err(Problem::Timeout)).await;
        }
        Ok(())
    }

    /// One request. Only one that belongs to no batch can end the call.
    async fn take(&mut self, request: BatchAppendReq) -> Result<(), Status> {
        let id = parse_id(request.correlation_id.clone());
        let Some(options) = request.options else {
            let id = id.ok_or_else(fault::handler)?;
            if let Some(batch) = self.batches.remove(&id) {
                self.go_on(id, request.correlation_id, batch, request.proposed_messages, request.is_final)
                    .await;
            }
            return Ok(());
        };
        let Some(id) = id else {
            self.say(request.correlation_id, &options, Err(Problem::bad("Unrecognized Guid format."))).await;
            return Ok(());
        };
        let batch = match self.batches.remove(&id) {
            Some(batch) => batch,
            None => Batch { deadline: deadline(&options), options, proposal: Proposal::default() },
        };
        self.go_on(id, request.correlation_id, batch, request.proposed_messages, request.is_final).await;
        Ok(())
    }

    async fn go_on(
        &mut self,
        id: u128,
        correlation: Option<Uuid>,
        mut batch: Batch,
        messages: Vec<ProposedMessage>,
        is_final: bool,
    ) {
        let judged = if batch.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            Err(Problem::Timeout)
        } else {
            check(&mut batch, messages)
        };
        match judged {
            Err(problem) => self.say(correlation, &batch.options, Err(problem)).await,
            Ok(()) if is_final => {
                let options = batch.options.clone();
                let outcome = self.append(batch).await;
                self.say(correlation, &options, outcome).await;
            }
            Ok(()) => {
                self.batches.insert(id, batch);
            }
        }
    }

    async fn append(&self, batch: Batch) -> Result<store_core::Appended, Problem> {
        let name = name(batch.options.stream_identifier.as_ref())?;
        let (expected, events) = (expected(&batch.options)?, batch.proposal.events);
        self.engine
            .write(&name, move |store, name, now| store.append(name, expected, &events, now))
            .await
            .map_err(Problem::Refused)
    }

    async fn say(
        &self,
        correlation: Option<Uuid>,
        options: &Options,
        outcome: Result<store_core::Appended, Problem>,
    ) {
        let answer = answer(correlation, options, outcome);
        // A client that is gone does not need to know; the loop notices by itself.
        let _ = self.answers.send(Ok(Message::of(&answer))).await;
    }
}

fn name(identifier: Option<&StreamIdentifier>) -> Result<String, Problem> {
    let identifier =
        identifier.ok_or_else(|| Problem::bad("Object reference not set to an instance of an object."))?;
    if identifier.stream_name.is_empty() {
        return Err(Problem::bad(
            "Specified argument was out of the range of valid values. (Parameter 'eventStreamId')",
        ));
    }
    Ok(String::from_utf8_lossy(&identifier.stream_name).into_owned())
}

fn check(batch: &mut Batch, messages: Vec<ProposedMessage>) -> Result<(), Problem> {
    name(batch.options.stream_identifier.as_ref())?;
    expected(&batch.options)?;
    for event in messages {
        let ProposedMessage { id, metadata, custom_metadata, data } = event;
        batch.proposal.add(id, metadata, custom_metadata, data).map_err(|status| {
            match status.metadata() {
                trailers if trailers.contains_key("maximum-append-size") => Problem::TooLarge,
                _ => Problem::bad(status.message()),
            }
        })?;
    }
    Ok(())
}

/// When a batch is given up; a deadline that has passed is one, too.
fn deadline(options: &Options) -> Option<Instant> {
    let now = Instant::now();
    let left = match options.deadline_option.as_ref()? {
        DeadlineOption::Deadline(left) => duration(left.seconds, left.nanos),
        DeadlineOption::Deadline21100(at) => {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            duration(at.seconds, at.nanos).saturating_sub(since)
        }
    };
    now.checked_add(left)
}

fn duration(seconds: i64, nanos: i32) -> Duration {
    match (u64::try_from(seconds), u32::try_from(nanos)) {
        (Ok(seconds), Ok(nanos)) => Duration::new(seconds, nanos.min(999_999_999)),
        _ => Duration::ZERO,
    }
}
