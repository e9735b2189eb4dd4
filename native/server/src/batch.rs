//! `Streams.BatchAppend`: many appends over one call, each in chunks under an id of its own.
//!
//! What is wrong with a batch is an answer, and the call goes on. A batch that does not become whole in time is given
//! up, also while the client takes no answers.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use store_core::Right;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use wire::proto::streams::batch_append_req::options::DeadlineOption;
use wire::proto::streams::batch_append_req::{Options, ProposedMessage};
use wire::proto::streams::{BatchAppendReq, BatchAppendResp};
use wire::proto::{StreamIdentifier, Uuid};

use crate::allowance::Allowance;
use crate::answers::Answers;
use crate::batch_answer::{Problem, answer, expected};
use crate::fault;
use crate::messages::{Messages, structured};
use crate::node::Context;
use crate::panics::guarded;
use crate::proposal::{Proposal, parse_id};
use crate::requests::Requests;

/// Answers that wait for a client that does not take them; then its requests wait, too.
const WAITING: usize = 64;
/// The longest that a batch may take from its first chunk to its last: the real server's time-out for a write.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
/// What the options of a batch take besides the name of the stream.
const OPTIONS: usize = 256;

/// A batch of which more may come.
struct Batch {
    options: Options,
    proposal: Proposal,
    deadline: Instant,
}

/// The sending side of the answers, with room for one.
type Permit = mpsc::OwnedPermit<Result<Messages, Status>>;

struct Call {
    context: Context,
    allowance: Arc<Allowance>,
    batches: HashMap<u128, Batch>,
    /// The batches in the order in which their time runs out.
    deadlines: BTreeSet<(Instant, u128)>,
    /// Answers to batches whose time ran out.
    late: VecDeque<BatchAppendResp>,
}

/// Appends batches until the client has no more.
pub async fn batch_append(context: Context, requests: Requests<BatchAppendReq>) -> Result<Answers, Status> {
    context.check_leader()?;
    let (answers, receiver) = mpsc::channel(WAITING);
    let call = Call {
        context,
        allowance: requests.allowance().clone(),
        batches: HashMap::new(),
        deadlines: BTreeSet::new(),
        late: VecDeque::new(),
    };
    tokio::spawn(async move {
        let ended = guarded(call.run(requests, answers.clone())).await;
        let failed = ended.unwrap_or_else(|panicked| Err(fault::panicked(&panicked)));
        if let Err(status) = failed {
            // A client that is gone does not need to know.
            let _ = answers.send(Err(status)).await;
        }
    });
    Ok(Answers::new(ReceiverStream::new(receiver)))
}

impl Call {
    async fn run(
        mut self,
        mut requests: Requests<BatchAppendReq>,
        answers: mpsc::Sender<Result<Messages, Status>>,
    ) -> Result<(), Status> {
        let stopping = self.context.node.engine.stopping();
        tokio::pin!(stopping);
        let mut room: Option<Permit> = None;
        loop {
            if let Some(late) = self.late.front()
                && let Some(permit) = room.take()
            {
                permit.send(Ok(Messages::of(late)));
                self.late.pop_front();
            }
            tokio::select! {
                permit = answers.clone().reserve_owned(), if room.is_none() => match permit {
                    Ok(permit) => room = Some(permit),
                    Err(_) => return Ok(()),
                },
                request = requests.next(), if room.is_some() => match request? {
                    Some(request) => if let Some(answer) = self.take(request).await?
                        && let Some(permit) = room.take()
                    {
                        permit.send(Ok(Messages::of(&answer)));
                    },
                    None => return Ok(()),
                },
                () = first(&self.deadlines) => self.time_out(Instant::now()),
                () = answers.closed() => return Ok(()),
                () = &mut stopping => return Err(fault::stopping()),
            }
        }
    }

    /// Gives up what should have been whole by now.
    fn time_out(&mut self, now: Instant) {
        while let Some((deadline, id)) =
            self.deadlines.first().copied().filter(|(deadline, _)| *deadline <= now)
        {
            self.deadlines.remove(&(deadline, id));
            if let Some(batch) = self.batches.remove(&id) {
                self.late.push_back(answer(Some(structured(id)), &batch.options, Err(Problem::Timeout)));
            }
        }
    }

