//! Deciding what a request changes, without changing anything.

use crate::append::append;
use crate::command::{Answer, Command, Decision};
use crate::delete::{delete, tombstone};
use crate::draft::Draft;
use crate::event::NewEvent;
use crate::fault::Fault;
use crate::limits::metadata_stream;
use crate::plan::Plan;
use crate::store::Store;
use crate::units::Ticks;
use crate::write::Write;

impl Draft<'_> {
    /// What a request is answered, and the one change that it makes. The same request of the same draft at the same
    /// time is always decided alike.
    ///
    /// # Errors
    /// [`Fault::StreamDeleted`] or [`Fault::Storage`]; nothing is to be written then.
    pub fn decide(&self, command: &Command, now: Ticks) -> Result<Decision<Answer>, Fault> {
        let mut plan = Plan::new(self, now);
        let answer = match command {
            Command::Append { stream, expected, events } => append(&mut plan, stream, *expected, events),
            Command::Delete { stream, expected } => delete(&mut plan, stream, *expected),
            Command::Tombstone { stream, expected } => tombstone(&mut plan, stream, *expected),
            Command::SetMetadata { stream, expected, metadata } => {
                let event = NewEvent::metadata(plan.new_id(), metadata.clone());
                append(&mut plan, &metadata_stream(stream), *expected, &[event])
            }
        };
        Ok(Decision { answer: answer?, write: plan.done() })
    }

    /// What requests that belong together are answered, each in view of those before it, and the one change that they
    /// make. If one of them is not as expected, its answer is the last one, and nothing is to be written.
    ///
    /// # Errors
    /// As [`Draft::decide`], of whichever request it is.
    pub fn decide_all(&self, commands: &[Command], now: Ticks) -> Result<Decision<Vec<Answer>>, Fault> {
        let mut draft = Draft::after(self);
        let mut whole: Option<Write> = None;
        let mut answers = Vec::with_capacity(commands.len());
        for command in commands {
            let Decision { answer, write } = draft.decide(command, now)?;
            answers.push(answer);
            if matches!(answer, Answer::Wrong { .. }) {
                return Ok(Decision { answer: answers, write: None });
            }
            let Some(write) = write else { continue };
            draft.include(&write);
            match &mut whole {
                Some(whole) => whole.followed_by(write),
                None => whole = Some(write),
            }
        }
        Ok(Decision { answer: answers, write: whole })
    }
}

impl Store {
    /// Decides a request and makes what it changes readable at once. Only for storage that keeps nothing beyond the
    /// process: for any other, what a [`Draft`] decided is written before it is applied.
    ///
    /// # Errors
    /// Those of [`Draft::decide`]; nothing is changed then.
    pub fn execute(&mut self, command: &Command, now: Ticks) -> Result<Answer, Fault> {
        let Decision { answer, write } = Draft::new(self).decide(command, now)?;
        if let Some(write) = write {
            self.apply(write);
        }
        Ok(answer)
    }
}