    /// One request, and its answer if it has one. Only one that belongs to no batch can end the call.
    async fn take(&mut self, request: BatchAppendReq) -> Result<Option<BatchAppendResp>, Status> {
        let BatchAppendReq { correlation_id, options, proposed_messages, is_final } = request;
        let id = parse_id(correlation_id.clone());
        let batch = match (id, options) {
            (None, None) => return Err(fault::handler()),
            (None, Some(options)) => {
                let problem = Problem::bad("Unrecognized Guid format.");
                return Ok(Some(answer(correlation_id, &options, Err(problem))));
            }
            (Some(id), options) => match (self.remove(id), options) {
                (Some(batch), _) => batch,
                (None, Some(options)) => match self.begin(options) {
                    Ok(batch) => batch,
                    Err((options, problem)) => {
                        return Ok(Some(answer(correlation_id, &options, Err(problem))));
                    }
                },
                (None, None) => return Ok(None),
            },
        };
        Ok(self.go_on(id.unwrap_or_default(), correlation_id, batch, proposed_messages, is_final).await)
    }

    fn remove(&mut self, id: u128) -> Option<Batch> {
        let batch = self.batches.remove(&id)?;
        self.deadlines.remove(&(batch.deadline, id));
        Some(batch)
    }

    fn begin(&self, options: Options) -> Result<Batch, (Options, Problem)> {
        let name = options.stream_identifier.as_ref().map_or(0, |name| name.stream_name.len());
        match Proposal::new(&self.allowance, OPTIONS + name) {
            Ok(proposal) => Ok(Batch { deadline: deadline(&options), options, proposal }),
            Err(status) => Err((options, problem(&status))),
        }
    }

    async fn go_on(
        &mut self,
        id: u128,
        correlation: Option<Uuid>,
        mut batch: Batch,
        messages: Vec<ProposedMessage>,
        is_final: bool,
    ) -> Option<BatchAppendResp> {
        let judged = if batch.deadline <= Instant::now() {
            Err(Problem::Timeout)
        } else {
            check(&mut batch, messages)
        };
        match judged {
            Err(problem) => Some(answer(correlation, &batch.options, Err(problem))),
            Ok(()) if is_final => {
                let options = batch.options.clone();
                let outcome = self.append(batch).await;
                Some(answer(correlation, &options, outcome))
            }
            Ok(()) => {
                self.deadlines.insert((batch.deadline, id));
                self.batches.insert(id, batch);
                None
            }
        }
    }

    async fn append(&self, batch: Batch) -> Result<store_core::Answer, Problem> {
        let name = name(batch.options.stream_identifier.as_ref())?;
        let (command, held) = batch.proposal.into_command(name, expected(&batch.options)?);
        let Context { node, caller, .. } = &self.context;
        match self.context.allow(command.stream(), Right::Write).await {
            Ok(()) => {}
            Err(status) if status.code() == Code::PermissionDenied => return Err(Problem::Denied),
            Err(status) => return Err(Problem::bad(status.message())),
        }
        node.write(command, Some(held), caller.deadline).await.map_err(Problem::Refused)
    }
}

/// Waits until the time of the first one runs out.
async fn first(deadlines: &BTreeSet<(Instant, u128)>) {
    match deadlines.first() {
        Some((deadline, _)) => tokio::time::sleep_until(*deadline).await,
        None => std::future::pending().await,
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
        batch.proposal.add(id, metadata, custom_metadata, data).map_err(|status| problem(&status))?;
    }
    Ok(())
}

/// The refusal of an append as that of a batch.
fn problem(status: &Status) -> Problem {
    match status.code() {
        Code::ResourceExhausted => Problem::NoRoom(status.message().to_owned()),
        _ if status.metadata().contains_key("maximum-append-size") => Problem::TooLarge,
        _ => Problem::bad(status.message()),
    }
}

/// When a batch is given up; a deadline that has passed is one, too.
fn deadline(options: &Options) -> Instant {
    let asked = match options.deadline_option.as_ref() {
        Some(DeadlineOption::Deadline(left)) => duration(left.seconds, left.nanos),
        Some(DeadlineOption::Deadline21100(at)) => {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            duration(at.seconds, at.nanos).saturating_sub(since)
        }
        None => Duration::MAX,
    };
    Instant::now() + asked.min(WRITE_TIMEOUT)
}

fn duration(seconds: i64, nanos: i32) -> Duration {
    match (u64::try_from(seconds), u32::try_from(nanos)) {
        (Ok(seconds), Ok(nanos)) => Duration::new(seconds, nanos.min(999_999_999)),
        _ => Duration::ZERO,
    }
}
